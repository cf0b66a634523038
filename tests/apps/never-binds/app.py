"""Listens on the wrong address and port for ever."""

from http.server import HTTPServer, SimpleHTTPRequestHandler

print("listening on 127.0.0.1:8000", flush=True)
HTTPServer(("127.0.0.1", 8000), SimpleHTTPRequestHandler).serve_forever()
