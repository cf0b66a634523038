//! An image as one file: an OCI layout in a tar, with `manifest.json` beside it, which is what
//! `docker load` looks for.
//!
//! It must not know how images are made. Read [`write_archive`].

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use serde_json::json;
use tar::{Builder, EntryType, Header};
use thiserror::Error;

use super::{
    BlobStore, Descriptor, ImageRecord,
    documents::{Index, Machine},
    layer::MTIME_SECONDS,
};

/// Why an archive was not written to its end.
#[derive(Debug, Error)]
pub enum ExportError {
    /// A document could not be written as JSON.
    #[error("could not write a document of the archive")]
    Document(#[from] serde_json::Error),
    /// A blob could not be read, or the archive not be written.
    #[error("could not write the archive")]
    Io(#[from] io::Error),
}

/// Writes an image and what is attached to it; `name` is what it is called when it is loaded, such
/// as `shop:latest`. The same image gives the same bytes.
pub fn write_archive(
    blobs: &BlobStore,
    record: &ImageRecord,
    name: &str,
    output: impl Write,
) -> Result<(), ExportError> {
    let mut tar = Builder::new(output);
    append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let index = serde_json::to_vec(&index(record, name))?;
    append(&mut tar, "index.json", &index)?;
    let manifest = json!([{
        "Config": place(&record.config),
        "RepoTags": [name],
        "Layers": record.layers.iter().map(place).collect::<Vec<_>>(),
    }]);
    append(&mut tar, "manifest.json", &serde_json::to_vec(&manifest)?)?;
    folder(&mut tar, "blobs")?;
    folder(&mut tar, "blobs/sha256")?;
    let mut all: Vec<&Descriptor> = record.blobs().collect();
    all.sort_by(|one, other| one.digest.cmp(&other.digest));
    all.dedup_by(|one, other| one.digest == other.digest);
    for blob in all {
        let mut header = header(EntryType::Regular, blob.size);
        let file = File::open(blobs.path(&blob.digest))?;
        tar.append_data(&mut header, place(blob), file)?;
    }
    Ok(tar.finish()?)
}

fn index(record: &ImageRecord, name: &str) -> Index {
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    let mut image = record.manifest.clone();
    image.platform = Some(Machine::own());
    for (key, value) in [
        ("io.containerd.image.name", name),
        ("org.opencontainers.image.ref.name", tag),
    ] {
        image.annotations.insert(key.to_owned(), value.to_owned());
    }
    Index::new(vec![image])
}

fn place(blob: &Descriptor) -> String {
    format!("blobs/sha256/{}", blob.digest.digits())
}

fn append(tar: &mut Builder<impl Write>, path: &str, content: &[u8]) -> io::Result<()> {
    let mut header = header(EntryType::Regular, content.len() as u64);
    tar.append_data(&mut header, path, content)
}

fn folder(tar: &mut Builder<impl Write>, path: &str) -> io::Result<()> {
    let mut header = header(EntryType::Directory, 0);
    tar.append_data(&mut header, Path::new(path), io::empty())
}

fn header(kind: EntryType, size_bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size_bytes);
    header.set_mode(if kind == EntryType::Directory {
        0o755
    } else {
        0o644
    });
    header.set_mtime(MTIME_SECONDS.into());
    header.set_uid(0);
    header.set_gid(0);
    header
}
