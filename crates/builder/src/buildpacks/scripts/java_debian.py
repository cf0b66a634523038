"""Makes a JDK out of Debian's packages of a suite. Follows apt.py in one program.

Arguments: PREFIX SUITE PACKAGE VERSION; SUITE may be `stack`, PACKAGE is a headless JDK, VERSION its exact package version. Nothing of a
package is run but the JDK itself. What Debian's own scripts would do is done here: the file of trusted certificates
is made from the stack's bundle, and the archive of classes that makes every start quicker.
"""

import base64
import hashlib
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys

BUNDLE = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
# The password that every JDK expects of this file, which holds no secret.
PASSWORD = "changeit"
# Libraries that a headless JDK loads for images, where the stack lacks them.
LIBRARIES = {"liblcms2-2", "libjpeg62-turbo"}


def is_installed(package):
    answer = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, text=True)
    return answer.stdout == "installed"


def unpack(archive, packages):
    staging = pathlib.Path("/tmp/unpacked")
    for deb in archive.fetch(*packages):
        run("dpkg-deb", "-x", str(deb), str(staging))
    return staging


def copy(staging, prefix):
    [home] = [path for path in (staging / "usr/lib/jvm").iterdir() if path.is_dir() and not path.is_symlink()
              and (path / "lib").is_dir()]
    prefix.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(home, prefix, symlinks=True)
    # Debian keeps the configuration apart, with absolute links to it.
    for link in [path for path in prefix.rglob("*") if path.is_symlink() and os.readlink(path).startswith("/")]:
        target = staging / os.readlink(link).lstrip("/")
        link.unlink()
        if target.is_dir():
            shutil.copytree(target, link, symlinks=True)
        elif target.is_file():
            shutil.copy(target, link)
    for dangling in [path for path in prefix.rglob("*") if path.is_symlink() and not path.exists()]:
        dangling.unlink()


def add_libraries(staging, prefix):
    """Beside the JDK's own libraries, which look there first."""
    own = next(prefix.rglob("libjava.so")).parent
    for library in (staging / "usr/lib").glob("*-linux-gnu/*.so*"):
        shutil.copy(library, own / library.name, follow_symlinks=False)


def trusted_certificates():
    text = BUNDLE.read_text(errors="replace")
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----\s+(.*?)-----END CERTIFICATE-----", text, re.S)
    return list(dict.fromkeys(base64.b64decode(block) for block in blocks))


def key_store(certificates):
    """Java's own format of trusted certificates, version 2, with no date so that all builds give the same bytes."""
    def text(value):
        return struct.pack(">H", len(value)) + value.encode()

    content = struct.pack(">III", 0xFEEDFEED, 2, len(certificates))
    for certificate in certificates:
        alias = hashlib.sha256(certificate).hexdigest()
        content += struct.pack(">I", 2) + text(alias) + struct.pack(">q", 0)
        content += text("X.509") + struct.pack(">I", len(certificate)) + certificate
    salt = PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite"
    return content + hashlib.sha1(salt + content).digest()


def trust(prefix):
    folder = next(path for path in (prefix / "lib/security", prefix / "jre/lib/security") if path.is_dir())
    store = folder / "cacerts"
    store.unlink(missing_ok=True)
    certificates = trusted_certificates()
    store.write_bytes(key_store(certificates))
    say(f"{len(certificates)} trusted certificates")


def main():
    prefix, suite, package, version = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
    archive = Archive(None if suite == "stack" else suite)
    runtime = package.replace("-jdk-", "-jre-")
    libraries = [name for name in sorted(LIBRARIES) if not is_installed(name)]
    staging = unpack(archive, [f"{package}={version}", f"{runtime}={version}", *libraries])
    copy(staging, prefix)
    add_libraries(staging, prefix)
    trust(prefix)
    java = str(prefix / "bin/java")
    dumped = subprocess.run([java, "-Xshare:dump"], capture_output=True, text=True)
    if dumped.returncode:
        say("Without an archive of classes: " + dumped.stderr.strip())
    say(subprocess.run([java, "-version"], check=True, capture_output=True, text=True).stderr.splitlines()[0])


main()
