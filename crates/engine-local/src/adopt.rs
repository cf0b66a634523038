//! Taking over what an earlier server left: its dynos, and what is nobody's any more.

use std::{
    collections::BTreeSet,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::ids::DynoId;
use engine::EngineError;
use shim::files::{self, State};

use crate::{
    dyno::{Dyno, Notes, is_kept},
    engine::Inner,
    slot::Slot,
    start::{CONDEMNED, remove_directory},
};

/// How long a start may go on whose server has gone, and how often it is looked at.
const START_PATIENCE: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(20);

impl Inner {
    /// Finds the dynos that run or have ended since, and removes all else of this slot.
    pub(crate) async fn adopt(&self) -> Result<(), EngineError> {
        let failed = |step| move |source| EngineError::Host { step, source };
        let mut networks = Vec::new();
        let mut leaves = BTreeSet::new();
        for directory in entries(&self.dynos_directory).map_err(failed("look for dynos"))? {
            match self.load(&directory).await {
                Ok(Some(dyno)) => {
                    if let Some(network) = &self.network {
                        network.adopt(dyno.notes.index);
                    }
                    networks.push(dyno.notes.index);
                    leaves.insert(dyno.notes.id.to_string());
                    self.hold(Arc::new(dyno));
                }
                Ok(None) => {
                    remove_directory(&directory)
                        .await
                        .map_err(failed("remove half a dyno"))?;
                }
                Err(error) => {
                    // Evidence of something we do not understand is not ours to destroy.
                    tracing::warn!(directory = %directory.display(), %error, "not a dyno of ours");
                }
            }
        }
        for leaf in self
            .cgroups
            .dynos()
            .into_iter()
            .filter(|leaf| !leaves.contains(leaf))
        {
            self.cgroups
                .remove(&leaf)
                .await
                .map_err(failed("remove a cgroup"))?;
        }
        match &self.network {
            Some(network) => network.sweep(&networks).await,
            None => Ok(()),
        }
    }

    /// The dyno of a directory; `None` if none was ever started there.
    async fn load(&self, directory: &Path) -> io::Result<Option<Dyno>> {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(CONDEMNED) {
            return Ok(None);
        }
        let _: DynoId = name.parse().map_err(io::Error::other)?;
        let deadline = tokio::time::Instant::now() + START_PATIENCE;
        while !directory.join(files::STATE).exists()
            && is_kept(directory)
            && tokio::time::Instant::now() < deadline
        {
            tokio::time::sleep(START_POLL).await;
        }
        let dyno = Dyno::load(directory, &self.wakers)?;
        if let Some(dyno) = &dyno {
            // What is reported must be true from the start.
            dyno.refresh().await;
        }
        Ok(dyno)
    }
}

/// The slot that dynos were started in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EarlierSlot {
    /// Its number.
    pub(crate) number: u8,
    /// Whether one of them runs.
    pub(crate) is_alive: bool,
}

/// The slot of the dynos below this directory: of one that runs, if one does.
pub(crate) fn slot_of(dynos: &Path) -> Option<EarlierSlot> {
    let directories = entries(dynos).unwrap_or_default();
    let mut slots = directories.iter().filter_map(|directory| {
        let state = files::read_json::<State>(&directory.join(files::STATE)).ok()??;
        let notes: Notes = serde_json::from_value(state.notes).ok()?;
        let IpAddr::V4(address) = notes.address else {
            return None;
        };
        Some(EarlierSlot {
            number: Slot::number_of(address)?,
            is_alive: is_kept(directory),
        })
    });
    let first = slots.next()?;
    let alive = [first].into_iter().chain(slots).find(|slot| slot.is_alive);
    Some(alive.unwrap_or(first))
}

pub(crate) fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}
