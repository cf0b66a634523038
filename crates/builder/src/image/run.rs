//! An image that somebody pushed, made ready to run: what it says of itself is checked, and its
//! layers are unpacked.
//!
//! A layer is kept under the digest of the blob it came as, so images share them; who may have the
//! blob is decided by who calls. It must not know process types. Read [`Builder::take_image`] first.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{
    BlobStore, Digest, ImageError,
    documents::{ImageConfig, Machine, Manifest, RunConfig},
    unpack::{LayerFault, unpack},
};
use crate::{Builder, archive::hex, error::BuildError, layers::LayerStore};

/// Most layers of an image, as Docker has it.
pub const MAX_LAYERS: usize = 127;
/// Most bytes that the files of all layers may come to.
pub const MAX_IMAGE_BYTES: u64 = 10 << 30;
/// Longest configuration.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Why an image cannot run here.
#[derive(Debug, Error)]
pub enum RunError {
    /// It is no image, or one that contradicts itself.
    #[error("it is not an image that can be run: {0}")]
    NotAnImage(String),
    /// It was made for other machines.
    #[error(
        "it is for {found}, and this platform runs {own} (hint: build it with `--platform {own}`)"
    )]
    OtherMachine {
        /// `linux/arm64`.
        found: String,
        /// `linux/amd64`.
        own: String,
    },
    /// Nobody could say what to start.
    #[error(
        "it has neither CMD nor ENTRYPOINT, so nothing says what to run (hint: add a CMD to its Dockerfile)"
    )]
    NothingToRun,
    /// All of it is too large.
    #[error("its layers come to more than {} MB", MAX_IMAGE_BYTES >> 20)]
    TooLarge,
    /// One of its layers was refused.
    #[error("its layer {layer} was refused")]
    Layer {
        /// As the manifest names it.
        layer: Digest,
        /// What is wrong with it.
        #[source]
        source: LayerFault,
    },
    /// A blob could not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer could not be kept.
    #[error("its layers could not be kept on this machine")]
    Host(#[from] io::Error),
}

impl RunError {
    /// Whether another image could help, and not only this machine's operator.
    pub fn is_about_the_image(&self) -> bool {
        match self {
            Self::Image(_) | Self::Host(_) => false,
            Self::Layer {
                source: LayerFault::Io(error),
                ..
            } => !matches!(
                error.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
            ),
            _ => true,
        }
    }
}

/// An image whose layers are in the layer store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnableImage {
    /// The digest of its configuration, which Docker calls the image's id.
    pub id: Digest,
    /// Layer keys, lowest first; together they are the root filesystem.
    pub layers: Vec<String>,
    /// Variable → value, below the config vars.
    pub env: BTreeMap<String, String>,
    /// What arguments are given to.
    pub entrypoint: Vec<String>,
    /// The arguments, unless others are given.
    pub command: Vec<String>,
    /// Where it starts, absolute.
    pub working_directory: String,
    /// What the files of its layers come to.
    pub size_bytes: u64,
}

impl Builder {
    /// Checks an image and unpacks those of its layers that are not here yet. The layers are on disk
    /// for good when this returns. The caller has made sure that whoever asks may read all blobs.
    ///
    /// Dropping the future leaves at most layers that nobody uses.
    ///
    /// # Errors
    /// [`RunError::is_about_the_image`] tells the image's fault from the machine's.
    pub async fn take_image(&self, manifest: Vec<u8>) -> Result<RunnableImage, RunError> {
        let broke_off = |_| RunError::Image(ImageError::BrokeOff);
        let blobs = self.images().blobs().clone();
        let read = move || read(&blobs, &manifest);
        let (manifest, config) = tokio::task::spawn_blocking(read)
            .await
            .map_err(broke_off)??;
        let run = checked(&config)?;
        let mut image = RunnableImage {
            id: manifest.config.digest.clone(),
            layers: Vec::new(),
            env: environment(&run.env)?,
            entrypoint: run.entrypoint,
            command: run.cmd,
            working_directory: working_directory(&run.working_dir)?,
            size_bytes: 0,
        };
        for layer in &manifest.layers {
            let kept = self.take_layer(&layer.digest).await?;
            image.size_bytes += kept.size_bytes;
            if image.size_bytes > MAX_IMAGE_BYTES {
                return Err(RunError::TooLarge);
            }
            image.layers.push(kept.key);
        }
        let layers = self.layers().clone();
        tokio::task::spawn_blocking(move || layers.sync())
            .await
            .map_err(broke_off)??;
        Ok(image)
    }

    async fn take_layer(&self, digest: &Digest) -> Result<crate::layers::Layer, RunError> {
        let key = hex(&Sha256::digest(format!("image layer {digest}")));
        let making = self.layers().making(&key);
        let _nobody_else_makes_it = making.lock().await;
        if let Some(layer) = self.layers().find(&key) {
            return Ok(layer);
        }
        let work = LayerWork {
            layers: self.layers().clone(),
            blob: self.images().blobs().path(digest),
            owner: self.config.layer_owner,
            key,
        };
        let unpacked = self.images().in_turn(move || work.perform()).await?;
        unpacked.map_err(|source| RunError::Layer {
            layer: digest.clone(),
            source,
        })
    }
}

/// One layer to unpack.
struct LayerWork {
    layers: LayerStore,
    blob: PathBuf,
    owner: u32,
    key: String,
}

impl LayerWork {
    fn perform(&self) -> Result<crate::layers::Layer, LayerFault> {
        self.layers.prepare()?;
        let draft = self.layers.draft()?;
        unpack(&self.blob, &draft.path(), self.owner)?;
        // Nobody on the host but the system reaches what a layer lets anybody write to.
        fs::set_permissions(
            draft.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o700),
        )?;
        std::os::unix::fs::chown(draft.path(), Some(0), Some(0))?;
        Ok(self.layers.commit(&draft, &self.key)?)
    }
}

fn not_an_image(reason: impl Into<String>) -> RunError {
    RunError::NotAnImage(reason.into())
}

fn read(blobs: &BlobStore, manifest: &[u8]) -> Result<(Manifest, ImageConfig), RunError> {
    let manifest: Manifest = serde_json::from_slice(manifest)
        .map_err(|error| not_an_image(format!("its manifest cannot be read: {error}")))?;
    if manifest.layers.len() > MAX_LAYERS {
        return Err(not_an_image(format!(
            "it has more than {MAX_LAYERS} layers"
        )));
    }
    let is_layer = |kind: &str| kind.contains(".tar") && !kind.contains("foreign");
    if let Some(other) = manifest
        .layers
        .iter()
        .find(|layer| !is_layer(&layer.media_type))
    {
        let kind: String = other.media_type.chars().take(100).collect();
        return Err(not_an_image(format!(
            "`{kind}` is no kind of layer known here"
        )));
    }
    let config = &manifest.config.digest;
    if blobs
        .size(config)
        .is_none_or(|size| size > MAX_CONFIG_BYTES)
    {
        return Err(not_an_image("its configuration is missing or too long"));
    }
    let config: ImageConfig = serde_json::from_slice(&blobs.read(config)?)
        .map_err(|error| not_an_image(format!("its configuration cannot be read: {error}")))?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(not_an_image(
            "manifest and configuration name different layers",
        ));
    }
    Ok((manifest, config))
}

/// How the image wants to be run, if it can be.
fn checked(config: &ImageConfig) -> Result<RunConfig, RunError> {
    let shown = |machine: &Machine| format!("{}/{}", machine.os, machine.architecture);
    let found = Machine {
        architecture: config.architecture.clone(),
        os: config.os.clone(),
    };
    let own = Machine::own();
    if found != own {
        return Err(RunError::OtherMachine {
            found: shown(&found),
            own: shown(&own),
        });
    }
    let run = &config.config;
    let is_text = |text: &String| !text.contains('\0');
    if !run.entrypoint.iter().chain(&run.cmd).all(is_text) {
        return Err(not_an_image("its command holds a NUL byte"));
    }
    if run
        .entrypoint
        .iter()
        .chain(&run.cmd)
        .next()
        .is_none_or(String::is_empty)
    {
        return Err(RunError::NothingToRun);
    }
    Ok(run.clone())
}

fn environment(pairs: &[String]) -> Result<BTreeMap<String, String>, RunError> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() || text.contains('\0') {
            return Err(not_an_image("its environment cannot be read"));
        }
        Ok((name.to_owned(), value.to_owned()))
    };
    pairs.iter().map(pair).collect()
}

/// Absolute, without `.` and `..`; `/` where the image says nothing.
fn working_directory(text: &str) -> Result<String, RunError> {
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if text.contains('\0') || text.len() > 1024 || parts.contains(&"..") {
        return Err(not_an_image("its working directory is no path"));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// The error of a build that ends in an image.
impl From<RunError> for BuildError {
    fn from(error: RunError) -> Self {
        if error.is_about_the_image() {
            return Self::Source {
                problem: format!("The image cannot be run here: {}.", super::chain(&error)),
                advice: Vec::new(),
            };
        }
        Self::Host {
            step: "unpack an image",
            source: io::Error::other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_directories() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(working_directory(text).ok().as_deref(), expected, "{text}");
        };
        check("", Some("/"));
        check("/", Some("/"));
        check("app", Some("/app"));
        check("//srv/./app/", Some("/srv/app"));
        check("/srv/../../etc", None);
        check("/a\0b", None);
    }

    #[test]
    fn images_of_other_machines_and_without_a_command_are_refused() {
        let config = |machine: &str, run: &str| -> ImageConfig {
            let text = format!(
                r#"{{"os":"linux","architecture":"{machine}","config":{run},
                    "rootfs":{{"type":"layers","diff_ids":[]}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let own = Machine::own().architecture;
        let refused = |config: &ImageConfig| checked(config).unwrap_err();
        assert!(matches!(
            refused(&config("vax", r#"{"Cmd":["x"]}"#)),
            RunError::OtherMachine { .. }
        ));
        assert!(matches!(
            refused(&config(&own, "{}")),
            RunError::NothingToRun
        ));
        assert!(matches!(
            refused(&config(&own, r#"{"Cmd":[""]}"#)),
            RunError::NothingToRun
        ));
        assert!(matches!(
            refused(&config(&own, "{\"Cmd\":[\"a\\u0000b\"]}")),
            RunError::NotAnImage(_)
        ));
        assert!(checked(&config(&own, r#"{"Entrypoint":["x"]}"#)).is_ok());
    }

    #[test]
    fn environments() {
        let read = environment(&["A=1".into(), "B=x=y".into(), "C".into()]).unwrap();
        assert_eq!(read["A"], "1");
        assert_eq!(read["B"], "x=y");
        assert_eq!(read["C"], "");
        assert!(environment(&["=x".into()]).is_err());
    }
}
