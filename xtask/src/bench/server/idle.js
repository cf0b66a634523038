// A web server of the standard library: what an idle Node app weighs at least.
require("node:http")
  .createServer((request, response) => response.end("ok"))
  .listen(process.env.PORT);
