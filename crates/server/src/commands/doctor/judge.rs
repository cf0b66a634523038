//! From what was seen to what it means: pure.

use engine_local::{
    cgroup::{CgroupVersion, HostCgroups},
    trials::{Trial, Trials},
};
use serde::Serialize;

use super::facts::{Facts, Port};

/// The oldest kernel that the platform is tested on.
const LEAST_KERNEL: (u32, u32) = (6, 1);
/// Less free space than this share of the disk, or than so many bytes, is little.
const LITTLE_SHARE: u64 = 20;
const LITTLE_BYTES: u64 = 2 << 30;
/// Less memory than this runs the platform and hardly an app.
const LITTLE_MEMORY: u64 = 1 << 30;

/// One thing the platform needs or likes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) subject: String,
    /// How it is.
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) found: String,
    /// What follows from it.
    pub(super) meaning: Option<String>,
    /// How to mend it.
    pub(super) hint: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Fine,
    /// The platform does without, less well.
    Degraded,
    /// The platform cannot keep apps apart without it, or not run them.
    Missing,
}

/// How the platform can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tenancy {
    /// Apps are kept apart.
    Many,
    /// As an ordinary user, for apps that are trusted.
    One,
    /// Not at all.
    None,
}

/// All findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Examination {
    /// How the platform can run.
    pub(super) tenancy: Tenancy,
    /// A line each.
    pub(super) findings: Vec<Finding>,
}

impl Finding {
    fn new(subject: &str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            subject: subject.to_owned(),
            verdict,
            found: found.into(),
            meaning: None,
            hint: None,
        }
    }

    fn fine(subject: &str, found: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Fine, found)
    }

    fn means(mut self, meaning: &str) -> Self {
        self.meaning = Some(meaning.to_owned());
        self
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// What the facts mean.
pub(super) fn judge(facts: &Facts) -> Examination {
    let mut findings = vec![user(facts), kernel(&facts.kernel)];
    findings.extend(cgroups(&facts.cgroups));
    findings.extend(namespaces(facts));
    findings.extend(network(facts));
    findings.extend(programs(facts));
    findings.extend(room(facts));
    findings.extend(facts.ports.iter().map(port));
    let is_missing = |finding: &Finding| finding.verdict == Verdict::Missing;
    let tenancy = if !findings.iter().any(is_missing) {
        Tenancy::Many
    } else if !facts.is_root && can_run_alone(facts) {
        Tenancy::One
    } else {
        Tenancy::None
    };
    Examination { tenancy, findings }
}

/// Whether an ordinary user has what single-tenant mode is made of.
fn can_run_alone(facts: &Facts) -> bool {
    let works = |trials: &Trials| {
        [trials.user_namespace, trials.overlay, trials.proc]
            .iter()
            .all(|trial| *trial == Trial::Works)
    };
    facts.has_shim && facts.has_git && facts.trials.as_ref().is_ok_and(works)
}

fn user(facts: &Facts) -> Finding {
    if facts.is_root {
        return Finding::fine("user", "root");
    }
    Finding::new("user", Verdict::Missing, "not root")
        .means("only root may limit dynos and give each its own users and network")
        .hint("use sudo; without it, `landfall up` runs in single-tenant mode")
}

fn kernel(release: &str) -> Finding {
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= LEAST_KERNEL {
        return Finding::fine("kernel", release);
    }
    let (major, minor) = LEAST_KERNEL;
    Finding::new("kernel", Verdict::Missing, release)
        .means("the platform is made for newer kernels")
        .hint(&format!("run Linux {major}.{minor} or later"))
}

fn cgroups(host: &HostCgroups) -> Vec<Finding> {
    let version = match host.version {
        CgroupVersion::Two => "version 2",
        CgroupVersion::Hybrid => "version 1, and version 2 beside it",
        CgroupVersion::One => "version 1",
        CgroupVersion::Absent => "none at /sys/fs/cgroup",
    };
    let mut findings = vec![match host.version {
        CgroupVersion::Absent => Finding::new("control groups", Verdict::Missing, version)
            .means("dynos cannot be limited")
            .hint("mount them; in a container, start it with its own writable cgroups"),
        _ => Finding::fine("control groups", version),
    }];
    if host.version == CgroupVersion::Absent {
        return findings;
    }
    for controller in &host.controllers {
        let subject = format!("cgroup {}", controller.name);
        findings.push(match (controller.is_there, controller.is_needed) {
            (true, _) => Finding::fine(&subject, "there"),
            (false, true) => Finding::new(&subject, Verdict::Missing, "not there")
                .means("dynos would be unlimited, so they are refused")
                .hint("on Raspberry Pi and the like, boot with `cgroup_enable=memory`"),
            (false, false) => Finding::new(&subject, Verdict::Degraded, "not there")
                .means("dynos share the disk unweighted"),
        });
    }
    findings.extend(host.abilities.iter().map(|ability| {
        if ability.is_there {
            Finding::fine(ability.what, ability.by)
        } else {
            Finding::new(
                ability.what,
                Verdict::Degraded,
                format!("no {}", ability.by),
            )
            .means(ability.without)
        }
    }));
    findings
}

fn namespaces(facts: &Facts) -> Vec<Finding> {
    let trials = match &facts.trials {
        Ok(trials) => trials,
        Err(error) => {
            return vec![
                Finding::new("namespaces and mounts", Verdict::Missing, error.clone())
                    .means("they could not be tried out"),
            ];
        }
    };
    let users = tried("user namespaces", trials.user_namespace).unless_fine(
        "dynos cannot have users of their own",
        user_namespace_hint(facts),
    );
    let mut findings = vec![
        users,
        tried("overlay file system", trials.overlay).unless_fine(
            "dynos cannot share layers",
            if facts.apparmor_restricts && !facts.is_root {
                user_namespace_hint(facts)
            } else {
                "load the kernel's module: `modprobe overlay`"
            },
        ),
    ];
    if trials.proc != Trial::Works {
        findings.push(tried("own /proc", trials.proc).unless_fine(
            "dynos cannot be kept from seeing other processes",
            "a container around the platform must not cover parts of /proc",
        ));
    }
    findings.extend(trials.id_mapped.iter().map(|(directory, trial)| {
        let mut finding = tried("id-mapped mounts", *trial);
        finding.found = format!("{} in {}", finding.found, directory.display());
        if *trial == Trial::Untried {
            finding.verdict = Verdict::Missing;
            return finding.means("only root can have them");
        }
        finding.unless_fine(
            "dynos cannot be shown layers as their own",
            "keep data and cache on ext4, xfs, btrfs or f2fs",
        )
    }));
    findings
}

fn user_namespace_hint(facts: &Facts) -> &'static str {
    if facts.apparmor_restricts && !facts.is_root {
        "AppArmor keeps them from this user: `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, \
         or a profile for this program"
    } else if facts.userns_is_off {
        "`sysctl user.max_user_namespaces=15000`"
    } else {
        "the kernel needs CONFIG_USER_NS; a container around the platform must allow them"
    }
}

fn tried(subject: &str, trial: Trial) -> Finding {
    match trial {
        Trial::Works => Finding::fine(subject, "tried, works"),
        Trial::Refused { errno } => Finding::new(
            subject,
            Verdict::Missing,
            format!("tried: {}", std::io::Error::from_raw_os_error(errno)),
        ),
        Trial::Untried => Finding::new(subject, Verdict::Missing, "not tried"),
    }
}

impl Finding {
    fn unless_fine(self, meaning: &str, hint: &str) -> Self {
        if self.verdict == Verdict::Fine {
            return self;
        }
        self.means(meaning).hint(hint)
    }
}

fn network(facts: &Facts) -> Vec<Finding> {
    let firewall = match &facts.firewall {
        Ok(()) => Finding::fine("firewall", "nft"),
        Err(error) => Finding::new("firewall", Verdict::Missing, error.clone())
            .means("dynos would reach each other and this machine")
            .hint("install nftables"),
    };
    let forwarding = match facts.forwards {
        Some(true) => Finding::fine("forwarding of packets", "on"),
        Some(false) => Finding::fine("forwarding of packets", "off; `landfall up` switches it on"),
        None => Finding::new("forwarding of packets", Verdict::Missing, "no IPv4"),
    };
    vec![firewall, forwarding]
}

fn programs(facts: &Facts) -> Vec<Finding> {
    let git = if facts.has_git {
        Finding::fine("git", "there")
    } else {
        Finding::new("git", Verdict::Missing, "not there")
            .means("nothing can be pushed")
            .hint("install git")
    };
    let shim = if facts.has_shim {
        Finding::fine("landfall-shim", facts.shim.clone())
    } else {
        Finding::new(
            "landfall-shim",
            Verdict::Missing,
            format!("not at {}", facts.shim),
        )
        .means("no dyno can be started")
        .hint("`cargo xtask shim release` builds it; --shim names another place")
    };
    let stack = match (&facts.stack_root, facts.has_mmdebstrap) {
        (Some(root), _) => Finding::fine(&facts.stack, root.clone()),
        (None, true) => Finding::new(&facts.stack, Verdict::Degraded, "not built yet")
            .means("no app can be built or run until it is")
            .hint("run `landfall stacks:build`"),
        (None, false) => Finding::new(&facts.stack, Verdict::Missing, "not built yet")
            .means("no app can be built or run, and building it needs mmdebstrap")
            .hint("install mmdebstrap, then run `landfall stacks:build`"),
    };
    vec![git, shim, stack]
}

fn room(facts: &Facts) -> Vec<Finding> {
    let gigabytes =
        |bytes: u64| format!("{}.{} GB", bytes >> 30, ((bytes >> 20) % 1024) * 10 / 1024);
    let memory = format!(
        "{}, {} free{}",
        gigabytes(facts.memory_bytes),
        gigabytes(facts.available_bytes),
        if facts.has_pressure {
            ", pressure is told"
        } else {
            ""
        }
    );
    let memory = if facts.memory_bytes < LITTLE_MEMORY {
        Finding::new("memory", Verdict::Degraded, memory).means("there is room for few dynos")
    } else {
        Finding::fine("memory", memory)
    };
    let swap = if facts.swap.is_empty() {
        Finding::new("swap", Verdict::Degraded, "none")
            .means("sleeping apps keep their memory")
            .hint("add zram or a swap file")
    } else {
        Finding::fine("swap", facts.swap.join(", "))
    };
    let quota = if facts.has_project_quota {
        Finding::fine("project quota", "on")
    } else {
        Finding::new(
            "project quota",
            Verdict::Degraded,
            "off for the data directory",
        )
        .means("dynos' disk use is watched instead: one may be over its quota for seconds")
        .hint("mount the file system with `prjquota`")
    };
    let disk = format!(
        "{} free of {} in {}",
        gigabytes(facts.free_bytes),
        gigabytes(facts.disk_bytes),
        facts.data
    );
    let is_little =
        facts.free_bytes < LITTLE_BYTES || facts.free_bytes < facts.disk_bytes / LITTLE_SHARE;
    let disk = if is_little {
        Finding::new("disk", Verdict::Degraded, disk)
            .means("builds may fail")
            .hint("free some, or choose another --data")
    } else {
        Finding::fine("disk", disk)
    };
    vec![memory, swap, disk, quota]
}

fn port(port: &Port) -> Finding {
    let subject = format!("port {}", port.address);
    match &port.taken {
        None => Finding::fine(&subject, "free"),
        Some(_) if port.is_ours => Finding::fine(&subject, "the running platform's"),
        Some(error) => Finding::new(&subject, Verdict::Degraded, error.clone())
            .means("`landfall up` refuses to start")
            .hint(&format!("choose another address with {}", port.flag)),
    }
}
