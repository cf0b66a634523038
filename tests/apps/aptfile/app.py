"""Shows that the packages of the Aptfile work: a program, and a library that was compiled against."""

import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def said(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = (said("awk", "BEGIN { print PROCINFO[\"version\"] }") + said("tools/modules", "hello")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
