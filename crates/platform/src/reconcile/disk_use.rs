//! Looks what apps take of the disk, writes it down, and takes away output that nobody can need.
//!
//! Decides nothing, see `plan::disk_use`.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::{
    clock::Time,
    disk_use::{AppDisk, DiskUse, FILE},
    ids::AppId,
};
use uuid::Uuid;

use crate::{
    Platform,
    error::{Error, Result},
    plan::{
        disk::Holdings,
        disk_use::{Sample, fills_in, layer_bytes, over_quota, with_sample},
    },
};

/// Output of what is on no record is left for so long: its record may only be on its way.
const STRAY_FOR: Duration = Duration::from_hours(24);
/// A disk that fills within this is told of in the log.
const SOON: Duration = Duration::from_hours(3 * 24);

impl Platform {
    /// Looks, and writes down what was seen.
    pub(super) async fn note_disk_use(&self, holdings: &Holdings, now: Time) -> Result<()> {
        let owners = self.output_owners().await?;
        let outputs = self.settings.outputs_dir.clone();
        let output_bytes = blocking(&self.settings.outputs_dir, move || {
            sweep_outputs(&outputs, &owners, now)
        })
        .await?;
        let layer_bytes = layer_bytes(holdings);
        let mut apps = Vec::new();
        for app in self.store.apps().await? {
            let git = self.settings.git_dir.join(format!("{}.git", app.id));
            let git_bytes = blocking(&git.clone(), move || measure(&git)).await?;
            let of = |bytes: &BTreeMap<AppId, u64>| bytes.get(&app.id).copied().unwrap_or(0);
            apps.push((
                app.id,
                AppDisk {
                    app: app.name.clone(),
                    layer_bytes: of(&layer_bytes),
                    git_bytes,
                    output_bytes: of(&output_bytes),
                },
            ));
        }
        let path = self.disk_file();
        let mut seen = blocking(&path.clone(), move || read(&path)).await?;
        let room = holdings.room;
        let sample = Sample {
            at: now,
            free_bytes: room.free_bytes,
        };
        let known = seen
            .samples
            .into_iter()
            .map(|(at, free_bytes)| Sample { at, free_bytes });
        let samples = with_sample(known.collect(), sample);
        let full_in = fills_in(&samples, room.reserve_bytes);
        if let Some(time) = full_in.filter(|time| *time < SOON) {
            tracing::warn!(hours = time.as_secs() / 3600, "the disk will be full soon");
        }
        *self.app_disks.lock().await = apps.iter().cloned().collect();
        let mut apps: Vec<AppDisk> = apps.into_iter().map(|(_, app)| app).collect();
        apps.sort_by_key(|app| std::cmp::Reverse(app.total_bytes()));
        seen = DiskUse {
            at: Some(now),
            free_bytes: room.free_bytes,
            reserve_bytes: room.reserve_bytes,
            full_in_seconds: full_in.map(|time| time.as_secs()),
            apps,
            samples: samples
                .iter()
                .map(|sample| (sample.at, sample.free_bytes))
                .collect(),
        };
        let path = self.disk_file();
        blocking(&path.clone(), move || write(&path, &seen)).await
    }

    /// Refuses a build of an app that takes more of the disk than it may, as of the last look.
    ///
    /// # Errors
    /// `Unavailable` with what it takes.
    pub(crate) async fn check_disk_quota(&self, app: AppId) -> Result<()> {
        let disks = self.app_disks.lock().await;
        let used = disks.get(&app);
        let refusal = used.and_then(|used| over_quota(used, self.settings.app_disk_bytes));
        refusal.map_or(Ok(()), |message| Err(Error::Unavailable { message }))
    }

    fn disk_file(&self) -> PathBuf {
        self.settings.outputs_dir.with_file_name(FILE)
    }

    /// Of every build and release whose output may still be asked for, the app.
    async fn output_owners(&self) -> Result<BTreeMap<Uuid, AppId>> {
        let mut owners = BTreeMap::new();
        for app in self.store.apps().await? {
            let builds = self.store.builds(app.id).await?;
            owners.extend(builds.iter().map(|build| (build.id.as_uuid(), app.id)));
            let releases = self.store.releases(app.id).await?;
            owners.extend(
                releases
                    .iter()
                    .map(|release| (release.id.as_uuid(), app.id)),
            );
        }
        Ok(owners)
    }
}

/// App → bytes of its output; removes what belongs to no app any more.
fn sweep_outputs(
    folder: &Path,
    owners: &BTreeMap<Uuid, AppId>,
    now: Time,
) -> io::Result<BTreeMap<AppId, u64>> {
    let mut bytes = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".txt"));
        let (Some(id), Ok(metadata)) =
            (id.and_then(|id| id.parse::<Uuid>().ok()), entry.metadata())
        else {
            continue;
        };
        if let Some(app) = owners.get(&id) {
            *bytes.entry(*app).or_default() += metadata.len();
        } else if time_of(metadata.modified()?).after(STRAY_FOR) < now {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(bytes)
}

fn time_of(time: SystemTime) -> Time {
    Time::from_micros(0).after(time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

/// What the files below a directory come to; links are not followed.
fn measure(folder: &Path) -> io::Result<u64> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let entries = match std::fs::read_dir(folder) {
        // git moves its files while it is looked at.
        Err(error) if gone(&error) => return Ok(0),
        entries => entries?,
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error),
            Ok(found) if found.is_dir() => bytes += measure(&entry.path())?,
            Ok(found) => bytes += found.len(),
        }
    }
    Ok(bytes)
}

/// What was written before; nothing if it is none.
fn read(path: &Path) -> io::Result<DiskUse> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(DiskUse::default()),
        bytes => Ok(serde_json::from_slice(&bytes?).unwrap_or_default()),
    }
}

fn write(path: &Path, seen: &DiskUse) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    std::fs::write(&beside, serde_json::to_vec(seen)?)?;
    std::fs::rename(&beside, path)
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|source| Error::File {
        step: "look what takes room in",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_nothing_goes_after_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let (app, known, stray) = (AppId::new(), Uuid::now_v7(), Uuid::now_v7());
        for (id, text) in [(known, "abc"), (stray, "defg")] {
            std::fs::write(folder.path().join(format!("{id}.txt")), text).unwrap();
        }
        std::fs::write(folder.path().join("other"), "x").unwrap();
        let owners = BTreeMap::from([(known, app)]);
        let written = std::fs::metadata(folder.path().join("other")).unwrap();
        let written = time_of(written.modified().unwrap());
        let sweep = |now| sweep_outputs(folder.path(), &owners, now).unwrap();
        let count = || std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(sweep(written), BTreeMap::from([(app, 3)]));
        assert_eq!(count(), 3);
        assert_eq!(
            sweep(written.after(STRAY_FOR * 2)),
            BTreeMap::from([(app, 3)])
        );
        assert_eq!(count(), 2);
    }

    #[test]
    fn what_was_seen_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(read(&path).unwrap(), DiskUse::default());
        let seen = DiskUse {
            free_bytes: 5,
            samples: vec![(Time::from_micros(7), 5)],
            ..DiskUse::default()
        };
        write(&path, &seen).unwrap();
        assert_eq!(read(&path).unwrap(), seen);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read(&path).unwrap(), DiskUse::default());
        assert_eq!(measure(folder.path()).unwrap(), 1);
        assert_eq!(measure(&folder.path().join("none")).unwrap(), 0);
    }
}
