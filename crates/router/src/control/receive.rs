//! Taking versions of the table from the server: whole or as a change, entry by entry, applied when
//! the last entry is there.
//!
//! It must not know what the routes are good for. Read [`Control::hear`].

use tokio::time::Instant;

use super::{Control, Draining, Server, told::Told};
use crate::{
    feed::{PROTOCOL_WITH_ENTRIES, PROTOCOL_WITH_SLEEP},
    saved::Draft,
    table::{Change, Routes},
    wire::{
        Entry, FromRouter, RouteTable, ToRouter, WireError,
        entry::{Misread, fingerprint},
    },
};

/// A version of the table that is coming in.
pub(super) struct Incoming {
    version: u64,
    change: Change,
    draft: Draft,
}

impl Incoming {
    fn new(version: u64, is_whole: bool) -> Self {
        Self {
            version,
            change: Routes::begin(version, is_whole),
            draft: Draft::default(),
        }
    }

    fn set(&mut self, routes: &Routes, entry: Entry) -> Result<(), WireError> {
        let json = serde_json::to_vec(&entry)?;
        let key = entry.key();
        if routes.set(&mut self.change, entry, fingerprint(&json)) {
            self.draft.set(self.version, key, &json);
        }
        Ok(())
    }
}

impl Control {
    /// Acts on what the connected server said; `None` when it has closed its connection.
    pub(super) async fn hear(
        &mut self,
        server: &mut Option<Server>,
        message: Result<Option<Result<ToRouter, Misread>>, WireError>,
    ) -> Result<(), WireError> {
        let (Some(message), Some(connected)) = (message?, server.as_mut()) else {
            tracing::info!("the server went away; serving on by its last table");
            *server = None;
            return Ok(());
        };
        self.ledger.contact().hear(self.clock.now());
        self.watcher.ear().hear();
        match message {
            Ok(ToRouter::Hello { protocol }) => {
                tracing::debug!(protocol, "the server says hello");
                connected.protocol = protocol;
                connected.told = (protocol >= PROTOCOL_WITH_SLEEP)
                    .then(|| Told::new(self.routes.started_at(self.clock.now())));
                self.report_activity(server.as_mut()).await
            }
            Ok(ToRouter::Routes(table)) => self.take_whole(connected, table).await,
            Ok(ToRouter::Begin { version, after }) => {
                let follows = after.is_none_or(|after| connected.version == Some(after));
                connected.incoming = follows.then(|| Incoming::new(version, after.is_none()));
                if follows {
                    return Ok(());
                }
                tracing::warn!(
                    version,
                    ?after,
                    "a change of the routes does not follow the last"
                );
                connected.tell(&FromRouter::Resync).await
            }
            Ok(ToRouter::Set { entry }) => match &mut connected.incoming {
                Some(incoming) => incoming.set(&self.routes, entry),
                None => Ok(()),
            },
            Ok(ToRouter::Unset { key }) => {
                if let Some(incoming) = &mut connected.incoming {
                    incoming.change.unset(key);
                }
                Ok(())
            }
            Ok(ToRouter::End { version }) => self.end(connected, version).await,
            Ok(ToRouter::Word) => Ok(()),
            Err(misread) if misread.is_entry => connected.reject(misread).await,
            Err(misread) => Err(misread.error.into()),
        }
    }

    async fn end(&mut self, connected: &mut Server, version: u64) -> Result<(), WireError> {
        match connected.incoming.take() {
            Some(incoming) if incoming.version == version => self.take(connected, incoming).await,
            // It was asked to tell all again, or will be now.
            Some(_) => connected.tell(&FromRouter::Resync).await,
            None => Ok(()),
        }
    }

    async fn take_whole(
        &mut self,
        connected: &mut Server,
        table: RouteTable,
    ) -> Result<(), WireError> {
        let mut incoming = Incoming::new(table.version, true);
        for entry in table.into_entries() {
            incoming.set(&self.routes, entry)?;
        }
        self.take(connected, incoming).await
    }

    async fn take(&mut self, connected: &mut Server, incoming: Incoming) -> Result<(), WireError> {
        let version = incoming.version;
        self.apply(incoming);
        connected.version = Some(version);
        self.report(Some(&mut *connected)).await?;
        connected.tell(&FromRouter::Applied { version }).await
    }

    fn apply(&mut self, incoming: Incoming) {
        let Incoming {
            version,
            change,
            mut draft,
        } = incoming;
        let deadline = Instant::now() + self.drain;
        let committed = self.routes.commit(change);
        self.ledger.contact().change(self.clock.now());
        let left = committed.left.into_iter().map(|backend| Draining {
            backend,
            deadline: Some(deadline),
        });
        self.draining.extend(left);
        for key in committed.gone {
            draft.unset(version, key);
        }
        if let Err(error) = self.saved.write(draft, version) {
            tracing::error!(%error, "cannot keep the routes on disk");
        }
    }
}

impl Server {
    /// Leaves an entry as it is that cannot be used as told.
    async fn reject(&mut self, misread: Misread) -> Result<(), WireError> {
        let Misread { error, key, .. } = misread;
        tracing::error!(%error, ?key, "an entry of the routes is malformed; what was told before stays");
        if let Some(incoming) = &mut self.incoming {
            incoming.change.spare(key.clone());
        }
        if self.protocol < PROTOCOL_WITH_ENTRIES {
            return Ok(());
        }
        let error = error.to_string();
        self.tell(&FromRouter::Rejected { key, error }).await
    }
}
