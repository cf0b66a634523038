"""Unpacks the Go of the stack's own suite, which can fetch and verify any other. Follows apt.py in one program.

Arguments: PREFIX. Leaves a Go at PREFIX, with links inside of it alone.
"""

import pathlib
import re
import shutil
import sys


def suite():
    release = pathlib.Path("/etc/os-release").read_text()
    return re.search(r"^VERSION_CODENAME=(\S+)$", release, re.M)[1]


def links(folder, names):
    return [name for name in names if (pathlib.Path(folder) / name).is_symlink()]


def main():
    prefix = pathlib.Path(sys.argv[1])
    archive = Archive(suite())
    newest = re.search(r"^Depends:.*\b(golang-[\d.]+)-go\b", archive.query("show", "--no-all-versions", "golang-go"), re.M)[1]
    staging = pathlib.Path("/tmp/unpacked")
    for deb in archive.fetch(f"{newest}-go", f"{newest}-src"):
        run("dpkg-deb", "-x", str(deb), str(staging))
    version = newest.removeprefix("golang-")
    # Debian splits one tree into two, with links from one to the other.
    library, share = (staging / "usr" / part / f"go-{version}" for part in ("lib", "share"))
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for part in (share, library):
        shutil.copytree(part, prefix, ignore=links, dirs_exist_ok=True)
    say(run(str(prefix / "bin/go"), "version", stdout=-1).stdout.strip())


main()
