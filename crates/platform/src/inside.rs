//! Inside access: commands in running dynos, files copied from and to them, their ports.
//!
//! Whoever opens a session meets it at the rendezvous address, see [`crate::rendezvous`]. Each is
//! recorded when it opens and when it ends, without what goes through it. Read
//! [`Platform::run_inside`] first; [`Sessions`] counts what is open.

mod copy;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{
    clock::Time,
    ids::{AppId, DynoId},
};
use engine::{EngineError, ExecSpec, Stdio};
use serde_json::{Value, json};
use store::{App, Dyno, DynoKind, NewEvent, SleepState};

use crate::{
    Caller, Platform,
    error::{Error, Result},
    reconcile::perform::chain,
    rendezvous::{Manner, Waiting},
    runs::{self, Run},
};

pub use self::copy::{Copy, Direction};

/// Sessions that may be open in one dyno.
pub const SESSIONS_PER_DYNO: usize = 10;
/// Longest environment of a command, bytes of names and values.
const ENVIRONMENT_BYTES: usize = 16 * 1024;
/// What follows the command's output if its status is asked for: the line that the official CLI
/// looks for after `heroku run --exit-code`.
const STATUS_LINE: &str = "\u{ffff} heroku-command-exit-status:";

/// Open sessions by dyno. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<DynoId, (AppId, usize)>>>);

/// A session, open until dropped.
pub(crate) struct Session {
    platform: Platform,
    change: store::Change,
    app: AppId,
    dyno: DynoId,
    kind: &'static str,
    /// Name of the dyno, and what the session is for.
    details: Value,
    opened_at: Time,
    is_told: bool,
}

impl Sessions {
    /// How many are open in an app's dynos; such an app is not put to sleep.
    pub(crate) fn open(&self, app: AppId) -> usize {
        let open = self.lock();
        let of_app = open.values().filter(|(of, _)| *of == app);
        of_app.map(|(_, count)| count).sum()
    }

    /// Counts one more, unless there are too many.
    fn begin(&self, dyno: &Dyno) -> bool {
        let mut open = self.lock();
        let (_, count) = open.entry(dyno.id).or_insert((dyno.app, 0));
        let has_room = *count < SESSIONS_PER_DYNO;
        if has_room {
            *count += 1;
        }
        has_room
    }

    fn end(&self, dyno: DynoId) {
        let mut open = self.lock();
        if let Some((_, count)) = open.get_mut(&dyno) {
            *count -= 1;
            if *count == 0 {
                open.remove(&dyno);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DynoId, (AppId, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.platform.sessions.end(self.dyno);
        self.platform.nudges.nudge(self.app);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.is_told {
            return;
        }
        let lasted = self.platform.clock.now().since(self.opened_at);
        let mut details = std::mem::take(&mut self.details);
        details["seconds"] = json!(lasted.as_secs());
        details["of"] = json!(self.kind);
        let event = NewEvent {
            app: Some(self.app),
            kind: "dyno.leave",
            subject: self.dyno.to_string(),
            details,
        };
        let (platform, change) = (self.platform.clone(), self.change.clone());
        runtime.spawn(async move {
            if let Err(error) = platform.store.record_event(&change, event).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot record the end of a session");
            }
        });
    }
}

impl Session {
    /// Records that it opens; its end is recorded as well then.
    async fn tell(&mut self) -> Result<()> {
        let event = NewEvent {
            app: Some(self.app),
            kind: self.kind,
            subject: self.dyno.to_string(),
            details: self.details.clone(),
        };
        self.platform
            .store
            .record_event(&self.change, event)
            .await?;
        self.is_told = true;
        Ok(())
    }
}

/// A command to run inside a dyno.
#[derive(Clone, Debug, Default)]
pub struct Inside {
    /// The command, for the shell.
    pub command: String,
    /// Laid over the dyno's own environment.
    pub env: std::collections::BTreeMap<String, String>,
    /// What goes through the stream.
    pub manner: Manner,
    /// Whether its status follows its output, as a line.
    pub tells_status: bool,
}

impl Platform {
    /// Runs a command inside a running dyno. Returns the dyno and the rendezvous secret.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for a dyno that does not run or has too many sessions.
    pub async fn run_inside(
        &self,
        caller: &Caller,
        app: &App,
        dyno: &str,
        inside: Inside,
    ) -> Result<(Dyno, String)> {
        let mut run = Run {
            command: inside.command,
            env: inside.env,
            is_attached: true,
            is_without_terminal: inside.manner != Manner::Terminal,
            ..Run::default()
        };
        check(&run)?;
        let details = json!({ "command": run.command, "terminal": !run.is_without_terminal });
        let (dyno, session) = self
            .enter(caller, app, dyno, ("dyno.exec", details))
            .await?;
        if inside.tells_status {
            run.command = format!("(\n{}\n)\necho \"{STATUS_LINE} $?\"", run.command);
        }
        let spec = ExecSpec {
            command: builder::launch_command(&run.command),
            stdio: runs::stdio(&run),
            env: run.env,
        };
        self.exec(dyno, session, spec, inside.manner).await
    }

    /// Copies a file or directory from or to a running dyno, as a tar archive. Returns the dyno and
    /// the rendezvous secret.
    ///
    /// # Errors
    /// As [`Platform::run_inside`]; whether the path is there shows at the archive's end.
    pub async fn copy(
        &self,
        caller: &Caller,
        app: &App,
        dyno: &str,
        copy: &Copy,
    ) -> Result<(Dyno, String)> {
        let command = copy.command()?;
        let details = json!({ "path": copy.path, "direction": copy.direction.as_str() });
        let (dyno, session) = self
            .enter(caller, app, dyno, ("dyno.copy", details))
            .await?;
        let spec = ExecSpec {
            command,
            env: std::collections::BTreeMap::new(),
            stdio: Stdio::Pipes,
        };
        self.exec(dyno, session, spec, Manner::Raw).await
    }

    /// Opens a way to a port of a running dyno. Returns the dyno and the rendezvous secret, which
    /// works for any number of connections.
    ///
    /// # Errors
    /// As [`Platform::run_inside`]; whether anything listens shows with each connection.
    pub async fn forward(
        &self,
        caller: &Caller,
        app: &App,
        dyno: &str,
        port: u16,
    ) -> Result<(Dyno, String)> {
        if port == 0 {
            return Err(invalid("The port must be a number from 1 to 65535."));
        }
        let details = json!({ "port": port });
        let (dyno, mut session) = self
            .enter(caller, app, dyno, ("dyno.forward", details))
            .await?;
        session.tell().await?;
        let secret = self.expect_connections(&dyno, port, session);
        Ok((dyno, secret))
    }

    /// Finds a running dyno and opens a session of `what` in it. The app is awake from here on.
    async fn enter(
        &self,
        caller: &Caller,
        app: &App,
        dyno: &str,
        what: (&'static str, Value),
    ) -> Result<(Dyno, Session)> {
        let dyno = self.running_dyno(app.id, dyno).await?;
        if !self.sessions.begin(&dyno) {
            return Err(invalid(format!(
                "{} has {SESSIONS_PER_DYNO} open sessions, which is the most. End one of them.",
                dyno.name
            )));
        }
        let (kind, mut details) = what;
        details["name"] = json!(dyno.name);
        let session = Session {
            platform: self.clone(),
            change: caller.change(),
            app: app.id,
            dyno: dyno.id,
            kind,
            details,
            opened_at: self.clock.now(),
            is_told: false,
        };
        if self.store.app_sleep(app).await?.state != SleepState::Awake {
            self.wake(caller, app).await?;
        }
        Ok((dyno, session))
    }

    async fn exec(
        &self,
        dyno: Dyno,
        mut session: Session,
        spec: ExecSpec,
        manner: Manner,
    ) -> Result<(Dyno, String)> {
        let stream = self.engine.exec(dyno.id, spec).await;
        let stream = stream.map_err(|error| explained(&dyno, error))?;
        session.tell().await?;
        let secret = self.expect_visitor(Waiting::Inside {
            stream,
            manner,
            session: Box::new(session),
        });
        Ok((dyno, secret))
    }

    /// The newest dyno of that name or id that the engine runs.
    async fn running_dyno(&self, app: AppId, name_or_id: &str) -> Result<Dyno> {
        let named = self.dyno(app, name_or_id).await?;
        let mut dynos = self.dynos(app).await?;
        dynos.retain(|dyno| dyno.name == named.name);
        for dyno in dynos.into_iter().rev() {
            let is_meant = dyno.id == named.id || dyno.name.as_str() == name_or_id;
            let report = self.engine.inspect(dyno.id).await;
            if is_meant && report.is_ok_and(|report| report.state == engine::DynoState::Running) {
                if dyno.kind == DynoKind::Release {
                    return Err(invalid("The release phase cannot be entered."));
                }
                return Ok(dyno);
            }
        }
        Err(not_running(&named))
    }
}

/// What cannot be run at all.
fn check(run: &Run) -> Result<()> {
    runs::check(run)?;
    let bytes: usize = run
        .env
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > ENVIRONMENT_BYTES {
        return Err(invalid(format!(
            "The environment must have at most {ENVIRONMENT_BYTES} bytes."
        )));
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::Invalid {
        message: message.into(),
    }
}

fn not_running(dyno: &Dyno) -> Error {
    invalid(format!(
        "{} is {}: only a dyno that runs can be entered.",
        dyno.name,
        match dyno.state {
            store::DynoState::Starting | store::DynoState::Up | store::DynoState::Idle =>
                "still starting",
            store::DynoState::Crashed => "crashed",
            store::DynoState::Down => "down",
        }
    ))
}

fn explained(dyno: &Dyno, error: EngineError) -> Error {
    match error {
        EngineError::UnknownDyno(_) => not_running(dyno),
        EngineError::Unsupported { .. } => invalid(format!(
            "{0} was started by an older version of the platform, whose dynos cannot be entered. \
             Restart it with `heroku ps:restart {0}`.",
            dyno.name
        )),
        EngineError::Start { .. } => {
            invalid(format!("Cannot enter {}: {}.", dyno.name, chain(&error)))
        }
        other => Error::Engine(other),
    }
}
