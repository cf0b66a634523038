//! Gives back what of the disk nobody needs, and knows whether there is room for builds.
//!
//! Decides nothing, see `plan::disk`.

use std::{path::Path, time::Duration};

use api::clock::Time;
use store::{ReleaseStatus, Slug};

use crate::{
    Platform,
    caller::system_change,
    error::{Error, Result},
    plan::disk::{Holdings, LayerView, ReleaseView, Room, SlugView, Step, plan},
};

/// How often it is looked what can be given back.
const EVERY: Duration = Duration::from_mins(10);
/// The shortest time between two looks that a full disk asked for.
const PAUSE: Duration = Duration::from_secs(30);

/// Makes room for ever: now and then, and soon after a build was refused for lack of it.
#[expect(clippy::infinite_loop, reason = "runs as long as the platform")]
pub(super) async fn keep_room(platform: Platform) {
    loop {
        match make_room(&platform).await {
            Ok(0) => {}
            Ok(done) => tracing::info!(done, "layers and slugs that nobody needs were removed"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot look after the disk"
            ),
        }
        tokio::time::sleep(PAUSE).await;
        let trouble = platform.disk_trouble.notified();
        // An error only says that nothing happened meanwhile.
        drop(tokio::time::timeout(EVERY, trouble).await);
    }
}

/// One look, and what follows from it; how many things were given back.
async fn make_room(platform: &Platform) -> Result<usize> {
    let now = platform.clock.now();
    let mut done = 0;
    // What is given up in the first round may leave layers for the second.
    for round in 0..2 {
        let Some(holdings) = gather(platform, now).await? else {
            return Ok(done);
        };
        if round == 1 {
            platform.note_disk_use(&holdings, now).await?;
        }
        for step in plan(&holdings, now) {
            done += usize::from(perform(platform, step).await?);
        }
    }
    Ok(done)
}

/// What is there; nothing while a dyno runs whose row is gone, for nobody knows its layers.
async fn gather(platform: &Platform, now: Time) -> Result<Option<Holdings>> {
    // Layers first: what is made later is in nobody's way.
    let store = platform.builder.layers().clone();
    let layers = tokio::task::spawn_blocking(move || store.list(now)).await;
    let layers = layers
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|source| Error::File {
            step: "list the layers in",
            path: platform.settings.layers_dir.clone(),
            source,
        })?;
    let dynos = platform.store.all_dynos().await?;
    let known = |id| dynos.iter().any(|dyno| dyno.id == id);
    let running = platform.engine.list().await?;
    let is_stray = running
        .iter()
        .any(|report| report.kind != engine::DynoKind::Build && !known(report.id));
    if is_stray {
        return Ok(None);
    }
    let mut releases = Vec::new();
    for app in platform.store.apps().await? {
        for release in platform.store.releases(app.id).await? {
            let Some(slug) = release.slug else { continue };
            let runs = dynos.iter().any(|dyno| dyno.release == release.id);
            let is_pending = release.status == ReleaseStatus::Pending;
            releases.push(ReleaseView {
                app: app.id,
                version: release.version,
                slug,
                is_in_use: release.is_current || is_pending || runs,
                has_succeeded: release.status == ReleaseStatus::Succeeded,
            });
        }
    }
    let slugs = platform.store.kept_slugs().await?;
    Ok(Some(Holdings {
        slugs: slugs.into_iter().map(view).collect(),
        releases,
        sources: platform.store.source_layers().await?,
        layers: layers
            .into_iter()
            .map(|layer| LayerView {
                key: layer.key,
                size_bytes: layer.size_bytes,
                used_at: layer.used_at,
            })
            .collect(),
        room: platform.room()?,
    }))
}

fn view(slug: Slug) -> SlugView {
    SlugView {
        id: slug.id,
        app: slug.app,
        layers: slug.layers,
        updated_at: slug.updated_at,
    }
}

async fn perform(platform: &Platform, step: Step) -> Result<bool> {
    match step {
        Step::GiveUp(app, slug) => {
            let change = system_change("it can no longer be rolled back to");
            let given_up = platform.store.give_up_slug(&change, app, slug).await?;
            if given_up {
                platform.remove_slug_archive(app, slug).await;
            }
            Ok(given_up)
        }
        Step::Remove { key, since } => {
            let layers = platform.builder.layers().clone();
            let path = layers.path(&key);
            let removed =
                tokio::task::spawn_blocking(move || layers.remove_unused(&key, since)).await;
            removed
                .unwrap_or_else(|error| Err(std::io::Error::other(error)))
                .map_err(|source| Error::File {
                    step: "remove",
                    path,
                    source,
                })
        }
    }
}

impl Platform {
    /// Gives back what of the disk nobody needs, now; how many things. The reconciler does so by
    /// itself.
    pub async fn make_room(&self) -> Result<usize> {
        make_room(self).await
    }

    /// Refuses what fills the disk while it is nearly full, and has room made.
    ///
    /// # Errors
    /// `Unavailable` with the reason.
    pub(crate) fn check_room(&self) -> Result<()> {
        let Some(message) = self.room()?.refusal() else {
            return Ok(());
        };
        self.disk_trouble.notify_one();
        Err(Error::Unavailable { message })
    }

    fn room(&self) -> Result<Room> {
        let directory = &self.settings.layers_dir;
        let nearest = directory.ancestors().find(|path| path.is_dir());
        let nearest = nearest.unwrap_or(Path::new("/"));
        let system = rustix::fs::statvfs(nearest).map_err(|error| Error::File {
            step: "see how much room there is for",
            path: directory.clone(),
            source: error.into(),
        })?;
        Ok(Room {
            free_bytes: system.f_bavail.saturating_mul(system.f_frsize),
            // Some file systems count none.
            free_files: if system.f_files == 0 {
                u64::MAX
            } else {
                system.f_favail
            },
            reserve_bytes: self.settings.disk_reserve_bytes,
        })
    }
}
