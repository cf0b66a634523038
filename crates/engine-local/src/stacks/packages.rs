//! What is inside a stack, and how mmdebstrap is told.
//!
//! The choice follows Heroku's build image: what common apps compile against, and what a person
//! expects in `heroku run bash`.

use std::{ffi::OsString, path::Path};

use super::StackPackage;

/// Compilers and the tools that builds call.
const BUILD: &[&str] = &[
    "autoconf",
    "automake",
    "build-essential",
    "cmake",
    "gettext-base",
    "git",
    "libtool",
    "patch",
    "pkg-config",
];
/// What programs and packages with native parts compile against.
const LIBRARIES: &[&str] = &[
    "libbz2-dev",
    "libcurl4-openssl-dev",
    "libevent-dev",
    "libexpat1-dev",
    "libffi-dev",
    "libfreetype-dev",
    "libgmp-dev",
    "libicu-dev",
    "libjpeg-dev",
    "liblzma-dev",
    "libmariadb-dev",
    "libncurses-dev",
    "libpng-dev",
    "libpq-dev",
    "libpq5",
    "libreadline-dev",
    "libsqlite3-dev",
    "libssl-dev",
    "libwebp-dev",
    "libxml2-dev",
    "libxslt1-dev",
    "libyaml-dev",
    "zlib1g-dev",
];
/// The language that is part of the system.
const PYTHON: &[&str] = &[
    "python3",
    "python3-dev",
    "python3-pip",
    "python3-setuptools",
    "python3-venv",
];
/// What a running app, a release command or a person at a prompt uses.
const TOOLS: &[&str] = &[
    "bind9-dnsutils",
    "bzip2",
    "ca-certificates",
    "curl",
    "ed",
    "file",
    "gnupg",
    "hostname",
    "iputils-ping",
    "jq",
    "less",
    "lsb-release",
    "media-types",
    "nano",
    "netcat-openbsd",
    "openssh-client",
    "openssl",
    "postgresql-client",
    "procps",
    "psmisc",
    "rsync",
    "sqlite3",
    "tzdata",
    "unzip",
    "vim-tiny",
    "wget",
    "xz-utils",
    "zip",
    "zstd",
];
/// Never needed in a dyno, and a fifth of the size.
const EXCLUDED: &[&str] = &[
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
];

/// The Debian version of the stack.
pub(super) const SUITE: &str = "trixie";

/// Arguments that make a root filesystem at `target`, with the package sources on standard input if
/// there are any; otherwise mmdebstrap uses those it knows.
pub(super) fn bootstrap_arguments(target: &Path, has_sources: bool) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        "--aptopt=Acquire::Languages \"none\"",
        "--aptopt=Acquire::Retries \"3\"",
    ]
    .map(OsString::from)
    .into();
    arguments.extend(
        EXCLUDED
            .iter()
            .map(|rule| format!("--dpkgopt={rule}").into()),
    );
    let included = [BUILD, LIBRARIES, PYTHON, TOOLS].concat();
    arguments.push(format!("--include={}", included.join(",")).into());
    arguments.extend([SUITE.into(), target.as_os_str().to_owned()]);
    if has_sources {
        arguments.push("-".into());
    }
    arguments
}

/// Names and versions out of dpkg's status file.
pub(super) fn installed(status: &str) -> Vec<StackPackage> {
    let mut packages: Vec<StackPackage> = status.split("\n\n").filter_map(installed_one).collect();
    packages.sort_by(|left, right| left.name.cmp(&right.name));
    packages
}

fn installed_one(paragraph: &str) -> Option<StackPackage> {
    let field = |name: &str| {
        paragraph
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    if field("Status")? != "install ok installed" {
        return None;
    }
    Some(StackPackage {
        name: field("Package")?.trim().to_owned(),
        version: field("Version")?.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_packages_are_read_in_order_of_name() {
        let status = "Package: zstd\nStatus: install ok installed\nVersion: 1.5\n\
                      Description: Version: 9\n Version: 8\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                      Package: bash\nStatus: install ok installed\nVersion: 5.2\n";
        let found = installed(status);
        let found: Vec<_> = found
            .iter()
            .map(|p| (p.name.as_str(), p.version.as_str()))
            .collect();
        assert_eq!(found, [("bash", "5.2"), ("zstd", "1.5")]);
    }

    #[test]
    fn the_target_comes_before_the_source_list() {
        let arguments = |has_sources| bootstrap_arguments(Path::new("/a b/target"), has_sources);
        assert!(arguments(true).ends_with(&["trixie".into(), "/a b/target".into(), "-".into()]));
        assert!(arguments(false).ends_with(&["trixie".into(), "/a b/target".into()]));
    }
}
