"""Lists which CPython versions can be had from where. Follows apt.py in one program.

Arguments: OUTPUT UV SUITE... Writes JSON to OUTPUT: {"stack": "3.13.5", "debian": [{"version", "package_version",
"suite"}], "upstream": ["3.14.2"]}. A source that cannot be reached is left empty; that is not an error.
"""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import urllib.request

UPSTREAM_TIMEOUT_SECONDS = 8


def debian_versions(suites):
    found = []
    for suite in suites:
        try:
            archive = Archive(suite)
            names = archive.query("search", "--names-only", r"^python3\.[0-9]+-minimal$").split("\n")
            for name in sorted(line.split(" ")[0] for line in names if line):
                for line in archive.query("madison", name).splitlines():
                    version = line.split("|")[1].strip()
                    upstream = re.match(r"(?:\d+:)?(3\.\d+\.\d+)-", version)
                    if upstream:
                        found.append({"version": upstream[1], "package_version": version, "suite": suite})
        except (subprocess.CalledProcessError, OSError) as error:
            say(f"suite {suite}: {error}")
    return found


def upstream_versions(uv):
    """What uv knows how to download, if the place it downloads from answers."""
    try:
        listed = json.loads(capture(uv, "python", "list", "--only-downloads", "--all-versions", "--output-format", "json"))
    except (subprocess.CalledProcessError, OSError, ValueError):
        return []
    entries = [entry for entry in listed if entry["implementation"] == "cpython" and entry.get("url")
               and re.fullmatch(r"3\.\d+\.\d+", entry["version"]) and entry.get("variant", "default") == "default"]
    if not entries:
        return []
    url = entries[0]["url"]
    mirror = os.environ.get("UV_PYTHON_INSTALL_MIRROR")
    if mirror:
        url = mirror.rstrip("/") + "/" + "/".join(url.split("/")[-2:])
    try:
        request = urllib.request.Request(url, method="HEAD")
        urllib.request.urlopen(request, timeout=UPSTREAM_TIMEOUT_SECONDS).close()
    except OSError:
        # Common behind a company's mirror; the other sources may do.
        return []
    return sorted({entry["version"] for entry in entries})


def main():
    output, uv, suites = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    catalogue = {
        "stack": platform.python_version(),
        "debian": debian_versions(suites),
        "upstream": upstream_versions(uv),
    }
    output.write_text(json.dumps(catalogue))


main()
