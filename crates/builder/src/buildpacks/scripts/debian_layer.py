"""Finds and unpacks packages; follows apt.py and debian_packages.py in one program.

Arguments: `find OUTPUT NAME…` writes a list of packages, each with its address and checksum out of the signed
index; `install PREFIX LIST NAME…` unpacks that list below PREFIX.
"""


def main():
    if sys.argv[1] == "find":
        pathlib.Path(sys.argv[2]).write_text(json.dumps(find(sys.argv[3:])))
    else:
        install(pathlib.Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4:])


main()
