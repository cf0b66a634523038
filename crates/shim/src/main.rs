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
mod launch;
mod lines;
mod log;
mod memory;
mod mounts;
mod program;
mod sleep;
mod stdio;
mod supervise;
mod sys;
mod trace;
mod tries;

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use shim::{
    start::{StartAnswer, StartRequest, Step},
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
    let mut trace = Trace::begin();
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_some_and(|argument| argument == trials::ARGUMENT)
    {
        let directories: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
        return match send(&tries::run(&directories)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let supervisor = read_request().and_then(|request| {
        trace.mark(Step::Request);
        detach(&request)?;
        trace.mark(Step::Detach);
        start(request, trace)
    });
    let answer = supervisor
        .as_ref()
        .map_or_else(Failure::answer, |_| StartAnswer::Started);
    // A server that has gone meanwhile finds the dyno by its directory.
    drop(send(&answer));
    match supervisor.and_then(|supervisor| {
        sys::silence().at(Step::Shim)?;
        sys::give_back();
        supervisor.run().at(Step::Shim)
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn read_request() -> Result<StartRequest, Failure> {
    // Descriptors that the server forgot to close must reach neither us nor the dyno.
    sys::close_from(3, false).at(Step::Request)?;
    // Config vars pass through this process: nobody may look into it.
    sys::process_option(libc::PR_SET_DUMPABLE, 0).at(Step::Request)?;
    sys::set_umask(0o022);
    std::env::set_current_dir("/").at(Step::Request)?;
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).at(Step::Request)?;
    StartRequest::decode(&bytes).at(Step::Request)
}

/// Leaves the server: its process tree, session, signals and cgroup.
fn detach(request: &StartRequest) -> Result<(), Failure> {
    let place = launch::Joining::open(&request.shim_cgroup).at(Step::Detach)?;
    match place.clone(0).at(Step::Detach)? {
        Fork::Parent { .. } => sys::exit_now(0),
        Fork::Child => {
            sys::new_session().at(Step::Detach)?;
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE] {
                sys::set_signal(signal, libc::SIG_IGN).at(Step::Detach)?;
            }
            sys::join_cgroups(&place.tasks).at(Step::Detach)
        }
    }
}

fn start(request: StartRequest, trace: Trace) -> Result<Supervisor, Failure> {
    let desk = Desk::open(&request.directory).at(Step::Directory)?;
    let launched = launch::launch(&request, 0, trace)?;
    Ok(Supervisor::new(Box::new(request), desk, launched))
}

fn send(answer: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    io::stdout().flush()
}
