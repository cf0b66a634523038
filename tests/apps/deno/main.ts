// A small shop front: greets, and numbers its visits. Where it listens is the platform's to say.
import { nanoid } from "nanoid";

const boot = nanoid();
let visits = 0;

Deno.serve((request: Request): Response => {
  visits += 1;
  const { pathname } = new URL(request.url);
  return new Response(`Hello from Deno, visit ${visits} of ${pathname} since boot ${boot}\n`);
});
