"""Unpacks packages of the npm registry, after checking their integrity, and links their programs.

Arguments: HOME, then FOLDER URL INTEGRITY for each package. Programs that a package's package.json names are linked
into HOME/bin. A package's one top directory is left out.
"""

import base64
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
import urllib.request

TIMEOUT_SECONDS = 300


def fetch(url, integrity):
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
        content = answer.read()
    actual = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if actual not in integrity.split():
        raise SystemExit(f"{url}: the checksum is {actual}, expected {integrity}")
    return content


def unpack(content, target):
    def without_top(member, _):
        parts = pathlib.PurePosixPath(member.name).parts[1:]
        if not parts:
            return None
        return tarfile.data_filter(member.replace(name="/".join(parts), deep=False), str(target))

    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        archive.extractall(target, filter=without_top)


def link_programs(home, target):
    package = json.loads((target / "package.json").read_text())
    programs = package.get("bin") or {}
    if isinstance(programs, str):
        programs = {package["name"].rsplit("/")[-1]: programs}
    for name, path in programs.items():
        program = (target / path).resolve()
        program.chmod(0o755)
        link = home / "bin" / name
        if link != program:
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(program, link.parent))


home, packages = pathlib.Path(sys.argv[1]), sys.argv[2:]
(home / "bin").mkdir(parents=True, exist_ok=True)
for folder, url, integrity in zip(packages[0::3], packages[1::3], packages[2::3]):
    target = (home / folder).resolve()
    unpack(fetch(url, integrity), target)
    link_programs(home, target)
