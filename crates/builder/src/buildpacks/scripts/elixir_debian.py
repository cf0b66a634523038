"""Makes an Erlang and an Elixir out of the packages of the stack's own suite. Follows apt.py in one program.

Arguments: PREFIX VERSION, the exact version of the Elixir package. Hex and rebar3, which Mix would fetch from elsewhere
when it needs them, come along.
"""

import os
import pathlib
import shutil
import sys

ERLANG = ["base", "asn1", "crypto", "dev", "eunit", "inets", "mnesia", "os-mon", "parsetools", "public-key",
          "runtime-tools", "ssh", "ssl", "syntax-tools", "tools", "xmerl"]
STAGING = pathlib.Path("/tmp/unpacked")
# Where Erlang's packages expect to be.
PLACE = "/usr/lib/erlang"


def point_scripts_here(prefix):
    for folder in ("bin", "erts-*/bin", "releases"):
        for path in (prefix / "lib/erlang").glob(f"{folder}/*"):
            if path.is_file() and not path.is_symlink() and path.read_bytes()[:2] == b"#!":
                path.write_text(path.read_text().replace(PLACE, f"{prefix}/lib/erlang"))


def main():
    prefix, version = pathlib.Path(sys.argv[1]), sys.argv[2]
    archive = Archive()
    os.umask(0o022)
    names = [f"elixir={version}", "erlang-hex", "rebar3", *(f"erlang-{name}" for name in ERLANG)]
    for deb in archive.fetch(*names):
        run("dpkg-deb", "-x", str(deb), str(STAGING))
    # Links between these directories are relative and hold.
    for folder in ("bin", "lib/erlang", "lib/elixir"):
        shutil.copytree(STAGING / "usr" / folder, prefix / folder, symlinks=True)
    for path in (prefix / "lib/erlang").rglob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()
    point_scripts_here(prefix)
    environment = {**os.environ, "PATH": f"{prefix}/bin:{os.environ['PATH']}"}
    run("elixir", "--version", env=environment)


main()
