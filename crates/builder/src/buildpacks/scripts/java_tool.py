"""Makes a Maven or a Gradle out of Debian's packages. Follows apt.py in one program.

Arguments: PREFIX TOOL VERSION; TOOL is `maven` or `gradle`, VERSION the package's exact version in the stack's suite.
"""

import os
import pathlib
import re
import shutil
import struct
import sys
import zipfile

# What such a tool consists of; the rest of what it depends on is a Java.
PARTS = re.compile(r"(lib[\w.+-]+-java|ant|bnd|groovy|ivy|junit4|testng)$")


def parts_of(archive, package):
    """The package and all Java libraries that it needs."""
    found, asked, left = set(), {package}, {package}
    while left:
        # With the package itself among them there is always one that apt can show.
        shown = archive.query("show", "--no-all-versions", package, *sorted(left - {package}))
        # A name that others provide has no stanza of its own.
        found |= set(re.findall(r"^Package: (\S+)", shown, re.M))
        names = {name for line in re.findall(r"^(?:Pre-)?Depends: (.*)$", shown, re.M)
                 for name in re.findall(r"(?:^|[,|] *)([\w.+-]+)", line)}
        left = {name for name in names if PARTS.match(name)} - asked
        asked |= left
    return sorted(found)


def settled(staging, path):
    """Where a path of the machine that these packages are meant for ends, below the staging directory."""
    for _ in range(20):
        real = staging / path.lstrip("/")
        if not real.is_symlink():
            break
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(real)))
    return real


def make_maven(staging, prefix):
    """Puts files where Debian has links to its shared directories."""
    shutil.copytree(staging / "usr/share/maven", prefix, symlinks=True)
    for link in [path for path in prefix.rglob("*") if path.is_symlink()]:
        target = settled(staging, f"/usr/share/maven/{link.relative_to(prefix)}")
        link.unlink()
        if target.is_dir():
            shutil.copytree(target, link)
        elif target.is_file():
            shutil.copy(target, link)
        else:
            say(f"Left out: {link.name}, which these packages do not hold")


def make_gradle(staging, prefix):
    """Keeps Debian's directories side by side, so that its links hold, and tells Gradle where they are."""
    for folder in (staging / "usr/share").iterdir():
        if folder.name not in ("doc", "icons", "lintian", "man", "maven-repo"):
            shutil.copytree(folder, prefix / folder.name, symlinks=True)
    for link in [path for path in prefix.rglob("*") if path.is_symlink() and not path.exists()]:
        link.unlink()
    (prefix / "bin").mkdir()
    (prefix / "bin/gradle").symlink_to("../gradle/bin/gradle")
    [core] = [path for path in (prefix / "java").glob("gradle-core-api*.jar") if not path.is_symlink()]
    places = {f"/usr/share/{name}".encode(): f"{prefix}/{name}".encode() for name in ("gradle", "java")}
    with zipfile.ZipFile(core) as whole:
        files = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(core, "w") as patched:
        for name, content in files.items():
            if name.startswith("org/gradle/internal/installation/"):
                for old, new in places.items():
                    content = content.replace(text_of(old), text_of(new))
            patched.writestr(zipfile.ZipInfo(name), content)


def text_of(words):
    """A text as a compiled class holds it: its length and the text."""
    return b"\x01" + struct.pack(">H", len(words)) + words


def main():
    prefix, tool, version = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    archive = Archive()
    staging = pathlib.Path("/tmp/unpacked")
    names = [f"{tool}={version}" if name == tool else name for name in parts_of(archive, tool)]
    for deb in archive.fetch(*names):
        run("dpkg-deb", "-x", str(deb), str(staging))
    prefix.parent.mkdir(parents=True, exist_ok=True)
    {"maven": make_maven, "gradle": make_gradle}[tool](staging, prefix)
    for program in (prefix / "bin").iterdir():
        program.chmod(0o755)


main()
