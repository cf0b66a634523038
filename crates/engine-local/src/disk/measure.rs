//! How much a dyno has on disk: its directories walked, and files it holds open without a name.
//!
//! Everything here was made by a dyno, also while it is being looked at: no symbolic link is
//! followed, no path is put together, and every walk has an end. Read [`Measure`] first.

use std::{
    collections::HashSet,
    ffi::CStr,
    fs,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstatfs, openat, stat, statat},
    io::Errno,
};

/// Every file counts for a little beside its content: a disk has only so many files.
const FILE_BYTES: u64 = 4096;
/// Blocks in `st_blocks`.
const BLOCK_BYTES: u64 = 512;
/// Deeper trees are made to hide in: such a one is taken to be as large as can be.
const MOST_LEVELS: usize = 256;
/// How many open files of a dyno are looked at.
const MOST_HELD: usize = 50_000;
/// The file system in memory (`linux/magic.h`); its files count as memory.
const TMPFS: u64 = 0x0102_1994;

/// A sum of files, each counted once, up to a bound.
#[derive(Debug)]
pub(super) struct Measure {
    bytes: u64,
    /// Looking stops here: it is too much already.
    bound: u64,
    /// Files with several names, or held open several times: device and number.
    seen: HashSet<(u64, u64)>,
}

impl Measure {
    /// Counts no further than `bound`, in bytes.
    pub(super) fn up_to(bound: u64) -> Self {
        Self {
            bytes: 0,
            bound,
            seen: HashSet::new(),
        }
    }

    /// What was found so far; more than the bound if there is more.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_full(&self) -> bool {
        self.bytes > self.bound
    }

    /// Adds all files below a directory; one that is not there has none.
    pub(super) fn add_tree(&mut self, directory: &Path) {
        let mut levels = Vec::new();
        levels.extend(open_directory(CWD, directory));
        while let Some((descriptor, entries)) = levels.last_mut() {
            if self.is_full() {
                return;
            }
            let Some(Ok(entry)) = entries.next() else {
                levels.pop();
                continue;
            };
            let below = self.add_entry(descriptor.as_fd(), entry.file_name());
            levels.extend(below);
            if levels.len() > MOST_LEVELS {
                self.bytes = u64::MAX;
            }
        }
    }

    /// Adds an entry of an open directory; returns it opened if it is one itself.
    fn add_entry(&mut self, parent: impl AsFd, name: &CStr) -> Option<(OwnedFd, Dir)> {
        if matches!(name.to_bytes(), b"." | b"..") {
            return None;
        }
        // It may be gone already.
        let found = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_directory = FileType::from_raw_mode(found.st_mode).is_dir();
        self.add(&found, !is_directory && found.st_nlink > 1);
        is_directory.then(|| open_directory(parent, name))?
    }

    /// Adds files that processes hold open or mapped after their last name was removed.
    pub(super) fn add_nameless(&mut self, processes: &[i32]) {
        let lists = processes
            .iter()
            .flat_map(|process| ["fd", "map_files"].map(|held| format!("/proc/{process}/{held}")));
        let links = lists.flat_map(|list| fs::read_dir(list).into_iter().flatten().flatten());
        for link in links.take(MOST_HELD) {
            if self.is_full() {
                return;
            }
            self.add_held(&link.path());
        }
    }

    fn add_held(&mut self, link: &Path) {
        // The link leads to the open file itself, whatever its name says.
        let Ok(found) = stat(link) else { return };
        let is_file = FileType::from_raw_mode(found.st_mode).is_file();
        if is_file && found.st_nlink == 0 && is_on_disk(link) {
            self.add(&found, true);
        }
    }

    fn add(&mut self, found: &Stat, may_come_again: bool) {
        if may_come_again && !self.seen.insert((found.st_dev, found.st_ino)) {
            return;
        }
        let blocks = u64::try_from(found.st_blocks).unwrap_or(0);
        let bytes = blocks.saturating_mul(BLOCK_BYTES).max(FILE_BYTES);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

fn open_directory(parent: impl AsFd, name: impl rustix::path::Arg) -> Option<(OwnedFd, Dir)> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let descriptor = match openat(parent, name, flags, Mode::empty()) {
        Ok(descriptor) => descriptor,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return None,
        Err(error) => {
            tracing::debug!(%error, "a directory of a dyno cannot be looked into");
            return None;
        }
    };
    let entries = Dir::read_from(&descriptor).ok()?;
    Some((descriptor, entries))
}

fn is_on_disk(link: &Path) -> bool {
    let opened = openat(CWD, link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let system = opened.and_then(fstatfs);
    system.is_ok_and(|system| u64::try_from(system.f_type).is_ok_and(|kind| kind != TMPFS))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::Write,
        os::{fd::AsRawFd, unix::fs::symlink},
    };

    use super::*;

    fn measure(directory: &Path, bound: u64) -> u64 {
        let mut measure = Measure::up_to(bound);
        measure.add_tree(directory);
        measure.bytes()
    }

    fn fill(path: &Path, bytes: usize) -> File {
        let mut file = File::create(path).unwrap();
        file.write_all(&vec![7; bytes]).unwrap();
        file.sync_all().unwrap();
        file
    }

    #[test]
    fn files_count_once_and_empty_ones_a_little() {
        let tree = tempfile::tempdir_in("/var/tmp").unwrap();
        assert_eq!(measure(&tree.path().join("absent"), u64::MAX), 0);
        assert_eq!(measure(tree.path(), u64::MAX), 0);
        fs::create_dir(tree.path().join("d")).unwrap();
        fs::write(tree.path().join("d/empty"), "").unwrap();
        assert_eq!(measure(tree.path(), u64::MAX), 2 * FILE_BYTES);
        fill(&tree.path().join("d/large"), 1 << 20);
        let one = measure(tree.path(), u64::MAX);
        assert!((1 << 20..2 << 20).contains(&one), "{one}");
        fs::hard_link(tree.path().join("d/large"), tree.path().join("again")).unwrap();
        assert_eq!(measure(tree.path(), u64::MAX), one);
    }

    #[test]
    fn links_out_of_the_tree_are_not_followed() {
        let (tree, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fill(&other.path().join("large"), 1 << 20);
        symlink(other.path(), tree.path().join("directory")).unwrap();
        symlink(other.path().join("large"), tree.path().join("file")).unwrap();
        symlink(".", tree.path().join("loop")).unwrap();
        assert_eq!(measure(tree.path(), u64::MAX), 3 * FILE_BYTES);
    }

    #[test]
    fn a_walk_has_an_end() {
        let tree = tempfile::tempdir().unwrap();
        for number in 0..100 {
            fs::write(tree.path().join(number.to_string()), "").unwrap();
        }
        assert_eq!(measure(tree.path(), 9 * FILE_BYTES), 10 * FILE_BYTES);
        let mut deep = tree.path().to_owned();
        for _ in 0..=MOST_LEVELS {
            deep.push("d");
        }
        fs::create_dir_all(deep).unwrap();
        assert_eq!(measure(tree.path(), 1 << 40), u64::MAX);
    }

    #[test]
    fn files_without_a_name_are_found_where_they_are_held() {
        let tree = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = tree.path().join("file");
        let file = fill(&path, 1 << 20);
        let again = file.try_clone().unwrap();
        let own = [std::process::id().cast_signed()];
        let held = |measure: &mut Measure, file: &File| {
            let link = format!("/proc/{}/fd/{}", own[0], file.as_raw_fd());
            measure.add_held(Path::new(&link));
        };
        let mut named = Measure::up_to(u64::MAX);
        held(&mut named, &file);
        assert_eq!(named.bytes(), 0);
        fs::remove_file(path).unwrap();
        let mut nameless = Measure::up_to(u64::MAX);
        held(&mut nameless, &file);
        held(&mut nameless, &again);
        assert!((1 << 20..2 << 20).contains(&nameless.bytes()));
        let mut all = Measure::up_to(u64::MAX);
        all.add_nameless(&own);
        assert!(all.bytes() >= nameless.bytes());
    }
}
