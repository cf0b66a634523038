//! What is the same in every dyno's file system, made once for all of them (`shim::fixtures`).

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use sha2::{Digest, Sha256};
use shim::fixtures::{DEV, DEVICE_DIRECTORIES, DEVICE_LINKS, DEVICES, SYS};

/// How much of the hash names the directory, bytes.
const NAME_BYTES: usize = 8;

/// Where they are. Dynos that run look into them, so they are never changed, only added to by others.
#[derive(Clone, Debug)]
pub(crate) struct Fixtures {
    /// The directory, as the shim wants it.
    pub(crate) path: PathBuf,
    /// Directories of `/sys`, without that.
    places: Vec<PathBuf>,
}

impl Fixtures {
    /// Those with these places to show something at; some may be outside of `/sys`. Below `parent`.
    pub(crate) fn new<'a>(parent: &Path, places: impl Iterator<Item = &'a Path>) -> Self {
        let places: Vec<PathBuf> = places
            .filter_map(|place| place.strip_prefix("/sys").ok())
            .map(Path::to_owned)
            .collect();
        let content = format!("{DEVICES:?} {DEVICE_LINKS:?} {DEVICE_DIRECTORIES:?} {places:?}");
        let name = Sha256::digest(content)
            .iter()
            .take(NAME_BYTES)
            .fold(0, |name, byte| name << 8 | u64::from(*byte));
        Self {
            path: parent.join(format!("{name:016x}")),
            places,
        }
    }

    /// Makes what is missing.
    pub(crate) fn make(&self) -> io::Result<()> {
        if self.path.exists() {
            return Ok(());
        }
        let draft = self.path.with_extension("draft");
        match fs::remove_dir_all(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        make_directory(&draft)?;
        let (dev, sys) = (draft.join(DEV), draft.join(SYS));
        make_dev(&dev)?;
        make_directory(&sys)?;
        for place in &self.places {
            let names: Vec<&OsStr> = place.iter().collect();
            for depth in 1..=names.len() {
                make_directory(&sys.join(names[..depth].iter().collect::<PathBuf>()))?;
            }
        }
        fs::rename(draft, &self.path)
    }
}

fn make_dev(dev: &Path) -> io::Result<()> {
    make_directory(dev)?;
    for (name, major, minor) in DEVICES {
        let (path, mode) = (dev.join(name), Mode::from_raw_mode(0o666));
        let device = makedev(major, minor);
        mknodat(CWD, &path, FileType::CharacterDevice, mode, device)?;
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
    }
    for (name, target) in DEVICE_LINKS {
        symlink(target, dev.join(name))?;
    }
    DEVICE_DIRECTORIES
        .iter()
        .try_for_each(|name| make_directory(&dev.join(name)))
}

/// Unless it is there; everybody may look into it.
fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::set_permissions(path, Permissions::from_mode(0o755)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_places_are_other_fixtures() {
        let named = |places: &[&str]| {
            let places = places.iter().map(Path::new);
            Fixtures::new(Path::new("/run"), places).path
        };
        let one = named(&["/sys/fs/cgroup", "/elsewhere"]);
        assert_eq!(one, named(&["/sys/fs/cgroup"]));
        assert_ne!(one, named(&["/sys/fs/cgroup/memory"]));
    }
}
