//! The segment files of one app: `<number>.log`, appended to in turn, the oldest removed first.
//!
//! Each begins with a record of the cursors as they were when it was begun, so that opening an
//! app's log reads one segment only. Read [`Segments`] first.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::ids::DynoId;

use crate::{
    cursors::Cursors,
    error::{DiskContext, LogError},
    frame::{next_frame, push_frame},
    line::LogLine,
};

const KIND_CURSORS: u8 = 1;
const KIND_LINE: u8 = 2;
/// Batches are handed to the kernel in pieces of about this size.
const WRITE_BYTES: usize = 256 * 1024;

/// Sizes of one app's segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentLimits {
    pub(crate) segment_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// One segment file as found in its directory.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// An app's segments, open for appending. Dropping it loses nothing: everything appended is with
/// the kernel.
#[derive(Debug)]
pub(crate) struct Segments {
    dir: PathBuf,
    limits: SegmentLimits,
    /// Whole segments, oldest first.
    closed: Vec<SegmentFile>,
    current: SegmentFile,
    file: File,
    cursors: Cursors,
    is_dirty: bool,
}

impl Segments {
    /// Opens the segments in `dir`, which is made if absent, and cuts off a torn end.
    pub(crate) fn open(dir: &Path, limits: SegmentLimits) -> Result<Self, LogError> {
        fs::create_dir_all(dir).on("create", dir)?;
        let mut closed = list(dir)?;
        remove_unfinished(dir)?;
        while let Some(newest) = closed.pop() {
            let Some(scan) = Scan::read(&newest.path)? else {
                // Without its first record it never held a line that can be found again.
                tracing::warn!(segment = %newest.path.display(), "removing an unreadable log segment");
                fs::remove_file(&newest.path).on("remove", &newest.path)?;
                continue;
            };
            let file = open_for_append(&newest.path)?;
            if scan.whole_bytes < newest.bytes {
                tracing::warn!(segment = %newest.path.display(), cut = newest.bytes - scan.whole_bytes, "cut off a torn log record");
                file.set_len(scan.whole_bytes).on("cut", &newest.path)?;
            }
            let current = SegmentFile {
                bytes: scan.whole_bytes,
                ..newest
            };
            let cursors = scan.cursors;
            return Ok(Self {
                dir: dir.to_owned(),
                limits,
                closed,
                current,
                file,
                cursors,
                is_dirty: false,
            });
        }
        let mut cursors = Cursors::default();
        let (current, file) = begin(dir, 1, &mut cursors)?;
        Ok(Self {
            dir: dir.to_owned(),
            limits,
            closed,
            current,
            file,
            cursors,
            is_dirty: false,
        })
    }

    /// Highest sequence number kept of `stream`; 0 if none.
    pub(crate) fn highest(&self, stream: DynoId) -> u64 {
        self.cursors.highest(stream)
    }

    /// Appends the lines not already kept and pushes each onto `kept` once the kernel has it.
    ///
    /// # Errors
    /// After an error this value no longer tells the truth: open the segments anew.
    pub(crate) fn append(
        &mut self,
        lines: Vec<LogLine>,
        kept: &mut Vec<Arc<LogLine>>,
    ) -> Result<(), LogError> {
        let mut buffer = Vec::new();
        let mut payload = Vec::new();
        let mut pending = Vec::new();
        for line in lines {
            if let Some((stream, sequence)) = line.cursor
                && !self.cursors.advance(stream, sequence)
            {
                continue;
            }
            payload.clear();
            payload.push(KIND_LINE);
            line.encode(&mut payload);
            push_frame(&mut buffer, &payload);
            pending.push(Arc::new(line));
            if buffer.len() >= WRITE_BYTES || self.would_fill(buffer.len()) {
                self.write(&mut buffer)?;
                kept.append(&mut pending);
            }
        }
        if !buffer.is_empty() {
            self.write(&mut buffer)?;
            kept.append(&mut pending);
        }
        Ok(())
    }

    /// Brings everything appended to the disk itself.
    pub(crate) fn sync(&mut self) -> Result<(), LogError> {
        if self.is_dirty {
            self.file.sync_data().on("sync", &self.current.path)?;
            self.is_dirty = false;
        }
        Ok(())
    }

    fn would_fill(&self, more: usize) -> bool {
        self.current.bytes + more as u64 >= self.limits.segment_bytes
    }

    /// Writes and empties `buffer`, into a new segment if the current one is full after it. The
    /// next segment is begun after the write, when `cursors` counts exactly what is written.
    fn write(&mut self, buffer: &mut Vec<u8>) -> Result<(), LogError> {
        self.file
            .write_all(buffer)
            .on("append to", &self.current.path)?;
        self.current.bytes += buffer.len() as u64;
        self.is_dirty = true;
        buffer.clear();
        if self.current.bytes >= self.limits.segment_bytes
            && let Err(error) = self.rotate()
        {
            // The lines are safe; the current segment grows on until the disk allows another.
            tracing::warn!(%error, "cannot begin a new log segment");
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        self.sync()?;
        let total: u64 = self.closed.iter().map(|segment| segment.bytes).sum::<u64>()
            + self.current.bytes
            + self.limits.segment_bytes;
        let mut surplus = total.saturating_sub(self.limits.total_bytes);
        while surplus > 0 && !self.closed.is_empty() {
            let oldest = self.closed.remove(0);
            fs::remove_file(&oldest.path).on("remove", &oldest.path)?;
            surplus = surplus.saturating_sub(oldest.bytes);
        }
        let (next, file) = begin(&self.dir, self.current.number + 1, &mut self.cursors)?;
        self.closed.push(std::mem::replace(&mut self.current, next));
        self.file = file;
        Ok(())
    }
}

/// The segments in `dir`, oldest first; none if there is no such directory.
pub(crate) fn list(dir: &Path) -> Result<Vec<SegmentFile>, LogError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.on("list", dir)?,
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry.on("list", dir)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(number) = name
            .strip_suffix(".log")
            .and_then(|number| number.parse().ok())
        else {
            continue;
        };
        if let Ok(metadata) = fs::metadata(&path) {
            segments.push(SegmentFile {
                number,
                path,
                bytes: metadata.len(),
            });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.number);
    Ok(segments)
}

/// The lines in the first `bytes` of a segment, oldest first; none if it has gone.
pub(crate) fn read_lines(segment: &SegmentFile) -> Result<Vec<LogLine>, LogError> {
    let bytes = match fs::read(&segment.path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.on("read", &segment.path)?,
    };
    let end = usize::try_from(segment.bytes)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let mut rest = bytes.get(..end).unwrap_or_default();
    let mut lines = Vec::new();
    while let Some((payload, after)) = next_frame(rest) {
        if let Some((&KIND_LINE, payload)) = payload.split_first() {
            lines.extend(LogLine::decode(payload));
        }
        rest = after;
    }
    Ok(lines)
}

/// What reading a segment from its start showed.
struct Scan {
    cursors: Cursors,
    whole_bytes: u64,
}

impl Scan {
    /// `None` when the segment does not begin with a whole record of cursors.
    fn read(path: &Path) -> Result<Option<Self>, LogError> {
        let bytes = fs::read(path).on("read", path)?;
        let Some((first, mut rest)) = next_frame(&bytes) else {
            return Ok(None);
        };
        let Some((&KIND_CURSORS, first)) = first.split_first() else {
            return Ok(None);
        };
        let mut cursors = Cursors::decode(first);
        while let Some((payload, after)) = next_frame(rest) {
            if let Some((&KIND_LINE, payload)) = payload.split_first()
                && let Some((stream, sequence)) =
                    LogLine::decode(payload).and_then(|line| line.cursor)
            {
                cursors.advance(stream, sequence);
            }
            rest = after;
        }
        Ok(Some(Self {
            cursors,
            whole_bytes: (bytes.len() - rest.len()) as u64,
        }))
    }
}

/// Makes an empty segment; it appears under its name only with its first record whole.
fn begin(dir: &Path, number: u64, cursors: &mut Cursors) -> Result<(SegmentFile, File), LogError> {
    let mut payload = vec![KIND_CURSORS];
    cursors.encode(&mut payload);
    let mut bytes = Vec::new();
    push_frame(&mut bytes, &payload);
    let unfinished = dir.join(format!("{number:020}.new"));
    let path = dir.join(format!("{number:020}.log"));
    fs::write(&unfinished, &bytes).on("write", &unfinished)?;
    let file = open_for_append(&unfinished)?;
    file.sync_data().on("sync", &unfinished)?;
    fs::rename(&unfinished, &path).on("rename", &unfinished)?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .on("sync", dir)?;
    Ok((
        SegmentFile {
            number,
            path,
            bytes: bytes.len() as u64,
        },
        file,
    ))
}

fn open_for_append(path: &Path) -> Result<File, LogError> {
    OpenOptions::new().append(true).open(path).on("open", path)
}

fn remove_unfinished(dir: &Path) -> Result<(), LogError> {
    for entry in fs::read_dir(dir).on("list", dir)? {
        let path = entry.on("list", dir)?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            fs::remove_file(&path).on("remove", &path)?;
        }
    }
    Ok(())
}
