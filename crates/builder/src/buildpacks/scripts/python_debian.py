"""Makes a CPython runtime out of Debian's own packages of another suite. Follows apt.py in one program.

Arguments: PREFIX SUITE MINOR VERSION, where VERSION is the exact package version. Nothing of a package is run
but the interpreter itself.

The interpreter is moved to PREFIX and finds its library from there. A package may be built for a newer C library
than the stack's; the few modules that mind are repaired or left out, and that is said.
"""

import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import sysconfig

STDLIB_LEFT_OUT = ("idlelib", "turtledemo", "EXTERNALLY-MANAGED")


def installed_version(package):
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()


def missing_libraries(archive, package):
    """Shared libraries that `package` needs newer than the stack has them, but for the C library itself."""
    depends = re.search(r"^Depends: (.*)$", archive.query("show", "--no-all-versions", package), re.M)
    missing = []
    for wish in (depends[1] if depends else "").split(","):
        found = re.match(r"\s*(lib[\w.+-]+)\s*(?:\(>= ([^)]+)\))?\s*$", wish)
        if not found or found[1].startswith(("libc6", "libgcc", "libpython")):
            continue
        have = installed_version(found[1])
        enough = have and (
            not found[2]
            or subprocess.run(["dpkg", "--compare-versions", have, "ge", found[2]], check=False).returncode == 0
        )
        if not enough:
            missing.append(found[1])
    return missing


def unpack(debs, prefix):
    staging = pathlib.Path("/tmp/unpacked")
    for deb in debs:
        run("dpkg-deb", "-x", str(deb), str(staging))
    for folder in ("bin", "lib", "include"):
        if (staging / "usr" / folder).exists():
            shutil.copytree(staging / "usr" / folder, prefix / folder, symlinks=True, dirs_exist_ok=True)


def tidy(prefix, minor):
    stdlib = prefix / "lib" / f"python{minor}"
    for name in STDLIB_LEFT_OUT:
        path = stdlib / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for static in stdlib.glob("config-*/*.a"):
        static.unlink()
    # Debian's header only points to the one of the processor, in a place that is not on the way here.
    triplet = sysconfig.get_config_var("MULTIARCH")
    real_header = prefix / "include" / triplet / f"python{minor}" / "pyconfig.h"
    if real_header.exists():
        shutil.copy(real_header, prefix / "include" / f"python{minor}" / "pyconfig.h")
    # One place to find libraries in, the same on every processor.
    for library in (prefix / "lib" / triplet).glob("*.so*"):
        (prefix / "lib" / library.name).symlink_to(f"{triplet}/{library.name}")
    for alias in ("python3", "python"):
        link = prefix / "bin" / alias
        link.unlink(missing_ok=True)
        link.symlink_to(f"python{minor}")
    for dangling in [path for path in prefix.rglob("*") if path.is_symlink() and not path.exists()]:
        dangling.unlink()


def point_configuration_here(prefix, minor):
    """What the interpreter says about where it was installed, for those who compile against it."""
    for path in (prefix / "lib" / f"python{minor}").glob("_sysconfig*"):
        text = path.read_text()
        text = re.sub(r"(?<![\w/.-])/usr/(include|lib|bin|share)", rf"{prefix}/\1", text)
        text = re.sub(r"""(['"])/usr\1""", rf"\g<1>{prefix}\g<1>", text)
        path.write_text(text)


def modules_that_do_not_load(prefix, minor):
    failing = {}
    for path in sorted((prefix / "lib" / f"python{minor}" / "lib-dynload").glob("*.so")):
        answer = subprocess.run(["ldd", "-r", str(path)], capture_output=True, text=True, check=False)
        complaint = re.search(r"version `(GLIBC_[\d.]+)' not found", answer.stdout + answer.stderr)
        if complaint:
            failing[path] = complaint[1]
    return failing


def elf_hash(name):
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


def lower_symbol_versions(path, too_new):
    """Asks for the oldest version of the symbols that the module wants in version `too_new`.

    Right where the C library only gave old functions a new version. The one case known, GLIBC_2.42's line speed
    functions in termios, differs in how speeds of serial lines are written, which a dyno does not have.
    """
    image = bytearray(path.read_bytes())
    at, size, count, names_index = (*struct.unpack_from("<Q", image, 40), *struct.unpack_from("<HHH", image, 58))
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, at + index * size) for index in range(count)]
    needs = next(section for section in sections if section[1] == 0x6FFFFFFE)
    strings = sections[needs[6]][4]

    def text(offset):
        return image[strings + offset : image.index(b"\0", strings + offset)].decode()

    wanted = {}
    need = needs[4]
    while True:
        _, entries, _, first, following = struct.unpack_from("<HHIII", image, need)
        entry = need + first
        for _ in range(entries):
            _, _, _, name, further = struct.unpack_from("<IHHII", image, entry)
            wanted.setdefault(text(name), []).append((entry, name))
            entry += further
        if following == 0:
            break
        need += following
    known = [name for name in wanted if re.fullmatch(r"GLIBC_[\d.]+", name) and name != too_new]
    oldest = min(known, key=lambda name: [int(part) for part in name[6:].split(".")])
    for entry, _ in wanted[too_new]:
        struct.pack_into("<I", image, entry, elf_hash(oldest))
        struct.pack_into("<I", image, entry + 8, wanted[oldest][0][1])
    path.write_bytes(image)


def repair_modules(prefix, minor):
    for path, needs in modules_that_do_not_load(prefix, minor).items():
        lower_symbol_versions(path, needs)
    for path, needs in modules_that_do_not_load(prefix, minor).items():
        say(f"Left out: module {path.name.split('.')[0]} needs {needs}, which this stack does not have")
        path.unlink()


def main():
    prefix, suite, minor, version = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
    archive = Archive(suite)
    names = [f"python{minor}", f"python{minor}-minimal", f"python{minor}-dev", f"libpython{minor}",
             f"libpython{minor}-minimal", f"libpython{minor}-stdlib", f"libpython{minor}-dev"]
    libraries = sorted({library for name in names for library in missing_libraries(archive, name)})
    if libraries:
        say(f"With newer libraries from {suite}: {', '.join(libraries)}")
    debs = archive.fetch(*[f"{name}={version}" for name in names], *libraries)
    unpack(debs, prefix)
    tidy(prefix, minor)
    point_configuration_here(prefix, minor)
    repair_modules(prefix, minor)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")}
    python = prefix / "bin" / f"python{minor}"
    check = "import ssl, sqlite3, zlib, bz2, lzma, ctypes, hashlib, readline, uuid, curses, termios, sys; print(sys.version.split()[0])"
    say("Python " + run(str(python), "-c", check, env=environment, stdout=subprocess.PIPE).stdout.strip())
    # Packages bring no byte code; without it every dyno would compile the library at each start.
    run(str(python), "-m", "compileall", "-q", "-j", "0", "-x", "bad_coding|lib2to3/tests",
        str(prefix / "lib" / f"python{minor}"), env=environment, stdout=subprocess.DEVNULL)


main()
