//! The source of a build: unpacked in the shape that is built, and what its own files say.
//!
//! It must not know what is done with it. Read [`Builder::source`] first.

use std::fs;

use api::build_settings::BuildSettings;
use sha2::{Digest as _, Sha256};

use super::{BuildOrder, BuildRequest, Builder};
use crate::{
    archive::{Ownership, hex},
    buildpacks::Buildpack,
    error::BuildError,
    execute::blocking,
    layers::Layer,
    output::Output,
    shape::{
        self, Note, ShapeError, Wishes,
        app_json::{self, AppJson},
        config,
        manifest::{self, Manifest},
    },
    source_tree::SourceTree,
};

/// The source of a build, as it is built.
pub(super) struct Source {
    pub(super) layer: Layer,
    /// Whether it was not there before.
    pub(super) is_new: bool,
    pub(super) watch_digest: Option<String>,
}

impl Builder {
    /// The source as a layer; nothing where it need not be built.
    pub(super) async fn source(
        &self,
        order: &BuildOrder,
        output: &mut Output,
    ) -> Result<Option<Source>, BuildError> {
        if let Some(key) = &order.source_layer {
            let found = self.workshop.layers.find(key);
            return Ok(Some(Source {
                layer: found.ok_or(BuildError::SourceGone)?,
                is_new: false,
                watch_digest: None,
            }));
        }
        let (source, notes) = self.unpack(order).await?;
        for note in &notes {
            match note {
                Note::Heading(text) => output.heading(text).await,
                Note::Warning(text) => output.notice(text).await,
            }
        }
        if source.is_none() {
            let watched = order.settings.watch_paths.join(", ");
            let heading = format!("No watched file has changed ({watched})");
            output.heading(&heading).await;
        }
        Ok(source)
    }

    async fn unpack(&self, order: &BuildOrder) -> Result<(Option<Source>, Vec<Note>), BuildError> {
        let layers = self.workshop.layers.clone();
        let ownership = Ownership {
            owner: self.config.layer_owner,
            now: self.config.clock.now(),
        };
        let request = &order.request;
        let build = format!("{} {}", request.stack, request.buildpacks.join(" "));
        let archive = request.archive.clone();
        let (settings, live) = (order.settings.clone(), order.live.clone());
        let unpacking = tokio::task::spawn_blocking(move || {
            layers.prepare()?;
            let draft = layers.draft()?;
            let wishes = Wishes {
                settings: &settings,
                build: &build,
            };
            let shaped = shape::unpack(&archive, &draft.path(), ownership, wishes)?;
            if shaped.watch_digest.is_some() && shaped.watch_digest == live {
                return Ok((None, Vec::new()));
            }
            let digest = shaped.unpacked.digest;
            let key = hex(&Sha256::digest(format!("source {digest}")));
            let source = Source {
                is_new: layers.find(&key).is_none(),
                layer: layers.commit(&draft, &key)?,
                watch_digest: shaped.watch_digest,
            };
            Ok::<_, ShapeError>((Some(source), shaped.notes))
        });
        let runtimes = self.workshop.runtimes.clone();
        blocking("make the cache directory", move || {
            fs::create_dir_all(runtimes)
        })
        .await?;
        Ok(unpacking
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))?)
    }
}

/// Has the build do what the source's own files say of it, as far as the app has not said otherwise.
pub(super) async fn heed_files(
    tree: &SourceTree,
    request: &mut BuildRequest,
    settings: &BuildSettings,
    output: &mut Output,
) -> Result<(), BuildError> {
    let manifest = match tree.read_text(manifest::FILE) {
        Some(text) => Manifest::parse(&text).map_err(ShapeError::from)?,
        None => Manifest::default(),
    };
    if request.buildpacks.is_empty() {
        let found = || Buildpack::detect(tree).map(|buildpack| buildpack.name.to_owned());
        request.buildpacks = manifest.buildpacks(found);
    }
    if let Some(text) = tree.read_text(app_json::FILE) {
        let lines = match AppJson::parse(&text) {
            Ok(app) => app.warnings(&request.config_vars, &request.buildpacks),
            Err(problem) => vec![problem],
        };
        for line in lines {
            output.notice(&line).await;
        }
    }
    let seen = config::seen_by_build(&request.config_vars, settings.config_vars.as_ref());
    request.config_vars = manifest.env;
    request.config_vars.extend(seen);
    Ok(())
}
