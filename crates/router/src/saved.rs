//! The last known routes on disk, so that a router serves without a server: a log of entries, each
//! line whole by itself, which is written anew when most of it is outdated.
//!
//! It must not know how requests are routed. A process that is killed at any moment leaves a file
//! that can be read; a line that was damaged costs only what it says. Read [`Saved::write`], then
//! [`upkeep`].

mod line;
mod upkeep;

use std::{
    collections::HashMap,
    fs::{self, File, Permissions},
    io::{self, BufRead, BufReader},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use self::upkeep::Done;
use crate::wire::{Entry, EntryKey};

/// A file this small is not worth writing anew.
const SMALL_BYTES: u64 = 1024 * 1024;

/// The routes file and what of it counts.
#[derive(Debug)]
pub(crate) struct Saved {
    path: PathBuf,
    file: Option<Arc<File>>,
    /// Where the next line goes.
    length: u64,
    /// Bytes of the lines in `places`.
    live: u64,
    places: HashMap<EntryKey, Place>,
    /// Lines that should be in the file and are not yet.
    staged: Draft,
    /// The newest version in the file.
    version: u64,
    /// Lines are in the file that a power cut may take.
    is_unsynced: bool,
}

/// A line's place in the file, its end included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: u64,
    length: u32,
}

/// Lines to be written together.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    lines: Vec<u8>,
    /// What they are good for: where each begins in `lines` and how long it is, `None` for what is
    /// gone.
    places: Vec<(EntryKey, Option<Place>)>,
}

/// What the file says, in order: later words go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Set(Entry),
    Unset(EntryKey),
}

impl Saved {
    /// Opens the file, or makes it, and tells what it says. Returns it with the newest version that
    /// it knows, 0 if it is new. Errors when it cannot be had; damage is logged and passed over.
    pub(crate) fn open(path: &Path, mut told: impl FnMut(Said)) -> io::Result<(Self, u64)> {
        let mut saved = Self::nowhere(path);
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)?;
        let file = open_private(path)?;
        let mut first = [0];
        let is_former = file.read_at(&mut first, 0)? == 1 && first == *b"{";
        if is_former {
            saved.convert(&file, &mut told)?;
        } else {
            saved.read(&file, &mut told)?;
            saved.file = Some(Arc::new(file));
        }
        let version = saved.version;
        Ok((saved, version))
    }

    /// One that has no file: everything is written to a new one as soon as that can be made.
    pub(crate) fn nowhere(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            length: 0,
            live: 0,
            places: HashMap::new(),
            staged: Draft::default(),
            version: 0,
            is_unsynced: false,
        }
    }

    fn read(&mut self, file: &File, told: &mut impl FnMut(Said)) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut bytes = Vec::new();
        let mut number = 0;
        loop {
            bytes.clear();
            let length = reader.read_until(b'\n', &mut bytes)?;
            if length == 0 {
                return Ok(());
            }
            number += 1;
            let place = Place {
                offset: self.length,
                length: u32::try_from(length).unwrap_or(u32::MAX),
            };
            self.length += length as u64;
            let Some(text) = bytes.strip_suffix(b"\n") else {
                // A line that was cut off: whatever comes next begins a new one.
                self.staged.lines.push(b'\n');
                tracing::warn!(number, "the last line of the saved routes is not whole");
                continue;
            };
            if text.is_empty() {
                continue;
            }
            match line::read(text) {
                Ok(record) => self.note(record, place, told),
                Err(error) => tracing::error!(
                    %error, number, path = %self.path.display(),
                    "a line of the saved routes is damaged; its app keeps what was said before"
                ),
            }
        }
    }

    fn note(&mut self, record: line::Record, place: Place, told: &mut impl FnMut(Said)) {
        self.version = self.version.max(record.version);
        if let Some(entry) = record.set {
            self.place(entry.key(), Some(place));
            told(Said::Set(entry));
        }
        if let Some(key) = record.unset {
            self.place(key.clone(), None);
            told(Said::Unset(key));
        }
    }

    /// Takes over what a former release wrote.
    fn convert(&mut self, file: &File, told: &mut impl FnMut(Said)) -> io::Result<()> {
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        let (version, entries) = match line::read_former(&bytes) {
            Ok(former) => former,
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "cannot read the last routes");
                (0, Vec::new())
            }
        };
        for entry in entries {
            self.staged
                .set(version, entry.key(), &serde_json::to_vec(&entry)?);
            told(Said::Set(entry));
        }
        self.write_anew(version)
    }

    /// Writes the lines as part of this version. After this they survive the process, if not a
    /// power cut. What cannot be written is written with the next version.
    pub(crate) fn write(&mut self, draft: Draft, version: u64) -> io::Result<()> {
        self.staged.append(draft);
        let Some(file) = self.file.clone() else {
            return self.write_anew(version);
        };
        if self.staged.places.is_empty() && self.version != version {
            line::version(&mut self.staged.lines, version);
        }
        file.write_all_at(&self.staged.lines, self.length)?;
        self.version = version;
        self.is_unsynced = true;
        self.staged_is_written();
        Ok(())
    }

    /// Makes a file of the staged lines alone, in place of whatever is there.
    fn write_anew(&mut self, version: u64) -> io::Result<()> {
        let unfinished = self.unfinished();
        let file = create_private(&unfinished)?;
        line::version(&mut self.staged.lines, version);
        file.write_all_at(&self.staged.lines, 0)?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.path)?;
        self.version = version;
        self.file = Some(Arc::new(file));
        self.staged_is_written();
        Ok(())
    }

    fn staged_is_written(&mut self) {
        let Draft { lines, places } = std::mem::take(&mut self.staged);
        for (key, place) in places {
            let place = place.map(|at| Place {
                offset: at.offset + self.length,
                ..at
            });
            self.place(key, place);
        }
        self.length += lines.len() as u64;
    }

    fn place(&mut self, key: EntryKey, place: Option<Place>) {
        let former = match place {
            Some(place) => self.places.insert(key, place),
            None => self.places.remove(&key),
        };
        self.live += place.map_or(0, |place| u64::from(place.length));
        self.live -= former.map_or(0, |former| u64::from(former.length));
    }

    fn unfinished(&self) -> PathBuf {
        self.path.with_extension("new")
    }

    /// Whether more than half of the file is outdated.
    fn is_stale(&self) -> bool {
        self.length > SMALL_BYTES && self.length > 2 * self.live
    }
}

impl Draft {
    /// An entry, given as JSON, too.
    pub(crate) fn set(&mut self, version: u64, key: EntryKey, json: &[u8]) {
        let start = self.lines.len();
        line::set(&mut self.lines, version, json);
        let place = Place {
            offset: start as u64,
            length: u32::try_from(self.lines.len() - start).unwrap_or(u32::MAX),
        };
        self.places.push((key, Some(place)));
    }

    /// An entry that is gone.
    pub(crate) fn unset(&mut self, version: u64, key: EntryKey) {
        match line::unset(&mut self.lines, version, &key) {
            Ok(()) => self.places.push((key, None)),
            Err(error) => tracing::error!(%error, "cannot keep that an entry is gone"),
        }
    }

    fn append(&mut self, mut draft: Self) {
        if self.lines.is_empty() {
            return *self = draft;
        }
        let start = self.lines.len() as u64;
        self.lines.append(&mut draft.lines);
        for (key, mut place) in draft.places {
            if let Some(place) = &mut place {
                place.offset += start;
            }
            self.places.push((key, place));
        }
    }
}

/// For reading and writing by its owner alone: private keys are in it.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// The same, and empty.
fn create_private(path: &Path) -> io::Result<File> {
    let file = open_private(path)?;
    file.set_len(0)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
