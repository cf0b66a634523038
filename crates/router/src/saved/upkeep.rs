//! What is done to the routes file beside the thread that takes routes: getting it to the disk, and
//! writing it anew without what is outdated.
//!
//! Read [`Saved::task`] and [`Saved::finish`], between which lines are written as ever.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Place, Saved, create_private, line};
use crate::wire::EntryKey;

/// Work that may block for long.
#[derive(Debug)]
pub(crate) struct Task {
    file: Arc<File>,
    /// What of the file counts, and where it is to be copied; `None` when it is to be synced only.
    copy: Option<Copy>,
}

#[derive(Debug)]
struct Copy {
    unfinished: PathBuf,
    version: u64,
    places: Vec<(EntryKey, Place)>,
    /// The length of the file by now.
    length: u64,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done(io::Result<Option<Copied>>);

#[derive(Debug)]
struct Copied {
    file: File,
    length: u64,
    /// From the old place to the new one.
    moved: HashMap<EntryKey, (Place, Place)>,
    /// What follows in the old file is not in the new one.
    up_to: u64,
}

impl Saved {
    /// What there is to do, if anything; there must be none underway.
    pub(crate) fn task(&mut self) -> Option<Task> {
        let file = self.file.clone()?;
        let copy = self.is_stale().then(|| Copy {
            unfinished: self.unfinished(),
            version: self.version,
            places: self
                .places
                .iter()
                .map(|(key, at)| (key.clone(), *at))
                .collect(),
            length: self.length,
        });
        if copy.is_none() && !self.is_unsynced {
            return None;
        }
        self.is_unsynced = false;
        Some(Task { file, copy })
    }

    /// Takes what came of a task. Errors leave the file as it was.
    pub(crate) fn finish(&mut self, Done(done): Done) -> io::Result<()> {
        let (Some(copied), Some(file)) = (done?, self.file.clone()) else {
            return Ok(());
        };
        // The lines that were written meanwhile.
        let mut rest = vec![0; usize::try_from(self.length - copied.up_to).unwrap_or(0)];
        file.read_exact_at(&mut rest, copied.up_to)?;
        copied.file.write_all_at(&rest, copied.length)?;
        fs::rename(self.unfinished(), &self.path)?;
        for (key, at) in &mut self.places {
            match copied.moved.get(key) {
                Some((from, to)) if from == at => *at = *to,
                _ => at.offset = at.offset - copied.up_to + copied.length,
            }
        }
        self.length = copied.length + rest.len() as u64;
        self.file = Some(Arc::new(copied.file));
        self.is_unsynced = true;
        Ok(())
    }
}

impl Task {
    /// Does it. Blocks.
    pub(crate) fn run(self) -> Done {
        Done(match self.copy {
            None => self.file.sync_data().map(|()| None),
            Some(copy) => copy.run(&self.file).map(Some),
        })
    }
}

impl Copy {
    fn run(mut self, from: &File) -> io::Result<Copied> {
        self.places.sort_unstable_by_key(|(_, place)| place.offset);
        let file = create_private(&self.unfinished)?;
        let mut writer = BufWriter::with_capacity(1 << 18, &file);
        let mut head = Vec::new();
        line::version(&mut head, self.version);
        writer.write_all(&head)?;
        let mut length = head.len() as u64;
        let mut moved = HashMap::with_capacity(self.places.len());
        let mut bytes = Vec::new();
        for (key, place) in self.places {
            bytes.resize(usize::try_from(place.length).unwrap_or(0), 0);
            from.read_exact_at(&mut bytes, place.offset)?;
            writer.write_all(&bytes)?;
            let to = Place {
                offset: length,
                ..place
            };
            length += u64::from(place.length);
            moved.insert(key, (place, to));
        }
        writer.flush()?;
        drop(writer);
        file.sync_data()?;
        sync_directory(&self.unfinished)?;
        Ok(Copied {
            file,
            length,
            moved,
            up_to: self.length,
        })
    }
}

fn sync_directory(of: &Path) -> io::Result<()> {
    File::open(of.parent().unwrap_or(Path::new("/")))?.sync_all()
}
