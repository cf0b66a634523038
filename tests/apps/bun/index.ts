// A small shop front: greets, and numbers its visits. Bun reads PORT itself.
import { nanoid } from "nanoid";

const boot = nanoid();
let visits = 0;

Bun.serve({
  hostname: "0.0.0.0",
  fetch(request: Request): Response {
    visits += 1;
    const { pathname } = new URL(request.url);
    return new Response(`Hello from Bun, visit ${visits} of ${pathname} since boot ${boot}\n`);
  },
});
