//! Why a release did not go live, in words that lead to the mistake.

use std::{net::SocketAddr, time::Duration};

use api::ids::DynoId;
use engine::{Probe, Question};
use futures_util::StreamExt;
use logs::{Filter, LogLine, LogSource};
use store::{App, Dyno};

use crate::{
    Platform,
    launch::port,
    plan::{
        Failure,
        health::{Pace, Which},
    },
    reconcile::{observe, perform::PLATFORM_ERROR},
};

/// Log lines of the dyno to show.
const LAST_LINES: usize = 20;
/// How long the last look at the port may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for the last lines of a dyno that has ended.
const LAST_LINES_PATIENCE: Duration = Duration::from_secs(2);

impl Platform {
    /// What failed, on what, and what to do; several lines, the first of which stands alone.
    pub(crate) async fn explain(&self, app: &App, failure: &Failure) -> String {
        match failure {
            Failure::ReleasePhase { status } => format!(
                "Release command failed with exit status {status}.\n\
                 hint: run `heroku releases:output` to read what it printed."
            ),
            Failure::Crashed(id) => match self.row(app, *id).await {
                Some(dyno) => self.explain_crash(&dyno).await,
                None => "A web dyno crashed while booting.".to_owned(),
            },
            Failure::BootTimeout(id) => match self.row(app, *id).await {
                Some(dyno) => self.explain_timeout(&dyno).await,
                None => "A web dyno did not answer in time.".to_owned(),
            },
        }
    }

    async fn explain_crash(&self, dyno: &Dyno) -> String {
        self.await_last_lines(dyno).await;
        let exit = observe::exit(self, dyno).await;
        if exit.is_none()
            && let Some(text) = self.refusal(dyno).await
        {
            return text;
        }
        let mut text = match exit {
            Some(exit) if exit.is_out_of_memory => {
                let quota = self.settings.sizes.limits(&dyno.size).memory_bytes / (1024 * 1024);
                format!(
                    "Error R15 (Memory quota vastly exceeded): {} was killed for using more than {} MB, twice the {quota} MB of a {} dyno, before it answered.\n\
                     hint: use less memory at start, or a larger size: `heroku ps:type {}=standard-2x`.",
                    dyno.name,
                    quota * 2,
                    dyno.size,
                    dyno.process_type
                )
            }
            Some(exit) if exit.is_lost => {
                format!(
                    "{} was lost: the machine or its keeper went away while it booted.",
                    dyno.name
                )
            }
            _ => format!(
                "{} crashed while booting: process exited with status {} before it answered on $PORT ({}).\n\
                 hint: the command was `{}`; its last lines are below.",
                dyno.name,
                dyno.exit_status.unwrap_or(1),
                port(dyno.id),
                dyno.command
            ),
        };
        let lines = self.add_last_lines(dyno, &mut text).await;
        if let Some(name) = lines.iter().rev().find_map(|line| missing_var(line)) {
            text.push_str("\nhint: it cannot do without a config var: run `heroku config:set ");
            text.push_str(name);
            text.push_str("=…`.");
        }
        text
    }

    /// What the log says of a dyno that could not even be started.
    async fn refusal(&self, dyno: &Dyno) -> Option<String> {
        let lines = self.lines_of(dyno, LogSource::Heroku).await;
        let cause = lines
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix(PLATFORM_ERROR))?;
        Some(format!(
            "{} could not be started on this platform: {cause}\n\
             hint: this is no fault of the app; ask whoever runs the platform, then release again.",
            dyno.name
        ))
    }

    /// The last lines of a dyno that has ended are on their way into the log.
    async fn await_last_lines(&self, dyno: &Dyno) {
        let mut changes = self.nudges.changes();
        let read = async {
            while self.watches.following_since(dyno.id).is_some() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(LAST_LINES_PATIENCE, read)
            .await
            .is_err()
        {
            tracing::debug!(dyno = %dyno.id, "explaining without the last lines");
        }
    }

    async fn explain_timeout(&self, dyno: &Dyno) -> String {
        if let Some(check) = self.startup_check(dyno).await {
            let seconds = Pace::of(Which::Startup, &check).patience().as_secs();
            let finding = self.health.startup_finding(dyno.id);
            let mut text = format!(
                "Error R10 (Boot timeout): {} did not pass its startup check within {seconds} seconds of launch.\n\
                 last attempt: {}\n\
                 hint: attempts times interval_seconds of the check is how long it may take.",
                dyno.name,
                finding.as_deref().unwrap_or("none"),
            );
            self.add_last_lines(dyno, &mut text).await;
            return text;
        }
        let seconds = self.settings.boot_timeout.as_secs();
        let port = port(dyno.id);
        let probe = match self
            .engine
            .probe(dyno.id, &Question::default(), PROBE_TIMEOUT)
            .await
        {
            Ok(Probe::Refused) => "connection refused".to_owned(),
            Ok(Probe::Silent) => "accepted a connection but did not answer".to_owned(),
            Ok(Probe::Answered {
                status: Some(status),
            }) => format!("HTTP status {status}"),
            Ok(Probe::Answered { status: None }) => "an answer that is not HTTP".to_owned(),
            Err(error) => format!("impossible ({error})"),
        };
        let addresses = self.engine.listening(dyno.id).await;
        let listening = match &addresses {
            Ok(addresses) if addresses.is_empty() => "nothing".to_owned(),
            Ok(addresses) => addresses.join(", "),
            Err(error) => format!("unknown ({error})"),
        };
        let mut text = format!(
            "Error R10 (Boot timeout): {} did not answer on $PORT ({port}) within {seconds} seconds of launch.\n\
             last probe: {probe}\n\
             it listens on: {listening}\n\
             hint: {}",
            dyno.name,
            listening_hint(addresses.as_deref().unwrap_or_default(), port)
        );
        self.add_last_lines(dyno, &mut text).await;
        text
    }

    async fn add_last_lines(&self, dyno: &Dyno, text: &mut String) -> Vec<String> {
        let lines = self.lines_of(dyno, LogSource::App).await;
        if !lines.is_empty() {
            text.push_str("\nlast lines:\n  ");
            text.push_str(&lines.join("\n  "));
        }
        lines
    }

    /// The last lines that this dyno wrote, or that we wrote about it.
    async fn lines_of(&self, dyno: &Dyno, source: LogSource) -> Vec<String> {
        let filter = Filter {
            lines: LAST_LINES,
            follow: false,
            dyno: Some(dyno.name.to_string()),
            source: Some(source),
        };
        let Ok(tail) = self.logs.tail(dyno.app, filter).await else {
            return Vec::new();
        };
        // Other dynos of the same name have written into the same log.
        let is_other = |line: &LogLine| line.cursor.is_some_and(|(stream, _)| stream != dyno.id);
        tail.filter_map(|line| {
            let is_of_dyno = line.at >= dyno.created_at && !is_other(&line);
            async move { is_of_dyno.then(|| line.text.clone()) }
        })
        .collect()
        .await
    }

    async fn row(&self, app: &App, id: DynoId) -> Option<Dyno> {
        self.store
            .dynos(app.id)
            .await
            .ok()?
            .into_iter()
            .find(|dyno| dyno.id == id)
    }
}

/// The variable of the environment that a program says it has missed, in the words of Python, Ruby
/// and Elixir.
fn missing_var(line: &str) -> Option<&str> {
    /// What comes before the name, and what ends it.
    const WORDS: [(&str, char); 3] = [
        ("KeyError: '", '\''),
        ("key not found: \"", '"'),
        ("could not fetch environment variable \"", '"'),
    ];
    WORDS.iter().find_map(|(before, end)| {
        let (_, rest) = line.split_once(before)?;
        let (name, _) = rest.split_once(*end)?;
        // A key of something else is seldom written like this.
        let is_var = name.len() > 2
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        is_var.then_some(name)
    })
}

/// What to change in an app that listens on these addresses, and not where its requests come.
fn listening_hint(addresses: &[String], port: u16) -> String {
    let found: Vec<SocketAddr> = addresses
        .iter()
        .filter_map(|address| address.parse().ok())
        .collect();
    let is_port = |address: &&SocketAddr| address.port() == port;
    if let Some(address) = found.iter().find(is_port) {
        return if address.ip().is_loopback() {
            format!(
                "the port is right, but only the dyno itself reaches {}: listen on 0.0.0.0.",
                address.ip()
            )
        } else {
            "it listens where requests come, but does not answer: see its last lines.".to_owned()
        };
    }
    match found.first() {
        Some(other) => format!(
            "port {} is written into the app or its command: take the one in the PORT environment variable, and listen on 0.0.0.0.",
            other.port()
        ),
        None => "listen on 0.0.0.0 and the port in the PORT environment variable; is the `web` command a server at all?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[&str], expected: &str) {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let hint = listening_hint(&addresses, 5000);
        assert!(hint.contains(expected), "{addresses:?}: {hint}");
    }

    #[test]
    fn a_missing_variable_is_named() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(missing_var(line), expected, "{line}");
        };
        check("KeyError: 'SECRET_KEY'", Some("SECRET_KEY"));
        check("KeyError: 'name'", None);
        check(
            "env.rb:1:in `fetch': key not found: \"API_URL\" (KeyError)",
            Some("API_URL"),
        );
        check(
            "** (System.EnvError) could not fetch environment variable \"S3\" because",
            None,
        );
        check(
            "could not fetch environment variable \"S3_KEY\" because it is not set",
            Some("S3_KEY"),
        );
        check("listening", None);
    }

    #[test]
    fn what_is_listened_on_leads_to_the_mistake() {
        check(&["0.0.0.0:3000"], "port 3000 is written into the app");
        check(&["127.0.0.1:8000", "[::]:9000"], "port 8000 is written");
        check(
            &["127.0.0.1:5000"],
            "only the dyno itself reaches 127.0.0.1",
        );
        check(&["[::1]:5000"], "only the dyno itself reaches ::1");
        check(&["127.0.0.1:9229", "[::]:5000"], "but does not answer");
        check(&[], "is the `web` command a server at all?");
    }
}
