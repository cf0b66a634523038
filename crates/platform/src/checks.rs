//! Makes the health checks of a dyno as long as it runs, and does what their outcome asks for.
//!
//! Thin: [`crate::plan::health`] says what an answer means and when enough is enough.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    health_checks::{CheckKind, HealthCheck, HealthChecks},
    ids::DynoId,
};
use engine::{EngineError, ExecSpec, HttpQuestion, Question, Stdio};
use logs::LogSource;
use rand::Rng;
use store::{Dyno, DynoKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    Platform,
    caller::system_change,
    error::Result,
    plan::{
        dynos::next_crash_count,
        health::{self, Change, Finding, Pace, Standing, Which},
    },
};

/// Wait after the store failed us.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// Output of a command check that is read; the rest is nobody's concern.
const OUTPUT_BYTES: u64 = 256 * 1024;
/// Runs the arguments after it, and tells their exit status behind a word that they cannot guess.
const TELL_STATUS: &str = "word=$1; shift; \"$@\"; printf '\\n%s%d\\n' \"$word\" \"$?\"";

/// How dynos do by their checks. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<Mutex<HashMap<DynoId, DynoHealth>>>);

#[derive(Clone, Debug, Default)]
struct DynoHealth {
    is_unready: bool,
    /// What the startup check found last, if not success.
    startup: Option<String>,
}

impl Health {
    /// Whether the dyno's readiness check has failed.
    pub(crate) fn is_unready(&self, dyno: DynoId) -> bool {
        self.lock()
            .get(&dyno)
            .is_some_and(|health| health.is_unready)
    }

    /// What the startup check of a dyno found last, if it has not passed.
    pub(crate) fn startup_finding(&self, dyno: DynoId) -> Option<String> {
        self.lock().get(&dyno)?.startup.clone()
    }

    fn set_unready(&self, dyno: DynoId, is_unready: bool) {
        self.lock().entry(dyno).or_default().is_unready = is_unready;
    }

    fn set_startup(&self, dyno: DynoId, finding: Option<String>) {
        self.lock().entry(dyno).or_default().startup = finding;
    }

    /// Drops what is known of a dyno that is gone.
    pub(crate) fn forget(&self, dyno: DynoId) {
        self.lock().remove(&dyno);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DynoId, DynoHealth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of an attempt.
enum Attempt {
    Made(Finding),
    /// The dyno sleeps or has ended: nothing can be said.
    Moot,
    /// The engine cannot make such a check.
    Unsupported,
}

impl Platform {
    /// The startup check of a dyno's process type, if it has one.
    pub(crate) async fn startup_check(&self, dyno: &Dyno) -> Option<HealthCheck> {
        if dyno.kind != DynoKind::Formation {
            return None;
        }
        self.checks_in_force(dyno).await.startup
    }

    async fn checks_in_force(&self, dyno: &Dyno) -> HealthChecks {
        let look = async || -> Result<HealthChecks> {
            let release = self.store.release(dyno.app, dyno.release).await?;
            let found = self
                .checks_of(dyno.app, Some(&release), &dyno.process_type)
                .await?;
            Ok(found.checks)
        };
        match look().await {
            Ok(checks) => checks,
            Err(error) => {
                tracing::warn!(dyno = %dyno.id, error = &error as &dyn std::error::Error, "cannot tell a dyno's health checks");
                HealthChecks::default()
            }
        }
    }

    /// Tries the startup check until it passes; whether it did before the dyno ended.
    pub(crate) async fn await_startup(&self, dyno: &Dyno, check: &HealthCheck) -> bool {
        let pace = Pace::of(Which::Startup, check);
        loop {
            match self.attempt(dyno, check, pace.timeout).await {
                Attempt::Made(Ok(())) => {
                    self.health.set_startup(dyno.id, None);
                    return true;
                }
                Attempt::Made(Err(why)) => self.health.set_startup(dyno.id, Some(why)),
                Attempt::Moot => {}
                Attempt::Unsupported => {
                    self.tell_unsupported(dyno, Which::Startup).await;
                    return true;
                }
            }
            let ended = self.engine.wait(dyno.id);
            if tokio::time::timeout(pace.interval, ended).await.is_ok() {
                return false;
            }
        }
    }

    /// Makes the readiness and liveness checks until the dyno has ended.
    pub(crate) async fn keep_checking(&self, dyno: &Dyno) {
        if dyno.kind != DynoKind::Formation {
            return;
        }
        let checking = async {
            let mut changes = self.checks_changed.subscribe();
            loop {
                let checks = self.checks_in_force(dyno).await;
                let both = async {
                    tokio::join!(
                        self.repeat(dyno, Which::Readiness, checks.readiness.as_ref()),
                        self.repeat(dyno, Which::Liveness, checks.liveness.as_ref()),
                    );
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = both => {}
                    changed = changes.changed() => if changed.is_err() { return },
                }
                if self.health.is_unready(dyno.id) {
                    self.health.set_unready(dyno.id, false);
                    self.nudges.nudge(dyno.app);
                }
            }
        };
        tokio::select! {
            () = checking => {}
            _ended = self.engine.wait(dyno.id) => {}
        }
        self.health.forget(dyno.id);
    }

    async fn repeat(&self, dyno: &Dyno, which: Which, check: Option<&HealthCheck>) {
        let Some(check) = check else { return };
        let pace = Pace::of(which, check);
        let mut standing = Standing::default();
        loop {
            tokio::time::sleep(pace.interval).await;
            let finding = match self.attempt(dyno, check, pace.timeout).await {
                Attempt::Made(finding) => finding,
                Attempt::Moot => continue,
                Attempt::Unsupported => return self.tell_unsupported(dyno, which).await,
            };
            let (next, change) = health::after(standing, pace.attempts, &finding);
            standing = next;
            if let Err(error) = self.act(dyno, which, change, &finding).await {
                tracing::warn!(dyno = %dyno.id, error = &error as &dyn std::error::Error, "cannot act on a health check");
                standing = Standing::default();
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
            if which == Which::Liveness && change == Change::Failed {
                // Should its successor never take over, it gets another chance to fail.
                standing = Standing::default();
            }
        }
    }

    async fn act(
        &self,
        dyno: &Dyno,
        which: Which,
        change: Change,
        finding: &Finding,
    ) -> Result<()> {
        let why = finding.as_ref().err().map_or("", String::as_str);
        let word = which.as_str();
        match (which, change) {
            (_, Change::Same) | (Which::Startup, _) | (Which::Liveness, Change::Recovered) => {
                return Ok(());
            }
            (Which::Readiness, Change::Failed) => {
                self.health.set_unready(dyno.id, true);
                let text =
                    format!("Health check failed ({word}): {why}; no requests until it passes");
                self.tell(dyno, text).await;
            }
            (Which::Readiness, Change::Recovered) => {
                self.health.set_unready(dyno.id, false);
                let text = format!("Health check passes again ({word})");
                self.tell(dyno, text).await;
            }
            (Which::Liveness, Change::Failed) => {
                if self.is_being_replaced(dyno).await? {
                    return Ok(());
                }
                let text = format!("Health check failed ({word}): {why}; restarting");
                self.tell(dyno, text).await;
                let now = self.store.dyno(dyno.id).await?;
                let was_up_for = self.clock.now().since(now.state_changed_at);
                let crash_count = next_crash_count(now.crash_count, was_up_for);
                let cause = system_change("its liveness check failed");
                self.record_successor(&cause, dyno, crash_count).await?;
            }
        }
        self.nudges.nudge(dyno.app);
        Ok(())
    }

    /// Whether the dyno is to go, or another of its name is to take over.
    async fn is_being_replaced(&self, dyno: &Dyno) -> Result<bool> {
        let rows = self.store.dynos(dyno.app).await?;
        let is_there = rows.iter().any(|row| row.id == dyno.id && !row.is_retired);
        let has_successor = rows
            .iter()
            .any(|row| row.name == dyno.name && row.id > dyno.id && !row.is_retired);
        Ok(!is_there || has_successor)
    }

    async fn tell(&self, dyno: &Dyno, text: String) {
        self.say(dyno.app, LogSource::Heroku, dyno.name.as_str(), text)
            .await;
    }

    async fn tell_unsupported(&self, dyno: &Dyno, which: Which) {
        let word = which.as_str();
        let text =
            format!("Health check skipped ({word}): commands cannot be run inside this dyno");
        self.tell(dyno, text).await;
    }

    async fn attempt(&self, dyno: &Dyno, check: &HealthCheck, timeout: Duration) -> Attempt {
        let finding = match check.kind {
            CheckKind::Command => match self.try_command(dyno.id, &check.command, timeout).await {
                Ok(finding) => finding,
                Err(EngineError::Unsupported { .. }) => return Attempt::Unsupported,
                Err(_) => return Attempt::Moot,
            },
            CheckKind::Http | CheckKind::Tcp => {
                let asked = self.engine.probe(dyno.id, &question(check), timeout).await;
                match asked {
                    Ok(probe) => health::judge(check, &probe),
                    Err(_) => return Attempt::Moot,
                }
            }
        };
        // A dyno that sleeps, or fell asleep meanwhile, does not fail.
        if finding.is_err() && !self.is_awake(dyno.id).await {
            return Attempt::Moot;
        }
        Attempt::Made(finding)
    }

    async fn is_awake(&self, dyno: DynoId) -> bool {
        match self.engine.inspect(dyno).await {
            Ok(report) => report.state == engine::DynoState::Running && !report.sleep.is_frozen,
            Err(_) => false,
        }
    }

    async fn try_command(
        &self,
        dyno: DynoId,
        command: &[String],
        timeout: Duration,
    ) -> Result<Finding, EngineError> {
        let word = format!("{:032x}:", rand::rng().random::<u128>());
        let mut argv: Vec<String> = ["sh", "-c", TELL_STATUS, "sh"].map(str::to_owned).into();
        argv.push(word.clone());
        argv.extend_from_slice(command);
        let spec = ExecSpec {
            command: argv,
            env: std::collections::BTreeMap::new(),
            stdio: Stdio::Pipes,
        };
        let program = command.first().map_or("", String::as_str);
        let run = async {
            let mut stream = self.engine.exec(dyno, spec).await?;
            // Nobody types; a command that reads must not wait.
            drop(stream.shutdown().await);
            let mut output = Vec::new();
            drop(stream.take(OUTPUT_BYTES).read_to_end(&mut output).await);
            Ok(output)
        };
        match tokio::time::timeout(timeout, run).await {
            Err(_late) => Ok(Err(format!("`{program}` did not end in time"))),
            Ok(Err(error)) => Err(error),
            Ok(Ok(output)) => Ok(match status(&output, &word) {
                Some(0) => Ok(()),
                Some(status) => Err(format!("`{program}` exited with status {status}")),
                None => Err(format!("`{program}` could not be run")),
            }),
        }
    }
}

fn question(check: &HealthCheck) -> Question {
    let http = (check.kind == CheckKind::Http).then(|| HttpQuestion {
        path: check.path.clone().unwrap_or_else(|| "/".to_owned()),
        headers: check.headers.clone(),
    });
    Question {
        port: check.port,
        http,
    }
}

/// The status behind the word.
fn status(output: &[u8], word: &str) -> Option<i32> {
    let output = String::from_utf8_lossy(output);
    let (_, behind) = output.rsplit_once(word)?;
    behind.lines().next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_command_stands_behind_the_word() {
        assert_eq!(status(b"fine\n\nword:0\n", "word:"), Some(0));
        assert_eq!(status(b"\nword:127\r\n", "word:"), Some(127));
        assert_eq!(status(b"killed", "word:"), None);
    }
}
