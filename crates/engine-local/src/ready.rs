//! Directories of dynos that are made beforehand, because making a directory on a disk takes longer
//! than most else of a start.
//!
//! They hold what is in every dyno's directory, empty, and become one by their new name. Read
//! [`Ready::take`] first.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use shim::files;

/// How many are kept.
const KEPT: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ready {
    parent: PathBuf,
    kept: Mutex<Vec<PathBuf>>,
    /// Held by whoever makes or removes them all; whether that is over.
    refilling: Mutex<bool>,
    made: AtomicU64,
}

impl Ready {
    /// Keeps them in `parent`, on the same disk as the dynos. Removes what an earlier one kept.
    pub(crate) fn open(parent: PathBuf) -> io::Result<Self> {
        remove(&parent)?;
        make_directory(&parent)?;
        Ok(Self {
            parent,
            kept: Mutex::default(),
            refilling: Mutex::default(),
            made: AtomicU64::new(0),
        })
    }

    /// Has one become `directory`, which must not be there.
    pub(crate) fn take(&self, directory: &Path) -> io::Result<()> {
        let kept = self.kept().pop();
        let is_taken = kept.is_some_and(|kept| fs::rename(kept, directory).is_ok());
        // One that somebody has removed is as good as none.
        if is_taken { Ok(()) } else { make(directory) }
    }

    /// Makes as many as are missing. It blocks.
    pub(crate) fn refill(&self) -> io::Result<()> {
        let is_over = held(&self.refilling);
        while !*is_over && self.kept().len() < KEPT {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            let path = self.parent.join(number.to_string());
            make(&path)?;
            self.kept().push(path);
        }
        Ok(())
    }

    /// Removes them, for good.
    pub(crate) fn clear(&self) -> io::Result<()> {
        *held(&self.refilling) = true;
        self.kept().clear();
        remove(&self.parent)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        held(&self.kept)
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make(directory: &Path) -> io::Result<()> {
    make_directory(directory)?;
    File::create(directory.join(files::LOCK))?;
    [files::LOG, files::UPPER, files::WORK]
        .iter()
        .try_for_each(|name| fs::create_dir(directory.join(name)))
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dyno_gets_a_directory_whether_one_was_ready_or_not() {
        let run = tempfile::tempdir().unwrap();
        let ready = Ready::open(run.path().join("ready")).unwrap();
        ready.refill().unwrap();
        let (first, second) = (run.path().join("first"), run.path().join("second"));
        ready.take(&first).unwrap();
        assert_eq!(ready.kept().len(), KEPT - 1);
        fs::remove_dir_all(run.path().join("ready")).unwrap();
        ready.take(&second).unwrap();
        for directory in [first, second] {
            assert!(directory.join(files::WORK).is_dir() && directory.join(files::LOCK).is_file());
        }
        ready.clear().unwrap();
    }
}
