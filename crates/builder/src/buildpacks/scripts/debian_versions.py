"""Lists which versions of packages the suites of the stack's archive have. Follows apt.py in one program.

Arguments: OUTPUT PATTERN SUITE..., where SUITE may be `stack` for the stack's own. Writes JSON to OUTPUT: [{"name",
"version", "suite"}]. Packages for a newer C library than the stack's are left out. A suite that cannot be reached is
left out, too; that is an error only when no suite can be.
"""

import json
import pathlib
import re
import subprocess
import sys


def is_at_least(have, wanted):
    return subprocess.run(["dpkg", "--compare-versions", have, "ge", wanted], check=False).returncode == 0


def packages_of(suite, pattern, c_library):
    archive = Archive(None if suite == "stack" else suite)
    names = sorted(line.split(" ")[0] for line in archive.query("search", "--names-only", pattern).split("\n") if line)
    for name in names:
        shown = archive.query("show", "--no-all-versions", name)
        version = re.search(r"^Version: (\S+)$", shown, re.M)[1]
        needs = re.findall(r"\blibc6 \(>= ([^)]+)\)", shown)
        if all(is_at_least(c_library, wanted) for wanted in needs):
            yield {"name": name, "version": version, "suite": suite}


def main():
    output, pattern, suites = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    c_library = capture("dpkg-query", "-W", "-f", "${Version}", "libc6")
    found, problems = [], []
    for suite in suites:
        try:
            found += packages_of(suite, pattern, c_library)
        except (subprocess.CalledProcessError, OSError) as error:
            problems.append(f"suite {suite}: {error}")
    if len(problems) == len(suites):
        raise SystemExit("\n".join(problems))
    output.write_text(json.dumps(found))


main()
