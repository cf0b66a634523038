"""Makes a Ruby out of the packages of the stack's own suite. Follows apt.py and debian_packages.py in one program.

Arguments: PREFIX API LIST NAME…, where API is the version that directories are named by (3.3.0) and LIST the packages
that were found. The interpreter is moved to PREFIX: the paths that are compiled into its library are rewritten, the
rest of it asks where it is.
"""

STAGING = pathlib.Path("/tmp/unpacked")
INTEGRATION = "share/rubygems-integration/all"


def move(prefix, triplet):
    usr = STAGING / "usr"
    for folder in ("bin", "lib", "include", "share/rubygems-integration"):
        if (usr / folder).exists():
            shutil.copytree(usr / folder, prefix / folder, symlinks=True)
    # One place to find the library in, the same on every processor.
    for library in (prefix / "lib" / triplet).glob("*.so*"):
        (prefix / "lib" / library.name).symlink_to(f"{triplet}/{library.name}")


def point_load_path_here(prefix, api, triplet):
    """The list of directories in which the library looks for everything: NUL between them, two at the end."""
    for library in (prefix / "lib" / triplet).glob("libruby*.so.*"):
        if library.is_symlink():
            continue
        image = bytearray(library.read_bytes())
        first, last = f"/usr/local/lib/site_ruby/{api}\0".encode(), f"\0/usr/lib/{triplet}/ruby/{api}\0\0".encode()
        start = image.find(first)
        end = image.find(last, start) + len(last)
        folders = [f"{prefix}/lib/ruby/{api}", f"{prefix}/lib/{triplet}/ruby/{api}"]
        table = "\0".join(folders).encode() + b"\0\0"
        if start < 0 or end < len(last) or end - start > 1024 or len(table) > end - start:
            raise SystemExit(f"{library.name} does not say where it looks for its files in the way that was expected")
        image[start:end] = table.ljust(end - start, b"\0")
        library.write_bytes(image)


def gather_gems(prefix, api):
    """Gems that Debian packages apart, such as rake, come to where Ruby's own gems are."""
    gems = prefix / "lib/ruby/gems" / api
    for gem in (prefix / INTEGRATION / "gems").glob("*"):
        spec = prefix / INTEGRATION / "specifications" / f"{gem.name}.gemspec"
        if spec.exists() and (gem / "lib").exists() and not list(gems.glob(f"specifications/default/{gem.name}.gemspec")):
            shutil.rmtree(gems / "gems" / gem.name, ignore_errors=True)
            shutil.copytree(gem, gems / "gems" / gem.name, symlinks=True)
            shutil.copy(spec, gems / "specifications" / spec.name)
    shutil.rmtree(prefix / "share/rubygems-integration")
    # What Debian's own RubyGems changes is where gems go, which here is below the prefix, as it is by default.
    shutil.rmtree(prefix / "lib/ruby/vendor_ruby")
    # A gem whose files were elsewhere can be installed, but not loaded from here.
    for spec in (gems / "specifications").glob("*.gemspec"):
        if not (gems / "gems" / spec.stem / "lib").exists():
            spec.unlink()


def name_programs(prefix, series):
    for path in (prefix / "bin").glob(f"*{series}"):
        plain = prefix / "bin" / path.name.removesuffix(series)
        plain.unlink(missing_ok=True)
        plain.symlink_to(path.name)
    (prefix / "bin/update_rubygems").unlink(missing_ok=True)
    for path in (prefix / "bin").iterdir():
        if path.is_symlink() or path.read_bytes()[:2] != b"#!":
            continue
        first, rest = path.read_bytes().split(b"\n", 1)
        path.write_bytes(f"#!{prefix}/bin/ruby\n".encode() + rest)
    for path in (prefix / "bin").iterdir():
        if not path.exists():
            path.unlink()


def take_other_patch_releases(prefix, api):
    """A Gemfile that pins a patch release, which only this one of the same series can stand in for, is obeyed but for
    the patch: the build says so."""
    path = prefix / "lib/ruby" / api / "bundler/ruby_version.rb"
    text = path.read_text()
    if "def matches?(requirements, version)" not in text:
        raise SystemExit("Bundler compares Ruby versions in another way than was expected")
    path.write_text(text + '''
# Another patch release of the same series stands in for the one that a Gemfile pins.
module Bundler
  class RubyVersion
    prepend(Module.new do
      private

      def matches?(requirements, version)
        super || requirements.all? do |requirement|
          series = requirement.to_s[/\\\\A=?\\\\s*(\\\\d+\\\\.\\\\d+)\\\\.\\\\d+\\\\z/, 1]
          series && version.to_s.start_with?("#{series}.")
        end
      end
    end)
  end
end
'''.replace("\\\\", "\\"))


def make_ruby():
    prefix, api, packages, names = pathlib.Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), sys.argv[4:]
    series, triplet = api.rpartition(".")[0], sysconfig.get_config_var("MULTIARCH")
    os.umask(0o022)
    unpack(fetch_all(packages, names), STAGING)
    move(prefix, triplet)
    point_load_path_here(prefix, api, triplet)
    gather_gems(prefix, api)
    name_programs(prefix, series)
    take_other_patch_releases(prefix, api)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib"), "PATH": f"{prefix}/bin:{os.environ['PATH']}"}
    check = "require 'openssl'; require 'psych'; require 'zlib'; require 'readline'; require 'rake'; puts RUBY_DESCRIPTION"
    say(run(str(prefix / "bin/ruby"), "-e", check, env=environment, stdout=subprocess.PIPE).stdout.strip())
    say(run(str(prefix / "bin/bundle"), "--version", env=environment, stdout=subprocess.PIPE).stdout.strip())


make_ruby()
