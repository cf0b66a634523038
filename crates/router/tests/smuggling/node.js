// A dyno on Node's own parser: prints its port, then a JSON line for each request that it has read
// to its end, and answers with method, target and length.
const http = require('node:http');
const server = http.createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const body = Buffer.concat(pieces);
    const { method, url: target } = request;
    console.log(JSON.stringify({ method, target, body: body.toString('latin1') }));
    const echo = `${method} ${target} ${body.length}`;
    response.writeHead(200, { 'Content-Length': Buffer.byteLength(echo) });
    response.end(echo);
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
