//! A bounded file spool from one process to another: the writer appends records, the reader takes
//! them in order and acknowledges; either may be killed and started again at any time.
//!
//! It knows nothing of log lines. Records are numbered from 1 for the life of the directory and a
//! segment file is named by the number of its first record, so that whatever gets lost (the spool
//! was full, the disk refused) shows to the reader as a gap of known size. Read [`Writer`] and
//! [`Reader`].

mod reader;
mod writer;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use api::ids::DynoId;
use thiserror::Error;

pub use self::{
    reader::{Entry, Reader},
    writer::Writer,
};
use crate::frame::next_frame;

/// No record is larger; a larger one counts as dropped.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

/// How much a spool may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One file; files are removed as a whole.
    pub segment_bytes: u64,
    /// All files together; beyond it the oldest is removed, read or not. At least two segments.
    pub total_bytes: u64,
}

impl Default for Limits {
    /// 64 MiB in files of 4 MiB.
    fn default() -> Self {
        Self {
            segment_bytes: 4 << 20,
            total_bytes: 64 << 20,
        }
    }
}

/// Why a spool cannot be used.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The disk refused.
    #[error("cannot {action} {}", path.display())]
    Disk {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Another living process writes to this spool.
    #[error("another process is writing to {}", path.display())]
    Busy {
        /// The spool's directory.
        path: PathBuf,
    },
}

trait SpoolContext<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, SpoolError>;
}

impl<T> SpoolContext<T> for io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, SpoolError> {
        self.map_err(|source| SpoolError::Disk {
            action,
            path: path.to_owned(),
            source,
        })
    }
}

/// One segment file.
#[derive(Clone, Debug)]
struct Segment {
    /// Number of its first record.
    first: u64,
    path: PathBuf,
    bytes: u64,
}

fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.spool"))
}

/// The segments, oldest first.
fn segments(dir: &Path) -> Result<Vec<Segment>, SpoolError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).on("list", dir)? {
        let path = entry.on("list", dir)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(first) = name
            .strip_suffix(".spool")
            .and_then(|first| first.parse().ok())
        else {
            continue;
        };
        // The other process may remove it meanwhile.
        if let Ok(metadata) = fs::metadata(&path) {
            segments.push(Segment {
                first,
                path,
                bytes: metadata.len(),
            });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.first);
    Ok(segments)
}

/// The last number acknowledged by the reader; 0 before the first.
fn acknowledged(dir: &Path) -> Result<u64, SpoolError> {
    let path = dir.join("acknowledged");
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        text => Ok(text.on("read", &path)?.trim().parse().unwrap_or(0)),
    }
}

/// The identity of this spool's numbering, made with the directory by whichever side comes first.
fn stream_id(dir: &Path) -> Result<DynoId, SpoolError> {
    let path = dir.join("id");
    loop {
        match fs::read_to_string(&path) {
            Ok(text) => {
                let id = text.trim().parse().map_err(io::Error::other);
                return id.on("understand", &path);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).on("read", &path),
        }
        let id = DynoId::new();
        let unfinished = dir.join(format!("id.{id}"));
        fs::write(&unfinished, id.to_string()).on("write", &unfinished)?;
        let linked = fs::hard_link(&unfinished, &path);
        fs::remove_file(&unfinished).on("remove", &unfinished)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).on("create", &path);
            }
            _ => {}
        }
    }
}

/// How many whole records a segment holds.
fn count_records(path: &Path) -> Result<u64, SpoolError> {
    let bytes = fs::read(path).on("read", path)?;
    let mut rest = bytes.as_slice();
    let mut count = 0;
    while let Some((_, after)) = next_frame(rest) {
        count += 1;
        rest = after;
    }
    Ok(count)
}

/// Holds the writer's place; the kernel frees it when the process ends.
fn lock_for_writing(dir: &Path) -> Result<File, SpoolError> {
    let path = dir.join("writer.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .on("open", &path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(SpoolError::Busy {
            path: dir.to_owned(),
        }),
        Err(fs::TryLockError::Error(error)) => Err(error).on("lock", &path),
    }
}
