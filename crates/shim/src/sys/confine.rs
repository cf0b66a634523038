//! What takes power away from the calling process: namespaces, ids, capabilities, limits, filters.
#![expect(
    unsafe_code,
    reason = "system calls without a wrapper in the standard library"
)]

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use libc::{c_int, c_ulong};

use super::{check, check_int};

/// `CAP_KILL` of `linux/capability.h`.
pub(crate) const CAP_KILL: u32 = 5;

/// The effective user id.
pub(crate) fn user_id() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::geteuid() }
}

/// The effective group id.
pub(crate) fn group_id() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::getegid() }
}

/// `unshare(2)`.
pub(crate) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: the process is single-threaded; its files stay shared with nobody.
    check_int(unsafe { libc::unshare(flags) }).map(drop)
}

/// `setns(2)`.
pub(crate) fn join_namespace(namespace: BorrowedFd<'_>, kind: c_int) -> io::Result<()> {
    // SAFETY: takes a descriptor and a number.
    check_int(unsafe { libc::setns(namespace.as_raw_fd(), kind) }).map(drop)
}

/// `sethostname(2)`.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length are of one string.
    check_int(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// All three user ids and group ids become `id`, without further groups. One that has them, as the
/// only id there is, keeps the groups it cannot leave.
pub(crate) fn become_id(id: u32) -> io::Result<()> {
    if has_id(id) {
        return Ok(());
    }
    // SAFETY: numbers, and an empty list whose pointer is not read.
    unsafe {
        check_int(libc::setgroups(0, ptr::null()))?;
        check_int(libc::setresgid(id, id, id))?;
        check_int(libc::setresuid(id, id, id))?;
    }
    Ok(())
}

fn has_id(id: u32) -> bool {
    let (mut user, mut group) = ([!id; 3], [!id; 3]);
    let ([user_1, user_2, user_3], [group_1, group_2, group_3]) = (&mut user, &mut group);
    // SAFETY: six valid places for numbers.
    unsafe {
        libc::getresuid(user_1, user_2, user_3);
        libc::getresgid(group_1, group_2, group_3);
    }
    user == [id; 3] && group == [id; 3]
}

/// `prctl(2)` with one number.
pub(crate) fn process_option(option: c_int, value: c_ulong) -> io::Result<()> {
    // SAFETY: the options used here take numbers.
    check_int(unsafe { libc::prctl(option, value, 0, 0, 0) }).map(drop)
}

/// Drops every capability from the bounding set.
pub(crate) fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..64 {
        match process_option(libc::PR_CAPBSET_DROP, capability) {
            // The first one that this kernel does not know.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

/// Keeps only the capabilities in `keep`, a mask.
pub(crate) fn set_capabilities(keep: u32) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`.
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    // Low words of effective, permitted and inheritable, then the high ones.
    let sets: [u32; 6] = [keep, keep, 0, 0, 0, 0];
    // SAFETY: both arrays have the kernel's layout and live on.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// Sets a limit, not above the present hard one.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let mut present = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointers are valid for the calls.
    unsafe {
        check_int(libc::getrlimit(resource, &raw mut present))?;
        let value = value.min(present.rlim_max);
        let wanted = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        check_int(libc::setrlimit(resource, &raw const wanted))?;
    }
    Ok(())
}

/// Installs a seccomp filter of packed instructions (see `shim::start::StartRequest::seccomp`).
pub(crate) fn install_filter(packed: &[u64]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = packed.iter().map(|word| unpack(*word)).collect();
    let length = libc::c_ushort::try_from(filter.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog {
        len: length,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: program and instructions live on; the kernel copies and verifies them.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    })
    .map(drop)
}

fn unpack(word: u64) -> libc::sock_filter {
    let [k @ .., jf, jt, code_low, code_high] = word.to_le_bytes();
    libc::sock_filter {
        code: u16::from_le_bytes([code_low, code_high]),
        jt,
        jf,
        k: u32::from_le_bytes(k),
    }
}

/// Yields input/output to others: the lowest best-effort priority.
pub(crate) fn yield_input_output() -> io::Result<()> {
    const WHO_PROCESS: c_int = 1;
    const BEST_EFFORT_LOWEST: c_int = (2 << 13) | 7;
    // SAFETY: takes numbers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, BEST_EFFORT_LOWEST) })
        .map(drop)
}

/// Adds to the process's nice value.
pub(crate) fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: takes numbers.
    check_int(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// Joins the cgroups of `tasks` files by moving the calling thread.
pub(crate) fn join_cgroups(tasks: &[File]) -> io::Result<()> {
    for mut file in tasks {
        file.write_all(b"0")?;
    }
    Ok(())
}
