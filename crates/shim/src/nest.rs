//! The nest: a process that waits, ready made, to become shims.
//!
//! Running a program anew for each dyno, out of a large server, takes longer than most of what a
//! shim has to do. So the server runs one and keeps it, in the shims' cgroup. It has one child, a copy
//! of itself, that waits for a connection and then is a shim; then it makes the next. What waits holds
//! nothing of any dyno, and ends with its server. Shims do not. Read [`keep`] first.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
};

use shim::start::{NEST, NEST_NAME};

use crate::{
    Birth,
    failure::pipe,
    keep_dyno, leave_session,
    sys::{self, Fork, Watched},
    trace::Trace,
};

/// What shims are called.
const SHIM_NAME: &str = "landfall-shim";

/// The longest that the next child waits to be made, milliseconds: two starts at once are as good as
/// one after the other, but one may hang.
const START_MS: i64 = 10;
/// How often it is looked whether the last child is gone, and the pause between.
const END_LOOKS: usize = 100;
const END_PAUSE_MS: i64 = 1;

/// Has the C library's allocator keep no freed memory at hand, which would lie about in every shim's
/// heap for good.
const TUNABLES: &CStr = c"GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0";

/// Tells a nest that its heap is where it should be, as well as may be.
const IN_ORDER: &str = "in-order";

/// Becomes a shim for each connection, until the server has gone.
pub(crate) fn keep(is_in_order: bool) -> io::Result<()> {
    sys::close_from(3, false)?;
    if !is_in_order && sys::place_in_order(true).is_ok() {
        let arguments = [NEST_NAME, NEST, IN_ORDER].map(CString::new);
        let arguments: Result<Vec<CString>, _> = arguments.into_iter().collect();
        // Only a program that is run anew has its heap elsewhere. One that cannot be goes on like this.
        drop(sys::execute(
            c"/proc/self/exe",
            &arguments?,
            &[TUNABLES.into()],
        ));
    }
    // What dynos run lies anywhere, which makes it harder to attack.
    sys::place_in_order(false)?;
    sys::process_option(libc::PR_SET_DUMPABLE, 0)?;
    sys::set_name(NEST_NAME)?;
    leave_session()?;
    // Shims that have ended are nobody's business here.
    sys::set_signal(libc::SIGCHLD, libc::SIG_IGN)?;
    std::env::set_current_dir("/")?;
    sys::settle(live)
}

extern "C" fn live() -> i32 {
    i32::from(watch().is_err())
}

/// Always has one child that waits for the next connection, so that a start waits for no fork.
fn watch() -> io::Result<()> {
    loop {
        let (taken, taker) = pipe()?;
        let child = match sys::fork()? {
            Fork::Child => {
                drop(taken);
                return wait_for_dyno(taker);
            }
            Fork::Parent { child, .. } => child,
        };
        drop(taker);
        // A child that was killed closes it, too, and is followed by another.
        if !await_input(taken.as_fd())? {
            return end_after(child);
        }
        await_start(taken.as_fd())?;
    }
}

/// Leaves the processor to a start until that is over, or takes its time.
fn await_start(taken: BorrowedFd<'_>) -> io::Result<()> {
    let mut watched = [Watched {
        descriptor: taken,
        wanted: 0,
        found: 0,
    }];
    sys::poll(&mut watched, Some(START_MS))
}

/// Lets the child, which ends as well, go first: whoever waits for this process wants both gone. One
/// that has just become a shim lives on.
fn end_after(child: i32) -> io::Result<()> {
    for _ in 0..END_LOOKS {
        if sys::kill(child, 0).is_err() {
            break;
        }
        sys::poll(&mut [], Some(END_PAUSE_MS))?;
    }
    Ok(())
}

fn wait_for_dyno(taker: OwnedFd) -> io::Result<()> {
    let connection = loop {
        if !await_input(sys::standard(0))? {
            return Ok(());
        }
        let listener = UnixListener::from(sys::standard(0).try_clone_to_owned()?);
        match listener.accept() {
            Ok((connection, _)) => break OwnedFd::from(connection),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    };
    let trace = Trace::begin();
    // Where it stays open until the start is over, see [`sys::silence`].
    File::from(taker.try_clone()?).write_all(&[1])?;
    sys::copy_onto(taker.as_fd(), 2)?;
    drop(taker);
    for number in [0, 1] {
        sys::copy_onto(connection.as_fd(), number)?;
    }
    drop(connection);
    sys::set_name(SHIM_NAME)?;
    sys::set_signal(libc::SIGCHLD, libc::SIG_DFL)?;
    sys::new_session()?;
    keep_dyno(trace, Birth::Nest)
}

/// Whether there is something to read, or its other end is closed; not if the server has gone, which
/// was to read this process's output.
fn await_input(input: BorrowedFd<'_>) -> io::Result<bool> {
    loop {
        let mut watched =
            [(input, libc::POLLIN), (sys::standard(1), 0)].map(|(descriptor, wanted)| Watched {
                descriptor,
                wanted,
                found: 0,
            });
        sys::poll(&mut watched, None)?;
        if watched[1].found != 0 {
            return Ok(false);
        }
        if watched[0].found != 0 {
            return Ok(true);
        }
    }
}
