//! Commands that run inside the dyno beside its own program, each for one client.
//!
//! A command joins the dyno's cgroup and namespaces and is confined as the dyno's program is. It is
//! a child of the shim and ends with the dyno, whose process namespace it is in. Read
//! [`Execs::start`] first.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use shim::{
    control::Exec,
    start::{Place, StartRequest, Step},
};

use crate::{
    attached::{Attached, End},
    failure::{At, Failure, pipe},
    first::{self, COULD_NOT_RUN},
    launch::Joining,
    program::Program,
    stdio::{self, Inner},
    sys::{self, Fork, Watched},
    trace::Trace,
};

/// Most commands at once.
const MAX_EXECS: usize = 16;
/// How long a command may take until its program runs; everything else waits for it.
const START_MS: i64 = 5_000;
/// How long what is left of a command whose client has gone may take to end after SIGHUP.
const HANG_UP_MS: i64 = 5_000;
/// All namespaces that a dyno has of its own.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

/// A command.
#[derive(Debug)]
struct Running {
    /// It leads a session, whose id this is as well.
    process: i32,
    pidfd: OwnedFd,
    has_ended: bool,
    attached: Attached,
    kill_at_ms: Option<i64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    running: Vec<Running>,
}

/// What a poll watches of one of the commands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// The process.
    Process,
    /// Its terminal or pipes, or its client.
    End(End),
}

/// One of the commands, until the next [`Execs::settle`].
pub(crate) type Number = usize;

impl Execs {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether there is room for another.
    pub(crate) fn has_room(&self) -> bool {
        self.running.len() < MAX_EXECS
    }

    /// Runs a command inside a dyno that is awake. Its client is still to be connected.
    pub(crate) fn start(
        &mut self,
        request: &StartRequest,
        program: &Program,
        exec: &Exec,
    ) -> Result<&mut Attached, Failure> {
        let (process, outer) = launch(request, program, exec)?;
        let pidfd = sys::open_process(process).at(Step::Namespaces);
        let attached = Attached::new(outer).map_err(|_| invalid());
        match pidfd.and_then(|pidfd| Ok((pidfd, attached?))) {
            Ok((pidfd, attached)) => {
                let running = Running {
                    process,
                    pidfd,
                    has_ended: false,
                    attached,
                    kill_at_ms: None,
                };
                self.running.push(running);
                let newest = self.running.last_mut().ok_or_else(invalid)?;
                Ok(&mut newest.attached)
            }
            Err(failure) => {
                end(process);
                Err(failure)
            }
        }
    }

    /// What to poll for.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (Number, Part, BorrowedFd<'_>, i16)> {
        self.running.iter().enumerate().flat_map(|(number, one)| {
            let process =
                (!one.has_ended).then(|| (number, Part::Process, one.pidfd.as_fd(), libc::POLLIN));
            let ends = one.attached.wanted().into_iter();
            let ends = ends
                .map(move |(end, descriptor, wanted)| (number, Part::End(end), descriptor, wanted));
            process.into_iter().chain(ends)
        })
    }

    /// When [`Execs::settle`] has something to do, on the steady clock.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        self.running.iter().filter_map(|one| one.kill_at_ms).min()
    }

    /// Does what a poll found to be possible.
    pub(crate) fn advance(&mut self, number: Number, part: Part, found: i16, place: &Place) {
        let Some(one) = self.running.get_mut(number) else {
            return;
        };
        match part {
            Part::Process => one.reap(place),
            Part::End(end) => {
                if one.attached.advance(end, found) {
                    one.kill_at_ms = Some(sys::steady_millis() + HANG_UP_MS);
                    one.signal(libc::SIGHUP, place);
                    one.forget_ended(place);
                }
            }
        }
    }

    /// Kills those that have not ended for a hang-up, and forgets those that are over.
    pub(crate) fn settle(&mut self, place: &Place) {
        if self.running.is_empty() {
            return;
        }
        let now = sys::steady_millis();
        for one in &mut self.running {
            if one.kill_at_ms.is_some_and(|at| at <= now) {
                one.kill_at_ms = None;
                one.signal(libc::SIGKILL, place);
            }
        }
        self.running.retain(|one| {
            !one.has_ended || one.attached.is_waited_for() || one.kill_at_ms.is_some()
        });
    }

    /// Waits for clients to take what their commands left before the dyno ended.
    pub(crate) fn linger(&mut self, until_ms: i64, place: &Place) -> io::Result<()> {
        loop {
            self.settle(place);
            let left = until_ms - sys::steady_millis();
            if self.running.is_empty() || left <= 0 {
                return Ok(());
            }
            let (parts, mut watched): (Vec<_>, Vec<_>) = self
                .wanted()
                .map(|(number, part, descriptor, wanted)| {
                    let watched = Watched {
                        descriptor,
                        wanted,
                        found: 0,
                    };
                    ((number, part), watched)
                })
                .unzip();
            sys::poll(&mut watched, Some(left))?;
            let found: Vec<i16> = watched.iter().map(|one| one.found).collect();
            for ((number, part), found) in parts.into_iter().zip(found) {
                if found != 0 {
                    self.advance(number, part, found, place);
                }
            }
        }
    }
}

impl Running {
    fn reap(&mut self, place: &Place) {
        // It cannot have been reaped before: nobody else waits for it.
        drop(sys::wait(self.process, true));
        self.has_ended = true;
        self.attached.drain_held();
        self.forget_ended(place);
    }

    /// Its id may be given to another process once nothing of its session is left.
    fn forget_ended(&mut self, place: &Place) {
        if self.has_ended && self.session(place).is_empty() {
            self.kill_at_ms = None;
        }
    }

    /// Sends a signal to every process of its session.
    fn signal(&self, signal: i32, place: &Place) {
        for process in self.session(place) {
            // One that has ended meanwhile needs none.
            drop(sys::signal_process(process.as_fd(), signal));
        }
    }

    fn session(&self, place: &Place) -> Vec<OwnedFd> {
        let group = place.directories.first();
        let list = group.and_then(|group| fs::read_to_string(group.join("cgroup.procs")).ok());
        let list = list.unwrap_or_default();
        let members = list.lines().filter_map(|line| {
            let process: i32 = line.parse().ok()?;
            // The handle first, so that the answer is about the process it stands for.
            let handle = sys::open_process(process).ok()?;
            (sys::session_of(process).ok()? == self.process).then_some(handle)
        });
        members.collect()
    }
}

fn invalid() -> Failure {
    Failure {
        step: Step::Stdio,
        errno: libc::EINVAL,
    }
}

fn end(process: i32) {
    drop(sys::kill(process, libc::SIGKILL));
    drop(sys::wait(process, true));
}

/// The pipes between the shim and a command that is being started.
struct Tools {
    stdio: Inner,
    tasks: Vec<File>,
    /// The command's process id goes here.
    born: OwnedFd,
    /// Failures go here; running the program closes it.
    report: OwnedFd,
}

/// Starts the command and returns once its program runs.
fn launch(
    request: &StartRequest,
    program: &Program,
    exec: &Exec,
) -> Result<(i32, stdio::Outer), Failure> {
    if exec.stdio == shim::start::Stdio::Logged {
        return Err(invalid());
    }
    let root = PathBuf::from(format!("/proc/{}/root", program.process));
    let (outer, inner) = stdio::make(exec.stdio, &root, request.identity).at(Step::Stdio)?;
    let joining = Joining::open(&request.cgroup).at(Step::Cgroup)?;
    let (born, born_writer) = pipe().at(Step::Stdio)?;
    let (report, report_writer) = pipe().at(Step::Stdio)?;
    let forked = joining.clone(0).at(Step::Namespaces)?;
    let Joining { tasks, .. } = joining;
    let tools = Tools {
        stdio: inner,
        tasks,
        born: born_writer,
        report: report_writer,
    };
    let go_between = match forked {
        Fork::Child => enter(request, program, exec, tools),
        Fork::Parent { child, .. } => child,
    };
    drop(tools);
    let process = receive_process(born.into());
    if process.is_err() {
        // It may be stuck.
        drop(sys::kill(go_between, libc::SIGKILL));
    }
    drop(sys::wait(go_between, true));
    let Ok(process) = process else {
        let failure = Failure::receive(File::from(report)).err();
        return Err(failure.unwrap_or(Failure {
            step: Step::Namespaces,
            errno: libc::ETIMEDOUT,
        }));
    };
    let ran = await_bytes(&report)
        .at(Step::Command)
        .and_then(|()| Failure::receive(File::from(report)));
    match ran {
        Ok(_) => Ok((process, outer)),
        Err(failure) => {
            end(process);
            Err(failure)
        }
    }
}

fn receive_process(mut born: File) -> io::Result<i32> {
    await_bytes(&born)?;
    let mut bytes = [0; 4];
    born.read_exact(&mut bytes)?;
    Ok(i32::from_le_bytes(bytes))
}

fn await_bytes(pipe: &impl AsFd) -> io::Result<()> {
    let mut watched = [Watched {
        descriptor: pipe.as_fd(),
        wanted: libc::POLLIN,
        found: 0,
    }];
    sys::poll(&mut watched, Some(START_MS))?;
    if watched[0].found == 0 {
        return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
    }
    Ok(())
}

/// The go-between: enters the dyno, leaves the command there as a child of the shim, and ends. What
/// it is itself cannot change to another process namespace, only its children can.
fn enter(request: &StartRequest, program: &Program, exec: &Exec, tools: Tools) -> ! {
    match join(request, program, &tools.tasks) {
        Ok(Fork::Child) => run(request, exec, tools),
        Ok(Fork::Parent { child, .. }) => {
            let told = File::from(tools.born).write_all(&child.to_le_bytes());
            sys::exit_now(if told.is_ok() { 0 } else { COULD_NOT_RUN })
        }
        Err(failure) => first::fail(&failure, tools.report),
    }
}

fn join(request: &StartRequest, program: &Program, tasks: &[File]) -> Result<Fork, Failure> {
    sys::join_cgroups(tasks).at(Step::Cgroup)?;
    if request.identity.is_own() {
        // The kernel shows a process that nobody may look into as root's, also to itself.
        sys::process_option(libc::PR_SET_DUMPABLE, 1).at(Step::Privileges)?;
    }
    let score = request.rank.oom_score.to_string();
    fs::write("/proc/self/oom_score_adj", score).at(Step::Privileges)?;
    let mut namespaces = NAMESPACES;
    if request.shares_network {
        namespaces &= !libc::CLONE_NEWNET;
    }
    sys::join_namespace(program.pidfd.as_fd(), namespaces).at(Step::Namespaces)?;
    sys::clone(libc::CLONE_PARENT, None).at(Step::Namespaces)
}

/// Confines itself as the dyno's program is, and becomes the command.
fn run(request: &StartRequest, exec: &Exec, tools: Tools) -> ! {
    let Tools {
        stdio,
        born,
        report,
        ..
    } = tools;
    drop(born);
    let mut report = File::from(report);
    let mut trace = Trace::begin();
    let confined =
        confine(request).and_then(|()| first::ready_program(request, &stdio, &mut trace));
    let failure = match confined {
        Ok(()) => {
            Failure::send_ready(&mut report, &trace);
            let mut request = request.clone();
            request.command.clone_from(&exec.command);
            request.environment.extend(exec.environment.clone());
            Failure {
                step: Step::Command,
                errno: first::execute(&request),
            }
        }
        Err(failure) => failure,
    };
    first::fail(&failure, report.into())
}

fn confine(request: &StartRequest) -> Result<(), Failure> {
    first::set_limits(request).at(Step::Privileges)?;
    sys::drop_bounding_set().at(Step::Privileges)?;
    sys::process_option(libc::PR_SET_NO_NEW_PRIVS, 1).at(Step::Privileges)?;
    sys::install_filter(&request.seccomp).at(Step::Seccomp)
}
