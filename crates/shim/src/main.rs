//! `landfall-shim`: parent of one dyno. It starts what its standard input asks for, keeps the
//! dyno's output and records its end, whatever becomes of the server.
//!
//! It knows nothing of apps or releases, restarts a dyno only while no server is there to decide
//! about that, and is kept small: one resident process per dyno. Read [`launch`] first; `mounts`
//! builds the file system, `first` is the dyno's process 1, `supervise` the long life after.

mod attached;
mod backoff;
mod bucket;
mod clients;
mod desk;
mod ending;
mod exec;
mod failure;
mod first;
mod host_root;
mod ids;
mod launch;
mod lines;
mod log;
mod memory;
mod mounts;
mod nest;
mod program;
mod sleep;
mod stdio;
mod supervise;
mod sys;
mod trace;
mod tries;

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use shim::{
    start::{NEST, StartAnswer, StartRequest, Step},
    trials,
};

use crate::{
    desk::Desk,
    failure::{At, Failure},
    supervise::Supervisor,
    sys::Fork,
    trace::Trace,
};

fn main() -> ExitCode {
    let trace = Trace::begin();
    let mut arguments = std::env::args_os().skip(1);
    let done = match arguments.next() {
        Some(argument) if argument == trials::ARGUMENT => {
            let directories: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
            send(&tries::run(&directories))
        }
        Some(argument) if argument == NEST => nest::keep(arguments.next().is_some()),
        _ => keep_dyno(trace, Birth::Own),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// How this process came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Birth {
    /// A program that the server has run.
    Own,
    /// Out of a nest, which is no part of the server any more.
    Nest,
}

/// The life of a shim: it starts what it is asked for, says so, and keeps it until the end.
fn keep_dyno(mut trace: Trace, birth: Birth) -> io::Result<()> {
    let supervisor = read_request().and_then(|request| {
        trace.mark(Step::Request);
        if birth == Birth::Own {
            detach(&request)?;
            trace.mark(Step::Detach);
        }
        start(request, trace)
    });
    let answer = supervisor
        .as_ref()
        .map_or_else(Failure::answer, |_| StartAnswer::Started);
    // A server that has gone meanwhile finds the dyno by its directory.
    drop(send(&answer));
    let failed = |failure: Failure| io::Error::from_raw_os_error(failure.errno);
    let supervisor = supervisor.map_err(failed)?;
    sys::silence()?;
    supervisor.run()
}

fn read_request() -> Result<StartRequest, Failure> {
    // Descriptors that the server forgot to close must reach neither us nor the dyno.
    sys::close_from(3, false).at(Step::Request)?;
    // Config vars pass through this process: nobody may look into it.
    sys::process_option(libc::PR_SET_DUMPABLE, 0).at(Step::Request)?;
    sys::set_umask(0o022);
    std::env::set_current_dir("/").at(Step::Request)?;
    unbuffered(0).and_then(StartRequest::read).at(Step::Request)
}

/// Waits until the server has made the dyno's cgroup, or has failed to.
fn await_cgroup() -> Result<(), Failure> {
    let mut byte = [0];
    unbuffered(0)
        .and_then(|mut input| input.read_exact(&mut byte))
        .at(Step::Cgroup)
}

/// Leaves the server: its process tree, session, signals and cgroup.
fn detach(request: &StartRequest) -> Result<(), Failure> {
    let place = launch::Joining::open(&request.shim_cgroup).at(Step::Detach)?;
    match place.clone(0).at(Step::Detach)? {
        Fork::Parent { .. } => sys::exit_now(0),
        Fork::Child => {
            leave_session().at(Step::Detach)?;
            sys::join_cgroups(&place.tasks).at(Step::Detach)
        }
    }
}

/// A session of its own, which nobody's terminal or service ends.
fn leave_session() -> io::Result<()> {
    sys::new_session()?;
    [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE]
        .into_iter()
        .try_for_each(|signal| sys::set_signal(signal, libc::SIG_IGN))
}

fn start(request: StartRequest, trace: Trace) -> Result<Supervisor, Failure> {
    let desk = Desk::open(&request.directory).at(Step::Directory)?;
    let launched = launch::launch(&request, 0, trace, await_cgroup)?;
    Ok(Supervisor::new(Box::new(request), desk, launched))
}

fn send(answer: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    unbuffered(1)?.write_all(&line)
}

/// Standard input or output, without the buffers that the library keeps for good.
fn unbuffered(number: i32) -> io::Result<impl Read + Write> {
    Ok(File::from(sys::standard(number).try_clone_to_owned()?))
}
