//! Takes away what nobody needs: uploads never finished, blobs of no manifest, images of slugs that
//! nobody has asked for lately.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{Platform, caller::system_change};

use super::Result;

/// How often it is looked for.
const EVERY: Duration = Duration::from_hours(1);
/// How long an upload, or a blob without a manifest, may wait.
const PATIENCE: Duration = Duration::from_hours(24);
/// How long an image of a slug is kept; it can be written again.
const KEPT: Duration = Duration::from_hours(24 * 7);

/// Collects for ever.
#[expect(clippy::infinite_loop, reason = "runs as long as the platform")]
pub(crate) async fn collect_now_and_then(platform: Platform) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = platform.collect_images().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot collect images that nobody needs"
            );
        }
    }
}

impl Platform {
    /// Removes uploads never finished, and blobs and images that nobody needs.
    pub async fn collect_images(&self) -> Result<()> {
        let now = self.clock.now();
        let before = now.before(PATIENCE);
        let change = system_change("nobody needs them");
        self.store
            .forget_unused_image_blobs(&change, before)
            .await?;
        let images = self.builder.images();
        let folder = images.folder().to_owned();
        let time = SystemTime::UNIX_EPOCH
            + Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or(0));
        // Nobody places a blob meanwhile, so what has no row now will have none.
        let _placing = self.registry.placing.write().await;
        let used = self.store.image_blobs_in_use().await?;
        let images = images.clone();
        let collected = tokio::task::spawn_blocking(move || {
            remove_old(&folder.join("images"), (time, KEPT))?;
            for app in entries(&folder.join("uploads"))? {
                remove_old(&app, (time, PATIENCE))?;
            }
            Ok::<_, io::Error>(images.collect(&used, (time, PATIENCE)))
        });
        let failed = |source| crate::Error::File {
            step: "collect",
            path: self.builder.images().folder().to_owned(),
            source,
        };
        let collected = collected.await.map_err(io::Error::other).map_err(failed)?;
        collected.map_err(failed)??;
        Ok(())
    }
}

fn entries(folder: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Removes the files of a directory that were written too long before `now`.
fn remove_old(folder: &Path, (now, age): (SystemTime, Duration)) -> io::Result<()> {
    for path in entries(folder)? {
        let metadata = fs::symlink_metadata(&path)?;
        let written = metadata.modified()?;
        if metadata.is_file() && now.duration_since(written).is_ok_and(|since| since > age) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
