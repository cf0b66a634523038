//! The system calls a dyno may make, as a classic BPF program.
//!
//! The list is the one container engines agree on (moby's default profile), without anything that
//! depends on capabilities, and tighter: no user namespaces, no sockets but those a web app needs.
//! It is compiled once per engine into a decision tree, because installing a long linear filter
//! would be a third of a dyno's start. Read [`filter`] first.

use std::{collections::BTreeMap, ffi::c_long};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, ENOSYS, EPERM,
};
use serde_json::json;

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENT_0: u32 = 16;
const OFFSET_ARGUMENT_2: u32 = 32;

/// `SECCOMP_RET_ALLOW`.
const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_ERRNO` with an error.
const fn refuse(errno: i32) -> u32 {
    0x0005_0000 | errno.cast_unsigned()
}

/// `AUDIT_ARCH_…` of linux/audit.h.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Flags of `clone` that make namespaces.
const NAMESPACE_FLAGS: u32 = 0x7e02_0000;
/// Calls newer than this are unknown to the list: programs are told that they do not exist, and
/// fall back. (462 is `mseal`; x32's numbers lie far above.)
const LAST_KNOWN: u32 = 462;

/// What becomes of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A plain answer.
    Return(u32),
    /// `clone`: unless it makes a namespace.
    WithoutNamespaces,
    /// `socket`: of these families, and of netlink its first protocol.
    FamilyIn(&'static [u32]),
    /// `personality`: with these values.
    ValueIn(&'static [u32]),
}

/// Unix, IPv4 and IPv6.
const FAMILIES: &[u32] = &[1, 2, 10];
/// The family that is a door to many parts of the kernel, and the one protocol of it that programs
/// need, to list interfaces and addresses.
const NETLINK: u32 = 16;
const NETLINK_ROUTE: u32 = 0;
/// Linux, with and without address space randomisation or 32-bit names; and the question.
const PERSONALITIES: &[u32] = &[0, 0x0008, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

/// A call's name, with `SYS_` before it, and its number.
type Call = (&'static str, c_long);

macro_rules! calls {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}

#[rustfmt::skip]
const ALLOWED: &[Call] = calls![
    SYS_accept SYS_accept4 SYS_adjtimex SYS_bind SYS_brk SYS_capget SYS_capset SYS_chdir
    SYS_clock_adjtime SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_close
    SYS_close_range SYS_connect SYS_copy_file_range SYS_dup SYS_dup3 SYS_epoll_create1
    SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_execve SYS_execveat SYS_exit
    SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fchdir SYS_fchmod
    SYS_fchmodat SYS_fchmodat2 SYS_fchown SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fgetxattr
    SYS_flistxattr SYS_flock SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync
    SYS_ftruncate SYS_futex SYS_futex_waitv SYS_get_robust_list SYS_getcpu SYS_getcwd
    SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid SYS_getgroups SYS_getitimer SYS_getpeername
    SYS_getpgid SYS_getpid SYS_getppid SYS_getpriority SYS_getrandom SYS_getresgid SYS_getresuid
    SYS_getrlimit SYS_getrusage SYS_getsid SYS_getsockname SYS_getsockopt SYS_gettid
    SYS_gettimeofday SYS_getuid SYS_getxattr SYS_inotify_add_watch SYS_inotify_init1
    SYS_inotify_rm_watch SYS_io_cancel SYS_io_destroy SYS_io_getevents
    SYS_io_setup SYS_io_submit SYS_ioctl SYS_ioprio_get SYS_ioprio_set SYS_kill
    SYS_landlock_add_rule SYS_landlock_create_ruleset SYS_landlock_restrict_self SYS_lgetxattr
    SYS_linkat SYS_listen SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek SYS_lsetxattr
    SYS_madvise SYS_membarrier SYS_memfd_create SYS_mincore SYS_mkdirat SYS_mknodat SYS_mlock
    SYS_mlock2 SYS_mlockall SYS_mmap SYS_mprotect SYS_mq_getsetattr SYS_mq_notify SYS_mq_open
    SYS_mq_timedreceive SYS_mq_timedsend SYS_mq_unlink SYS_mremap SYS_mseal SYS_msgctl SYS_msgget
    SYS_msgrcv SYS_msgsnd SYS_msync SYS_munlock SYS_munlockall SYS_munmap SYS_name_to_handle_at
    SYS_nanosleep SYS_newfstatat SYS_openat SYS_openat2 SYS_pidfd_open SYS_pidfd_send_signal
    SYS_pipe2 SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_ppoll SYS_prctl SYS_pread64
    SYS_preadv SYS_preadv2 SYS_prlimit64 SYS_process_mrelease SYS_process_vm_readv
    SYS_process_vm_writev SYS_pselect6 SYS_ptrace SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read
    SYS_readahead SYS_readlinkat SYS_readv SYS_recvfrom SYS_recvmmsg SYS_recvmsg
    SYS_remap_file_pages SYS_removexattr SYS_renameat SYS_renameat2 SYS_restart_syscall SYS_rseq
    SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask SYS_rt_sigqueueinfo SYS_rt_sigreturn
    SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo SYS_sched_get_priority_max
    SYS_sched_get_priority_min SYS_sched_getaffinity SYS_sched_getattr SYS_sched_getparam
    SYS_sched_getscheduler SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_setattr
    SYS_sched_setparam SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_semctl SYS_semget
    SYS_semop SYS_semtimedop SYS_sendfile SYS_sendmmsg SYS_sendmsg SYS_sendto
    SYS_set_robust_list SYS_set_tid_address SYS_setfsgid SYS_setfsuid SYS_setgid SYS_setgroups
    SYS_setitimer SYS_setpgid SYS_setpriority SYS_setregid SYS_setresgid SYS_setresuid
    SYS_setreuid SYS_setrlimit SYS_setsid SYS_setsockopt SYS_setuid SYS_setxattr SYS_shmat
    SYS_shmctl SYS_shmdt SYS_shmget SYS_shutdown SYS_sigaltstack SYS_signalfd4 SYS_socketpair
    SYS_splice SYS_statfs SYS_statx SYS_symlinkat SYS_sync SYS_sync_file_range SYS_syncfs
    SYS_sysinfo SYS_tee SYS_tgkill SYS_timer_create SYS_timer_delete SYS_timer_getoverrun
    SYS_timer_gettime SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime
    SYS_timerfd_settime SYS_times SYS_tkill SYS_truncate SYS_umask SYS_uname SYS_unlinkat
    SYS_utimensat SYS_vmsplice SYS_wait4 SYS_waitid SYS_write SYS_writev
];

/// Calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[Call] = calls![
    SYS_access SYS_alarm SYS_arch_prctl SYS_chmod SYS_chown SYS_creat SYS_dup2 SYS_epoll_create
    SYS_epoll_ctl_old SYS_epoll_wait SYS_epoll_wait_old SYS_eventfd SYS_fork SYS_futimesat
    SYS_get_thread_area SYS_getdents SYS_getpgrp SYS_inotify_init SYS_lchown SYS_link SYS_lstat
    SYS_mkdir SYS_mknod SYS_open SYS_pause SYS_pipe SYS_poll SYS_readlink SYS_rename SYS_rmdir
    SYS_select SYS_set_thread_area SYS_signalfd SYS_stat SYS_symlink SYS_time SYS_unlink
    SYS_utime SYS_utimes SYS_vfork
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[Call] = &[];

/// Calls without a name in the `libc` crate; numbers are the same everywhere.
const ALLOWED_BY_NUMBER: &[Call] = &[
    ("SYS_cachestat", 451),
    ("SYS_map_shadow_stack", 453),
    ("SYS_futex_wake", 454),
    ("SYS_futex_wait", 455),
    ("SYS_futex_requeue", 456),
];

fn allowed() -> impl Iterator<Item = &'static Call> {
    ALLOWED.iter().chain(ALLOWED_HERE).chain(ALLOWED_BY_NUMBER)
}

/// The filter, packed as `shim::start::StartRequest::seccomp` wants it.
pub(crate) fn filter() -> Vec<u64> {
    let mut verdicts = BTreeMap::new();
    for (_, call) in allowed() {
        verdicts.insert(number(*call), Verdict::Return(ALLOW));
    }
    verdicts.insert(number(libc::SYS_clone), Verdict::WithoutNamespaces);
    // Its flags are in memory, out of the filter's sight: the C library falls back to `clone`.
    verdicts.insert(number(libc::SYS_clone3), Verdict::Return(refuse(ENOSYS)));
    verdicts.insert(number(libc::SYS_socket), Verdict::FamilyIn(FAMILIES));
    verdicts.insert(
        number(libc::SYS_personality),
        Verdict::ValueIn(PERSONALITIES),
    );
    let mut program = vec![
        load(OFFSET_ARCHITECTURE),
        jump(BPF_JEQ, ARCHITECTURE, 1, 0),
        answer(refuse(ENOSYS)),
        load(OFFSET_NUMBER),
    ];
    program.extend(tree(&segments(&verdicts)));
    program
}

/// The same rules as an OCI runtime's configuration has them (`linux.seccomp`), for comparison with
/// such a runtime. What is newer than the list is refused there as not permitted, not as unknown:
/// the format cannot tell them apart.
pub fn oci() -> serde_json::Value {
    let names: Vec<&str> = allowed()
        .map(|(name, _)| name.trim_start_matches("SYS_"))
        .collect();
    let equal =
        |index: u32, value: u32| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    let allow = |name: &str, args: Vec<serde_json::Value>| json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": args});
    let no_namespaces = json!({
        "index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ",
    });
    let mut calls = vec![
        json!({"names": names, "action": "SCMP_ACT_ALLOW"}),
        json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}),
        allow("clone", vec![no_namespaces]),
        allow("socket", vec![equal(0, NETLINK), equal(2, NETLINK_ROUTE)]),
    ];
    calls.extend(
        FAMILIES
            .iter()
            .map(|family| allow("socket", vec![equal(0, *family)])),
    );
    calls.extend(
        PERSONALITIES
            .iter()
            .map(|value| allow("personality", vec![equal(0, *value)])),
    );
    json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": EPERM, "syscalls": calls})
}

fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// Numbers from which on a verdict holds, ascending, from 0.
fn segments(verdicts: &BTreeMap<u32, Verdict>) -> Vec<(u32, Verdict)> {
    let mut segments: Vec<(u32, Verdict)> = Vec::new();
    for call in 0..=LAST_KNOWN {
        let verdict = verdicts
            .get(&call)
            .copied()
            .unwrap_or(Verdict::Return(refuse(EPERM)));
        if segments.last().is_none_or(|(_, last)| *last != verdict) {
            segments.push((call, verdict));
        }
    }
    segments.push((LAST_KNOWN + 1, Verdict::Return(refuse(ENOSYS))));
    segments
}

/// Instructions that find the segment of the loaded number by halving.
fn tree(segments: &[(u32, Verdict)]) -> Vec<u64> {
    match segments {
        [] => vec![answer(refuse(ENOSYS))],
        [(_, verdict)] => leaf(*verdict),
        _ => {
            let (below, above) = segments.split_at(segments.len() / 2);
            let (first_above, below, above) = (above[0].0, tree(below), tree(above));
            let mut program = vec![jump(BPF_JGE, first_above, 0, 1), skip(below.len())];
            program.extend(below);
            program.extend(above);
            program
        }
    }
}

fn leaf(verdict: Verdict) -> Vec<u64> {
    match verdict {
        Verdict::Return(value) => vec![answer(value)],
        Verdict::WithoutNamespaces => vec![
            load(OFFSET_ARGUMENT_0),
            jump(BPF_JSET, NAMESPACE_FLAGS, 0, 1),
            answer(refuse(EPERM)),
            answer(ALLOW),
        ],
        Verdict::ValueIn(values) => [value_in(values), vec![answer(refuse(EPERM))]].concat(),
        Verdict::FamilyIn(values) => {
            let mut program = value_in(values);
            program.extend([
                jump(BPF_JEQ, NETLINK, 0, 3),
                load(OFFSET_ARGUMENT_2),
                jump(BPF_JEQ, NETLINK_ROUTE, 0, 1),
                answer(ALLOW),
                answer(refuse(EPERM)),
            ]);
            program
        }
    }
}

/// Allows these first arguments; goes on with the others, with the argument loaded.
fn value_in(values: &[u32]) -> Vec<u64> {
    let mut program = vec![load(OFFSET_ARGUMENT_0)];
    for value in values {
        program.extend([jump(BPF_JEQ, *value, 0, 1), answer(ALLOW)]);
    }
    program
}

fn pack(code: u32, jump_true: u8, jump_false: u8, k: u32) -> u64 {
    u64::from(code) << 48 | u64::from(jump_true) << 40 | u64::from(jump_false) << 32 | u64::from(k)
}

/// Loads a word of the call's description.
fn load(offset: u32) -> u64 {
    pack(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset)
}

/// Compares the loaded word, and skips so many instructions.
fn jump(comparison: u32, with: u32, if_so: u8, if_not: u8) -> u64 {
    pack(BPF_JMP | comparison | BPF_K, if_so, if_not, with)
}

/// Skips so many instructions.
fn skip(count: usize) -> u64 {
    pack(BPF_JMP, 0, 0, u32::try_from(count).unwrap_or(u32::MAX))
}

fn answer(value: u32) -> u64 {
    pack(BPF_RET | BPF_K, 0, 0, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers to a call, by running it.
    /// All arguments are the same.
    fn run(program: &[u64], architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let word = program[at];
            let [k @ .., jump_false, jump_true, low, high] = word.to_le_bytes();
            let (code, k) = (
                u32::from(u16::from_le_bytes([low, high])),
                u32::from_le_bytes(k),
            );
            let choose = |holds: bool| usize::from(if holds { jump_true } else { jump_false });
            at += 1;
            at += match code {
                code if code == BPF_RET => return k,
                code if code == BPF_JMP => k as usize,
                code if code == BPF_JMP | BPF_JEQ => choose(loaded == k),
                code if code == BPF_JMP | BPF_JGE => choose(loaded >= k),
                code if code == BPF_JMP | BPF_JSET => choose(loaded & k != 0),
                _ => {
                    loaded = match k {
                        OFFSET_NUMBER => number,
                        OFFSET_ARCHITECTURE => architecture,
                        _ => argument,
                    };
                    0
                }
            };
        }
    }

    fn check(call: c_long, argument: u32, expected: u32) {
        let found = run(&filter(), ARCHITECTURE, number(call), argument);
        assert_eq!(found, expected, "call {call} with {argument:#x}");
    }

    #[test]
    fn what_apps_need_is_allowed() {
        for (_, call) in allowed() {
            check(*call, 0, ALLOW);
        }
        check(libc::SYS_clone, libc::CLONE_THREAD.cast_unsigned(), ALLOW);
        check(libc::SYS_socket, libc::AF_INET6.cast_unsigned(), ALLOW);
        check(libc::SYS_personality, 0xffff_ffff, ALLOW);
    }

    #[test]
    fn what_reaches_into_the_kernel_is_refused() {
        for call in [
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_keyctl,
            libc::SYS_userfaultfd,
            libc::SYS_perf_event_open,
            libc::SYS_open_by_handle_at,
            libc::SYS_init_module,
            libc::SYS_kexec_load,
            libc::SYS_open_tree,
            libc::SYS_pidfd_getfd,
        ] {
            check(call, 0, refuse(EPERM));
        }
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET] {
            check(libc::SYS_clone, flag.cast_unsigned(), refuse(EPERM));
        }
        for family in [libc::AF_VSOCK, libc::AF_PACKET, libc::AF_ALG] {
            check(libc::SYS_socket, family.cast_unsigned(), refuse(EPERM));
        }
        check(libc::SYS_personality, 0x0004_0000, refuse(EPERM));
    }

    #[test]
    fn what_is_unknown_does_not_exist() {
        check(libc::SYS_clone3, 0, refuse(ENOSYS));
        check(463, 0, refuse(ENOSYS));
        check(0x4000_0000, 0, refuse(ENOSYS));
        let foreign = run(&filter(), ARCHITECTURE ^ 1, number(libc::SYS_read), 0);
        assert_eq!(foreign, refuse(ENOSYS));
    }

    #[test]
    fn an_oci_runtime_is_given_the_same_rules() {
        let rules = oci();
        let calls = rules["syscalls"].as_array().unwrap();
        let names = calls[0]["names"].as_array().unwrap();
        assert_eq!(names.len(), allowed().count());
        assert!(names.contains(&json!("execve")) && !names.contains(&json!("clone")));
        assert_eq!(calls.len(), 4 + FAMILIES.len() + PERSONALITIES.len());
    }

    #[test]
    fn the_filter_is_short() {
        assert!(filter().len() < 600, "{}", filter().len());
    }
}
