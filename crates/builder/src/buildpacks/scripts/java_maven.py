"""Makes a Maven out of Debian's packages, without the Java that they would bring. Follows apt.py in one program.

Arguments: PREFIX VERSION, the exact version of the package `maven` in the stack's suite.
"""

import os
import pathlib
import re
import shutil
import sys

# What Maven consists of; the rest of what it depends on is a Java.
PARTS = re.compile(r"lib[\w.+-]+-java$")


def parts_of(archive, package):
    """The package and all Java libraries that it needs."""
    found, left = [package], [package]
    while left:
        shown = archive.query("show", "--no-all-versions", *left)
        names = {name for line in re.findall(r"^(?:Pre-)?Depends: (.*)$", shown, re.M)
                 for name in re.findall(r"(?:^|[,|] *)([\w.+-]+)", line)}
        left = sorted(name for name in names if PARTS.match(name) and name not in found)
        found += left
    return found


def settled(staging, path):
    """Where a path of the machine that these packages are meant for ends, below the staging directory."""
    for _ in range(20):
        real = staging / path.lstrip("/")
        if not real.is_symlink():
            break
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(real)))
    return real


def settle_links(staging, prefix):
    """Puts files where Debian has links to its shared directories."""
    for link in [path for path in prefix.rglob("*") if path.is_symlink()]:
        target = settled(staging, f"/usr/share/maven/{link.relative_to(prefix)}")
        link.unlink()
        if target.is_dir():
            shutil.copytree(target, link)
        elif target.is_file():
            shutil.copy(target, link)
        else:
            say(f"Left out: {link.name}, which these packages do not hold")


def main():
    prefix, version = pathlib.Path(sys.argv[1]), sys.argv[2]
    archive = Archive()
    parts = parts_of(archive, "maven")
    staging = pathlib.Path("/tmp/unpacked")
    for deb in archive.fetch(*(f"maven={version}" if name == "maven" else name for name in parts)):
        run("dpkg-deb", "-x", str(deb), str(staging))
    prefix.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(staging / "usr/share/maven", prefix, symlinks=True)
    settle_links(staging, prefix)
    (prefix / "bin/mvn").chmod(0o755)


main()
