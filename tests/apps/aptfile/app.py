"""Shows that the packages of the Aptfile work: a program, and a library that was compiled against."""

import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PACKAGES = Path("/app/.apt")


def said(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def page():
    version = said("awk", "BEGIN { print PROCINFO[\"version\"] }").split(".")[0]
    library = next(line.split()[2] for line in said("ldd", "tools/modules").splitlines() if "qrencode" in line)
    broken = [path for path in PACKAGES.rglob("*") if path.is_symlink() and not path.exists()]
    return "".join([
        f"awk is GNU Awk {version}\n",
        f"a code is {said('tools/modules', 'hello').strip()} modules wide\n",
        f"its library is below {PACKAGES if PACKAGES in Path(library).parents else library}\n",
        f"links to nowhere: {len(broken)}\n",
    ])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
