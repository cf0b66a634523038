//! System calls that a dyno has no business making.
//!
//! Arguments are chosen so that a kernel that lets a call pass its checks of privilege either does
//! no harm or answers with another error than a refusal, such as `EINVAL`.
#![expect(unsafe_code, reason = "raw system calls are the point")]

use std::{fs::File, io, os::fd::AsRawFd};

use crate::{outcome::Outcome, tell};

/// The call `number` with these arguments.
///
/// # Safety
/// As the call says: pointers must be null or valid for it.
unsafe fn call(number: libc::c_long, arguments: [libc::c_long; 5]) -> Outcome {
    let [first, second, third, fourth, fifth] = arguments;
    // SAFETY: the caller answers for the arguments.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, fifth) };
    if result == -1 {
        io::Error::last_os_error().into()
    } else {
        Outcome::Done
    }
}

/// A static string as an argument.
fn text(text: &'static std::ffi::CStr) -> libc::c_long {
    text.as_ptr() as libc::c_long
}

pub(crate) fn tell_all() {
    tell_namespaces();
    tell_mounts();
    tell_kernel();
    tell_others();
    tell_sockets();
    tell_limits();
}

fn tell_each(calls: &[(&str, libc::c_long, [libc::c_long; 5])]) {
    for (name, number, arguments) in calls {
        // SAFETY: every pointer in the tables below is null or a static string.
        tell(name, &unsafe { call(*number, *arguments) });
    }
}

fn tell_namespaces() {
    let flag = libc::c_long::from;
    tell_each(&[
        (
            "unshare user",
            libc::SYS_unshare,
            [flag(libc::CLONE_NEWUSER), 0, 0, 0, 0],
        ),
        (
            "unshare mount",
            libc::SYS_unshare,
            [flag(libc::CLONE_NEWNS), 0, 0, 0, 0],
        ),
        (
            "unshare net",
            libc::SYS_unshare,
            [flag(libc::CLONE_NEWNET), 0, 0, 0, 0],
        ),
        (
            "unshare pid",
            libc::SYS_unshare,
            [flag(libc::CLONE_NEWPID), 0, 0, 0, 0],
        ),
        (
            "unshare cgroup",
            libc::SYS_unshare,
            [flag(libc::CLONE_NEWCGROUP), 0, 0, 0, 0],
        ),
        // Zero is no size that this call knows, so one that is let through makes no process.
        ("clone3", libc::SYS_clone3, [0, 0, 0, 0, 0]),
    ]);
    tell("clone user", &clone_into(libc::CLONE_NEWUSER));
    let own = File::open("/proc/self/ns/net");
    let entered = own.map(|own| {
        let arguments = [own.as_raw_fd().into(), flag(libc::CLONE_NEWNET), 0, 0, 0];
        // SAFETY: takes numbers.
        unsafe { call(libc::SYS_setns, arguments) }
    });
    tell("setns", &entered.unwrap_or_else(Outcome::from));
}

/// A child process in a new namespace, which ends at once.
fn clone_into(flag: libc::c_int) -> Outcome {
    let flags = libc::c_long::from(flag | libc::SIGCHLD);
    // SAFETY: without a stack and without shared memory this is fork; the child only exits.
    let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match child {
        -1 => io::Error::last_os_error().into(),
        // SAFETY: takes a number, runs nothing of the parent's.
        0 => unsafe { libc::_exit(0) },
        _ => Outcome::Done,
    }
}

fn tell_mounts() {
    let none = text(c"none");
    tell_each(&[
        (
            "mount",
            libc::SYS_mount,
            [none, text(c"/tmp"), text(c"tmpfs"), 0, 0],
        ),
        (
            "remount",
            libc::SYS_mount,
            [none, text(c"/"), 0, 0x1000 | 0x20, 0],
        ),
        ("umount", libc::SYS_umount2, [text(c"/proc"), 2, 0, 0, 0]),
        (
            "pivot_root",
            libc::SYS_pivot_root,
            [text(c"/tmp"), text(c"/tmp"), 0, 0, 0],
        ),
        ("chroot", libc::SYS_chroot, [text(c"/tmp"), 0, 0, 0, 0]),
        (
            "open_tree",
            libc::SYS_open_tree,
            [-100, text(c"/"), 1, 0, 0],
        ),
        (
            "move_mount",
            libc::SYS_move_mount,
            [-1, text(c""), -1, text(c""), 0],
        ),
        ("fsopen", libc::SYS_fsopen, [text(c"tmpfs"), 0, 0, 0, 0]),
        (
            "mount_setattr",
            libc::SYS_mount_setattr,
            [-100, text(c"/"), 0, 0, 0],
        ),
        ("swapon", libc::SYS_swapon, [text(c"/nowhere"), 0, 0, 0, 0]),
        (
            "quotactl",
            libc::SYS_quotactl,
            [0x0080_0007, text(c"/nowhere"), 0, 0, 0],
        ),
        (
            "open_by_handle_at",
            libc::SYS_open_by_handle_at,
            [-100, 0, 0, 0, 0],
        ),
        ("fanotify_init", libc::SYS_fanotify_init, [4, 0, 0, 0, 0]),
        (
            "mknod device",
            libc::SYS_mknodat,
            [-100, text(c"/tmp/null"), 0o020_666, 0x103, 0],
        ),
        (
            "mknod disk",
            libc::SYS_mknodat,
            [-100, text(c"/tmp/disk"), 0o060_666, 0xfe00, 0],
        ),
    ]);
}

fn tell_kernel() {
    tell_each(&[
        ("bpf", libc::SYS_bpf, [0, 0, 0, 0, 0]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        (
            "perf_event_open",
            libc::SYS_perf_event_open,
            [0, 0, -1, -1, 0],
        ),
        ("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0, -3, 1, 0, 0]),
        (
            "add_key",
            libc::SYS_add_key,
            [text(c"user"), text(c"probe"), text(c"x"), 1, -3],
        ),
        (
            "request_key",
            libc::SYS_request_key,
            [text(c"user"), text(c"probe"), 0, 0, 0],
        ),
        (
            "init_module",
            libc::SYS_init_module,
            [0, 0, text(c""), 0, 0],
        ),
        (
            "finit_module",
            libc::SYS_finit_module,
            [-1, text(c""), 0, 0, 0],
        ),
        (
            "delete_module",
            libc::SYS_delete_module,
            [text(c"nothing"), 0, 0, 0, 0],
        ),
        ("kexec_load", libc::SYS_kexec_load, [0, 0, 0, -1, 0]),
        ("reboot", libc::SYS_reboot, [0, 0, 0, 0, 0]),
        ("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
        ("acct", libc::SYS_acct, [text(c"/nowhere"), 0, 0, 0, 0]),
        (
            "sethostname",
            libc::SYS_sethostname,
            [text(c"probe"), 5, 0, 0, 0],
        ),
        ("clock_settime", libc::SYS_clock_settime, [0, 0, 0, 0, 0]),
        ("settimeofday", libc::SYS_settimeofday, [0, 0, 0, 0, 0]),
        ("vhangup", libc::SYS_vhangup, [0, 0, 0, 0, 0]),
    ]);
    #[cfg(target_arch = "x86_64")]
    tell_each(&[
        ("iopl", libc::SYS_iopl, [3, 0, 0, 0, 0]),
        ("ioperm", libc::SYS_ioperm, [0x80, 1, 1, 0, 0]),
        ("modify_ldt", libc::SYS_modify_ldt, [0, 0, 0, 0, 0]),
    ]);
}

/// Reads a byte of another process's memory. Let through, this is `ok` or `EFAULT`.
fn read_memory_of(process: libc::pid_t) -> Outcome {
    let mut byte = [0_u8];
    let here = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let there = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(0x40_0000),
        iov_len: 1,
    };
    // SAFETY: the kernel writes at most the one byte there is room for.
    let read =
        unsafe { libc::process_vm_readv(process, &raw const here, 1, &raw const there, 1, 0) };
    if read == -1 {
        io::Error::last_os_error().into()
    } else {
        Outcome::Done
    }
}

fn tell_others() {
    tell("read memory of first process", &read_memory_of(1));
    tell_each(&[
        ("ptrace first process", libc::SYS_ptrace, [16, 1, 0, 0, 0]),
        ("kcmp", libc::SYS_kcmp, [1, 1, 0, 0, 0]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [-1, 0, 0, 0, 0]),
        ("setuid root", libc::SYS_setuid, [0, 0, 0, 0, 0]),
        ("setgid root", libc::SYS_setgid, [0, 0, 0, 0, 0]),
        ("setgroups", libc::SYS_setgroups, [0, 0, 0, 0, 0]),
        ("kill first process", libc::SYS_kill, [1, 0, 0, 0, 0]),
    ]);
}

fn tell_sockets() {
    const STREAM: libc::c_int = libc::SOCK_STREAM;
    const DATAGRAM: libc::c_int = libc::SOCK_DGRAM;
    const RAW: libc::c_int = libc::SOCK_RAW;
    let sockets = [
        ("socket inet", libc::AF_INET, STREAM, 0),
        ("socket unix", libc::AF_UNIX, STREAM, 0),
        ("socket netlink", libc::AF_NETLINK, RAW, 0),
        ("socket ping", libc::AF_INET, DATAGRAM, libc::IPPROTO_ICMP),
        ("socket raw", libc::AF_INET, RAW, libc::IPPROTO_ICMP),
        ("socket packet", libc::AF_PACKET, RAW, 0),
        ("socket vsock", libc::AF_VSOCK, STREAM, 0),
        ("socket alg", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        ("socket key", libc::AF_KEY, RAW, 2),
        ("socket bluetooth", libc::AF_BLUETOOTH, RAW, 1),
        ("socket can", libc::AF_CAN, RAW, 1),
        ("socket xdp", libc::AF_XDP, RAW, 0),
        ("socket tipc", libc::AF_TIPC, STREAM, 0),
    ];
    for (name, family, kind, protocol) in sockets {
        let arguments = [family.into(), kind.into(), protocol.into(), 0, 0];
        // SAFETY: takes numbers.
        tell(name, &unsafe { call(libc::SYS_socket, arguments) });
    }
}

fn tell_limits() {
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    for (name, resource) in [
        ("raise files", libc::RLIMIT_NOFILE),
        ("raise memlock", libc::RLIMIT_MEMLOCK),
        ("raise core", libc::RLIMIT_CORE),
    ] {
        // SAFETY: the limit lives on.
        let result = unsafe { libc::setrlimit(resource, &raw const unlimited) };
        let outcome = if result == 0 {
            Outcome::Done
        } else {
            io::Error::last_os_error().into()
        };
        tell(name, &outcome);
    }
    tell("core limit", &core_limit());
    tell("lock memory", &lock_memory());
    tell("huge pages", &map_huge());
    tell("set the clock's speed", &set_clock_speed());
    tell_each(&[("raise priority", libc::SYS_setpriority, [0, 0, -5, 0, 0])]);
    let realtime = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters live on.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const realtime) };
    let outcome = if result == 0 {
        Outcome::Done
    } else {
        io::Error::last_os_error().into()
    };
    tell("realtime scheduling", &outcome);
}

/// The largest core dump, in bytes.
fn core_limit() -> Outcome {
    let mut limit = libc::rlimit {
        rlim_cur: 1,
        rlim_max: 1,
    };
    // SAFETY: the limit lives on.
    unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) };
    Outcome::Told(format!("{} {}", limit.rlim_cur, limit.rlim_max))
}

/// Pins a megabyte of memory.
fn lock_memory() -> Outcome {
    let memory = vec![0_u8; 1 << 20];
    // SAFETY: pointer and length are of one allocation, which lives on.
    if unsafe { libc::mlock(memory.as_ptr().cast(), memory.len()) } == -1 {
        return io::Error::last_os_error().into();
    }
    Outcome::Done
}

/// Maps a huge page, of which the kernel sets a number aside for the whole machine.
fn map_huge() -> Outcome {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, which is not touched.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 2 << 20, access, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return io::Error::last_os_error().into();
    }
    Outcome::Done
}

/// `adjtimex` may be asked how the clock goes; this changes it, to what it is.
fn set_clock_speed() -> Outcome {
    // SAFETY: a structure of numbers, of which zero is a valid one each; it lives on.
    let result = unsafe {
        let mut time: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut time);
        time.modes = libc::ADJ_FREQUENCY;
        libc::adjtimex(&raw mut time)
    };
    if result == -1 {
        return io::Error::last_os_error().into();
    }
    Outcome::Done
}
