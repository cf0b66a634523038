"""Makes a PHP out of packages of the stack's own suite. Follows apt.py and debian_packages.py in one program.

Arguments: PREFIX HOME LIST NAME…. Packages are unpacked below PREFIX; HOME gets the settings that make PHP find them,
and the programs by the names that apps use.
"""

# Extensions that slow every request down unless they are asked for at run time.
NOT_ENABLED = ("xdebug", "pcov")


def configure(prefix, home, version):
    (home / "conf.d").mkdir(parents=True)
    extensions = prefix / "usr/lib/php"
    folder = next(path for path in extensions.iterdir() if path.name.isdigit())
    settings = (extensions / version / "php.ini-production").read_text()
    settings += f'\nextension_dir = "{folder}"\ninclude_path = ".:{prefix}/usr/share/php"\nexpose_php = Off\n'
    (home / "php.ini").write_text(settings)
    found = [*prefix.glob(f"usr/share/php{version}-*/*/*.ini"), *prefix.glob(f"etc/php/{version}/mods-available/*.ini")]
    for path in found:
        text = path.read_text()
        priority = re.search(r"priority=(\d+)", text)
        if path.stem not in NOT_ENABLED and "extension" in text:
            (home / "conf.d" / f"{priority[1] if priority else 20}-{path.name}").write_text(text)


def point_libraries_here(prefix):
    """PHP libraries of Debian include each other by their places in the machine's root."""
    for path in (prefix / "usr/share/php").rglob("*.php"):
        text = path.read_text(errors="surrogateescape")
        if "/usr/share/php" in text:
            path.write_text(text.replace("'/usr/share/php", f"'{prefix}/usr/share/php"), errors="surrogateescape")


def name_programs(prefix, home, version):
    programs = {
        "php": f"usr/bin/php{version}",
        "php-fpm": f"usr/sbin/php-fpm{version}",
        "composer": "usr/bin/composer",
        "httpd": "usr/sbin/apache2",
        "nginx": "usr/sbin/nginx",
    }
    (home / "bin").mkdir()
    for name, place in programs.items():
        if (prefix / place).exists():
            (home / "bin" / name).symlink_to(os.path.relpath(prefix / place, home / "bin"))
    composer = prefix / "usr/bin/composer"
    if composer.exists():
        composer.write_text(re.sub(r"^#!.*", f"#!{home}/bin/php", composer.read_text(), count=1))
    for server in ("apache2", "nginx"):
        path = home / "bin" / f"heroku-php-{server}"
        path.write_text(f'#!/bin/bash\nexec /bin/bash {home}/serve.sh {server} "$@"\n')
        path.chmod(0o755)


def make_php():
    prefix, home, packages, names = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4:]
    install(prefix, packages, names)
    version = next((prefix / "usr/bin").glob("php[0-9]*")).name.removeprefix("php")
    configure(prefix, home, version)
    point_libraries_here(prefix)
    name_programs(prefix, home, version)
    libraries = f"{prefix}/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries, "PHPRC": str(home), "PHP_INI_SCAN_DIR": f"{home}/conf.d"}
    answer = run(str(home / "bin/php"), "-r", "echo PHP_VERSION, ' with ', implode(' ', get_loaded_extensions());",
                 env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    say(f"PHP {answer}")
    if "Unable to load" in answer:
        raise SystemExit(1)


make_php()
