//! One-off dynos: `heroku run`, attached or detached.
//!
//! An attached run starts its dyno at once; whoever shows its secret at the rendezvous address
//! meets its terminal or pipes, see [`crate::rendezvous`].

use std::{collections::BTreeMap, time::Duration};

use api::{
    ids::{AppId, DynoId},
    names::{ConfigVarName, ProcessType},
};
use engine::{EngineError, Stdio};
use logs::LogSource;
use rand::Rng;
use store::{Dyno, DynoKind, DynoState, NewDyno};

use crate::{
    Caller, Platform,
    caller::system_change,
    claims::Claim,
    error::{Error, Result},
    reconcile::perform::{PLATFORM_ERROR, chain},
    sizes,
};

/// How long a detached run may take when nothing else is asked (Heroku: 24 hours).
pub(crate) const DETACHED_LIMIT: Duration = Duration::from_hours(24);
/// One-off dynos of one app at once.
const ONE_OFFS_PER_APP: usize = 50;
/// Longest command, far above any line a person types.
const COMMAND_BYTES: usize = 32 * 1024;
/// Wait after the engine failed us.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// Numbers of one-off dynos, as Heroku gives them.
const NUMBERS: std::ops::Range<u32> = 1000..10_000;

/// A command to run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The command, for the shell; a bare process type runs that type's command.
    pub command: String,
    /// Environment beyond the config vars.
    pub env: BTreeMap<String, String>,
    /// Its size; absent means the default.
    pub size: Option<String>,
    /// Whether somebody will attach.
    pub is_attached: bool,
    /// Pipes in place of a terminal.
    pub is_without_terminal: bool,
    /// Stops the command after this many seconds.
    pub time_to_live: Option<Duration>,
    /// The type shown in its name; absent means `run`.
    pub process_type: Option<String>,
}

/// What cannot be run at all.
pub(crate) fn check(run: &Run) -> Result<()> {
    let invalid = |message: String| Err(Error::Invalid { message });
    if run.command.trim().is_empty() {
        return invalid("No command given.".to_owned());
    }
    if run.command.len() > COMMAND_BYTES || run.command.contains('\0') {
        return invalid(format!(
            "The command must be text of at most {COMMAND_BYTES} bytes."
        ));
    }
    for (name, value) in &run.env {
        if let Err(error) = name.parse::<ConfigVarName>() {
            return invalid(error.to_string());
        }
        if value.contains('\0') {
            return invalid(format!("The value of {name} holds a NUL byte."));
        }
    }
    Ok(())
}

impl Platform {
    /// Starts a one-off dyno; for an attached one also returns the rendezvous secret.
    ///
    /// # Errors
    /// `Invalid` without a command, a slug, or with an unknown size; `Engine` when it cannot start.
    pub async fn run_dyno(
        &self,
        caller: &Caller,
        app: AppId,
        run: Run,
    ) -> Result<(Dyno, Option<String>)> {
        let starting = self.runs_starting.read().await;
        let dyno = self.record_run(caller, app, &run).await?;
        let claim = self.attended_runs.take(dyno.id);
        let text = format!(
            "Starting process with command `{}` by user {}",
            dyno.command, caller.email
        );
        self.say(app, LogSource::App, "api", text).await;
        if let Err(error) = self.start_run(&dyno, &run).await {
            let text = format!("{PLATFORM_ERROR}{}", chain(&error));
            self.say(app, LogSource::Heroku, dyno.name.as_str(), text)
                .await;
            self.store
                .delete_dyno(&system_change("it could not be started"), dyno.id)
                .await?;
            return Err(error);
        }
        self.tell_start(&dyno).await;
        self.watch(&dyno);
        let limit = run.time_to_live.unwrap_or(DETACHED_LIMIT);
        let secret = if run.is_attached {
            if run.time_to_live.is_some() {
                self.stop_run_after(&dyno, limit, None);
            }
            Some(self.expect_owner(&dyno, !run.is_without_terminal, claim))
        } else {
            self.stop_run_after(&dyno, limit, claim);
            None
        };
        drop(starting);
        // The watch records the same in a moment.
        let state = DynoState::Up;
        Ok((Dyno { state, ..dyno }, secret))
    }

    async fn start_run(&self, dyno: &Dyno, run: &Run) -> Result<()> {
        let mut spec = self.spec(dyno).await?;
        spec.stdio = stdio(run);
        spec.env.extend(run.env.clone());
        Ok(self.engine.start(spec).await?)
    }

    async fn record_run(&self, caller: &Caller, app: AppId, run: &Run) -> Result<Dyno> {
        check(run)?;
        let present = self.store.dynos(app).await?;
        let one_offs = present.iter().filter(|dyno| dyno.kind == DynoKind::OneOff);
        if one_offs.count() >= ONE_OFFS_PER_APP {
            return Err(Error::Invalid {
                message: format!(
                    "Cannot run more than {ONE_OFFS_PER_APP} one-off dynos at once. Wait for some to end, or stop them with `heroku ps:stop`."
                ),
            });
        }
        let release = self
            .store
            .current_release(app)
            .await?
            .filter(|release| release.slug.is_some());
        let Some(release) = release else {
            return Err(Error::Invalid {
                message:
                    "This app has no slug to run: deploy it first with `git push heroku main`."
                        .to_owned(),
            });
        };
        let size = run.size.as_deref().unwrap_or(sizes::DEFAULT_SIZE);
        let size = self
            .settings
            .sizes
            .find(size)
            .ok_or_else(|| Error::Invalid {
                message: format!("Couldn't find that dyno size: {size}."),
            })?;
        let process_type = run.process_type.as_deref().unwrap_or("run");
        let process_type: ProcessType =
            process_type
                .parse()
                .map_err(|error: api::names::NameError| Error::Invalid {
                    message: error.to_string(),
                })?;
        let number = rand::rng().random_range(NUMBERS);
        let new = NewDyno {
            app,
            release: release.id,
            process_type,
            number,
            kind: DynoKind::OneOff,
            size: size.name.clone(),
            command: self.expand(&release, &run.command).await?,
            attach: run.is_attached,
            crash_count: 0,
        };
        Ok(self.store.create_dyno(&caller.change(), &new).await?)
    }

    /// A command that is the name of a process type stands for that type's command, as on Heroku.
    async fn expand(&self, release: &store::Release, command: &str) -> Result<String> {
        let Some(slug) = release.slug else {
            return Ok(command.to_owned());
        };
        let (first, rest) = command.split_once(' ').unwrap_or((command, ""));
        let process_types = self.store.slug(slug).await?.process_types;
        let Some(known) = first
            .parse()
            .ok()
            .and_then(|first| process_types.get::<ProcessType>(&first))
        else {
            return Ok(command.to_owned());
        };
        Ok(format!("{known} {rest}").trim_end().to_owned())
    }

    /// Stops a one-off dyno once `limit` has passed. The claim is held until it has ended.
    pub(crate) fn stop_run_after(&self, dyno: &Dyno, limit: Duration, claim: Option<Claim>) {
        let (platform, id, app) = (self.clone(), dyno.id, dyno.app);
        tokio::spawn(async move {
            match tokio::time::timeout(limit, platform.engine.wait(id)).await {
                Ok(Ok(_) | Err(EngineError::UnknownDyno(_))) => {}
                Ok(Err(_)) => tokio::time::sleep(PAUSE_AFTER_ERROR).await,
                Err(_late) => platform.stop_run(id).await,
            }
            drop(claim);
            platform.nudges.nudge(app);
        });
    }

    pub(crate) async fn stop_run(&self, dyno: DynoId) {
        match self.engine.stop(dyno, self.settings.stop_grace).await {
            Ok(_) | Err(EngineError::UnknownDyno(_)) => {}
            Err(error) => {
                tracing::warn!(%dyno, error = &error as &dyn std::error::Error, "cannot stop a dyno");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

/// Where its input and output lead.
pub(crate) fn stdio(run: &Run) -> Stdio {
    let size = |name: &str, default: u16| {
        run.env
            .get(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    match (run.is_attached, run.is_without_terminal) {
        (false, _) => Stdio::Logged,
        (true, true) => Stdio::Pipes,
        (true, false) => Stdio::Terminal {
            columns: size("COLUMNS", 80),
            lines: size("LINES", 24),
        },
    }
}
