//! Writes one image: its layers, its configuration, its manifest, and what is attached to it.
//!
//! Order of events: [`Writer::write`]. A layer that is here is not written again.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    BlobStore, Compression, Descriptor, Digest, FORMAT, ImageError, ImageRecord, ImageRequest,
    ImagesConfig,
    blobs::private_directory,
    documents::{
        CONFIG, EMPTY, EMPTY_BYTES, ImageConfig, LAYER_GZIP, LAYER_ZSTD, MANIFEST, Machine,
        Manifest, RootFs, RunConfig,
    },
    entry,
    layer::{self, DYNO_ID, MTIME_TEXT, Tree},
    provenance, sbom,
};
use crate::archive::hex;

/// gzip's own middle way between size and time.
const GZIP_LEVEL: u32 = 6;
/// Zstandard's.
const ZSTD_LEVEL: i32 = 3;
/// Where an app listens unless it is told otherwise.
const PORT: u16 = 8080;
/// What a stack is told from another of its name by.
const STACK_MANIFEST: &str = "etc/landfall-stack.json";

/// A written layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct WrittenLayer {
    descriptor: Descriptor,
    /// Of the tar without its compression.
    diff_id: Digest,
}

pub(super) struct Writer<'images> {
    pub(super) config: &'images ImagesConfig,
    pub(super) blobs: &'images BlobStore,
}

impl Writer<'_> {
    pub(super) fn write(&self, request: &ImageRequest) -> Result<ImageRecord, ImageError> {
        let stack = self.config.stacks.join(request.stack.as_str());
        let Ok(stack_manifest) = fs::read(stack.join(STACK_MANIFEST)) else {
            return Err(ImageError::NoStack(request.stack.clone()));
        };
        let folders = self.layer_folders(request)?;
        let compression = request.compression;
        let stack_key = hex(&Sha256::digest(&stack_manifest));
        let mut layers = vec![self.layer(&stack_key, compression, |output| {
            layer::write_tar(&stack, Tree::Stack, output)
        })?];
        for (key, folder) in &folders {
            layers.push(self.layer(key, compression, |output| {
                layer::write_tar(folder, Tree::App, output)
            })?);
        }
        let types = serde_json::to_vec(&request.process_types)?;
        let types_key = format!("types {}", hex(&Sha256::digest(types)));
        layers.push(self.layer(&types_key, compression, |output| {
            entry::write_tar(&request.process_types, output)
                .map_err(ImageError::file("write", &self.config.folder))
        })?);
        let config = self.document(CONFIG, &image_config(request, &layers))?;
        let descriptors: Vec<_> = layers
            .iter()
            .map(|layer| layer.descriptor.clone())
            .collect();
        let manifest = Manifest::of_image(config.clone(), descriptors.clone());
        let manifest = self.document(MANIFEST, &manifest)?;
        let roots: Vec<PathBuf> = folders.into_iter().map(|(_, folder)| folder).collect();
        let (attached, attached_blobs) =
            self.attach(request, (&stack, &roots), (&manifest, &layers))?;
        Ok(ImageRecord {
            manifest,
            config,
            layers: descriptors,
            attached,
            attached_blobs,
        })
    }

    fn layer_folders(&self, request: &ImageRequest) -> Result<Vec<(String, PathBuf)>, ImageError> {
        let folder = |key: &String| {
            let folder = self.config.layers.join(key);
            let is_there = fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir());
            if is_there {
                Ok((key.clone(), folder))
            } else {
                Err(ImageError::NoLayer(key.clone()))
            }
        };
        request.layers.iter().map(folder).collect()
    }

    /// A layer that is here, or else what `pack` writes.
    fn layer(
        &self,
        key: &str,
        compression: Compression,
        pack: impl FnOnce(&mut dyn Write) -> Result<(), ImageError>,
    ) -> Result<WrittenLayer, ImageError> {
        let records = self.config.folder.join("layers");
        let name = hex(&Sha256::digest(format!("{FORMAT} {compression:?} {key}")));
        let known = fs::read(records.join(&name))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<WrittenLayer>(&bytes).ok());
        if let Some(known) = known
            && self.blobs.size(&known.descriptor.digest) == Some(known.descriptor.size)
        {
            return Ok(known);
        }
        let written = self.pack(compression, pack)?;
        keep_record(&records, &name, &written)?;
        Ok(written)
    }

    fn pack(
        &self,
        compression: Compression,
        pack: impl FnOnce(&mut dyn Write) -> Result<(), ImageError>,
    ) -> Result<WrittenLayer, ImageError> {
        let failed = |error| ImageError::file("write", &self.config.folder)(error);
        let draft = io::BufWriter::with_capacity(1 << 18, self.blobs.draft()?);
        let (draft, diff_id, media_type) = match compression {
            Compression::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                let mut tar = Hashed::new(flate2::write::GzEncoder::new(draft, level));
                pack(&mut tar)?;
                let (encoder, diff_id) = tar.end();
                (encoder.finish().map_err(failed)?, diff_id, LAYER_GZIP)
            }
            Compression::Zstd => {
                let encoder = zstd::Encoder::new(draft, ZSTD_LEVEL).map_err(failed)?;
                let mut tar = Hashed::new(encoder);
                pack(&mut tar)?;
                let (encoder, diff_id) = tar.end();
                (encoder.finish().map_err(failed)?, diff_id, LAYER_ZSTD)
            }
        };
        let draft = draft
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        let (digest, size) = draft.commit()?;
        Ok(WrittenLayer {
            descriptor: Descriptor::new(media_type, digest, size),
            diff_id,
        })
    }

    /// Attaches what the image is made of and how it came about; their manifests and blobs.
    fn attach(
        &self,
        request: &ImageRequest,
        (stack, roots): (&Path, &[PathBuf]),
        (manifest, layers): (&Descriptor, &[WrittenLayer]),
    ) -> Result<(Vec<Descriptor>, Vec<Descriptor>), ImageError> {
        let base = layers.first().map(|layer| &layer.diff_id);
        let documents = [
            (sbom::MEDIA_TYPE, sbom::document(request, stack, roots)),
            (
                provenance::MEDIA_TYPE,
                provenance::document(request, manifest, base),
            ),
        ];
        let empty = Descriptor::new(
            EMPTY,
            self.blobs.put(EMPTY_BYTES)?,
            EMPTY_BYTES.len() as u64,
        );
        let mut attached = Vec::new();
        let mut blobs = vec![empty.clone()];
        for (media_type, document) in documents {
            let content = self.document(media_type, &document)?;
            let mut artifact = Manifest::of_image(empty.clone(), vec![content.clone()]);
            artifact.artifact_type = Some(media_type.to_owned());
            artifact.subject = Some(manifest.clone());
            let mut descriptor = self.document(MANIFEST, &artifact)?;
            descriptor.artifact_type = Some(media_type.to_owned());
            attached.push(descriptor);
            blobs.push(content);
        }
        Ok((attached, blobs))
    }

    fn document(
        &self,
        media_type: &str,
        document: &impl Serialize,
    ) -> Result<Descriptor, ImageError> {
        let bytes = serde_json::to_vec(document)?;
        let digest = self.blobs.put(&bytes)?;
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }
}

fn image_config(request: &ImageRequest, layers: &[WrittenLayer]) -> ImageConfig {
    let machine = Machine::own();
    let mut env = request.env.clone();
    env.insert("HOME".to_owned(), "/app".to_owned());
    env.entry("PORT".to_owned())
        .or_insert_with(|| PORT.to_string());
    let has_web = request
        .process_types
        .keys()
        .any(api::names::ProcessType::is_web);
    ImageConfig {
        created: Some(MTIME_TEXT.to_owned()),
        architecture: machine.architecture,
        os: machine.os,
        config: RunConfig {
            user: format!("{DYNO_ID}:{DYNO_ID}"),
            exposed_ports: has_web
                .then(|| (format!("{PORT}/tcp"), BTreeMap::new()))
                .into_iter()
                .collect(),
            env: env
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            entrypoint: vec![entry::LAUNCHER.to_owned()],
            cmd: has_web.then(|| "web".to_owned()).into_iter().collect(),
            working_dir: "/app".to_owned(),
            labels: labels(request),
        },
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: layers.iter().map(|layer| layer.diff_id.clone()).collect(),
        },
    }
}

fn labels(request: &ImageRequest) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut label = |name: &str, value: &str| {
        if !value.is_empty() {
            labels.insert(name.to_owned(), value.to_owned());
        }
    };
    label("org.opencontainers.image.title", &request.title);
    label("org.opencontainers.image.created", MTIME_TEXT);
    label(
        "org.opencontainers.image.revision",
        request.commit.as_deref().unwrap_or_default(),
    );
    label("org.opencontainers.image.base.name", request.stack.as_str());
    label("dev.landfall.language", &request.language);
    label("dev.landfall.stack", request.stack.as_str());
    let types: Vec<&str> = request
        .process_types
        .keys()
        .map(api::names::ProcessType::as_str)
        .collect();
    label("dev.landfall.process-types", &types.join(","));
    labels
}

/// Writes a record so that it is whole or not there.
pub(super) fn keep_record(
    folder: &Path,
    name: &str,
    record: &impl Serialize,
) -> Result<(), ImageError> {
    private_directory(folder).map_err(ImageError::file("create", folder))?;
    let (place, draft) = (folder.join(name), folder.join(format!("{name}.part")));
    let bytes = serde_json::to_vec(record)?;
    let keep = || -> io::Result<()> {
        let mut file = fs::File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &place)
    };
    keep().map_err(ImageError::file("write", &place))
}

/// A writer that knows the digest of all that went through.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Hashed<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
        }
    }

    fn end(self) -> (W, Digest) {
        (self.inner, Digest::from_hash(self.hash))
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
