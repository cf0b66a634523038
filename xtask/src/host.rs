//! System packages that a fresh Debian machine lacks.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{out, process};

/// A Debian package and a sign that it is there.
struct Package {
    name: &'static str,
    sign: Sign,
    why: &'static str,
}

enum Sign {
    Program(&'static str),
    Path(&'static str),
}

const RUN: &[Package] = &[
    Package {
        name: "git",
        sign: Sign::Program("git"),
        why: "pushes",
    },
    Package {
        name: "curl",
        sign: Sign::Program("curl"),
        why: "downloads",
    },
    Package {
        name: "ca-certificates",
        sign: Sign::Path("/etc/ssl/certs/ca-certificates.crt"),
        why: "TLS",
    },
    Package {
        name: "mmdebstrap",
        sign: Sign::Program("mmdebstrap"),
        why: "the stack",
    },
    Package {
        name: "nftables",
        sign: Sign::Program("nft"),
        why: "the dynos' firewall",
    },
    Package {
        name: "iproute2",
        sign: Sign::Program("ip"),
        why: "the dynos' network",
    },
    Package {
        name: "zstd",
        sign: Sign::Program("zstd"),
        why: "archives",
    },
    Package {
        name: "uidmap",
        sign: Sign::Program("newuidmap"),
        why: "the stack",
    },
    Package {
        name: "debian-archive-keyring",
        sign: Sign::Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
        why: "the stack",
    },
];

const TEST: &[Package] = &[
    Package {
        name: "postgresql",
        sign: Sign::Path("/usr/lib/postgresql"),
        why: "the store's tests",
    },
    Package {
        name: "nodejs",
        sign: Sign::Program("node"),
        why: "the official CLI",
    },
    Package {
        name: "npm",
        sign: Sign::Program("npm"),
        why: "the official CLI",
    },
    Package {
        name: "openssl",
        sign: Sign::Program("openssl"),
        why: "the tests of our CA",
    },
];

/// What the machine is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Running the platform.
    Run,
    /// Running it and all tests.
    Test,
}

/// Installs the packages that are missing, by apt, and says which.
///
/// # Errors
/// When something is missing and this is not root on a Debian-like machine.
pub(crate) fn prepare(purpose: Purpose) -> Result<()> {
    let wanted = RUN
        .iter()
        .chain(if purpose == Purpose::Test { TEST } else { &[] });
    let missing: Vec<&Package> = wanted.filter(|package| !package.is_present()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        out::say(format_args!(
            "missing: {} (for {})",
            package.name, package.why
        ));
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if !process::is_root() || process::find("apt-get").is_none() {
        bail!(
            "hint: install these as root: apt-get install {}",
            names.join(" ")
        );
    }
    let mut update = Command::new("apt-get");
    process::run("apt-get update", update.args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&names)
        .env("DEBIAN_FRONTEND", "noninteractive");
    process::run(
        &format!("apt-get install {}", names.join(" ")),
        &mut install,
    )
}

impl Package {
    fn is_present(&self) -> bool {
        match self.sign {
            Sign::Program(program) => process::find(program).is_some(),
            Sign::Path(path) => std::path::Path::new(path).exists(),
        }
    }
}
