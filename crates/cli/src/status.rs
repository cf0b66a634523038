//! `landfall status`: what the status page shows, asked of the router, which answers also while the
//! server does not; and what the operator says there.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use api::{
    client::{Client, HttpTransport},
    clock::{Clock, Time},
    rfc3339,
    status::{Component, Status},
    status_notes::{NewStatusNote, Severity, StatusNote},
};
use clap::ValueEnum;
use serde::Deserialize;

use crate::{
    own::{client, wait},
    ready::Ready,
};

/// Arguments of `landfall status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArguments {
    /// Instead of showing it: say something there, list what is said, or take it back
    #[arg(value_enum)]
    action: Option<Action>,
    /// What to say, or the id of the note to take back
    #[arg(value_name = "TEXT|ID", requires = "action")]
    what: Option<String>,
    /// How bad it is
    #[arg(long, value_enum, requires = "what")]
    severity: Option<Word>,
    /// The app that it is about, by name or id; without it, the whole platform
    #[arg(long, short, requires = "what")]
    app: Option<String>,
    /// When it leaves the page by itself: `90m`, `2h`, `3d` or a time like 2026-02-19T08:00:00Z
    #[arg(long, value_name = "TIME", requires = "what")]
    until: Option<String>,
}

/// What to do with what the operator says.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    /// Say something
    Note,
    /// List what is said
    Notes,
    /// Take it back
    Remove,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Word {
    Info,
    Maintenance,
    Degraded,
    Down,
}

impl From<Word> for Severity {
    fn from(word: Word) -> Self {
        match word {
            Word::Info => Self::Info,
            Word::Maintenance => Self::Maintenance,
            Word::Degraded => Self::Degraded,
            Word::Down => Self::Down,
        }
    }
}

/// Runs `landfall status`.
#[expect(clippy::print_stdout, reason = "a command's output")]
pub(crate) fn status(ready_file: &Path, arguments: &StatusArguments) -> Result<()> {
    let what = arguments.what.as_deref();
    let text = match arguments.action {
        None => told(&asked(ready_file)?),
        Some(Action::Note) => {
            let until = arguments.until.as_deref();
            let until = until.map(|text| end(text, Clock::system().now()));
            let new = NewStatusNote {
                text: what
                    .context("say what: landfall status note TEXT")?
                    .to_owned(),
                severity: arguments
                    .severity
                    .map_or_else(Severity::default, Severity::from),
                app: arguments.app.clone(),
                until: until.transpose()?,
            };
            line(&wait(client(ready_file)?.create_status_note(&new))?)
        }
        Some(Action::Notes) => {
            let notes = wait(client(ready_file)?.status_notes())?;
            let lines: Vec<_> = notes.iter().map(line).collect();
            lines.join("\n")
        }
        Some(Action::Remove) => {
            let note = what.context("say which: landfall status remove ID")?;
            let gone = wait(client(ready_file)?.delete_status_note(note))?;
            format!("Took back {}", line(&gone))
        }
    };
    println!("{text}");
    Ok(())
}

/// What the router says.
fn asked(ready_file: &Path) -> Result<Status> {
    let ready = Ready::read(ready_file)?;
    if ready.status_host.is_empty() {
        bail!("the platform that runs is of a release without a status page");
    }
    let transport = HttpTransport::new(&format!("http://{}", ready.http_addr))?;
    let client = Client::anonymous(Arc::new(transport.called(&ready.status_host)));
    wait(client.status()).context("the router does not answer: nobody can say how anything is")
}

/// A time as people write it.
#[derive(Deserialize)]
struct At(#[serde(with = "rfc3339")] Time);

/// `2h` from now, or the time itself.
fn end(text: &str, now: Time) -> Result<Time> {
    let units = [("m", 60), ("h", 3600), ("d", 86_400)];
    for (unit, seconds) in units {
        let number = text
            .strip_suffix(unit)
            .and_then(|text| text.parse::<u64>().ok());
        if let Some(number) = number {
            return Ok(now.after(Duration::from_secs(number.saturating_mul(seconds))));
        }
    }
    let parsed: Result<At, _> = serde_json::from_value(text.into());
    let At(at) = parsed
        .with_context(|| format!("{text} is no time; say 90m, 2h, 3d or 2026-02-19T08:00:00Z"))?;
    Ok(at)
}

/// The state, a fact a line.
fn told(status: &Status) -> String {
    let mut lines = vec![format!(
        "=== {} (seen at {})",
        status.state, status.observed_at
    )];
    lines.extend(status.summary.iter().cloned());
    let longest = status.components.iter().map(|at| at.name.len()).max();
    let width = longest.unwrap_or(0);
    lines.push(String::new());
    let component = |at: &Component| {
        let word = at.state.to_string();
        format!("{:width$}  {word:11}  {}", at.name, at.detail)
    };
    lines.extend(status.components.iter().map(component));
    for note in &status.notes {
        let about = note.app.as_deref().unwrap_or("the platform");
        lines.push(format!("\nThe operator on {about}: {}", note.text));
    }
    let open = status.incidents.iter().filter(|at| at.ended_at.is_none());
    for incident in open {
        lines.push(format!(
            "\nIncident since {}: {}: {}",
            incident.began_at, incident.component, incident.what
        ));
    }
    lines.join("\n")
}

fn line(note: &StatusNote) -> String {
    let severity = Word::value_variants().iter().copied();
    let severity = severity
        .filter_map(|word| Some((Severity::from(word), word.to_possible_value()?)))
        .find(|(severity, _)| *severity == note.severity);
    let severity = severity.map_or(String::new(), |(_, word)| word.get_name().to_owned());
    let about = note
        .app
        .as_ref()
        .map_or("the platform", |app| app.name.as_str());
    let until = note
        .until
        .map_or(String::new(), |until| format!(" until {until}"));
    format!("{} [{severity}] {about}{until}: {}", note.id, note.text)
}

#[cfg(test)]
mod tests {
    use api::status::{ComponentKind, Incident, Note, Standing};

    use super::*;

    const NOON: Time = Time::from_micros(1_771_502_400_000_000);

    #[test]
    fn ends() {
        for (text, expected) in [
            ("90m", Some("2026-02-19T13:30:00Z")),
            ("2h", Some("2026-02-19T14:00:00Z")),
            ("3d", Some("2026-02-22T12:00:00Z")),
            ("2026-02-20T08:00:00Z", Some("2026-02-20T08:00:00Z")),
            ("soon", None),
            ("-1h", None),
        ] {
            let end = end(text, NOON).ok().map(Time::to_rfc3339);
            assert_eq!(end.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_status_is_told_in_lines() {
        let component = |name: &str, state| Component {
            kind: ComponentKind::App,
            name: name.to_owned(),
            state,
            detail: "So it is.".to_owned(),
            since: NOON,
            days: Vec::new(),
        };
        let status = Status {
            state: Standing::NoWord,
            summary: vec!["No word from the control plane.".to_owned()],
            observed_at: NOON,
            components: vec![
                component("Control plane", Standing::NoWord),
                component("shop", Standing::Operational),
            ],
            notes: vec![Note {
                text: "Disks are replaced".to_owned(),
                severity: Severity::Info,
                app: None,
                created_at: NOON,
                updated_at: NOON,
                until: None,
            }],
            incidents: vec![Incident {
                id: "1".to_owned(),
                component: "Control plane".to_owned(),
                state: Standing::NoWord,
                what: "No word.".to_owned(),
                began_at: NOON,
                ended_at: None,
            }],
        };
        let expected = "=== no word (seen at 2026-02-19T12:00:00Z)\n\
            No word from the control plane.\n\n\
            Control plane  no word      So it is.\n\
            shop           operational  So it is.\n\n\
            The operator on the platform: Disks are replaced\n\n\
            Incident since 2026-02-19T12:00:00Z: Control plane: No word.";
        assert_eq!(told(&status), expected);
    }
}
