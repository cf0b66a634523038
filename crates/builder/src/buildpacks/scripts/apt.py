"""Asks the archive that the stack itself was made from; shared by the scripts that need packages.

apt checks the suite's signature with the stack's keys, and the SHA256 of every package against the signed index.
"""

import pathlib
import re
import subprocess


def say(text):
    print(text, flush=True)


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, **options)


def capture(*command):
    return run(*command, stdout=subprocess.PIPE).stdout


class Archive:
    """The stack's own package sources, or another suite of their archive, with apt's state kept apart."""

    # A mirror may be some weeks behind; the signature is checked all the same.
    MIN_VALID_SECONDS = 90 * 24 * 3600

    def __init__(self, suite=None):
        self.root = pathlib.Path("/tmp/apt") / (suite or "stack")
        for folder in ("lists/partial", "cache/archives/partial", "debs"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        settings = {}
        if suite:
            (self.root / "sources.list").write_text(f"deb {stack_mirror()} {suite} main\n")
            settings = {
                "Dir::Etc::SourceList": self.root / "sources.list",
                "Dir::Etc::SourceParts": "/nonexistent",
            }
        settings |= {
            "Dir::Etc::Preferences": "/nonexistent",
            "Dir::State::Lists": self.root / "lists",
            "Dir::Cache": self.root / "cache",
            "Dir::Log": self.root,
            "Debug::NoLocking": "1",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::Min-ValidTime": str(self.MIN_VALID_SECONDS),
        }
        self.options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        run("apt-get", "-qq", *self.options, "update", stdout=subprocess.DEVNULL)

    def query(self, *arguments):
        return capture("apt-cache", *self.options, *arguments)

    def fetch(self, *packages):
        run("apt-get", "-qq", *self.options, "download", *packages, cwd=self.root / "debs")
        return sorted((self.root / "debs").glob("*.deb"))


def stack_mirror():
    """The archive's address as the stack's own apt sources name it."""
    listed = [pathlib.Path("/etc/apt/sources.list"), *sorted(pathlib.Path("/etc/apt/sources.list.d").glob("*"))]
    for path in listed:
        if not path.is_file():
            continue
        for line in path.read_text().splitlines():
            found = re.match(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s", line) or re.match(r"URIs:\s*(\S+)", line)
            if found and "security" not in found[1]:
                return found[1].rstrip("/")
    raise SystemExit("the stack names no package archive in /etc/apt")
