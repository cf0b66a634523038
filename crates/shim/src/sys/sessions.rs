//! Processes by their ids and sessions.
#![expect(
    unsafe_code,
    reason = "system calls without a wrapper in the standard library"
)]

use std::{
    ffi::CString,
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use super::{check, check_int};

/// `pidfd_open(2)`: a handle to a process, for as long as it is not reaped.
pub(crate) fn open_process(process: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers; a result other than -1 is a new descriptor.
    unsafe {
        let pidfd = check(libc::syscall(libc::SYS_pidfd_open, process, 0))?;
        let pidfd = RawFd::try_from(pidfd).map_err(io::Error::other)?;
        Ok(OwnedFd::from_raw_fd(pidfd))
    }
}

/// `getsid(2)`: the leader of the session that a process belongs to.
pub(crate) fn session_of(process: i32) -> io::Result<i32> {
    // SAFETY: takes a number.
    check_int(unsafe { libc::getsid(process) })
}

/// Sets what this process is called: `/proc/<pid>/comm`, at most 15 characters.
pub(crate) fn set_name(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the string is terminated and lives on.
    check_int(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) }).map(drop)
}
