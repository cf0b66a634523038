//! Starting a dyno: its directory, cgroup and network, then its shim.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{DynoSpec, EngineError, StartPhase};
use shim::start::{Identity, StartAnswer, Step};
use tokio::time::Instant;

use crate::{
    LAYER_OWNER,
    alone::{OwnStack, remove_tree},
    dyno::{Dyno, phase},
    engine::Inner,
    network::DynoNetwork,
    request::{Surroundings, request},
    slot::UIDS_PER_DYNO,
};

/// What went wrong, and at what; the dyno is named by whoever knows it.
struct Failure {
    step: &'static str,
    source: io::Error,
}

trait At<T> {
    fn at(self, step: &'static str) -> Result<T, Failure>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, step: &'static str) -> Result<T, Failure> {
        self.map_err(|source| Failure { step, source })
    }
}

impl Inner {
    /// Starts a dyno whose id is reserved. A failure leaves nothing behind.
    pub(crate) async fn start(&self, spec: DynoSpec) -> Result<Arc<Dyno>, EngineError> {
        let stack = self.stack(&spec.stack)?;
        let (id, directory) = (spec.id, self.directory_of(spec.id));
        let begun = Instant::now();
        let network = self.take_network(&spec).await?;
        let taken = phase("take a network", begun.elapsed(), 0);
        let index = network.index;
        match self.start_with(spec, &stack, &network, taken).await {
            Ok(dyno) => Ok(dyno),
            Err(Failure { step, source }) => {
                if let Err(error) = self.discard(&directory, &id.to_string(), index).await {
                    tracing::warn!(dyno = %id, %error, "a failed start left something behind");
                }
                Err(EngineError::Start {
                    dyno: id,
                    step,
                    source,
                })
            }
        }
    }

    async fn start_with(
        &self,
        spec: DynoSpec,
        stack: &OwnStack,
        network: &DynoNetwork,
        taken: StartPhase,
    ) -> Result<Arc<Dyno>, Failure> {
        let begun = Instant::now();
        let directory = self.directory_of(spec.id);
        let leaf = spec.id.to_string();
        // Its shim wakes up meanwhile, and reads and mounts while its cgroup is made.
        let mut newborn = self.nest.reach().await.at(Step::Shim.describe())?;
        self.ready.take(&directory).at("make its directory")?;
        let made = phase("make its directory", begun.elapsed(), 0);
        let begun = Instant::now();
        let (limits, kind) = (spec.limits, spec.kind);
        let around = Surroundings {
            directory: directory.clone(),
            stack,
            network,
            identity: self.identity(network.index),
            cgroup: self.cgroups.place(&leaf),
            shim_cgroup: self.cgroups.shims(),
            views: self.cgroups.views(&leaf),
            handed_in: &self.handed_in,
            seccomp: &self.seccomp,
            fixtures: self.fixtures.as_ref(),
            phases: vec![taken, made],
        };
        let request = request(spec, around)
            .map_err(io::Error::from)
            .at("describe it")?;
        if let Some(fixtures) = &self.fixtures {
            fixtures.make().at(Step::SystemMounts.describe())?;
        }
        let request = request.encode().at("describe it")?;
        newborn.ask(&request).await;
        let grouped = self.cgroups.create(&leaf, &limits, kind);
        let answer = newborn.conclude(grouped.is_ok()).await;
        grouped.at("make its cgroup")?;
        match answer.at(Step::Shim.describe())? {
            StartAnswer::Started => {}
            StartAnswer::Failed { step, errno } => {
                let source = io::Error::from_raw_os_error(errno);
                return Err(Failure {
                    step: step.describe(),
                    source,
                });
            }
        }
        let taken = begun.elapsed();
        let loaded = Dyno::load(&directory, &self.wakers).at("read its state")?;
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let dyno = loaded.ok_or_else(missing).at("read its state")?;
        dyno.add_shim_phase(taken);
        Ok(Arc::new(dyno))
    }

    fn identity(&self, index: u32) -> Identity {
        if self.network.is_none() {
            return Identity::own();
        }
        Identity {
            base: self.slot.uid_base(index),
            count: UIDS_PER_DYNO,
            layer_owner: LAYER_OWNER,
        }
    }

    /// Removes what the host has of a dyno that does not run.
    pub(crate) async fn discard(
        &self,
        directory: &Path,
        leaf: &str,
        index: u32,
    ) -> Result<(), EngineError> {
        let host = |step| move |source| EngineError::Host { step, source };
        self.cgroups
            .remove(leaf)
            .await
            .map_err(host("remove a dyno's cgroup"))?;
        self.release_network(index).await?;
        remove_directory(directory)
            .await
            .map_err(host("remove a dyno's directory"))
    }
}

/// Removes a directory that may be large, or not be there.
pub(crate) async fn remove_directory(directory: &Path) -> io::Result<()> {
    let condemned = condemned(directory);
    match fs::rename(directory, &condemned) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    tokio::task::spawn_blocking(move || remove_tree(&condemned))
        .await
        .map_err(io::Error::other)?
}

/// What a directory is called while it is being removed; no dyno's name.
fn condemned(directory: &Path) -> PathBuf {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    directory.with_file_name(format!("{CONDEMNED}{name}"))
}

/// How such names begin.
pub(crate) const CONDEMNED: &str = ".removed-";
