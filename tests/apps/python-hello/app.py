"""A web app without dependencies that shows what it was given and fails when asked to."""

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in one piece, so that a kill cuts no answer in two.
    wbufsize = 65536

    def do_GET(self):
        path, _, query = self.path.partition("?")
        print(f"{self.command} {self.path}", flush=True)
        if path == "/":
            self.answer(200, "Hello from Landfall\n")
        elif path == "/env":
            self.answer(200, os.environ.get(unquote(query), ""))
        elif path == "/file":
            self.show_file(query)
        elif path == "/slow":
            time.sleep(int(parse_qs(query)["ms"][0]) / 1000)
            self.answer(200, "at last\n")
        elif path == "/exit":
            self.answer(200, "bye\n")
            os._exit(int(parse_qs(query)["status"][0]))
        else:
            self.answer(404, "nothing here\n")

    def show_file(self, name):
        try:
            with open(os.path.join("/app", os.path.basename(name)), encoding="utf-8") as file:
                self.answer(200, file.read())
        except OSError as error:
            self.answer(404, f"{error}\n")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_):
        pass


def main():
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler)
    stop = lambda *_: threading.Thread(target=server.shutdown).start()
    signal.signal(signal.SIGTERM, stop)
    print(f"listening on {os.environ['PORT']}", flush=True)
    server.serve_forever()
    print("stopped", flush=True)
    sys.exit(0)


main()
