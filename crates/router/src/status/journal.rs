//! The history on disk: a log of records, each line whole by itself with a sum, written anew when
//! most of it is outdated.
//!
//! It must not know what the records mean. A process that is killed at any moment leaves a file that
//! can be read; a damaged line costs only what it says. Read [`Journal::open`], then
//! [`Journal::append`].

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::record::Record;
use crate::wire::entry::fingerprint;

/// A file this small is not worth writing anew.
const SMALL_BYTES: u64 = 256 * 1024;
/// A longer line is damaged.
const LINE_BYTES: usize = 4096;
const SUM_DIGITS: usize = 16;

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Arc<File>,
    length: u64,
    /// What it was long when it was last written anew.
    whole: u64,
}

impl Journal {
    /// Opens the file, or makes it, and tells what it says in order. Damage is logged and passed
    /// over.
    pub(super) fn open(path: &Path, told: impl FnMut(Record)) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut options = File::options();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(path)?;
        let length = file.metadata()?.len();
        let ends_whole = read(&file, path, told)?;
        let mut journal = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            length,
            whole: 0,
        };
        if !ends_whole {
            // Whatever comes next begins a line.
            journal.write(b"\n")?;
        }
        Ok(journal)
    }

    /// Whether most of it is outdated.
    pub(super) fn is_stale(&self) -> bool {
        self.length > SMALL_BYTES && self.length > 2 * self.whole
    }

    /// Adds records. After this they survive a power cut. Blocks.
    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        self.write(&lines(records.iter().cloned())?)?;
        self.file.sync_data()
    }

    /// Puts a file of these records alone in its place. Blocks.
    pub(super) fn replace(&mut self, records: impl Iterator<Item = Record>) -> io::Result<()> {
        let bytes = lines(records)?;
        let unfinished = self.path.with_extension("new");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = File::options();
        options.read(true).append(true).create_new(true).mode(0o600);
        let file = options.open(&unfinished)?;
        (&file).write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
        self.file = Arc::new(file);
        self.length = bytes.len() as u64;
        self.whole = self.length;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.file).write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Returns whether the last line is whole.
fn read(file: &File, path: &Path, mut told: impl FnMut(Record)) -> io::Result<bool> {
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(true);
        }
        number += 1;
        let Some(line) = bytes.strip_suffix(b"\n") else {
            return Ok(false);
        };
        match parse(line) {
            Some(record) => told(record),
            None if line.is_empty() => {}
            None => {
                tracing::error!(number, path = %path.display(), "a line of the status page's history is damaged");
            }
        }
    }
}

fn lines(records: impl Iterator<Item = Record>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        let json = serde_json::to_vec(&record)?;
        bytes.extend_from_slice(format!("{:016x} ", fingerprint(&json)).as_bytes());
        bytes.extend_from_slice(&json);
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn parse(line: &[u8]) -> Option<Record> {
    if line.len() > LINE_BYTES {
        return None;
    }
    let (sum, json) = line.split_at_checked(SUM_DIGITS)?;
    let json = json.strip_prefix(b" ")?;
    let is_whole = sum == format!("{:016x}", fingerprint(json)).as_bytes();
    is_whole
        .then(|| serde_json::from_slice(json).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use api::clock::Time;

    use super::*;

    fn word(second: i64) -> Record {
        Record::Word(Time::from_micros(second))
    }

    fn open(path: &Path) -> (Journal, Vec<Record>) {
        let mut told = Vec::new();
        let journal = Journal::open(path, |record| told.push(record)).unwrap();
        (journal, told)
    }

    #[test]
    fn a_line_that_was_cut_off_or_damaged_costs_itself_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("router/status.log");
        let (mut journal, told) = open(&path);
        assert!(told.is_empty());
        journal.append(&[word(1), word(2), word(3)]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let damaged = text.replace("\"word\":2", "\"word\":7");
        assert_ne!(damaged, text);
        let (cut, _) = damaged.split_at(damaged.len() - 3);
        fs::write(&path, cut).unwrap();
        let (mut journal, told) = open(&path);
        assert_eq!(told, [word(1)]);
        journal.append(&[word(4)]).unwrap();
        assert_eq!(open(&path).1, [word(1), word(4)]);
    }

    #[test]
    fn what_is_outdated_leaves_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.log");
        let (mut journal, _) = open(&path);
        let many: Vec<_> = (0..10_000).map(word).collect();
        assert!(!journal.is_stale());
        journal.append(&many).unwrap();
        assert!(journal.is_stale());
        // One that was killed while it did the same.
        fs::write(path.with_extension("new"), "half").unwrap();
        journal.replace([word(5)].into_iter()).unwrap();
        assert!(!journal.is_stale());
        journal.append(&[word(6)]).unwrap();
        assert_eq!(open(&path).1, [word(5), word(6)]);
        let names = fs::read_dir(directory.path()).unwrap();
        assert_eq!(names.count(), 1);
    }
}
