//! The kernel's calls that the standard library lacks, each as a safe function.
//!
//! Nothing here knows what a dyno is. The shim is single-threaded, which [`fork`] and [`clone`]
//! rely on.
#![expect(
    unsafe_code,
    reason = "system calls without a wrapper in the standard library"
)]

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
mod alone;
mod confine;
mod files;
mod low;
mod memory;
mod sessions;

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

use libc::{c_int, c_long, c_uint};

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
pub(crate) use self::alone::reap_alone;
pub(crate) use self::{confine::*, files::*, low::settle, memory::*, sessions::*};

/// `CLONE_INTO_CGROUP` of `linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn check(result: c_long) -> io::Result<c_long> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn check_int(result: c_int) -> io::Result<c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one.
    Parent {
        /// The new process's id.
        child: i32,
        /// A handle to it, from [`clone`].
        pidfd: Option<OwnedFd>,
    },
}

/// `fork(2)`.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the process is single-threaded, so the child may go on as it likes.
    let child = check_int(unsafe { libc::fork() })?;
    Ok(if child == 0 {
        Fork::Child
    } else {
        Fork::Parent { child, pidfd: None }
    })
}

/// `clone3(2)` without a new stack: a fork into new namespaces (`CLONE_NEW…` in `flags`) and, if
/// given, into the version 2 cgroup whose directory `cgroup` is. With `CLONE_PARENT` the new process
/// is a child of the caller's own parent.
pub(crate) fn clone(flags: c_int, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain numbers, for which zero is valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from((flags | libc::CLONE_PIDFD).cast_unsigned());
    arguments.pidfd = ptr::from_mut(&mut pidfd) as u64;
    if flags & libc::CLONE_PARENT == 0 {
        arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    }
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: without CLONE_VM and a stack this behaves as fork does; the arguments live on.
    let child = check(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    })?;
    if child == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let child = i32::try_from(child).map_err(io::Error::other)?;
    Ok(Fork::Parent {
        child,
        pidfd: Some(pidfd),
    })
}

/// Ends the process without running anything more of it.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: always allowed; open files are flushed before by their owners.
    unsafe { libc::_exit(status) }
}

/// What `wait4(2)` tells of an ended child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Its process id.
    pub(crate) process: i32,
    /// As `waitpid` gives it.
    pub(crate) status: i32,
    /// Processor time in user mode, microseconds, of it and the children it waited for.
    pub(crate) user_micros: i64,
    /// Processor time in the kernel, microseconds.
    pub(crate) system_micros: i64,
}

/// An ended child; `None` if there is none, or none yet and `may_wait` is unset.
pub(crate) fn wait(process: i32, may_wait: bool) -> io::Result<Option<Ended>> {
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, for which zero is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let options = if may_wait { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: both pointers are valid for writes.
        let found = unsafe { libc::wait4(process, &raw mut status, options, &raw mut usage) };
        match check_int(found) {
            Ok(0) => return Ok(None),
            Ok(process) => {
                let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
                return Ok(Some(Ended {
                    process,
                    status,
                    user_micros: micros(usage.ru_utime),
                    system_micros: micros(usage.ru_stime),
                }));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// The exit code of a wait status, if the process exited.
pub(crate) fn exit_code(status: i32) -> Option<i32> {
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

/// The signal of a wait status, if one ended the process.
pub(crate) fn exit_signal(status: i32) -> Option<i32> {
    libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
}

/// `kill(2)`.
pub(crate) fn kill(process: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check_int(unsafe { libc::kill(process, signal) }).map(drop)
}

/// `pidfd_send_signal(2)`.
pub(crate) fn signal_process(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: takes a descriptor and numbers; no siginfo.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// Sets what `signal` does: `SIG_DFL` or `SIG_IGN`.
pub(crate) fn set_signal(signal: i32, action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: the two predefined actions run no code of ours.
    let old = unsafe { libc::signal(signal, action) };
    if old == libc::SIG_ERR {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn all_signals() -> libc::sigset_t {
    // SAFETY: `sigfillset` initialises the whole set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        set
    }
}

/// Blocks (or unblocks) every signal that can be.
pub(crate) fn block_signals(is_blocked: bool) -> io::Result<()> {
    let how = if is_blocked {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    let set = all_signals();
    // SAFETY: the set is initialised, and the old one is not asked for.
    check_int(unsafe { libc::sigprocmask(how, &raw const set, ptr::null_mut()) }).map(drop)
}

/// The next of the blocked signals.
pub(crate) fn next_signal() -> io::Result<i32> {
    let set = all_signals();
    let mut signal = 0;
    // SAFETY: both pointers are valid for the call.
    match unsafe { libc::sigwait(&raw const set, &raw mut signal) } {
        0 => Ok(signal),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// `setsid(2)`.
pub(crate) fn new_session() -> io::Result<()> {
    // SAFETY: takes nothing.
    check_int(unsafe { libc::setsid() }).map(drop)
}

/// Closes every descriptor from `first` on, now or when a program is run.
pub(crate) fn close_from(first: c_uint, on_exec: bool) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: c_uint = 4;
    let flags = if on_exec { CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: called before anything above `first` is owned, or just before the process's end.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, flags) }).map(drop)
}

/// Makes `target`, a low number, a copy of `descriptor`.
pub(crate) fn copy_onto(descriptor: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    // SAFETY: the standard three are owned by nobody, and a process that puts something onto 3
    // goes on with nothing else.
    check_int(unsafe { libc::dup2(descriptor.as_raw_fd(), target) }).map(drop)
}

/// Leads standard input, output and error to nothing.
pub(crate) fn silence() -> io::Result<()> {
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    (0..3).try_for_each(|number| copy_onto(null.as_fd(), number))
}

/// Reads and writes on it no longer wait.
pub(crate) fn set_nonblocking(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor and numbers.
    unsafe {
        let flags = check_int(libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL))?;
        check_int(libc::fcntl(
            descriptor.as_raw_fd(),
            libc::F_SETFL,
            flags | libc::O_NONBLOCK,
        ))?;
    }
    Ok(())
}

/// `eventfd(2)`: becomes readable when somebody adds to it.
pub(crate) fn event() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers, and the descriptor is ours from here on.
    unsafe {
        let event = check_int(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(event))
    }
}

/// One descriptor of a poll.
#[derive(Debug)]
pub(crate) struct Watched<'fd> {
    /// What to look at.
    pub(crate) descriptor: BorrowedFd<'fd>,
    /// `POLL…` to wait for.
    pub(crate) wanted: i16,
    /// `POLL…` found.
    pub(crate) found: i16,
}

/// `poll(2)`; without `timeout_ms` for ever.
pub(crate) fn poll(watched: &mut [Watched<'_>], timeout_ms: Option<i64>) -> io::Result<()> {
    let mut list: Vec<libc::pollfd> = watched
        .iter()
        .map(|one| libc::pollfd {
            fd: one.descriptor.as_raw_fd(),
            events: one.wanted,
            revents: 0,
        })
        .collect();
    let timeout = timeout_ms.map_or(-1, |timeout| {
        c_int::try_from(timeout.max(0)).unwrap_or(c_int::MAX)
    });
    let length = list.len() as libc::nfds_t;
    // SAFETY: pointer and length are of one list.
    match check_int(unsafe { libc::poll(list.as_mut_ptr(), length, timeout) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
        _ => {}
    }
    for (one, polled) in watched.iter_mut().zip(list) {
        one.found = polled.revents;
    }
    Ok(())
}

/// Unlocks the other side of a pseudo-terminal and tells its number.
pub(crate) fn unlock_terminal(keeper: BorrowedFd<'_>) -> io::Result<u32> {
    let unlocked: c_int = 0;
    let mut number: c_uint = 0;
    // SAFETY: both requests take a pointer to an int.
    unsafe {
        check_int(libc::ioctl(
            keeper.as_raw_fd(),
            libc::TIOCSPTLCK,
            &raw const unlocked,
        ))?;
        check_int(libc::ioctl(
            keeper.as_raw_fd(),
            libc::TIOCGPTN,
            &raw mut number,
        ))?;
    }
    Ok(number)
}

/// Sets a terminal's size.
pub(crate) fn set_terminal_size(
    terminal: BorrowedFd<'_>,
    columns: u16,
    lines: u16,
) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: lines,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the request takes a pointer to a size.
    check_int(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })
        .map(drop)
}

/// Makes a terminal the session's own.
pub(crate) fn take_terminal(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the request takes a number.
    check_int(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// Runs a program in this process's place; returns only if it cannot.
pub(crate) fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|text| text.as_ptr())
            .chain([ptr::null()])
            .collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both lists end with null, and their strings live on.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

fn clock_micros(clock: libc::clockid_t) -> i64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // Not by the C library's way around the kernel, which leads through memory that [`settle`] gives up.
    // SAFETY: the pointer is valid; these clocks always exist.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut now) };
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

/// Microseconds since the epoch.
pub(crate) fn wall_micros() -> i64 {
    clock_micros(libc::CLOCK_REALTIME)
}

/// Microseconds on a clock that never jumps.
pub(crate) fn steady_micros() -> i64 {
    clock_micros(libc::CLOCK_MONOTONIC)
}

/// Milliseconds on the same clock.
pub(crate) fn steady_millis() -> i64 {
    steady_micros() / 1000
}

/// A descriptor known by its number: standard input, output, error, or one put there for good by
/// [`copy_onto`].
pub(crate) fn standard(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: such descriptors stay open for the life of the process.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Whether the other end of a pipe is closed.
pub(crate) fn is_deserted(pipe: impl AsFd) -> bool {
    let mut watched = [Watched {
        descriptor: pipe.as_fd(),
        wanted: 0,
        found: 0,
    }];
    poll(&mut watched, Some(0)).is_ok() && watched[0].found & (libc::POLLERR | libc::POLLHUP) != 0
}
