//! Starting the dyno, from the request to the running program.
//!
//! Everything made on the way belongs to this process's own mount namespace or to the dyno's
//! directory, so a failure leaves nothing to clean but that directory. Read [`launch`] first.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use shim::{
    VERSION,
    files::{self, State},
    start::{Place, StartRequest, Step},
};

use crate::{
    failure::{At, Failure, pipe},
    first::{self, Tools},
    ids, mounts,
    stdio::{self, Outer},
    sys::{self, Fork},
    trace::Trace,
};

/// Namespaces that the dyno gets with its first process; cgroup and network come otherwise.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// A cgroup made ready to be joined.
#[derive(Debug)]
pub(crate) struct Joining {
    into: Option<OwnedFd>,
    /// Opened `tasks` files.
    pub(crate) tasks: Vec<File>,
}

impl Joining {
    /// Opens what joining takes, while this process still may.
    pub(crate) fn open(place: &Place) -> io::Result<Self> {
        let into = place
            .into
            .as_ref()
            .map(File::open)
            .transpose()?
            .map(OwnedFd::from);
        let open = |path: &PathBuf| File::options().write(true).open(path);
        Ok(Self {
            into,
            tasks: place.tasks.iter().map(open).collect::<io::Result<_>>()?,
        })
    }

    /// A fork into the cgroup and into new namespaces.
    pub(crate) fn clone(&self, namespaces: i32) -> io::Result<Fork> {
        sys::clone(namespaces, self.into.as_ref().map(AsFd::as_fd))
    }
}

/// A dyno's program that runs, and the shim's ends of it.
#[derive(Debug)]
pub(crate) struct Launched {
    /// The dyno's first process.
    pub(crate) process: i32,
    /// A handle to that.
    pub(crate) pidfd: OwnedFd,
    /// Where that says how the program ended.
    pub(crate) status: OwnedFd,
    /// The program's standard input, output and error.
    pub(crate) outer: Outer,
    /// When, microseconds since the epoch.
    pub(crate) started_at_micros: i64,
}

/// Starts the dyno, for the first time or after so many `restarts`. A failure leaves this process
/// as it was. The dyno's cgroup is not needed before `await_cgroup` has returned.
pub(crate) fn launch(
    request: &StartRequest,
    restarts: u64,
    mut trace: Trace,
    await_cgroup: impl FnOnce() -> Result<(), Failure>,
) -> Result<Launched, Failure> {
    let home = Namespaces::remember().at(Step::Namespaces)?;
    let born = give_birth(request, &mut trace, await_cgroup);
    // It finishes its confinement while this process finds back.
    let released = born
        .as_ref()
        .map_or(Ok(()), |(newborn, _)| newborn.release(request, &mut trace));
    let returned = if request.identity.is_own() {
        Ok(())
    } else {
        home.return_to().at(Step::Namespaces)
    };
    let (newborn, outer) = born?;
    let started_at_micros = sys::wall_micros();
    let started = released
        .and(returned)
        .and_then(|()| newborn.await_program(&mut trace))
        .and_then(|()| {
            let state = state(request, newborn.process, started_at_micros);
            let state = State {
                restarts,
                trace: trace.into_steps(),
                ..state
            };
            files::write_json(&request.directory.join(files::STATE), &state).at(Step::Directory)
        });
    if let Err(failure) = started {
        newborn.end();
        mounts::clean_capture(mounts::capture_work(request).as_deref());
        return Err(failure);
    }
    Ok(Launched {
        process: newborn.process,
        pidfd: newborn.pidfd,
        status: newborn.status,
        outer,
        started_at_micros,
    })
}

/// Makes the first process, which waits to be released. Leaves this process among the mounts that
/// it has made for it.
fn give_birth(
    request: &StartRequest,
    trace: &mut Trace,
    await_cgroup: impl FnOnce() -> Result<(), Failure>,
) -> Result<(Newborn, Outer), Failure> {
    let root = if request.identity.is_own() {
        await_cgroup()?;
        // Only inside its namespaces may the first process mount anything.
        PathBuf::from("/")
    } else {
        sys::unshare(libc::CLONE_NEWNS).at(Step::Namespaces)?;
        mounts::make_private().at(Step::Namespaces)?;
        trace.mark(Step::Namespaces);
        mounts::prepare(request, trace, await_cgroup)?
    };
    let mut namespaces = NAMESPACES;
    match &request.netns {
        None if request.shares_network => {}
        Some(netns) => File::open(netns)
            .and_then(|netns| sys::join_namespace(netns.as_fd(), libc::CLONE_NEWNET))
            .at(Step::Network)?,
        None => namespaces |= libc::CLONE_NEWNET,
    }
    trace.mark(Step::Network);
    let (outer, inner) = stdio::make(request.stdio, &root, request.identity).at(Step::Stdio)?;
    std::env::set_current_dir(&root).at(Step::Root)?;
    let joining = Joining::open(&request.cgroup).at(Step::Cgroup)?;
    let (go_reader, go) = pipe().at(Step::Stdio)?;
    let (report, report_writer) = pipe().at(Step::Stdio)?;
    let (status, status_writer) = pipe().at(Step::Stdio)?;
    trace.mark(Step::Stdio);
    // Before there is a user namespace that does not know them.
    let own = (sys::user_id(), sys::group_id());
    let forked = joining.clone(namespaces).at(Step::Namespaces)?;
    let Joining { tasks, .. } = joining;
    let tools = Tools {
        stdio: inner,
        tasks,
        go: go_reader,
        report: report_writer,
        status: status_writer,
        ids: own,
    };
    let (process, pidfd) = match forked {
        Fork::Child => first::run(request, tools),
        Fork::Parent { pidfd: None, .. } => return Err(no_handle()),
        Fork::Parent {
            child,
            pidfd: Some(pidfd),
        } => (child, pidfd),
    };
    trace.mark(Step::Namespaces);
    let newborn = Newborn {
        process,
        pidfd,
        status,
        go,
        report,
    };
    Ok((newborn, outer))
}

fn no_handle() -> Failure {
    Failure {
        step: Step::Namespaces,
        errno: libc::ENOSYS,
    }
}

/// The host's namespaces, to come back to.
struct Namespaces {
    mounts: File,
    network: File,
}

impl Namespaces {
    fn remember() -> io::Result<Self> {
        let [mounts, network] =
            ["mnt", "net"].map(|kind| File::open(format!("/proc/self/ns/{kind}")));
        Ok(Self {
            mounts: mounts?,
            network: network?,
        })
    }

    /// Lets go of the private mounts, so that the shim pins none of the host's.
    fn return_to(&self) -> io::Result<()> {
        sys::join_namespace(self.network.as_fd(), libc::CLONE_NEWNET)?;
        sys::join_namespace(self.mounts.as_fd(), libc::CLONE_NEWNS)
    }
}

/// The first process, before it is known whether the program runs.
struct Newborn {
    process: i32,
    pidfd: OwnedFd,
    status: OwnedFd,
    go: OwnedFd,
    report: OwnedFd,
}

impl Newborn {
    /// Gives the process its ids and lets it go.
    fn release(&self, request: &StartRequest, trace: &mut Trace) -> Result<(), Failure> {
        if !request.identity.is_own() {
            let process = PathBuf::from(format!("/proc/{}", self.process));
            ids::write_maps(&process, &ids::dyno_map(request.identity)).at(Step::Identity)?;
            let score = request.rank.oom_score.to_string();
            fs::write(process.join("oom_score_adj"), score).at(Step::Privileges)?;
            trace.mark(Step::Identity);
        }
        self.go
            .try_clone()
            .and_then(|go| File::from(go).write_all(&[1]))
            .at(Step::Namespaces)
    }

    /// Waits until the program runs.
    fn await_program(&self, trace: &mut Trace) -> Result<(), Failure> {
        let report = self.report.try_clone().at(Step::Shim)?;
        trace.include(&Failure::receive(File::from(report))?);
        trace.mark(Step::Command);
        Ok(())
    }

    fn end(&self) {
        // It may have ended by itself; either way it is waited for.
        drop(sys::signal_process(self.pidfd.as_fd(), libc::SIGKILL));
        drop(sys::wait(self.process, true));
    }
}

fn state(request: &StartRequest, process: i32, started_at_micros: i64) -> State {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    State {
        version: VERSION,
        shim: std::process::id().cast_signed(),
        process,
        process_started_ticks: files::start_ticks(&stat).unwrap_or(0),
        started_at_micros,
        cgroup: request.cgroup.clone(),
        capture_work: mounts::capture_work(request),
        notes: serde_json::from_str(&request.notes).unwrap_or_default(),
        restarts: 0,
        trace: Vec::new(),
    }
}
