//! Dynos that sleep: how they are put to sleep, and the paths by which anybody can wake them.
//!
//! It must not know why or when: that is the caller's policy.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
};

use engine::{EngineError, Freeze};
use shim::{
    control::{Answer, Request},
    files,
};

use crate::{control, dyno::Dyno, slot::Slot};

/// The longest path of a unix socket (`sockaddr_un`, without the zero at its end).
const SOCKET_PATH_BYTES: usize = 107;
/// How long a dyno's id is as a directory's name.
const ID_BYTES: usize = 36;

/// Paths of control sockets that fit a socket's address wherever the platform's directory is.
#[derive(Clone, Debug)]
pub(crate) struct Wakers {
    dynos: PathBuf,
    /// A link to `dynos`, if paths through that itself are too long.
    link: Option<PathBuf>,
}

impl Wakers {
    /// Makes the link if one is needed.
    pub(crate) fn open(dynos: &Path, slot: &Slot) -> io::Result<Self> {
        let longest = dynos.as_os_str().len() + ID_BYTES + files::CONTROL.len() + 2;
        let wakers = Self {
            dynos: dynos.to_owned(),
            link: (longest > SOCKET_PATH_BYTES).then(|| slot.short_path()),
        };
        wakers.mend()?;
        Ok(wakers)
    }

    /// Makes the link again if somebody has removed it. Returns whether it was missing.
    pub(crate) fn mend(&self) -> io::Result<bool> {
        let Some(link) = &self.link else {
            return Ok(false);
        };
        if fs::read_link(link).is_ok_and(|target| target == self.dynos) {
            return Ok(false);
        }
        let draft = link.with_extension("draft");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => symlink(&self.dynos, &draft)?,
        }
        fs::rename(draft, link)?;
        Ok(true)
    }

    /// The control socket of the dyno in `directory`, by a path that fits.
    pub(crate) fn path(&self, directory: &Path) -> Option<PathBuf> {
        let parent = self.link.as_ref().unwrap_or(&self.dynos);
        let path = parent.join(directory.file_name()?).join(files::CONTROL);
        (path.as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES).then_some(path)
    }
}

/// Whether a sleeping dyno's memory has anywhere to go. Without, only files could be let go of,
/// which others share and a wake would have to read again.
pub(crate) fn has_swap() -> bool {
    // A heading, and a line for each.
    fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1)
}

impl Dyno {
    /// Puts it to sleep.
    pub(crate) async fn freeze(&self, ticket: u64) -> Result<Freeze, EngineError> {
        let id = self.notes.id;
        if self.ended().is_some() {
            return Err(EngineError::UnknownDyno(id));
        }
        self.check_can_sleep()?;
        match control::ask(&self.directory, Request::Freeze { ticket }).await {
            Ok((_, answer)) => {
                self.refresh().await;
                Ok(if answer == Answer::Done {
                    Freeze::Frozen
                } else {
                    Freeze::WokenBefore
                })
            }
            Err(_) if self.ended().is_some() => Err(EngineError::UnknownDyno(id)),
            Err(source) => Err(EngineError::Host {
                step: "put a dyno to sleep",
                source,
            }),
        }
    }

    /// Wakes it.
    pub(crate) async fn thaw(&self, ticket: u64) -> Result<(), EngineError> {
        self.check_can_sleep()?;
        let asked = control::ask(&self.directory, Request::Thaw { ticket }).await;
        self.refresh().await;
        let refused = || io::Error::other("its keeper refused");
        let outcome = asked.and_then(|(_, answer)| match answer {
            Answer::Done => Ok(()),
            Answer::Refused | Answer::Status { .. } | Answer::NotRun { .. } => Err(refused()),
        });
        match outcome {
            // One that has ended sleeps no more.
            Err(_) if self.ended().is_some() => Ok(()),
            other => other.map_err(|source| EngineError::Host {
                step: "wake a dyno",
                source,
            }),
        }
    }

    fn check_can_sleep(&self) -> Result<(), EngineError> {
        if self.can_sleep {
            return Ok(());
        }
        Err(EngineError::Unsupported {
            dyno: self.notes.id,
            what: "sleep",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wakers(data: &str, registry: &Path) -> Wakers {
        let owner = tempfile::tempdir().unwrap();
        let slot = Slot::claim_in(registry, owner.path()).unwrap();
        Wakers::open(Path::new(data), &slot).unwrap()
    }

    #[test]
    fn long_paths_are_reached_by_a_short_one() {
        let registry = tempfile::tempdir().unwrap();
        let id = "01234567-0123-0123-0123-0123456789ab";
        let short = wakers("/d", registry.path());
        assert_eq!(
            short.path(&Path::new("/d").join(id)),
            Some(format!("/d/{id}/ctl.sock").into())
        );
        assert!(!short.mend().unwrap());
        let far = format!("/{}", "x".repeat(200));
        let long = wakers(&far, registry.path());
        let path = long.path(&Path::new(&far).join(id)).unwrap();
        assert!(path.starts_with(registry.path()) && path.as_os_str().len() <= SOCKET_PATH_BYTES);
        let link = path.ancestors().nth(2).unwrap();
        assert_eq!(fs::read_link(link).unwrap(), Path::new(&far));
        fs::remove_file(link).unwrap();
        assert!(long.mend().unwrap() && !long.mend().unwrap());
        assert_eq!(fs::read_link(link).unwrap(), Path::new(&far));
    }
}
