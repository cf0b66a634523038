"""A dyno on Python's own parser: prints its port, then a JSON line for each request that it has
read to its end, and answers with method, target and length."""

import http.server
import json
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.read_body()
        if body is None:
            self.close_connection = True
            return
        # Not self.path, which has lost what it began with.
        target = self.requestline.split(" ")[1]
        seen = {"method": self.command, "target": target, "body": body.decode("latin-1")}
        sys.stdout.write(json.dumps(seen) + "\n")
        sys.stdout.flush()
        echo = f"{self.command} {target} {len(body)}".encode("latin-1")
        self.send_response(200)
        self.send_header("Content-Length", str(len(echo)))
        self.end_headers()
        self.wfile.write(echo)

    def read_body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while True:
                size = int(self.rfile.readline().strip(), 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return b"".join(pieces)
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        return body if len(body) == length else None

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """A request that breaks off is no error here."""


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
