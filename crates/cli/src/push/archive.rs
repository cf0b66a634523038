//! A directory as a stream of a compressed tar, without what its ignore files leave out.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use api::client::BodyError;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{Stream, stream};
use ignore::{DirEntry, WalkBuilder};
use tokio::sync::mpsc;

/// Bytes per piece of the upload.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that wait for the network.
const WAITING_PIECES: usize = 16;
/// What Heroku leaves out of slugs, in the form of a `.gitignore`.
const SLUG_IGNORE: &str = ".slugignore";

/// The archive of a directory. A file that cannot be read is the stream's last item, an error.
pub(super) fn of(directory: PathBuf) -> impl Stream<Item = Result<Bytes, BodyError>> + Send {
    let (sender, pieces) = mpsc::channel(WAITING_PIECES);
    tokio::task::spawn_blocking(move || {
        let outcome = write(&directory, Pieces::new(&sender));
        if let Err(error) = outcome {
            drop(sender.blocking_send(Err(error.into())));
        }
    });
    stream::unfold(pieces, |mut pieces| async {
        Some((pieces.recv().await?, pieces))
    })
}

fn write(directory: &Path, pieces: Pieces<'_>) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(pieces, Compression::fast()));
    archive.follow_symlinks(false);
    for entry in walk(directory) {
        let entry = entry.map_err(io::Error::other)?;
        add(&mut archive, directory, &entry)?;
    }
    archive.into_inner()?.finish()?.flush()
}

/// Everything below a directory that is part of the app, in order of name.
fn walk(directory: &Path) -> ignore::Walk {
    WalkBuilder::new(directory)
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .require_git(false)
        .add_custom_ignore_filename(SLUG_IGNORE)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build()
}

/// Adds a file, directory or link; a socket, pipe or device is no part of any app.
fn add<W: Write>(
    archive: &mut tar::Builder<W>,
    directory: &Path,
    entry: &DirEntry,
) -> io::Result<()> {
    let Ok(name) = entry.path().strip_prefix(directory) else {
        return Ok(());
    };
    let Some(kind) = entry.file_type().filter(|_| name != Path::new("")) else {
        return Ok(());
    };
    if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
        return Ok(());
    }
    let told = |error: io::Error| {
        let path = entry.path().display();
        io::Error::new(error.kind(), format!("cannot read {path}: {error}"))
    };
    archive
        .append_path_with_name(entry.path(), name)
        .map_err(told)
}

/// Cuts what is written into pieces of the upload.
struct Pieces<'a> {
    sender: &'a mpsc::Sender<Result<Bytes, BodyError>>,
    piece: Vec<u8>,
}

impl<'a> Pieces<'a> {
    fn new(sender: &'a mpsc::Sender<Result<Bytes, BodyError>>) -> Self {
        Self {
            sender,
            piece: Vec::new(),
        }
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        if piece.is_empty() {
            return Ok(());
        }
        let sent = self.sender.blocking_send(Ok(piece));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_is_ignored_is_not_uploaded() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for (path, text) in [
            (".gitignore", "node_modules/\n*.log\n!keep.log\n"),
            (".slugignore", "/docs\n"),
            (".env.example", ""),
            ("app.js", ""),
            ("keep.log", ""),
            ("debug.log", ""),
            ("docs/a.md", ""),
            ("node_modules/a/index.js", ""),
            ("lib/.gitignore", "secret\n"),
            ("lib/secret", ""),
            ("lib/docs/b.md", ""),
            (".git/HEAD", ""),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        symlink("app.js", root.join("link")).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let found: BTreeSet<String> = names(root);
        drop(listener);
        let expected = [
            ".env.example",
            ".gitignore",
            ".slugignore",
            "app.js",
            "keep.log",
            "lib",
            "lib/.gitignore",
            "lib/docs",
            "lib/docs/b.md",
            "link",
        ];
        assert_eq!(found, expected.map(str::to_owned).into());
    }

    fn names(root: &Path) -> BTreeSet<String> {
        let (sender, mut pieces) = mpsc::channel(1000);
        write(root, Pieces::new(&sender)).unwrap();
        drop(sender);
        let mut packed = Vec::new();
        while let Some(piece) = pieces.blocking_recv() {
            packed.extend_from_slice(&piece.unwrap());
        }
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let entries = archive.entries().unwrap();
        let name = |entry: io::Result<tar::Entry<'_, _>>| {
            let path = entry.unwrap().path().unwrap().display().to_string();
            path.trim_end_matches('/').to_owned()
        };
        entries.map(name).collect()
    }
}
