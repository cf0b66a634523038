//! The reading side: takes records in order, remembers what was acknowledged.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use api::ids::DynoId;

use super::{
    MAX_RECORD_BYTES, Segment, SpoolContext, SpoolError, acknowledged, segments, stream_id,
    writer::remove_if_there,
};
use crate::frame::{FRAME_HEAD_BYTES, next_frame};

/// How often a waiting reader looks again.
const POLL: Duration = Duration::from_millis(100);
/// Read at once; holds the largest record.
const CHUNK_BYTES: usize = 2 * (MAX_RECORD_BYTES + FRAME_HEAD_BYTES);

/// What the spool gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A record and its number. Numbers rise; none is given twice by one reader.
    Record {
        /// Counted from 1 for the life of the spool; with [`Reader::id`] it makes a
        /// [`crate::LogLine::cursor`].
        sequence: u64,
        /// As it was written.
        bytes: Vec<u8>,
    },
    /// So many records before the next one were lost: the spool was full or the disk refused.
    Dropped {
        /// How many.
        count: u64,
    },
}

/// Reads a spool. One process at a time.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    id: DynoId,
    /// Number of the record to give next.
    next: u64,
    position: Option<Position>,
}

#[derive(Debug)]
struct Position {
    first: u64,
    /// Number of the record at `offset`.
    at: u64,
    offset: u64,
    file: File,
    path: PathBuf,
}

impl Reader {
    /// Opens the spool in `dir`, which is made if absent, behind what was acknowledged.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, SpoolError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).on("create", &dir)?;
        let id = stream_id(&dir)?;
        let next = acknowledged(&dir)? + 1;
        Ok(Self {
            dir,
            id,
            next,
            position: None,
        })
    }

    /// The identity of this spool's numbering: a spool made anew has another.
    pub fn id(&self) -> DynoId {
        self.id
    }

    /// Up to about `max` entries that follow those already given; none if there are none yet.
    pub fn read(&mut self, max: usize) -> Result<Vec<Entry>, SpoolError> {
        let mut entries = Vec::new();
        while entries.len() < max {
            let Some(mut position) = self.position.take() else {
                if self.enter(&mut entries)? {
                    continue;
                }
                break;
            };
            let given = position.read(&mut self.next, max, &mut entries)?;
            // Look for a successor only after this segment seemed at its end, and read once more
            // when there is one: the writer may have appended to this one in between.
            if given || !has_successor(&self.dir, position.first)? {
                self.position = Some(position);
                if given {
                    continue;
                }
                break;
            }
            if position.read(&mut self.next, max, &mut entries)? {
                self.position = Some(position);
            } else {
                self.leave(&position, &mut entries)?;
            }
        }
        Ok(entries)
    }

    /// As [`Reader::read`], but waits until there is an entry.
    ///
    /// *Cancellation*: safe; nothing is given that was not returned.
    pub async fn read_some(&mut self, max: usize) -> Result<Vec<Entry>, SpoolError> {
        loop {
            let entries = self.read(max)?;
            if !entries.is_empty() {
                return Ok(entries);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Notes that everything given so far is in safe hands; a reader opened later begins after it.
    pub fn acknowledge(&mut self) -> Result<(), SpoolError> {
        let path = self.dir.join("acknowledged");
        let unfinished = self.dir.join("acknowledged.new");
        fs::write(&unfinished, (self.next - 1).to_string()).on("write", &unfinished)?;
        fs::rename(&unfinished, &path).on("rename", &unfinished)?;
        let segments = segments(&self.dir)?;
        for (segment, successor) in segments.iter().zip(segments.iter().skip(1)) {
            if successor.first <= self.next {
                remove_if_there(&segment.path)?;
            }
        }
        Ok(())
    }

    /// Opens the segment that holds the next record, or the first one after it; false if there is
    /// none.
    fn enter(&mut self, entries: &mut Vec<Entry>) -> Result<bool, SpoolError> {
        let segments = segments(&self.dir)?;
        let holding = segments
            .iter()
            .rev()
            .find(|segment| segment.first <= self.next);
        let Some(segment) = holding.or(segments.first()) else {
            return Ok(false);
        };
        match File::open(&segment.path) {
            // Removed by the writer since it was listed: look again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            file => self.position = Some(Position::start(segment, file.on("open", &segment.path)?)),
        }
        self.skip_to(segment.first, entries);
        Ok(true)
    }

    /// Moves from a segment at its end to its successor.
    fn leave(&mut self, position: &Position, entries: &mut Vec<Entry>) -> Result<(), SpoolError> {
        let segments = segments(&self.dir)?;
        if let Some(successor) = segments
            .iter()
            .find(|segment| segment.first > position.first)
        {
            self.skip_to(successor.first, entries);
        }
        Ok(())
    }

    /// If records before number `first` are missing, says so.
    fn skip_to(&mut self, first: u64, entries: &mut Vec<Entry>) {
        if first > self.next {
            entries.push(Entry::Dropped {
                count: first - self.next,
            });
            self.next = first;
        }
    }
}

fn has_successor(dir: &Path, first: u64) -> Result<bool, SpoolError> {
    Ok(segments(dir)?
        .last()
        .is_some_and(|newest| newest.first > first))
}

impl Position {
    fn start(segment: &Segment, file: File) -> Self {
        let path = segment.path.clone();
        Self {
            first: segment.first,
            at: segment.first,
            offset: 0,
            file,
            path,
        }
    }

    /// Gives whole records from here on, passing over those before `next`; false if there was not
    /// one, given or passed over.
    fn read(
        &mut self,
        next: &mut u64,
        max: usize,
        entries: &mut Vec<Entry>,
    ) -> Result<bool, SpoolError> {
        if self.file.metadata().on("look at", &self.path)?.len() <= self.offset {
            return Ok(false);
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let length = self
            .file
            .read_at(&mut chunk, self.offset)
            .on("read", &self.path)?;
        let mut rest = chunk.get(..length).unwrap_or_default();
        let start = self.at;
        while entries.len() < max
            && let Some((record, after)) = next_frame(rest)
        {
            if self.at >= *next {
                entries.push(Entry::Record {
                    sequence: self.at,
                    bytes: record.to_vec(),
                });
                *next = self.at + 1;
            }
            self.at += 1;
            self.offset += (rest.len() - after.len()) as u64;
            rest = after;
        }
        Ok(self.at > start)
    }
}
