//! Trying out what dynos are made of, for `landfall doctor`. Read [`run`] first.
//!
//! All of it happens in namespaces that end with this process; nothing is left behind.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use shim::trials::{Trial, Trials};

use crate::{
    ids::{self, IdMap},
    mounts,
    sys::{self, Fork},
};

/// Host ids of the trial's user namespace, where root may choose: above all that dynos have.
const MAP: &str = "0 2147000001 1\n";

/// Tries everything; `directories` hold what dynos are shown.
pub(crate) fn run(directories: &[PathBuf]) -> Trials {
    let is_root = sys::user_id() == 0;
    let mut namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID;
    let owners = if is_root {
        IdMap::new(MAP).map(Some)
    } else {
        namespaces |= libc::CLONE_NEWUSER;
        Ok(None)
    };
    // Before it is covered by the trial's own mounts.
    let id_mapped: BTreeMap<PathBuf, Trial> = directories
        .iter()
        .map(|directory| {
            let trial = match &owners {
                Ok(Some(owners)) => trial(show(directory, owners)),
                _ => Trial::Untried,
            };
            (directory.clone(), trial)
        })
        .collect();
    let entered = owners.map(drop).and_then(|()| enter(namespaces, is_root));
    let mut trials = Trials {
        user_namespace: trial(entered),
        overlay: Trial::Untried,
        proc: Trial::Untried,
        id_mapped,
    };
    let (Trial::Works, Some(scratch)) = (trials.user_namespace, directories.first()) else {
        return trials;
    };
    trials.overlay = trial(overlay(scratch, is_root));
    trials.proc = trial(in_child(|| {
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        sys::mount("proc", Path::new("/proc"), "proc", flags, "")
    }));
    trials
}

fn trial(outcome: io::Result<()>) -> Trial {
    outcome.map_or_else(
        |error| Trial::Refused {
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        },
        |()| Trial::Works,
    )
}

/// A detached copy of the directory, under other owners.
fn show(directory: &Path, owners: &IdMap) -> io::Result<()> {
    let tree = sys::open_tree(directory, false)?;
    sys::set_mount_attributes(tree.as_fd(), sys::ATTR_READ_ONLY, Some(owners.as_fd()))
}

fn enter(namespaces: i32, is_root: bool) -> io::Result<()> {
    let (user, group) = (sys::user_id(), sys::group_id());
    sys::unshare(namespaces)?;
    if !is_root {
        ids::map_own((user, group))?;
    }
    mounts::make_private()
}

/// Two directories as one, over something that lies on `scratch` for as long as this process lives.
fn overlay(scratch: &Path, is_root: bool) -> io::Result<()> {
    sys::mount(
        "tmpfs",
        scratch,
        "tmpfs",
        libc::MS_NOSUID | libc::MS_NODEV,
        "size=1m",
    )?;
    for name in ["lower", "upper", "work", "both"] {
        fs::create_dir(scratch.join(name))?;
    }
    fs::write(scratch.join("lower/file"), "")?;
    std::env::set_current_dir(scratch)?;
    let mut options = "lowerdir=lower,upperdir=upper,workdir=work".to_owned();
    if !is_root {
        options += ",userxattr";
    }
    sys::mount("overlay", Path::new("both"), "overlay", 0, &options)?;
    fs::remove_file("both/file")?;
    match File::open("both/file") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

/// Does it in a child, which a new process namespace begins with.
fn in_child(what: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match sys::fork()? {
        Fork::Child => {
            let errno =
                what().map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0);
            sys::exit_now(errno)
        }
        Fork::Parent { child, .. } => {
            let ended = sys::wait(child, true)?.and_then(|ended| sys::exit_code(ended.status));
            match ended {
                Some(0) => Ok(()),
                errno => Err(io::Error::from_raw_os_error(errno.unwrap_or(libc::EIO))),
            }
        }
    }
}
