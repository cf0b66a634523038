"""A web server of the standard library: what an idle Python app weighs at least."""

import http.server
import os


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Hello).serve_forever()
