"""Packages of the stack's own suite, with what they depend on and the stack lacks. Follows apt.py in one program.

No script of a package is run.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.parse
import urllib.request

TRIES = 3
DOWNLOADS = 4
TIMEOUT_SECONDS = 60
# The stack's own directories that packages put programs and libraries into, below the prefix.
BINARIES = ("usr/local/bin", "usr/bin", "bin", "usr/sbin", "sbin", "usr/games")


def find(names):
    """The packages that are missing for `names`, in the order in which apt would unpack them."""
    archive = Archive()
    wanted = ["apt-get", *archive.options, "-q", "-y", "--no-install-recommends", "--print-uris", "install", *names]
    answer = subprocess.run(wanted, capture_output=True, text=True, check=False)
    if answer.returncode:
        for line in answer.stderr.splitlines():
            say(line.removeprefix("E: "))
        raise SystemExit(answer.returncode)
    found = re.findall(r"^'([^']+)' (\S+)_(\S+)_(\w+)\.deb \d+", answer.stdout, re.M)
    return [
        {"name": name, "url": url, **stanza(archive, name, urllib.parse.unquote(version), architecture)}
        for url, name, version, architecture in found
    ]


def stanza(archive, name, version, architecture):
    """What the signed index says of one package."""
    qualified = name if architecture == "all" else f"{name}:{architecture}"
    text = archive.query("show", f"{qualified}={version}")
    return {"version": version, "sha256": re.search(r"^SHA256: ([0-9a-f]{64})$", text, re.M)[1]}


def fetch(package, folder):
    """Downloads one package; the checksum of the signed index decides whether it is the right one."""
    path = folder / f"{package['name']}.deb"
    for left in reversed(range(TRIES)):
        try:
            with urllib.request.urlopen(package["url"], timeout=TIMEOUT_SECONDS) as answer:
                content = answer.read()
            if hashlib.sha256(content).hexdigest() != package["sha256"]:
                raise OSError(f"{package['name']}: the checksum is not that of the signed index")
            path.write_bytes(content)
            return path
        except OSError as error:
            # An address that is gone stays gone.
            if not left or (isinstance(error, urllib.error.HTTPError) and error.code == 404):
                raise


def fetch_all(packages, names):
    folder = pathlib.Path("/tmp/debs")
    folder.mkdir(exist_ok=True)

    def all_of(packages):
        with concurrent.futures.ThreadPoolExecutor(DOWNLOADS) as pool:
            return list(pool.map(lambda package: fetch(package, folder), packages))

    try:
        return all_of(packages)
    except OSError as error:
        say(f"{error}: asking the archive again")
        return all_of(find(names))


def unpack(debs, prefix):
    prefix.mkdir(parents=True, exist_ok=True)
    chosen = {}
    for deb in debs:
        run("dpkg-deb", "-x", str(deb), str(prefix))
        for link, target, priority in alternatives(deb):
            if link not in chosen or priority > chosen[link][1]:
                chosen[link] = (target, priority)
    for link, (target, _) in sorted(chosen.items()):
        place = prefix / link.lstrip("/")
        if not os.path.lexists(place) and (prefix / target.lstrip("/")).exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)


def alternatives(deb):
    """The links that the package's installation script would offer, read from its text: link, target, priority."""
    answer = subprocess.run(["dpkg-deb", "--info", str(deb), "postinst"], capture_output=True, text=True, check=False)
    found = []
    for line in answer.stdout.replace("\\\n", " ").splitlines():
        at = line.find("update-alternatives")
        if at < 0 or "--install" not in line:
            continue
        try:
            words = shlex.split(line[at:], comments=True)
        except ValueError:
            continue
        priority = 0
        for index, word in enumerate(words):
            if word == "--install" and len(words) > index + 4 and words[index + 4].isdigit():
                priority = int(words[index + 4])
                found.append((words[index + 1], words[index + 3], priority))
            elif word == "--slave" and len(words) > index + 3:
                found.append((words[index + 1], words[index + 3], priority))
    return [row for row in found if not any("$" in str(part) or ".." in str(part) for part in row) and row[0].startswith("/")]


def join_linker_directories(prefix, triplet):
    """Libraries in directories that only the system's linker settings name get a link where they are looked for."""
    target = prefix / "usr/lib" / triplet
    for settings in (prefix / "etc/ld.so.conf.d").glob("*.conf"):
        for line in settings.read_text().splitlines():
            folder = prefix / line.strip().lstrip("/")
            if not line.startswith("/") or ".." in line or folder == target or not folder.is_dir():
                continue
            target.mkdir(parents=True, exist_ok=True)
            for library in folder.glob("*.so*"):
                if not os.path.lexists(target / library.name):
                    (target / library.name).symlink_to(os.path.relpath(library, target))


def mend_links(prefix):
    """Links mean the machine's root: those to what was unpacked are made to stay below the prefix, and those that
    end nowhere below it but in the stack are made to end there."""
    for folder, folders, files in os.walk(prefix):
        for name in folders + files:
            path = pathlib.Path(folder) / name
            if not path.is_symlink():
                continue
            target = os.readlink(path)
            meant = os.path.normpath(os.path.join("/", os.path.relpath(folder, prefix), target))
            below = prefix / meant.lstrip("/")
            if os.path.lexists(below):
                mended = os.path.relpath(below, folder)
            elif os.path.exists(meant):
                mended = meant
            else:
                continue
            if mended != target:
                path.unlink()
                path.symlink_to(mended)


def mend_scripts(prefix):
    """Programs whose interpreter was unpacked, too, find it below the prefix."""
    for folder in BINARIES:
        for path in (prefix / folder).glob("*"):
            if not path.is_file() or path.is_symlink():
                continue
            with path.open("rb") as file:
                first = file.readline(256)
            found = re.match(rb"#!\s*(/\S+)(.*)", first)
            if not found:
                continue
            interpreter = found[1].decode(errors="replace")
            if os.path.exists(interpreter) or not os.path.lexists(prefix / interpreter.lstrip("/")):
                continue
            mode = path.stat().st_mode
            rest = path.read_bytes()[len(first):]
            path.chmod(0o755)
            path.write_bytes(b"#!" + os.fsencode(prefix) + found[1] + found[2] + b"\n" + rest)
            path.chmod(mode & 0o777 | 0o100)


def mend_compiler_settings(prefix):
    """Where pkg-config and libtool say that a library is."""
    for path in prefix.rglob("*.pc"):
        if path.is_file() and not path.is_symlink() and path.parent.name == "pkgconfig":
            text = path.read_text(errors="surrogateescape")
            path.write_text(re.sub(r"^prefix=(?=/)", f"prefix={prefix}", text, flags=re.M), errors="surrogateescape")


def leave_out(prefix):
    """What no dyno reads."""
    for folder in ("usr/share/doc", "usr/share/man", "usr/share/lintian", "usr/share/info", "var/cache", "run"):
        shutil.rmtree(prefix / folder, ignore_errors=True)


def install(prefix, packages, names):
    # All that is unpacked can be changed and removed by who unpacked it.
    os.umask(0o022)
    unpack(fetch_all(packages, names), prefix)
    leave_out(prefix)
    join_linker_directories(prefix, sysconfig.get_config_var("MULTIARCH"))
    mend_links(prefix)
    mend_scripts(prefix)
    mend_compiler_settings(prefix)
