//! Starting the dyno, from the request to the running program.
//!
//! Everything made on the way belongs to this process's own mount namespace or to the dyno's
//! directory, so a failure leaves nothing to clean but that directory. Read [`launch`] first.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{fs::DirBuilderExt, net::UnixListener},
    },
    path::{Path, PathBuf},
};

use shim::{
    VERSION,
    files::{self, State},
    spool::{SEGMENT_BYTES, Writer},
    start::{Place, StartRequest, Step},
};

use crate::{
    failure::{At, Failure, pipe},
    first::{self, Tools},
    mounts,
    stdio::{self, Outer},
    supervise::{Dyno, Supervisor},
    sys::{self, Fork},
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

/// Files of the dyno's directory that the shim keeps open.
struct Desk {
    lock: File,
    spool: Writer,
    listener: UnixListener,
}

/// Starts the dyno and returns what keeps it.
pub(crate) fn launch(request: Box<StartRequest>) -> Result<Supervisor, Failure> {
    let desk = Desk::open(&request.directory).at(Step::Directory)?;
    let home = Namespaces::remember().at(Step::Namespaces)?;
    sys::unshare(libc::CLONE_NEWNS).at(Step::Namespaces)?;
    let private = libc::MS_REC | libc::MS_PRIVATE;
    sys::mount("", Path::new("/"), "", private, "").at(Step::Namespaces)?;
    let root = mounts::prepare(&request)?;
    let mut namespaces = NAMESPACES;
    match &request.netns {
        Some(netns) => File::open(netns)
            .and_then(|netns| sys::join_namespace(netns.as_fd(), libc::CLONE_NEWNET))
            .at(Step::Network)?,
        None => namespaces |= libc::CLONE_NEWNET,
    }
    let (outer, inner) = stdio::make(request.stdio, &root, request.identity).at(Step::Stdio)?;
    std::env::set_current_dir(&root).at(Step::Root)?;
    let joining = Joining::open(&request.cgroup).at(Step::Cgroup)?;
    let (go_reader, go) = pipe().at(Step::Stdio)?;
    let (report, report_writer) = pipe().at(Step::Stdio)?;
    let (status, status_writer) = pipe().at(Step::Stdio)?;
    let forked = joining.clone(namespaces).at(Step::Namespaces)?;
    let Joining { tasks, .. } = joining;
    let tools = Tools {
        stdio: inner,
        tasks,
        go: go_reader,
        report: report_writer,
        status: status_writer,
    };
    let (process, pidfd) = match forked {
        Fork::Child => first::run(&request, tools),
        Fork::Parent { pidfd: None, .. } => return Err(no_handle()),
        Fork::Parent {
            child,
            pidfd: Some(pidfd),
        } => (child, pidfd),
    };
    drop(tools);
    let newborn = Newborn {
        process,
        pidfd,
        status,
        go,
        report,
    };
    let started = home
        .return_to()
        .at(Step::Namespaces)
        .and_then(|()| newborn.release(&request))
        .and_then(|()| write_state(&request, process).at(Step::Directory));
    if let Err(failure) = started {
        newborn.end();
        mounts::clean_capture(mounts::capture_work(&request).as_deref());
        return Err(failure);
    }
    Ok(newborn.into_supervisor(request, outer, desk))
}

fn no_handle() -> Failure {
    Failure {
        step: Step::Namespaces,
        errno: libc::ENOSYS,
    }
}

impl Desk {
    fn open(directory: &Path) -> io::Result<Self> {
        let lock = File::create(directory.join(files::LOCK))?;
        lock.lock()?;
        let spool = Writer::create(&directory.join(files::LOG), SEGMENT_BYTES)?;
        DirBuilder::new()
            .mode(0o700)
            .create(directory.join(files::MOUNTS))?;
        // The address of a socket is short, the path of a directory may not be.
        let short = File::open(directory)?;
        let address = format!("/proc/self/fd/{}/{}", short.as_raw_fd(), files::CONTROL);
        let listener = UnixListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            lock,
            spool,
            listener,
        })
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
    /// Gives the process its ids, lets it go, and waits until the program runs.
    fn release(&self, request: &StartRequest) -> Result<(), Failure> {
        let process = PathBuf::from(format!("/proc/{}", self.process));
        mounts::write_maps(&process, &mounts::dyno_map(request.identity)).at(Step::Identity)?;
        fs::write(
            process.join("oom_score_adj"),
            request.rank.oom_score.to_string(),
        )
        .at(Step::Privileges)?;
        self.go
            .try_clone()
            .and_then(|go| File::from(go).write_all(&[1]))
            .at(Step::Namespaces)?;
        Failure::receive(File::from(self.report.try_clone().at(Step::Shim)?))
    }

    fn end(&self) {
        // It may have ended by itself; either way it is waited for.
        drop(sys::signal_process(self.pidfd.as_fd(), libc::SIGKILL));
        drop(sys::wait(self.process, true));
    }

    fn into_supervisor(self, request: Box<StartRequest>, outer: Outer, desk: Desk) -> Supervisor {
        let Desk {
            lock,
            spool,
            listener,
        } = desk;
        let dyno = Dyno {
            request,
            process: self.process,
            pidfd: self.pidfd,
            status: self.status,
            _lock: lock,
        };
        Supervisor::new(dyno, outer, spool, listener)
    }
}

fn write_state(request: &StartRequest, process: i32) -> io::Result<()> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = State {
        version: VERSION,
        shim: std::process::id().cast_signed(),
        process,
        process_started_ticks: files::start_ticks(&stat).unwrap_or(0),
        started_at_micros: sys::wall_micros(),
        cgroup: request.cgroup.clone(),
        capture_work: mounts::capture_work(request),
        notes: request.notes.clone(),
        restarts: 0,
        trace: Vec::new(),
    };
    files::write_json(&request.directory.join(files::STATE), &state)
}
