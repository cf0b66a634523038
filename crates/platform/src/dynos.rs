//! Dynos as people see and restart them. One-off dynos are started by [`crate::runs`].

use api::ids::{AppId, DynoId};
use logs::LogSource;
use serde_json::json;
use store::{Change, Dyno, DynoKind, Event, NewDyno, NewEvent, StoreError};

use crate::{
    Caller, Platform,
    caller::system_change,
    error::{Error, Result},
    plan::usage::Usage,
};

/// Events of a dyno that are shown.
const EVENTS_SHOWN: u32 = 200;

/// Which dynos of an app are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of the formation.
    All,
    /// Those of one process type.
    Type(String),
    /// One, by name or id.
    Dyno(String),
}

impl Platform {
    /// The app's dynos that run or should, oldest first; retired ones are left out. Of an app that
    /// was stopped for want of requests these are the ones that a request will start, as idle.
    pub async fn dynos(&self, app: AppId) -> Result<Vec<Dyno>> {
        let mut dynos = self.store.dynos(app).await?;
        dynos.retain(|dyno| !dyno.is_retired);
        dynos.extend(self.sleeping_dynos(app, &dynos).await?);
        dynos.sort_by_key(|dyno| dyno.id);
        Ok(dynos)
    }

    /// One dyno by name (`web.1`, then the newest of that name) or id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn dyno(&self, app: AppId, name_or_id: &str) -> Result<Dyno> {
        let id = name_or_id.parse::<DynoId>().ok();
        self.dynos(app)
            .await?
            .into_iter()
            .rev()
            .find(|dyno| Some(dyno.id) == id || dyno.name.as_str() == name_or_id)
            .ok_or_else(|| Error::NotFound {
                resource: "dyno",
                name: name_or_id.to_owned(),
            })
    }

    /// Restarts dynos. A web dyno's successor answers before the old one goes; any other's starts
    /// when the old one has ended. A one-off dyno is stopped.
    ///
    /// # Errors
    /// `NotFound` for a dyno or process type that is not there.
    pub async fn restart_dynos(&self, caller: &Caller, app: AppId, which: &Which) -> Result<()> {
        let chosen = self.choose(app, which).await?;
        for dyno in chosen {
            if dyno.kind == DynoKind::Formation {
                self.record_successor(&caller.change(), &dyno, 0).await?;
            } else if matches!(which, Which::Dyno(_)) {
                self.end_dyno(caller, &dyno).await?;
            }
        }
        self.say(
            app,
            LogSource::App,
            "api",
            format!("Restarted by user {}", caller.email),
        )
        .await;
        self.nudges.nudge(app);
        Ok(())
    }

    /// Stops dynos. Those of a formation are started anew, as on Heroku: to have fewer, scale.
    ///
    /// # Errors
    /// `NotFound` for a dyno or process type that is not there.
    pub async fn stop_dynos(&self, caller: &Caller, app: AppId, which: &Which) -> Result<()> {
        for dyno in self.choose(app, which).await? {
            self.end_dyno(caller, &dyno).await?;
            let text = format!("Stopped {} by user {}", dyno.name, caller.email);
            self.say(app, LogSource::App, "api", text).await;
        }
        self.nudges.nudge(app);
        Ok(())
    }

    /// What happened to a dyno, newest first: its starts with their phases, its crashes, its times
    /// over the quota. By name (`web.1`, then the newest of that name) or id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn dyno_events(&self, app: AppId, name_or_id: &str) -> Result<Vec<Event>> {
        let dyno = self.dyno(app, name_or_id).await?;
        let subject = dyno.id.to_string();
        Ok(self.store.events_about(app, &subject, EVENTS_SHOWN).await?)
    }

    /// What a dyno used when last looked at.
    pub fn dyno_usage(&self, dyno: DynoId) -> Option<Usage> {
        self.usages.get(dyno)
    }

    /// Records what a start took, phase by phase. Not worth failing the start for.
    pub(crate) async fn tell_start(&self, dyno: &Dyno) {
        let phases = match self.engine.inspect(dyno.id).await {
            Ok(report) => report.start_trace,
            Err(error) => {
                tracing::debug!(dyno = %dyno.id, error = &error as &dyn std::error::Error, "cannot read what a start took");
                Vec::new()
            }
        };
        let total: u64 = phases.iter().map(|phase| phase.micros).sum();
        let event = NewEvent {
            app: Some(dyno.app),
            kind: "dyno.started",
            subject: dyno.id.to_string(),
            details: json!({ "name": dyno.name, "micros": total, "phases": phases }),
        };
        if let Err(error) = self
            .store
            .record_event(&system_change("it was started"), event)
            .await
        {
            tracing::warn!(dyno = %dyno.id, error = &error as &dyn std::error::Error, "cannot record a start");
        }
    }

    async fn choose(&self, app: AppId, which: &Which) -> Result<Vec<Dyno>> {
        match which {
            Which::Dyno(name) => Ok(vec![self.dyno(app, name).await?]),
            Which::All => Ok(self.newest_of_formation(app).await?),
            Which::Type(process_type) => {
                let mut dynos = self.newest_of_formation(app).await?;
                dynos.retain(|dyno| dyno.process_type.as_str() == process_type);
                if dynos.is_empty() {
                    let name = process_type.clone();
                    return Err(Error::NotFound {
                        resource: "process_type",
                        name,
                    });
                }
                Ok(dynos)
            }
        }
    }

    /// The newest dyno of each slot of the serving release.
    async fn newest_of_formation(&self, app: AppId) -> Result<Vec<Dyno>> {
        let current = self
            .store
            .current_release(app)
            .await?
            .map(|release| release.id);
        let mut newest: Vec<Dyno> = Vec::new();
        for dyno in self.dynos(app).await?.into_iter().rev() {
            let is_first = !newest.iter().any(|other| other.name == dyno.name);
            if dyno.kind == DynoKind::Formation && Some(dyno.release) == current && is_first {
                newest.push(dyno);
            }
        }
        Ok(newest)
    }

    /// Puts a dyno on record that takes over from this one.
    pub(crate) async fn record_successor(
        &self,
        change: &Change,
        dyno: &Dyno,
        crash_count: u32,
    ) -> Result<()> {
        self.store
            .create_dyno(
                change,
                &NewDyno {
                    app: dyno.app,
                    release: dyno.release,
                    process_type: dyno.process_type.clone(),
                    number: dyno.number,
                    kind: DynoKind::Formation,
                    size: dyno.size.clone(),
                    command: dyno.command.clone(),
                    attach: false,
                    crash_count,
                },
            )
            .await?;
        Ok(())
    }

    async fn end_dyno(&self, caller: &Caller, dyno: &Dyno) -> Result<()> {
        if dyno.kind == DynoKind::Formation {
            match self.store.retire_dyno(&caller.change(), dyno.id).await {
                // Of an app that was stopped for want of requests.
                Err(StoreError::NotFound { .. }) => {}
                retired => drop(retired?),
            }
        } else {
            let (engine, grace, id) = (
                std::sync::Arc::clone(&self.engine),
                self.settings.stop_grace,
                dyno.id,
            );
            tokio::spawn(async move {
                if let Err(error) = engine.stop(id, grace).await {
                    tracing::info!(dyno = %id, error = &error as &dyn std::error::Error, "cannot stop a dyno");
                }
            });
        }
        Ok(())
    }
}
