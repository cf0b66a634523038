//! One-off dynos: `heroku run`, attached or detached.
//!
//! An attached run starts its dyno at once; whoever shows its secret at the rendezvous address
//! meets its terminal or pipes.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{
    ids::{AppId, DynoId},
    names::ProcessType,
};
use engine::{AttachStream, Stdio};
use logs::LogSource;
use rand::Rng;
use store::{Dyno, DynoKind, DynoState, NewDyno};

use crate::{
    Caller, Platform,
    caller::system_change,
    error::{Error, Result},
    reconcile::perform::chain,
    sizes,
};

/// An attached dyno whose owner has not come to the rendezvous by then is stopped.
const RENDEZVOUS_LIMIT: Duration = Duration::from_mins(1);
/// How long a detached run may take when nothing else is asked (Heroku: 24 hours).
const DETACHED_LIMIT: Duration = Duration::from_hours(24);
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

/// Attached runs that wait for their owner: secret → dyno. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rendezvous(Arc<Mutex<HashMap<String, Waiting>>>);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    dyno: DynoId,
    has_terminal: bool,
}

/// An attached one-off dyno and how it was started.
pub struct Attached {
    /// Both directions.
    pub stream: Box<dyn AttachStream>,
    /// With a terminal, byte 0x04 ends the input by itself.
    pub has_terminal: bool,
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
        let dyno = self.record_run(caller, app, &run).await?;
        let mut spec = self.spec(&dyno).await?;
        spec.stdio = stdio(&run);
        spec.env.extend(run.env.clone());
        let text = format!(
            "Starting process with command `{}` by user {}",
            dyno.command, caller.email
        );
        self.say(app, LogSource::App, "api", text).await;
        if let Err(error) = self.engine.start(spec).await {
            let text = format!("Error R99 (Platform error) -> {}", chain(&error));
            self.say(app, LogSource::Heroku, dyno.name.as_str(), text)
                .await;
            self.store
                .delete_dyno(&system_change("it could not be started"), dyno.id)
                .await?;
            return Err(error.into());
        }
        self.say(
            app,
            LogSource::Heroku,
            dyno.name.as_str(),
            "State changed from starting to up",
        )
        .await;
        self.store
            .set_dyno_state(&system_change("it runs"), dyno.id, DynoState::Up, None)
            .await?;
        self.watch(&dyno);
        let secret = run.is_attached.then(|| self.expect_owner(&dyno, &run));
        if !run.is_attached || run.time_to_live.is_some() {
            self.stop_after(dyno.id, run.time_to_live.unwrap_or(DETACHED_LIMIT));
        }
        Ok((
            Dyno {
                state: DynoState::Up,
                ..dyno
            },
            secret,
        ))
    }

    /// Meets an attached dyno. A secret works once.
    ///
    /// # Errors
    /// `NotFound` for a secret that is unknown or spent.
    pub async fn meet(&self, secret: &str) -> Result<Attached> {
        let waiting = self
            .rendezvous
            .take(secret)
            .ok_or_else(|| Error::NotFound {
                resource: "rendezvous",
                name: "secret".to_owned(),
            })?;
        let stream = self.engine.attach(waiting.dyno).await?;
        Ok(Attached {
            stream,
            has_terminal: waiting.has_terminal,
        })
    }

    async fn record_run(&self, caller: &Caller, app: AppId, run: &Run) -> Result<Dyno> {
        if run.command.trim().is_empty() {
            return Err(Error::Invalid {
                message: "No command given.".to_owned(),
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
        let size = sizes::find(size).ok_or_else(|| Error::Invalid {
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
            size: size.to_owned(),
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

    fn expect_owner(&self, dyno: &Dyno, run: &Run) -> String {
        let secret = self.rendezvous.add(Waiting {
            dyno: dyno.id,
            has_terminal: !run.is_without_terminal,
        });
        let (platform, id, unclaimed) = (self.clone(), dyno.id, secret.clone());
        tokio::spawn(async move {
            tokio::time::sleep(RENDEZVOUS_LIMIT).await;
            if platform.rendezvous.take(&unclaimed).is_some() {
                tracing::info!(dyno = %id, "nobody came to attach");
                platform.stop_now(id).await;
            }
        });
        secret
    }

    fn stop_after(&self, dyno: DynoId, limit: Duration) {
        let platform = self.clone();
        tokio::spawn(async move {
            let ended = tokio::time::timeout(limit, platform.engine.wait(dyno));
            if ended.await.is_err() {
                platform.stop_now(dyno).await;
            }
        });
    }

    async fn stop_now(&self, dyno: DynoId) {
        if let Err(error) = self.engine.stop(dyno, self.settings.stop_grace).await {
            tracing::info!(dyno = %dyno, error = &error as &dyn std::error::Error, "cannot stop a dyno");
        }
    }
}

fn stdio(run: &Run) -> Stdio {
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

impl Rendezvous {
    /// All secrets begin so, and are [`Rendezvous::SECRET_LENGTH`] bytes long.
    pub(crate) const PREFIX: &str = "rz-";
    /// Bytes of a secret.
    pub(crate) const SECRET_LENGTH: usize = 3 + 40;

    fn add(&self, waiting: Waiting) -> String {
        let random: [u8; 20] = rand::rng().random();
        let mut secret = Self::PREFIX.to_owned();
        for byte in random {
            write!(secret, "{byte:02x}").expect("a String takes all text");
        }
        debug_assert_eq!(secret.len(), Self::SECRET_LENGTH);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(secret.clone(), waiting);
        secret
    }

    fn take(&self, secret: &str) -> Option<Waiting> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(secret)
    }
}
