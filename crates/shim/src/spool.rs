//! A dyno's log spool: bounded segments of records, written by the shim, read by the engine.
//!
//! Segment files are named by the sequence number of their first record, so a reader finds the
//! right one by name. A record is `length u32 | sequence u64 | at micros i64 | stream u8 | text`,
//! little-endian, `length` counting what follows it. A torn last record is not there yet.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The longest text of one record, bytes; a longer line continues in the next.
pub const MAX_TEXT_BYTES: usize = 10_000;
/// When a segment is this long, the next begins.
pub const SEGMENT_BYTES: u64 = 4 << 20;
/// How many segments are kept; older ones are dropped.
pub const SEGMENTS: usize = 2;

/// Bytes of a record before its text, without the length.
const HEAD_BYTES: usize = 8 + 8 + 1;
/// How much a reader takes in at once.
const READ_BYTES: u64 = 256 << 10;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts from 1.
    pub sequence: u64,
    /// When it was read from the dyno, microseconds since the epoch.
    pub at_micros: i64,
    /// 1 is standard output, 2 standard error.
    pub stream: u8,
    /// The line without its end.
    pub text: Vec<u8>,
}

/// Appends records. Errors of the disk are counted, never passed on: a dyno does not wait for one.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    segment: Option<(File, u64)>,
    batch: Vec<u8>,
    batch_lines: u64,
    /// The first sequence number in the batch.
    batch_first: u64,
    last: u64,
    dropped: u64,
    segment_bytes: u64,
}

impl Writer {
    /// A writer of a new spool in `directory`, which is made.
    pub fn create(directory: &Path, segment_bytes: u64) -> io::Result<Self> {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        Ok(Self {
            directory: directory.to_owned(),
            segment: None,
            batch: Vec::new(),
            batch_lines: 0,
            batch_first: 0,
            last: 0,
            dropped: 0,
            segment_bytes,
        })
    }

    /// The newest sequence number.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How many lines were skipped or could not be written.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Adds one line to the batch that [`Writer::flush`] writes.
    pub fn push(&mut self, at_micros: i64, stream: u8, text: &[u8]) {
        let Ok(length) = u32::try_from(HEAD_BYTES + text.len()) else {
            return;
        };
        self.last += 1;
        if self.batch_lines == 0 {
            self.batch_first = self.last;
        }
        self.batch_lines += 1;
        self.batch.extend_from_slice(&length.to_le_bytes());
        self.batch.extend_from_slice(&self.last.to_le_bytes());
        self.batch.extend_from_slice(&at_micros.to_le_bytes());
        self.batch.push(stream);
        self.batch.extend_from_slice(text);
    }

    /// Leaves a line out: it is counted, and the next has a later number.
    pub fn skip(&mut self) {
        self.last += 1;
        self.dropped += 1;
    }

    /// Writes the batch. Returns whether there was one.
    pub fn flush(&mut self) -> bool {
        if self.batch.is_empty() {
            return false;
        }
        if self.append().is_err() {
            self.dropped += self.batch_lines;
        }
        self.batch.clear();
        self.batch_lines = 0;
        true
    }

    fn append(&mut self) -> io::Result<()> {
        let (mut file, length) = match self.segment.take() {
            Some((file, length)) if length < self.segment_bytes => (file, length),
            _ => (self.next_segment(self.batch_first)?, 0),
        };
        let written = file.write_all(&self.batch);
        if let Err(error) = written {
            // A full disk may have taken half of a record: take it back, so that the next one
            // can be read.
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length))?;
            self.segment = Some((file, length));
            return Err(error);
        }
        self.segment = Some((file, length + self.batch.len() as u64));
        Ok(())
    }

    fn next_segment(&mut self, first: u64) -> io::Result<File> {
        let path = self.directory.join(segment_name(first));
        let file = OpenOptions::new().create_new(true).write(true).open(path)?;
        let segments = segments(&self.directory)?;
        for old in segments.iter().rev().skip(SEGMENTS) {
            fs::remove_file(self.directory.join(segment_name(*old)))?;
        }
        Ok(file)
    }
}

/// Reads records in order, from any sequence number on.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    position: Option<Position>,
}

/// Where a reader stands: the record at `offset` of the segment is the first after `after`.
#[derive(Debug)]
struct Position {
    segment: u64,
    offset: u64,
    after: u64,
}

impl Reader {
    /// A reader of the spool in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            position: None,
        }
    }

    /// Some records after `after`; none if there are none yet.
    pub fn read(&mut self, after: u64) -> io::Result<Vec<Record>> {
        if self
            .position
            .as_ref()
            .is_none_or(|position| position.after != after)
        {
            self.position = None;
        }
        loop {
            let segments = match segments(&self.directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                other => other?,
            };
            let Some(mut at) = self.position.take().or_else(|| start(&segments, after)) else {
                return Ok(Vec::new());
            };
            let file = File::open(self.directory.join(segment_name(at.segment)));
            let (mut records, end) = match file {
                Ok(file) => read_records(file, at.offset)?,
                // Dropped while we looked: go on with the oldest there is.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let is_progress = end > at.offset;
            at.offset = end;
            records.retain(|record| record.sequence > after);
            if let Some(last) = records.last() {
                at.after = last.sequence;
                self.position = Some(at);
                return Ok(records);
            }
            if !is_progress {
                let Some(next) = segments.iter().find(|segment| **segment > at.segment) else {
                    self.position = Some(at);
                    return Ok(records);
                };
                at = Position {
                    segment: *next,
                    offset: 0,
                    after,
                };
            }
            self.position = Some(at);
        }
    }
}

/// Where to look first for what follows `after`.
fn start(segments: &[u64], after: u64) -> Option<Position> {
    let holding = segments
        .iter()
        .rev()
        .find(|first| **first <= after.saturating_add(1));
    let segment = *holding.or(segments.first())?;
    Some(Position {
        segment,
        offset: 0,
        after,
    })
}

/// The whole records from `offset` on, at most about [`READ_BYTES`], and where they end.
fn read_records(mut file: File, offset: u64) -> io::Result<(Vec<Record>, u64)> {
    // After a full disk the writer takes back what did not fit; what we saw of it may be gone.
    let offset = if offset > file.metadata()?.len() {
        0
    } else {
        offset
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(READ_BYTES).read_to_end(&mut bytes)?;
    let mut records = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((record, after)) = split_record(rest) {
        records.push(record);
        rest = after;
    }
    Ok((records, offset + (bytes.len() - rest.len()) as u64))
}

fn split_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (body, after) = rest.split_at_checked(length)?;
    let (sequence, body) = body.split_first_chunk::<8>()?;
    let (at_micros, body) = body.split_first_chunk::<8>()?;
    let (stream, text) = body.split_first()?;
    let record = Record {
        sequence: u64::from_le_bytes(*sequence),
        at_micros: i64::from_le_bytes(*at_micros),
        stream: *stream,
        text: text.to_vec(),
    };
    Some((record, after))
}

fn segment_name(first: u64) -> String {
    format!("{first:020}")
}

/// First sequence numbers of the segments there are, oldest first.
fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        found.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<u64>().ok()),
        );
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("spool-{name}-{}", std::process::id()));
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn texts(records: &[Record]) -> Vec<String> {
        records
            .iter()
            .map(|record| String::from_utf8_lossy(&record.text).into_owned())
            .collect()
    }

    #[test]
    fn lines_are_read_as_they_come_and_again_from_anywhere() {
        let scratch = Scratch::new("tail");
        let mut writer = Writer::create(&scratch.0, SEGMENT_BYTES).unwrap();
        let mut reader = Reader::new(&scratch.0);
        assert!(reader.read(0).unwrap().is_empty());
        writer.push(7, 1, b"one");
        writer.push(8, 2, b"two");
        assert!(
            reader.read(0).unwrap().is_empty(),
            "nothing is there before a flush"
        );
        assert!(writer.flush() && !writer.flush());
        let records = reader.read(0).unwrap();
        assert_eq!(texts(&records), ["one", "two"]);
        assert_eq!(
            (records[1].sequence, records[1].at_micros, records[1].stream),
            (2, 8, 2)
        );
        assert!(reader.read(2).unwrap().is_empty());
        writer.push(9, 1, b"three");
        writer.flush();
        assert_eq!(texts(&reader.read(2).unwrap()), ["three"]);
        assert_eq!(texts(&reader.read(1).unwrap()), ["two", "three"]);
    }

    #[test]
    fn the_oldest_segment_goes_first_and_leaves_a_gap() {
        let scratch = Scratch::new("bound");
        let mut writer = Writer::create(&scratch.0, 100).unwrap();
        for number in 1..=20 {
            writer.push(0, 1, format!("line {number} {}", "x".repeat(30)).as_bytes());
            writer.flush();
        }
        assert_eq!(segments(&scratch.0).unwrap().len(), SEGMENTS);
        let mut reader = Reader::new(&scratch.0);
        let mut after = 0;
        let mut seen = Vec::new();
        loop {
            let records = reader.read(after).unwrap();
            let Some(last) = records.last() else { break };
            after = last.sequence;
            seen.extend(records.iter().map(|record| record.sequence));
        }
        assert!(seen[0] > 1 && seen.ends_with(&[19, 20]), "{seen:?}");
        assert!(
            seen.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{seen:?}"
        );
    }

    #[test]
    fn skipped_lines_leave_a_gap() {
        let scratch = Scratch::new("skip");
        let mut writer = Writer::create(&scratch.0, 40).unwrap();
        for number in 0..6 {
            writer.push(0, 1, b"kept");
            writer.skip();
            writer.skip();
            if number % 2 == 1 {
                writer.flush();
            }
        }
        assert_eq!((writer.last(), writer.dropped()), (18, 12));
        assert_eq!(segments(&scratch.0).unwrap(), [7, 13]);
        let mut reader = Reader::new(&scratch.0);
        let read = reader.read(0).unwrap();
        let numbers: Vec<u64> = read.iter().map(|record| record.sequence).collect();
        assert_eq!(numbers, [7, 10]);
        assert_eq!(reader.read(11).unwrap()[0].sequence, 13);
    }

    #[test]
    fn a_torn_record_is_not_there_yet() {
        let scratch = Scratch::new("torn");
        let mut writer = Writer::create(&scratch.0, SEGMENT_BYTES).unwrap();
        writer.push(0, 1, b"whole");
        writer.push(0, 1, b"torn");
        writer.flush();
        let path = scratch.0.join(segment_name(1));
        let length = fs::metadata(&path).unwrap().len();
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length - 2)
            .unwrap();
        assert_eq!(texts(&Reader::new(&scratch.0).read(0).unwrap()), ["whole"]);
    }
}
