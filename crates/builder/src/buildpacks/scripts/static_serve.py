"""Serves a directory over HTTP: the web process of a static site.

Reads static.json at the root of the app, as far as it says: root, clean_urls, error_page, routes, https_only,
redirects and headers. Lists no directory, shows no hidden file, and never leaves the directory.

Arguments: [ROOT] [--single-page]: the directory where static.json names none, and whether paths without a file show
its front page; 200.html does so in any case, as bundlers mean it.
"""

import email.utils
import fnmatch
import gzip
import http.server
import json
import mimetypes
import os
import pathlib
import posixpath
import shutil
import socket
import sys
import urllib.parse

APP = pathlib.Path(os.environ.get("HOME", "/app")).resolve()
TIMEOUT_SECONDS = 60
TYPES = {
    ".avif": "image/avif", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json",
    ".map": "application/json", ".svg": "image/svg+xml", ".wasm": "application/wasm", ".webmanifest":
    "application/manifest+json", ".webp": "image/webp", ".woff": "font/woff", ".woff2": "font/woff2",
    ".xml": "application/xml", ".md": "text/markdown", ".txt": "text/plain",
}
# Of the app's own directory; a site in a directory below has none of these.
PRIVATE = {"Procfile", "static.json", "app.json"}
COMPRESSIBLE_FROM_BYTES = 1024


def settings():
    try:
        found = json.loads((APP / "static.json").read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        sys.exit(f"static.json is not valid JSON: {error}")
    if not isinstance(found, dict):
        sys.exit("static.json must hold an object")
    return found


def default_root():
    named = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    if named:
        return named[0]
    return "." if (APP / "index.html").is_file() else "public_html"


SETTINGS = settings()
ROOT = (APP / SETTINGS.get("root", default_root())).resolve()
FALLBACKS = ["200.html", "index.html"] if "--single-page" in sys.argv else ["200.html"]


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Landfall"
    sys_version = ""
    timeout = TIMEOUT_SECONDS

    def do_GET(self):
        path, _, query = self.path.partition("?")
        path = "/" + urllib.parse.unquote(path, errors="replace").lstrip("/")
        if SETTINGS.get("https_only") and self.headers.get("X-Forwarded-Proto") == "http":
            return self.redirect(f"https://{self.headers.get('Host', '')}{self.path}", 301)
        redirect = (SETTINGS.get("redirects") or {}).get(path)
        if redirect:
            return self.redirect(redirect["url"], redirect.get("status", 301))
        found = self.find(path)
        if found is None:
            return self.send_file(self.error_page(), 404, path)
        if found.is_dir():
            # Relative links of the page need the slash.
            suffix = f"?{query}" if query else ""
            return self.redirect(urllib.parse.quote(posixpath.normpath(path)) + "/" + suffix, 301)
        return self.send_file(found, 200, path)

    do_HEAD = do_GET

    def find(self, path):
        """The file for a path, a directory that lacks its slash, or None."""
        found = self.within(path)
        if found and found.is_file():
            return found
        if found and found.is_dir() and (found / "index.html").is_file():
            return found / "index.html" if path.endswith("/") else found
        if SETTINGS.get("clean_urls"):
            page = self.within(path.rstrip("/") + ".html")
            if page and page.is_file():
                return page
        for pattern, target in (SETTINGS.get("routes") or {}).items():
            if fnmatch.fnmatch(path, pattern.replace("**", "*")):
                page = self.within("/" + target.lstrip("/"))
                if page and page.is_file():
                    return page
        return self.fallback(path)

    def fallback(self, path):
        """What shows the pages that a script makes; a missing picture is missing."""
        if "." in posixpath.basename(path):
            return None
        pages = (self.within("/" + name) for name in FALLBACKS)
        return next((page for page in pages if page and page.is_file()), None)

    def within(self, path):
        """The place below the site's root that a path means; None for what is hidden or outside."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if "\0" in path or any(part.startswith(".") and part != ".well-known" for part in parts):
            return None
        if ROOT == APP and parts and parts[0] in PRIVATE:
            return None
        try:
            found = ROOT.joinpath(*parts).resolve()
        except (OSError, RuntimeError):
            return None
        return found if found == ROOT or ROOT in found.parents else None

    def error_page(self):
        page = self.within("/" + SETTINGS.get("error_page", "404.html").lstrip("/"))
        return page if page and page.is_file() else None

    def send_file(self, file, status, path):
        if file is None:
            return self.send_body(status, b"<h1>404 Not Found</h1>\n", {"Content-Type": "text/html; charset=utf-8"})
        try:
            opened = file.open("rb")
        except OSError:
            return self.send_body(404, b"<h1>404 Not Found</h1>\n", {"Content-Type": "text/html; charset=utf-8"})
        with opened:
            stat = os.fstat(opened.fileno())
            tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
            headers = {"Content-Type": type_of(file), "ETag": tag,
                       "Last-Modified": email.utils.formatdate(stat.st_mtime, usegmt=True)}
            for pattern, extra in (SETTINGS.get("headers") or {}).items():
                if fnmatch.fnmatch(path, pattern.replace("**", "*")):
                    headers.update(extra)
            if status == 200 and tag in self.headers.get("If-None-Match", ""):
                return self.send_body(304, b"", headers)
            if is_text(headers["Content-Type"]) and stat.st_size >= COMPRESSIBLE_FROM_BYTES:
                headers["Vary"] = "Accept-Encoding"
                if "gzip" in self.headers.get("Accept-Encoding", ""):
                    headers["Content-Encoding"] = "gzip"
                    return self.send_body(status, gzip.compress(opened.read(), 5, mtime=0), headers)
            self.start(status, {**headers, "Content-Length": str(stat.st_size)})
            if self.command != "HEAD":
                shutil.copyfileobj(opened, self.wfile)

    def send_body(self, status, body, headers):
        length = {} if status == 304 else {"Content-Length": str(len(body))}
        self.start(status, {**headers, **length})
        if self.command != "HEAD":
            self.wfile.write(body)

    def redirect(self, url, status):
        self.send_body(status, b"", {"Location": url})

    def start(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value).replace("\r", "").replace("\n", ""))
        self.end_headers()

    def log_message(self, *_):
        """The router logs requests."""


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def type_of(file):
    kind = TYPES.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if is_text(kind) else kind


def is_text(kind):
    kind = kind.split(";")[0]
    return kind.startswith("text/") or kind in ("application/json", "application/xml", "image/svg+xml",
                                                "application/manifest+json")


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "5000"))
    if not ROOT.is_dir():
        sys.exit(f"the site's root {ROOT} is not there")
    try:
        server = Server(("::", port), Site)
    except OSError:
        Server.address_family = socket.AF_INET
        Server.server_bind = http.server.ThreadingHTTPServer.server_bind
        server = Server(("0.0.0.0", port), Site)
    print(f"Serving {ROOT} on port {server.server_address[1]}", flush=True)
    server.serve_forever()
