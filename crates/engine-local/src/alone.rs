//! The engine of an ordinary user: single-tenant mode.
//!
//! Without power over the host, dynos have mounts, processes and names of their own, and that is
//! all: they run as the user, in the host's network, with no limit on memory, processor or
//! processes, and never sleep. Read [`LIMITATIONS`], which is what people are told.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use api::names::StackName;
use engine::{DynoSpec, EngineError};

use crate::{engine::Inner, network::DynoNetwork, stacks};

/// What single-tenant mode does not do, a sentence each.
pub const LIMITATIONS: [&str; 4] = [
    "apps run as your own user, and what is kept from them is kept by mounts alone",
    "apps share this machine's network: they reach what you reach, and each other",
    "no limit on memory, processor or processes holds; only those on open files and file sizes do",
    "apps are never put to sleep, and what they use is not told",
];

/// Where stacks are that root has built.
const SYSTEM_CACHE: &str = "/var/cache/landfall";

/// Whether this process may only run its user's own dynos.
pub fn is_alone() -> bool {
    !rustix::process::geteuid().is_root()
}

/// The stack that an ordinary user's dynos have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnStack {
    /// Its root directory.
    pub root: PathBuf,
    /// Whether that is the host's own, for want of a stack.
    pub is_host: bool,
}

/// The stack in the user's cache, else in the machine's, else the host's own programs.
pub fn own_stack(cache: &Path, name: &StackName) -> OwnStack {
    let found = stacks::find(cache, name).or_else(|| stacks::find(Path::new(SYSTEM_CACHE), name));
    OwnStack {
        is_host: found.is_none(),
        root: found.unwrap_or_else(|| PathBuf::from("/")),
    }
}

impl Inner {
    pub(crate) fn stack(&self, name: &StackName) -> Result<OwnStack, EngineError> {
        if self.network.is_none() {
            return Ok(own_stack(&self.cache, name));
        }
        let root = stacks::find(&self.cache, name);
        let root = root.ok_or_else(|| EngineError::UnknownStack(name.clone()))?;
        Ok(OwnStack {
            root,
            is_host: false,
        })
    }

    pub(crate) async fn take_network(&self, spec: &DynoSpec) -> Result<DynoNetwork, EngineError> {
        if let Some(network) = &self.network {
            return network.take().await;
        }
        if let Some(port) = spec.port {
            // Here anybody may have it, and would get the app's requests.
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            free.map_err(|source| EngineError::Start {
                dyno: spec.id,
                step: "find its port free",
                source,
            })?;
        }
        Ok(DynoNetwork {
            index: 0,
            netns: PathBuf::new(),
            host_address: Ipv4Addr::LOCALHOST,
            dyno_address: Ipv4Addr::LOCALHOST,
            interface: String::new(),
        })
    }

    pub(crate) async fn release_network(&self, index: u32) -> Result<(), EngineError> {
        match &self.network {
            Some(network) => network.release(index).await,
            None => Ok(()),
        }
    }
}

/// Removes a directory, also where its owner may not look into all of it.
pub(crate) fn remove_tree(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(directory)?;
            std::fs::remove_dir_all(directory)
        }
        other => other,
    }
}

fn open_up(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_stack_the_host_is_shown() {
        let cache = tempfile::tempdir().unwrap();
        let name = "no-such-stack".parse().unwrap();
        let own = own_stack(cache.path(), &name);
        assert_eq!((own.root, own.is_host), ("/".into(), true));
    }
}
