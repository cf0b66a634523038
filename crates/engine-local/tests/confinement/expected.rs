//! What each finding of the probe must be, section by section: [`SECTIONS`]. A finding that is not
//! in the table fails the test, and so does a line of the table without a finding.
//! `docs/security.md` shows this table.

/// What an outcome must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It works.
    Open,
    /// The system call filter or a check of privilege refuses.
    Denied,
    /// The file cannot be written: read-only, not this user's, or not there.
    Unwritable,
    /// The file cannot be read, or has nothing in it.
    Hidden,
    /// No such kind of socket.
    NoFamily,
    /// Nobody is there: nothing listens, or there is no such address.
    Nobody,
    /// No packet comes back from there; being refused by a port would mean that one did.
    Unreachable,
    /// Exactly this.
    Is(&'static str),
    /// Nothing but these words.
    Among(&'static [&'static str]),
}

use Expected::{Among, Denied, Hidden, Is, NoFamily, Nobody, Open, Unreachable, Unwritable};

impl Expected {
    /// In words, for people.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Open => "works, as it must",
            Denied => "refused",
            Unwritable => "cannot be written",
            Hidden => "cannot be read, or is empty",
            NoFamily => "no such socket",
            Nobody => "nobody there",
            Unreachable => "no answer",
            Is(_) | Among(_) => "only what is harmless",
        }
    }

    /// Whether the outcome is as expected.
    pub(crate) fn allows(self, outcome: &str) -> bool {
        match self {
            Open => outcome == "ok",
            Denied => matches!(outcome, "EPERM" | "EACCES" | "ENOSYS"),
            Unwritable => matches!(outcome, "EROFS" | "EACCES" | "EPERM" | "ENOENT"),
            Hidden => matches!(outcome, "ENOENT" | "EACCES" | "EPERM" | "empty"),
            NoFamily => matches!(outcome, "EPERM" | "EACCES" | "EAFNOSUPPORT"),
            Nobody => matches!(outcome, "ECONNREFUSED" | "EADDRNOTAVAIL" | "ENETUNREACH"),
            Unreachable => matches!(outcome, "EHOSTUNREACH" | "ENETUNREACH" | "ETIMEDOUT"),
            Is(exactly) => outcome == exactly,
            Among(words) => outcome.split(' ').all(|word| words.contains(&word)),
        }
    }
}

const NO_CAPABILITY: Expected = Is("0000000000000000");
/// What a program tells that has this user's rights and no others.
pub(crate) const NO_OTHER_USER: Expected = Is(r#"{"outcome":"1000","probe":"whoami"}"#);

/// Findings of one kind, and what sees to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// What closes what is closed here.
    pub(crate) closed_by: &'static str,
    /// Finding → what it must be.
    pub(crate) findings: &'static [(&'static str, Expected)],
}

/// All that does not depend on where the test runs.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        title: "Who it is",
        closed_by: "its own range of users on the host; every capability set emptied; `no_new_privs`; `nosuid` on every mount",
        findings: &[
            ("Uid", Is("1000 1000 1000 1000")),
            ("Gid", Is("1000 1000 1000 1000")),
            ("Groups", Is("")),
            ("CapInh", NO_CAPABILITY),
            ("CapPrm", NO_CAPABILITY),
            ("CapEff", NO_CAPABILITY),
            ("CapBnd", NO_CAPABILITY),
            ("CapAmb", NO_CAPABILITY),
            ("NoNewPrivs", Is("1")),
            ("Seccomp", Is("2")),
            ("own setuid file", NO_OTHER_USER),
            ("user of the stack's su", Is("1000 1000 1000 1000")),
        ],
    },
    Section {
        title: "What it holds and sees",
        closed_by: "descriptors closed before the program runs; namespaces of its own for processes and mounts; `pids.max`; a `/dev` of its own",
        findings: &[
            ("descriptors", Is("0 1 2")),
            ("processes", Among(&["landfall-shim", "probe", "sleep"])),
            ("threads", Is("EAGAIN")),
            ("mount flags", Is("all strict")),
            (
                "mounts",
                Among(&[
                    "cgroup", "cgroup2", "devpts", "ext4", "overlay", "proc", "tmpfs", "xfs",
                    "btrfs",
                ]),
            ),
            ("devices", Is("full null ptmx random tty urandom zero")),
        ],
    },
    Section {
        title: "What it may write",
        closed_by: "read-only stack and cgroup views; an overlay for `/app`; read-only and masked parts of `/proc`; no `/sys` but the views",
        findings: &[
            ("write /app", Open),
            ("write /tmp", Open),
            ("write /dev/shm", Open),
            ("write /dev/null", Open),
            ("write /proc/self/oom_score_adj", Open),
            ("write /", Unwritable),
            ("write /dev", Unwritable),
            ("write /etc", Unwritable),
            ("write /usr", Unwritable),
            ("write /usr/bin", Unwritable),
            ("write /usr/lib", Unwritable),
            ("write /var", Unwritable),
            ("write /var/lib", Unwritable),
            ("write /root", Unwritable),
            ("write /proc", Unwritable),
            ("write /sys", Unwritable),
            ("write /sys/fs/cgroup", Unwritable),
            ("write /etc/passwd", Unwritable),
            ("write /etc/ld.so.cache", Unwritable),
            ("write /usr/bin/bash", Unwritable),
            ("write /proc/sys/kernel/core_pattern", Unwritable),
            ("write /proc/sys/kernel/modprobe", Unwritable),
            ("write /proc/sys/kernel/hostname", Unwritable),
            ("write /proc/sys/net/ipv4/ip_forward", Unwritable),
            ("write /proc/sys/vm/drop_caches", Unwritable),
            ("write /proc/sysrq-trigger", Unwritable),
            ("write /proc/irq/default_smp_affinity", Unwritable),
            ("write /proc/1/mem", Unwritable),
            ("write /sys/fs/cgroup/cgroup.procs", Unwritable),
            ("write /sys/fs/cgroup/memory.max", Unwritable),
            (
                "write /sys/fs/cgroup/memory/memory.limit_in_bytes",
                Unwritable,
            ),
            ("write /sys/kernel/uevent_helper", Unwritable),
            ("writable in /proc", Is("none")),
            ("writable in /sys", Is("none")),
        ],
    },
    Section {
        title: "What it may read",
        closed_by: "masked parts of `/proc`; no device nodes but harmless ones; nothing of the host mounted",
        findings: &[
            ("read /etc/os-release", Open),
            ("read /etc/resolv.conf", Open),
            ("read /dev/urandom", Open),
            ("read /proc/meminfo", Open),
            ("read /etc/shadow", Hidden),
            ("read /proc/kcore", Hidden),
            ("read /proc/kmsg", Hidden),
            ("read /proc/keys", Hidden),
            ("read /proc/timer_list", Hidden),
            ("read /proc/sched_debug", Hidden),
            ("read /proc/1/environ", Hidden),
            ("read /proc/1/maps", Hidden),
            ("read /dev/mem", Hidden),
            ("read /dev/kmem", Hidden),
            ("read /dev/kmsg", Hidden),
            ("read /dev/vda", Hidden),
            ("read /dev/sda", Hidden),
            ("read /dev/fuse", Hidden),
            ("read /dev/net/tun", Hidden),
            ("read /dev/vsock", Hidden),
            ("read /dev/kvm", Hidden),
            ("read /sys/firmware/dmi/tables/DMI", Hidden),
            ("enter /proc/1/root/etc", Hidden),
            ("enter /proc/1/cwd/etc", Hidden),
            ("enter /run/landfall", Hidden),
            ("enter /run/docker.sock", Hidden),
            ("enter /var/run/docker.sock", Hidden),
            ("enter /run/systemd", Hidden),
            ("enter /sys/kernel", Hidden),
            ("enter /sys/class/net", Hidden),
            ("enter /lib/modules", Hidden),
            ("enter /boot/vmlinuz", Hidden),
        ],
    },
    Section {
        title: "Namespaces and mounts",
        closed_by: "the system call filter, and no capability if it failed",
        findings: &[
            ("unshare user", Denied),
            ("unshare mount", Denied),
            ("unshare net", Denied),
            ("unshare pid", Denied),
            ("unshare cgroup", Denied),
            ("clone user", Denied),
            ("clone3", Is("ENOSYS")),
            ("setns", Denied),
            ("mount", Denied),
            ("remount", Denied),
            ("umount", Denied),
            ("pivot_root", Denied),
            ("chroot", Denied),
            ("open_tree", Denied),
            ("move_mount", Denied),
            ("fsopen", Denied),
            ("mount_setattr", Denied),
            ("swapon", Denied),
            ("quotactl", Denied),
            ("open_by_handle_at", Denied),
            ("fanotify_init", Denied),
            ("mknod device", Denied),
            ("mknod disk", Denied),
        ],
    },
    Section {
        title: "The kernel",
        closed_by: "the system call filter, and no capability if it failed",
        findings: &[
            ("bpf", Denied),
            ("io_uring_setup", Denied),
            ("perf_event_open", Denied),
            ("userfaultfd", Denied),
            ("keyctl", Denied),
            ("add_key", Denied),
            ("request_key", Denied),
            ("init_module", Denied),
            ("finit_module", Denied),
            ("delete_module", Denied),
            ("kexec_load", Denied),
            ("reboot", Denied),
            ("syslog", Denied),
            ("acct", Denied),
            ("sethostname", Denied),
            ("clock_settime", Denied),
            ("settimeofday", Denied),
            ("vhangup", Denied),
            ("set the clock's speed", Denied),
        ],
    },
    Section {
        title: "Other processes and users",
        closed_by: "a namespace of its own for processes; no capability",
        findings: &[
            ("ptrace first process", Denied),
            ("read memory of first process", Denied),
            ("kcmp", Denied),
            ("pidfd_getfd", Denied),
            ("setuid root", Denied),
            ("setgid root", Denied),
            ("setgroups", Denied),
            ("kill first process", Denied),
        ],
    },
    Section {
        title: "Sockets",
        closed_by: "the system call filter, by family and protocol; a network namespace of its own",
        findings: &[
            ("socket inet", Open),
            ("socket unix", Open),
            ("socket netlink", Open),
            ("socket ping", Open),
            ("socket raw", Denied),
            ("socket packet", NoFamily),
            ("socket vsock", NoFamily),
            ("socket alg", NoFamily),
            ("socket key", NoFamily),
            ("socket bluetooth", NoFamily),
            ("socket can", NoFamily),
            ("socket xdp", NoFamily),
            ("socket tipc", NoFamily),
            ("bind port 80", Denied),
            ("bind port 5000", Open),
            ("netlink protocols", Is("0")),
        ],
    },
    Section {
        title: "Limits",
        closed_by: "`setrlimit` with hard limits; no capability",
        findings: &[
            ("raise files", Denied),
            ("raise memlock", Denied),
            ("raise priority", Denied),
            ("realtime scheduling", Denied),
            ("raise core", Denied),
            ("core limit", Is("0 0")),
            ("lock memory", Among(&["ENOMEM", "EPERM"])),
            ("huge pages", Is("ENOMEM")),
        ],
    },
];

/// Findings that only this processor has.
#[cfg(target_arch = "x86_64")]
pub(crate) const HERE: &[(&str, Expected)] =
    &[("iopl", Denied), ("ioperm", Denied), ("modify_ldt", Denied)];
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const HERE: &[(&str, Expected)] = &[];
