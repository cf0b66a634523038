// Serves a page, the file that the build made, and what tests ask for.
const path = require("node:path");
const express = require("express");

const app = express();
const port = process.env.PORT || 5000;

app.use(express.static(path.join(__dirname, "..", "public")));

app.get("/", (request, response) => {
  console.log(`front page for ${request.get("x-forwarded-for")}`);
  response.send(
    `<!doctype html><title>Express</title><h1>Hello from Express</h1>` +
      `<p id="dyno">${process.env.DYNO}</p><script src="/page.js"></script>`,
  );
});

app.get("/env", (request, response) => {
  response.json({ name: request.query.name, value: process.env[request.query.name] ?? null });
});

app.get("/version", (request, response) => {
  response.json({ node: process.version, env: process.env.NODE_ENV });
});

const server = app.listen(port, () => console.log(`listening on ${port}`));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
