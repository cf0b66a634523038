//! What dynos use, beyond what the engine trait reports of every engine.

use std::{io, sync::Arc};

use api::ids::DynoId;
use engine::EngineError;

use crate::{cgroup::Usage, engine::LocalEngine};

impl LocalEngine {
    /// What a dyno uses now; zeros where that is unknown, as when it has ended.
    ///
    /// # Errors
    /// `UnknownDyno`.
    pub fn usage(&self, id: DynoId) -> Result<Usage, EngineError> {
        self.0.find(id)?;
        Ok(self.0.cgroups.usage(&id.to_string()))
    }

    /// Takes from a frozen dyno what memory can be taken: page cache, and where there is swap, the
    /// rest. It comes back page by page as the dyno touches it. Safe to drop; it then goes on.
    ///
    /// # Errors
    /// `UnknownDyno`, or `Host` when the kernel does not do such a thing.
    pub async fn reclaim(&self, id: DynoId) -> Result<(), EngineError> {
        self.0.find(id)?;
        let inner = Arc::clone(&self.0);
        let reclaiming =
            tokio::task::spawn_blocking(move || inner.cgroups.reclaim(&id.to_string()));
        let reclaimed = reclaiming.await.map_err(io::Error::from);
        reclaimed
            .and_then(|reclaimed| reclaimed)
            .map_err(|source| EngineError::Host {
                step: "reclaim a dyno's memory",
                source,
            })
    }
}
