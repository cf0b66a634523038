//! A slug that was built elsewhere: its archive becomes a layer as it is.
//!
//! It must not know who built it, nor what runs in it. Read [`Builder::import`].

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{
    archive::{self, ArchiveError, Ownership, hex},
    build::Builder,
    buildpacks::STACK_PATH,
    error::BuildError,
    layers::Draft,
};

/// The directory that Heroku's slug archives hold everything in.
const ROOT: &str = "app";

/// A slug's archive, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The key of its one layer.
    pub layer: String,
    /// Environment of the dynos, below the app's config vars.
    pub env: BTreeMap<String, String>,
    /// What its files come to.
    pub size_bytes: u64,
}

impl Builder {
    /// Makes a layer of a slug's archive: tar, tar.gz or tar.zst, with all files below `./app/` as
    /// Heroku wants it, or directly in it. The layer is on disk for good when this returns.
    ///
    /// Dropping the future leaves at most a layer that nobody uses.
    ///
    /// # Errors
    /// [`BuildError::is_about_the_source`] tells the archive's fault from the machine's.
    pub async fn import(&self, archive: PathBuf) -> Result<Imported, BuildError> {
        let layers = self.layers().clone();
        let ownership = Ownership {
            owner: self.config.layer_owner,
            now: self.config.clock.now(),
        };
        let layer = tokio::task::spawn_blocking(move || {
            layers.prepare()?;
            let draft = layers.draft()?;
            let unpacked = archive::unpack(&archive, &draft.path(), ownership)?;
            raise(&draft)?;
            let key = hex(&Sha256::digest(format!("slug {}", unpacked.digest)));
            let layer = layers.commit(&draft, &key)?;
            layers.sync()?;
            Ok::<_, ArchiveError>(layer)
        });
        let layer = layer
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error).into()))?;
        Ok(Imported {
            layer: layer.key,
            env: BTreeMap::from([("PATH".to_owned(), STACK_PATH.to_owned())]),
            size_bytes: layer.size_bytes,
        })
    }
}

/// Puts what is below `app/` in the draft's place, if there is nothing else.
fn raise(draft: &Draft) -> io::Result<()> {
    let whole = draft.path();
    if !is_all_in_root(&whole)? {
        return Ok(());
    }
    // Beside it the draft holds nothing, and it takes what is left there with it.
    let aside = whole.with_extension("archive");
    fs::rename(&whole, &aside)?;
    fs::rename(aside.join(ROOT), &whole)
}

fn is_all_in_root(folder: &Path) -> io::Result<bool> {
    let mut is_found = false;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A link may lead anywhere.
        if entry.file_name() != ROOT || !entry.file_type()?.is_dir() {
            return Ok(false);
        }
        is_found = true;
    }
    Ok(is_found)
}
