// Runs in the browser; built into public/page.js.
import { greeting } from "./greeting.js";

document.title = greeting(document.querySelector("#dyno").textContent);
