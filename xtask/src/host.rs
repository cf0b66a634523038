//! System packages that a fresh Debian machine lacks.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

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
    Package {
        name: "python3",
        sign: Sign::Program("python3"),
        why: "a dyno in the smuggling suite",
    },
    Package {
        name: "nginx",
        sign: Sign::Program("nginx"),
        why: "a dyno in the smuggling suite",
    },
    Package {
        name: "haproxy",
        sign: Sign::Program("haproxy"),
        why: "a dyno in the smuggling suite",
    },
    Package {
        name: "pebble",
        sign: Sign::Program("pebble"),
        why: "the tests of automatic certificates",
    },
    Package {
        name: "bind9",
        sign: Sign::Path("/usr/sbin/named"),
        why: "the tests of DNS updates",
    },
    Package {
        name: "openssh-client",
        sign: Sign::Program("ssh"),
        why: "the tests of git over SSH",
    },
];

const CRUN: &[Package] = &[Package {
    name: "crun",
    sign: Sign::Program("crun"),
    why: "the comparison",
}];

const DOCKER: &[Package] = &[Package {
    name: "docker.io",
    sign: Sign::Program("dockerd"),
    why: "the comparison",
}];

const PIKU: &[Package] = &[
    Package {
        name: "uwsgi-core",
        sign: Sign::Program("uwsgi"),
        why: "the comparison",
    },
    Package {
        name: "python3-venv",
        sign: Sign::Path("/usr/share/python-wheels"),
        why: "the comparison",
    },
];

const PROXIES: &[Package] = &[
    Package {
        name: "nginx",
        sign: Sign::Program("nginx"),
        why: "the comparison",
    },
    Package {
        name: "haproxy",
        sign: Sign::Program("haproxy"),
        why: "the comparison",
    },
    Package {
        name: "caddy",
        sign: Sign::Program("caddy"),
        why: "the comparison",
    },
];

/// What the machine is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Running the platform.
    Run,
    /// Running it and all tests.
    Test,
    /// Measuring ourselves against crun.
    CompareWithCrun,
    /// Measuring ourselves against Docker.
    CompareWithDocker,
    /// Measuring a push against piku's.
    CompareWithPiku,
    /// Measuring the router against others.
    CompareWithProxies,
}

impl Purpose {
    fn packages(self) -> [&'static [Package]; 2] {
        match self {
            Self::Run => [RUN, &[]],
            Self::Test => [RUN, TEST],
            Self::CompareWithCrun => [CRUN, &[]],
            Self::CompareWithDocker => [DOCKER, &[]],
            Self::CompareWithPiku => [PIKU, &[]],
            Self::CompareWithProxies => [PROXIES, &[]],
        }
    }
}

/// Installs the packages that are missing, by apt, and says which.
///
/// # Errors
/// When something is missing and this is not root on a Debian-like machine.
pub(crate) fn prepare(purpose: Purpose) -> Result<()> {
    let wanted = purpose.packages().into_iter().flatten();
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
    let _quiet = NoServices::begin();
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

/// While it is kept, packages that are installed start no services: a database or a daemon of the
/// whole machine is not what we want them for.
struct NoServices {
    is_ours: bool,
}

/// What Debian's tools ask whether a service may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn begin() -> Self {
        let policy = Path::new(POLICY);
        let is_ours = !policy.exists()
            && fs::write(policy, "#!/bin/sh\nexit 101\n").is_ok()
            && fs::set_permissions(policy, fs::Permissions::from_mode(0o755)).is_ok();
        Self { is_ours }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            drop(fs::remove_file(POLICY));
        }
    }
}

impl Package {
    fn is_present(&self) -> bool {
        match self.sign {
            Sign::Program(program) => process::find(program).is_some(),
            Sign::Path(path) => Path::new(path).exists(),
        }
    }
}
