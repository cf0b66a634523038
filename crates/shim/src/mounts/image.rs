//! A root directory that is made of an image's layers, in place of the stack.
//!
//! Nothing in it is trusted: whoever made the image may have put a link where the host mounts
//! something. So each such place is looked at without following links, and what is there in place
//! of a directory is removed. Nobody runs in the new root yet, so what was found stays so. Read
//! [`Assembly::show_image`] first.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown, symlink},
    path::Path,
};

use shim::{
    fixtures::{DEV, SYS},
    start::{DYNO_ID, Root, StartRequest, Step},
};

use super::Assembly;
use crate::{
    failure::{At, Failure},
    ids::IdMap,
    trace::Trace,
};

/// Where the host mounts or writes something: a directory, whatever the image has there.
const TAKEN: [&str; 4] = [DEV, SYS, "proc", "etc"];
/// Places that programs expect: made where the image has nothing, for anybody to write to or for
/// the dyno alone.
const EXPECTED: [(&str, bool); 3] = [("tmp", true), ("run", false), ("app", false)];
/// A larger list of accounts than this is left alone.
const MAX_ACCOUNTS_BYTES: u64 = 1 << 20;

/// Whether a dyno of an image does without this mount: the image decides what is in its `/etc`, and
/// a link there leads nowhere the host would mount.
pub(super) fn may_lack(target: &Path) -> bool {
    target.starts_with("/etc")
}

impl Assembly<'_> {
    /// Mounts all of it, up to the binds.
    pub(super) fn show_image(
        &self,
        request: &StartRequest,
        owners: Option<&IdMap>,
        trace: &mut Trace,
    ) -> Result<(), Failure> {
        if self.identity.is_own() {
            // Without root nobody can make the image's owners and marks of removed files.
            let refused = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
            return Err(refused).at(Step::Layers);
        }
        let root = &request.root;
        let lowers = self.mount_layers(&root.layers, owners).at(Step::Layers)?;
        trace.mark(Step::Layers);
        fs::create_dir(&self.root_directory)
            .and_then(|()| {
                let owner = self.identity.system();
                self.mount_writable(&self.root_directory, &lowers, owner)
            })
            .at(Step::Root)?;
        trace.mark(Step::App);
        self.make_places(request)
            .and_then(|()| self.mount_devices(root, owners))
            .and_then(|()| self.write_etc(root))
            .at(Step::SystemMounts)?;
        trace.mark(Step::SystemMounts);
        Ok(())
    }

    fn make_places(&self, request: &StartRequest) -> io::Result<()> {
        let (system, dyno) = (self.identity.system(), self.identity.dyno());
        for name in TAKEN {
            let path = self.inside(name);
            let is_directory = match kind_at(&path)? {
                Some(kind) if !kind.is_dir() => {
                    fs::remove_file(&path)?;
                    false
                }
                found => found.is_some(),
            };
            if !is_directory {
                make_directory(&path, 0o755, system)?;
            }
        }
        for (name, is_everybodys) in EXPECTED {
            let path = self.inside(name);
            match (kind_at(&path)?, is_everybodys) {
                (Some(_), _) => {}
                (None, true) => make_directory(&path, 0o1777, system)?,
                (None, false) => make_directory(&path, 0o755, dyno)?,
            }
        }
        if let Some(directory) = &request.working_directory
            && directory != Path::new("/")
        {
            // Behind a link it is the image's to have it, and if it is not there the start fails.
            drop(self.place_for(directory, true));
        }
        Ok(())
    }

    /// Puts our files in the place of the image's.
    fn write_etc(&self, root: &Root) -> io::Result<()> {
        let etc = self.inside("etc");
        for (name, content) in &root.etc {
            let path = etc.join(name);
            if path.parent() != Some(&etc) {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            self.replace(&path, content.as_bytes())?;
        }
        let hostname = etc.join("hostname");
        remove(&hostname)?;
        symlink("/proc/sys/kernel/hostname", hostname)?;
        let accounts = [
            (
                "passwd",
                "root:x:0:0:root:/root:/bin/sh\n",
                "dyno:x:1000:1000::/app:/bin/sh\n",
            ),
            ("group", "root:x:0:\n", "dyno:x:1000:\n"),
        ];
        for (name, others, own) in accounts {
            let path = etc.join(name);
            let known = match kind_at(&path)? {
                None => others.as_bytes().to_vec(),
                Some(kind)
                    if kind.is_file() && fs::metadata(&path)?.len() <= MAX_ACCOUNTS_BYTES =>
                {
                    read(&path)?
                }
                Some(_) => continue,
            };
            if let Some(completed) = with_account(&known, own) {
                self.replace(&path, &completed)?;
            }
        }
        Ok(())
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        remove(path)?;
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)?;
        file.write_all(content)?;
        let owner = Some(self.identity.system());
        chown(path, owner, owner)
    }
}

/// What is at a path, not following a link there.
fn kind_at(path: &Path) -> io::Result<Option<fs::FileType>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn make_directory(path: &Path, mode: u32, owner: u32) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    chown(path, Some(owner), Some(owner))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_ACCOUNTS_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A list of accounts with the one that dynos run as, if none has its number yet.
fn with_account(known: &[u8], own: &str) -> Option<Vec<u8>> {
    let number = DYNO_ID.to_string();
    let has_number =
        |line: &[u8]| line.split(|byte| *byte == b':').nth(2) == Some(number.as_bytes());
    if known.split(|byte| *byte == b'\n').any(has_number) {
        return None;
    }
    let mut all = known.to_vec();
    if all.last().is_some_and(|last| *last != b'\n') {
        all.push(b'\n');
    }
    all.extend_from_slice(own.as_bytes());
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: &str, expected: Option<&str>) {
        let own = "dyno:x:1000:1000::/app:/bin/sh\n";
        let completed = with_account(known.as_bytes(), own);
        let completed = completed.map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(completed.as_deref(), expected, "{known:?}");
    }

    #[test]
    fn the_dynos_account_is_added_where_there_is_none() {
        check("node:x:1000:1000::/home/node:/bin/sh\n", None);
        let added = "root:x:0:0:::\ndyno:x:1000:1000::/app:/bin/sh\n";
        check("root:x:0:0:::\n", Some(added));
        check("root:x:0:0:::", Some(added));
        check("", Some("dyno:x:1000:1000::/app:/bin/sh\n"));
    }
}
