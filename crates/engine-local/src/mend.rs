//! Mending: host state that somebody took away is put back, and what belongs to no dyno goes.
//!
//! It runs every few seconds beside starts and removals, so each look comes first and the claim
//! second: what is found on the host is only touched if, after that, neither a dyno nor a start
//! has it. Read [`Inner::mend`] first.

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
};

use api::ids::DynoId;
use engine::EngineError;
use shim::files::{self, State};

use crate::{
    adopt::entries,
    alone::remove_tree,
    cgroup,
    dyno::{Dyno, is_kept},
    engine::Inner,
    network::{self, Network, Survey},
    slot::Slot,
    start::{CONDEMNED, remove_directory},
};

fn failed(step: &'static str) -> impl Fn(io::Error) -> EngineError {
    move |source| EngineError::Host { step, source }
}

impl Inner {
    /// One round. Goes on after a failure, and then returns the first.
    pub(crate) async fn mend(&self) -> Result<Vec<String>, EngineError> {
        // Two rounds at once would only stand in each other's way.
        let _turn = self.mending.lock().await;
        let mut round = Round::default();
        let Some(network) = &self.network else {
            round.take(self.sweep_directories().await);
            return round.end();
        };
        let slot = self.slot.mend();
        let may_go_on = slot.is_ok();
        round.take(slot.map(|missing| told(missing, "registered the slot again")));
        if may_go_on {
            round.take(self.mend_groups());
            round.take(self.mend_paths());
            round.take(network.assert().await);
            round.take(self.mend_networks(network).await);
            round.take(self.sweep_groups().await);
            round.take(self.sweep_directories().await);
        }
        round.take(sweep_deserted_slots().await);
        round.end()
    }

    fn mend_groups(&self) -> Result<Vec<String>, EngineError> {
        let mended = self.cgroups.mend().map_err(failed("make control groups"))?;
        Ok(told(mended, "made the slot's control groups again"))
    }

    fn mend_paths(&self) -> Result<Vec<String>, EngineError> {
        network::make_directory().map_err(failed("make the networks' directory"))?;
        let mended = self.wakers.mend();
        let mended = mended.map_err(failed("make a short path to the dynos"))?;
        Ok(told(mended, "made the short path to the dynos again"))
    }

    /// Repairs the networks of dynos that run, then the pool.
    async fn mend_networks(&self, network: &Network) -> Result<Vec<String>, EngineError> {
        let survey = Survey::take().map_err(failed("look at networks"))?;
        let mut done = Vec::new();
        let mut outcome = Ok(());
        for dyno in self.all() {
            let is_whole = || network.is_whole(&survey, dyno.notes.index, dyno.process());
            if dyno.ended().is_some() || is_whole() {
                continue;
            }
            match self.repair_network(network, &dyno).await {
                Ok(repaired) => done.extend(repaired),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        self.abandon_networks(network);
        done.extend(network.tidy(&survey).await?);
        outcome.map(|()| done)
    }

    async fn repair_network(
        &self,
        network: &Network,
        dyno: &Arc<Dyno>,
    ) -> Result<Vec<String>, EngineError> {
        let _still = network.hold_still().await;
        let is_held = self
            .find(dyno.notes.id)
            .is_ok_and(|held| Arc::ptr_eq(&held, dyno));
        if !is_held || dyno.ended().is_some() {
            return Ok(Vec::new());
        }
        match namespace(dyno).map_err(failed("find a dyno's network"))? {
            Some(namespace) => network.repair(dyno.notes.index, namespace).await,
            // It is on its way out.
            None => Ok(Vec::new()),
        }
    }

    /// Networks that were taken for starts that came to nothing.
    fn abandon_networks(&self, network: &Network) {
        // Under one lock: a start is listed before it takes a network, and until its dyno is held.
        self.if_none_starts(|held| {
            let inhabited = held.map(|dyno| dyno.notes.index).collect();
            network.abandon_all_but(&inhabited);
        });
    }

    async fn sweep_groups(&self) -> Result<Vec<String>, EngineError> {
        let mut done = Vec::new();
        for leaf in self.cgroups.dynos() {
            let is_ours = leaf.parse().is_ok_and(|id: DynoId| self.is_known(id));
            if !is_ours {
                let removed = self.cgroups.remove(&leaf).await;
                removed.map_err(failed("remove a control group"))?;
                done.push(format!("removed the control group {leaf} of no dyno"));
            }
        }
        Ok(done)
    }

    async fn sweep_directories(&self) -> Result<Vec<String>, EngineError> {
        let mut done = Vec::new();
        let found = entries(&self.dynos_directory).map_err(failed("look for dynos"))?;
        for directory in found {
            let name = directory.file_name().unwrap_or_default().to_string_lossy();
            let is_condemned = name.starts_with(CONDEMNED);
            let Ok(id) = name.trim_start_matches(CONDEMNED).parse::<DynoId>() else {
                continue;
            };
            // One that is kept has a shim: a dyno runs there, whoever started it.
            if self.is_known(id) || is_kept(&directory) || !directory.exists() {
                continue;
            }
            let what = format!("removed {name}, which is no dyno");
            let removed = if is_condemned {
                tokio::task::spawn_blocking(move || remove_tree(&directory))
                    .await
                    .map_err(io::Error::other)
                    .and_then(|removed| removed)
            } else {
                remove_scratch(&directory).await
            };
            removed.map_err(failed("remove a directory of no dyno"))?;
            done.push(what);
        }
        Ok(done)
    }
}

/// Removes a dyno's directory, and what it has elsewhere.
async fn remove_scratch(directory: &Path) -> io::Result<()> {
    let state = files::read_json::<State>(&directory.join(files::STATE));
    if let Some(work) = state.ok().flatten().and_then(|state| state.capture_work)
        && let Err(error) = remove_tree(&work)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    remove_directory(directory).await
}

/// The network namespace of a dyno that runs; `None` if it does not.
fn namespace(dyno: &Dyno) -> io::Result<Option<OwnedFd>> {
    let Some(state) = files::read_json::<State>(&dyno.directory.join(files::STATE))? else {
        return Ok(None);
    };
    let process = format!("/proc/{}", state.process);
    let Ok(namespace) = File::open(format!("{process}/ns/net")) else {
        return Ok(None);
    };
    // Another process may have the number by now; one that is still there had it all along.
    let stat = fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
    let is_it = files::start_ticks(&stat) == Some(state.process_started_ticks);
    Ok(is_it.then(|| namespace.into()))
}

/// Removes what platforms have left whose directory is gone, and that no process lives in.
async fn sweep_deserted_slots() -> Result<Vec<String>, EngineError> {
    let step = "sweep up after a platform that is gone";
    let looked = tokio::task::spawn_blocking(Slot::deserted).await;
    let looked = looked.map_err(io::Error::other).and_then(|looked| looked);
    let (_lock, slots) = looked.map_err(failed(step))?;
    let mut done = Vec::new();
    for slot in slots {
        let removed = cgroup::remove_deserted(&slot.cgroup_name()).await;
        if !removed.map_err(failed(step))? {
            continue;
        }
        let removed = network::remove_deserted(&slot).await;
        removed.map_err(failed(step))?;
        done.push(format!(
            "freed slot {}, whose platform is gone",
            slot.number
        ));
        slot.free()?;
    }
    Ok(done)
}

fn told(is_so: bool, what: &str) -> Vec<String> {
    is_so.then(|| what.to_owned()).into_iter().collect()
}

/// What was done, and the first thing that went wrong.
#[derive(Default)]
struct Round {
    done: Vec<String>,
    failure: Option<EngineError>,
}

impl Round {
    fn take(&mut self, outcome: Result<Vec<String>, EngineError>) {
        match outcome {
            Ok(done) => {
                for what in &done {
                    tracing::warn!(what, "mended");
                }
                self.done.extend(done);
            }
            Err(error) => self.failure = self.failure.take().or(Some(error)),
        }
    }

    fn end(self) -> Result<Vec<String>, EngineError> {
        self.failure.map_or(Ok(self.done), Err)
    }
}
