//! The dyno's first process: finishes the confinement from inside, starts the program, then reaps
//! processes and passes signals on until the program has ended.
//!
//! It is process 1 of the dyno and runs in a fork of the shim. Read [`run`] first.

use std::{
    ffi::{CString, OsStr},
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use shim::start::{DYNO_ID, StartRequest, Step};

use crate::{
    failure::{At, Failure},
    ids, mounts,
    stdio::Inner,
    sys::{self, Fork},
    trace::Trace,
};

/// Files of `/proc` that tell about the host, hidden behind `/dev/null`.
const MASKED_FILES: [&str; 7] = [
    "kcore",
    "keys",
    "latency_stats",
    "timer_list",
    "sched_debug",
    "kallsyms",
    "kmsg",
];
/// Directories of `/proc` that tell about the host, hidden behind an empty one. Into `pressure` a
/// dyno could write as well, to have the kernel watch the host for it.
const MASKED_DIRECTORIES: [&str; 4] = ["acpi", "asound", "pressure", "scsi"];
/// Parts of `/proc` that configure the host: read-only.
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
/// Where programs are looked for if the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Locked memory a dyno may have, bytes.
const LOCKED_BYTES: u64 = 64 << 10;
/// The status of a process that could not run its program.
pub(crate) const COULD_NOT_RUN: i32 = 127;

/// What the first process needs of what the shim has opened.
#[derive(Debug)]
pub(crate) struct Tools {
    /// The dyno's standard input, output and error.
    pub(crate) stdio: Inner,
    /// Version 1 `tasks` files to join.
    pub(crate) tasks: Vec<File>,
    /// A byte comes when the ids are mapped.
    pub(crate) go: OwnedFd,
    /// Failures go here; running the program closes it.
    pub(crate) report: OwnedFd,
    /// How the program ended goes here.
    pub(crate) status: OwnedFd,
    /// The user and group id of the shim.
    pub(crate) ids: (u32, u32),
}

/// Does all of it; never returns.
pub(crate) fn run(request: &StartRequest, tools: Tools) -> ! {
    let mut byte = [0];
    if File::from(tools.go).read_exact(&mut byte).is_err() {
        // The shim is gone.
        sys::exit_now(COULD_NOT_RUN);
    }
    let mut trace = Trace::begin();
    let assembled = if request.identity.is_own() {
        assemble(request, tools.ids, &mut trace)
    } else {
        Ok(())
    };
    let confined = assembled.and_then(|()| confine(request, &tools.tasks, &mut trace));
    let forked = confined.and_then(|()| sys::fork().at(Step::Command));
    match forked {
        Ok(Fork::Child) => {
            let mut report = File::from(tools.report);
            let Err(failure) = ready_program(request, &tools.stdio, &mut trace) else {
                Failure::send_ready(&mut report, &trace);
                let failure = Failure {
                    step: Step::Command,
                    errno: execute(request),
                };
                fail(&failure, report.into());
            };
            fail(&failure, report.into())
        }
        Ok(Fork::Parent { child, .. }) => match keep_house(&tools.status) {
            Ok(()) => reap(child),
            Err(failure) => fail(&failure, tools.report),
        },
        Err(failure) => fail(&failure, tools.report),
    }
}

/// Tells the shim of a failure and ends.
pub(crate) fn fail(failure: &Failure, report: OwnedFd) -> ! {
    failure.send(File::from(report));
    sys::exit_now(COULD_NOT_RUN)
}

/// What the shim has done already where it has the power: ids and mounts.
fn assemble(request: &StartRequest, own: (u32, u32), trace: &mut Trace) -> Result<(), Failure> {
    // The kernel shows a process that nobody may look into as root's, also to itself.
    sys::process_option(libc::PR_SET_DUMPABLE, 1).at(Step::Identity)?;
    ids::map_own(own).at(Step::Identity)?;
    let score = request.rank.oom_score.to_string();
    std::fs::write("/proc/self/oom_score_adj", score).at(Step::Privileges)?;
    mounts::make_private().at(Step::Namespaces)?;
    let root = mounts::prepare(request, trace, || Ok(()))?;
    std::env::set_current_dir(root).at(Step::Root)
}

/// Everything that both the first process and the program are subject to.
///
/// The working directory is the new root: a path to it would lead through directories that only
/// the host's root may enter.
fn confine(request: &StartRequest, tasks: &[File], trace: &mut Trace) -> Result<(), Failure> {
    sys::join_cgroups(tasks).at(Step::Cgroup)?;
    trace.mark(Step::Cgroup);
    if !request.identity.is_own() {
        sys::become_id(0).at(Step::Privileges)?;
    }
    // Now, so that the dyno's own cgroup is the root it sees.
    sys::unshare(libc::CLONE_NEWCGROUP).at(Step::Namespaces)?;
    sys::set_hostname(&request.hostname).at(Step::Namespaces)?;
    trace.mark(Step::Namespaces);
    mount_proc(Path::new("proc"), Path::new("dev/null")).at(Step::Proc)?;
    trace.mark(Step::Proc);
    enter_root().at(Step::Root)?;
    trace.mark(Step::Root);
    set_limits(request).at(Step::Privileges)?;
    sys::block_signals(true).at(Step::Privileges)?;
    sys::drop_bounding_set().at(Step::Privileges)?;
    sys::process_option(libc::PR_SET_NO_NEW_PRIVS, 1).at(Step::Privileges)?;
    trace.mark(Step::Privileges);
    sys::install_filter(&request.seccomp).at(Step::Seccomp)?;
    trace.mark(Step::Seccomp);
    Ok(())
}

/// Mounts `/proc` while the host's own is still in sight, which the kernel asks for.
fn mount_proc(proc: &Path, null: &Path) -> io::Result<()> {
    // That it is missing must not look like that there is nothing to hide.
    std::fs::metadata(null)?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    sys::mount("proc", proc, "proc", flags, "")?;
    for name in MASKED_FILES {
        if_there(bind(null, &proc.join(name)))?;
    }
    mask_directories(proc, flags | libc::MS_RDONLY)?;
    for name in READ_ONLY {
        let path = proc.join(name);
        if if_there(bind(&path, &path))? {
            let flags = flags | libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
            sys::mount("", &path, "", flags, "")?;
        }
    }
    Ok(())
}

/// All with the same empty directory, because each file system costs the dyno memory.
fn mask_directories(proc: &Path, flags: libc::c_ulong) -> io::Result<()> {
    let mut empty: Option<PathBuf> = None;
    for name in MASKED_DIRECTORIES {
        let path = proc.join(name);
        if let Some(empty) = &empty {
            if_there(bind(empty, &path))?;
        } else if if_there(sys::mount(
            "tmpfs",
            &path,
            "tmpfs",
            flags,
            "size=0,nr_inodes=1",
        ))? {
            empty = Some(path);
        }
    }
    Ok(())
}

/// Whether it was done; what the kernel does not have needs no mask.
fn if_there(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn bind(source: &Path, target: &Path) -> io::Result<()> {
    let source = source.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    sys::mount(source, target, "", libc::MS_BIND, "")
}

/// Makes the working directory the root and lets go of the host's.
fn enter_root() -> io::Result<()> {
    // Mounts inherited from the host's user namespace are locked together and cannot become the
    // root; a copy of our own can.
    let tree = sys::open_tree(Path::new("."), true)?;
    sys::move_mount(tree.as_fd(), OwnedFd::from(File::open(".")?).as_fd())?;
    sys::enter_directory(tree.as_fd())?;
    sys::pivot_root_here()?;
    sys::detach(Path::new("."))?;
    std::env::set_current_dir("/")
}

/// What a process of the dyno may use, beside its cgroup's limits.
pub(crate) fn set_limits(request: &StartRequest) -> io::Result<()> {
    sys::limit(libc::RLIMIT_NOFILE, request.open_files)?;
    if let Some(bytes) = request.file_bytes {
        sys::limit(libc::RLIMIT_FSIZE, bytes)?;
    }
    sys::limit(libc::RLIMIT_CORE, 0)?;
    sys::limit(libc::RLIMIT_MEMLOCK, LOCKED_BYTES)?;
    if request.rank.nice > 0 {
        sys::set_nice(request.rank.nice)?;
        sys::yield_input_output()?;
    }
    Ok(())
}

/// Turns this process into what the program may be.
pub(crate) fn ready_program(
    request: &StartRequest,
    stdio: &Inner,
    trace: &mut Trace,
) -> Result<(), Failure> {
    sys::new_session().at(Step::Stdio)?;
    for (end, number) in [(&stdio.input, 0), (&stdio.output, 1), (&stdio.error, 2)] {
        sys::copy_onto(end.as_fd(), number).at(Step::Stdio)?;
    }
    if stdio.is_terminal {
        sys::take_terminal(sys::standard(0)).at(Step::Stdio)?;
    }
    trace.mark(Step::Stdio);
    sys::become_id(DYNO_ID).at(Step::Privileges)?;
    sys::set_capabilities(0).at(Step::Privileges)?;
    for signal in [libc::SIGPIPE, libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        sys::set_signal(signal, libc::SIG_DFL).at(Step::Privileges)?;
    }
    sys::block_signals(false).at(Step::Privileges)?;
    trace.mark(Step::Privileges);
    let directory = request.working_directory.as_deref();
    std::env::set_current_dir(directory.unwrap_or(Path::new("/app"))).at(Step::Command)?;
    sys::close_from(3, true).at(Step::Command)
}

/// Runs the command; returns the error number of the best try.
pub(crate) fn execute(request: &StartRequest) -> i32 {
    let strings = |texts: Vec<String>| texts.into_iter().map(CString::new).collect();
    let environment = request
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let arguments: Result<Vec<CString>, _> = strings(request.command.clone());
    let environment: Result<Vec<CString>, _> = strings(environment.collect());
    let (Some(program), Ok(arguments), Ok(environment)) =
        (request.command.first(), arguments, environment)
    else {
        return libc::EINVAL;
    };
    let path = request
        .environment
        .get("PATH")
        .map_or(DEFAULT_PATH, String::as_str);
    let mut answer = libc::ENOENT;
    for candidate in candidates(program, path) {
        let Ok(candidate) = CString::new(candidate.as_os_str().as_bytes()) else {
            return libc::EINVAL;
        };
        let error = sys::execute(&candidate, &arguments, &environment);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            // Another directory may hold one that can be run.
            Some(libc::EACCES) => answer = libc::EACCES,
            other => return other.unwrap_or(libc::EIO),
        }
    }
    answer
}

/// Where a program of this name may be, best first.
fn candidates(program: &str, path: &str) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![program.into()];
    }
    let directories = path.split(':').filter(|directory| !directory.is_empty());
    directories
        .map(|directory| Path::new(OsStr::new(directory)).join(program))
        .collect()
}

/// Lets go of everything that only the program or the shim needs.
fn keep_house(status: &OwnedFd) -> Result<(), Failure> {
    // A signal for every process of the dyno, whatever its id, is all that is left to do.
    sys::set_capabilities(1 << sys::CAP_KILL).at(Step::Privileges)?;
    sys::silence().at(Step::Stdio)?;
    sys::copy_onto(status.as_fd(), STATUS).at(Step::Stdio)?;
    sys::close_from(STATUS.cast_unsigned() + 1, false).at(Step::Stdio)?;
    // Last, because a change of credentials clears it.
    sys::process_option(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
        .at(Step::Privileges)?;
    if sys::is_deserted(sys::standard(STATUS)) {
        sys::exit_now(COULD_NOT_RUN);
    }
    Ok(())
}

/// The descriptor that `keep_house` leaves for the program's status.
const STATUS: i32 = 3;

/// Reaps processes and passes signals on until `program` has ended.
fn reap(program: i32) -> ! {
    #[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
    sys::reap_alone(program, STATUS);
    loop {
        match sys::next_signal() {
            Ok(libc::SIGCHLD) => {
                while let Ok(Some(ended)) = sys::wait(-1, false) {
                    if ended.process == program {
                        report_status(ended.status);
                    }
                }
            }
            // Heroku's dynos get SIGTERM in every process, not only in the first.
            Ok(signal) => drop(sys::kill(-1, signal)),
            Err(_) => sys::exit_now(COULD_NOT_RUN),
        }
    }
}

fn report_status(status: i32) -> ! {
    if let Ok(pipe) = sys::standard(STATUS).try_clone_to_owned() {
        // The shim takes a missing status for a kill, which is all it can be then.
        drop(File::from(pipe).write_all(&status.to_le_bytes()));
    }
    sys::exit_now(sys::exit_code(status).unwrap_or(COULD_NOT_RUN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(program: &str, path: &str, expected: &[&str]) {
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(candidates(program, path), expected);
    }

    #[test]
    fn programs_are_looked_for_along_the_path() {
        check("bash", "/a:/b", &["/a/bash", "/b/bash"]);
        check("bash", "/a::", &["/a/bash"]);
        check("./run", "/a", &["./run"]);
        check("/bin/sh", "/a", &["/bin/sh"]);
    }
}
