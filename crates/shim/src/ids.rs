//! User and group ids: how those of the host look inside, and the user namespaces that map them.
//!
//! Read [`IdMap`] first.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use shim::start::{DYNO_ID, Identity};

use crate::sys::{self, Fork};

/// A user namespace for mounts to map owners through.
#[derive(Debug)]
pub(crate) struct IdMap {
    namespace: OwnedFd,
    /// Whom it was made for: a process that is about to end.
    child: i32,
}

impl IdMap {
    /// One with this map.
    pub(crate) fn new(map: &str) -> io::Result<Self> {
        match sys::clone(libc::CLONE_NEWUSER, None)? {
            Fork::Child => {
                // It exists only for its namespace to be opened, and is killed then.
                drop(sys::process_option(
                    libc::PR_SET_PDEATHSIG,
                    libc::SIGKILL as libc::c_ulong,
                ));
                drop(sys::poll(&mut [], None));
                sys::exit_now(0)
            }
            Fork::Parent { child, .. } => {
                let process = PathBuf::from(format!("/proc/{child}"));
                let opened =
                    write_maps(&process, map).and_then(|()| File::open(process.join("ns/user")));
                sys::kill(child, libc::SIGKILL)?;
                match opened {
                    Ok(namespace) => Ok(Self {
                        namespace: namespace.into(),
                        child,
                    }),
                    Err(error) => {
                        sys::wait(child, true)?;
                        Err(error)
                    }
                }
            }
        }
    }
}

impl AsFd for IdMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

impl Drop for IdMap {
    /// Not before: while it ends there is other work to do.
    fn drop(&mut self) {
        drop(sys::wait(self.child, true));
    }
}

/// The dyno's ids: the shape of `/proc/<pid>/uid_map`, id inside, id on the host, count.
pub(crate) fn dyno_map(identity: Identity) -> String {
    let Identity { base, count, .. } = identity;
    format!("0 {base} {}\n65534 {} 1\n", count - 1, base + count - 1)
}

/// How owners on disk are shown to the dyno: root and system ids as they are, the layer owner as
/// the dyno's own id.
pub(crate) fn layer_map(identity: Identity) -> String {
    let Identity {
        base,
        count,
        layer_owner,
    } = identity;
    let (own, next) = (base + DYNO_ID, DYNO_ID + 1);
    format!(
        "0 {base} {DYNO_ID}\n{layer_owner} {own} 1\n{next} {} {}\n65534 {} 1\n",
        base + next,
        count - 1 - next,
        base + count - 1
    )
}

/// How a capture keeps owners: the dyno's own id as the layer owner. Root is there for the
/// overlay's own scratch files.
pub(crate) fn capture_map(identity: Identity) -> String {
    format!(
        "0 0 1\n{} {} 1\n",
        identity.layer_owner,
        identity.base + DYNO_ID
    )
}

/// Gives this process, in a user namespace that it has just made, the only id there may be without
/// power over the host: this user and group become [`DYNO_ID`].
pub(crate) fn map_own((user, group): (u32, u32)) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{DYNO_ID} {user} 1\n"))?;
    fs::write("/proc/self/gid_map", format!("{DYNO_ID} {group} 1\n"))
}

/// Sets the user and group ids of a new user namespace.
pub(crate) fn write_maps(process: &Path, map: &str) -> io::Result<()> {
    fs::write(process.join("uid_map"), map)?;
    fs::write(process.join("gid_map"), map)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity {
        base: 500_000,
        count: 2048,
        layer_owner: 900_000,
    };

    #[test]
    fn ids_are_mapped_into_the_dynos_own_range() {
        assert_eq!(dyno_map(IDENTITY), "0 500000 2047\n65534 502047 1\n");
        assert_eq!(
            layer_map(IDENTITY),
            "0 500000 1000\n900000 501000 1\n1001 501001 1046\n65534 502047 1\n"
        );
        assert_eq!(capture_map(IDENTITY), "0 0 1\n900000 501000 1\n");
    }
}
