//! The writing side: never fails after opening, drops and counts instead.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use super::{
    Limits, MAX_RECORD_BYTES, SpoolContext, SpoolError, acknowledged, count_records,
    lock_for_writing, segment_path, segments, stream_id,
};
use crate::frame::push_frame;

/// Records are handed to the kernel when so many bytes wait, if [`Writer::flush`] is not called
/// before.
const FLUSH_BYTES: usize = 64 * 1024;

/// Writes records to a spool. One process at a time.
///
/// Flushed records survive the end of this process, not a power cut.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    limits: Limits,
    current: Option<Current>,
    /// Number of the first record in `buffer`.
    next: u64,
    buffer: Vec<u8>,
    buffered: u64,
    dropped: u64,
    _lock: File,
}

#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl Writer {
    /// Opens the spool in `dir`, which is made if absent, behind everything it holds.
    ///
    /// # Errors
    /// `Busy` while another process writes, `Disk`.
    pub fn open(dir: impl Into<PathBuf>, limits: Limits) -> Result<Self, SpoolError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).on("create", &dir)?;
        let lock = lock_for_writing(&dir)?;
        stream_id(&dir)?;
        let written = match segments(&dir)?.last() {
            Some(newest) => newest.first + count_records(&newest.path)?,
            None => 1,
        };
        let next = written.max(acknowledged(&dir)? + 1);
        Ok(Self {
            dir,
            limits,
            current: None,
            next,
            buffer: Vec::new(),
            buffered: 0,
            dropped: 0,
            _lock: lock,
        })
    }

    /// Adds a record; it is written by the next [`Writer::flush`], or before when much waits.
    /// An empty record, or one above [`MAX_RECORD_BYTES`], counts as dropped.
    pub fn append(&mut self, record: &[u8]) {
        if record.is_empty() || record.len() > MAX_RECORD_BYTES {
            self.dropped += 1;
            return;
        }
        push_frame(&mut self.buffer, record);
        self.buffered += 1;
        if self.buffer.len() >= FLUSH_BYTES {
            self.flush();
        }
    }

    /// Hands what waits to the kernel. If the disk refuses it is dropped, which the reader sees.
    pub fn flush(&mut self) {
        if self.buffered == 0 {
            return;
        }
        if let Err(error) = self.write() {
            tracing::warn!(%error, records = self.buffered, "spool records dropped");
            self.dropped += self.buffered;
            // The next write begins a segment, whose number tells what is missing.
            self.current = None;
        }
        self.next += self.buffered;
        self.buffered = 0;
        self.buffer.clear();
    }

    /// Records dropped since this writer was opened because the disk refused them or they were of
    /// no acceptable size.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn write(&mut self) -> Result<(), SpoolError> {
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.bytes >= self.limits.segment_bytes)
        {
            self.current = None;
        }
        let is_new = self.current.is_none();
        if is_new {
            self.make_room()?;
            self.current = Some(Current::begin(&self.dir, self.next)?);
        }
        let current = self.current.as_mut().expect("just begun");
        let written = current
            .file
            .write_all(&self.buffer)
            .on("append to", &current.path);
        if written.is_err() && is_new {
            fs::remove_file(&current.path).on("remove", &current.path)?;
        }
        current.bytes += self.buffer.len() as u64;
        written
    }

    /// Removes the oldest segments until another one fits.
    fn make_room(&self) -> Result<(), SpoolError> {
        let segments = segments(&self.dir)?;
        let held: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let mut surplus =
            (held + self.limits.segment_bytes).saturating_sub(self.limits.total_bytes);
        for segment in segments {
            if surplus == 0 {
                break;
            }
            remove_if_there(&segment.path)?;
            surplus = surplus.saturating_sub(segment.bytes);
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Current {
    fn begin(dir: &Path, first: u64) -> Result<Self, SpoolError> {
        let path = segment_path(dir, first);
        // A file of this name holds at most a torn record.
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&path)
            .on("create", &path)?;
        Ok(Self {
            file,
            path,
            bytes: 0,
        })
    }
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), SpoolError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.on("remove", path),
    }
}
