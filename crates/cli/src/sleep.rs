//! `landfall sleep` and `landfall wake`: when an app sleeps, whether it does, and what woke it.

use std::path::Path;

use anyhow::Result;
use api::sleep::{Sleep, SleepState, SleepUpdate};

use crate::own::{client, wait};

/// Arguments of `landfall sleep`.
#[derive(Clone, Debug, clap::Args)]
pub struct SleepArguments {
    /// The app, by name or id
    #[arg(long, short)]
    pub app: String,
    /// Minutes without a request until it falls asleep: `never`, or `default` for what its size says
    #[arg(long, value_name = "MINUTES", value_parser = time)]
    pub idle: Option<Wish>,
    /// Minutes asleep until its dynos are stopped: `never` or `default` as well
    #[arg(long, value_name = "MINUTES", value_parser = time)]
    pub stop_after: Option<Wish>,
    /// Let it sleep as soon as none of its requests is in flight
    #[arg(long)]
    pub now: bool,
}

/// Arguments of `landfall wake`.
#[derive(Clone, Debug, clap::Args)]
pub struct WakeArguments {
    /// The app, by name or id
    #[arg(long, short)]
    pub app: String,
}

/// A time that somebody wishes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// What the platform thinks right.
    Default,
    /// Never.
    Never,
    /// After so many minutes.
    Minutes(u64),
}

impl Wish {
    /// As the API says it: nothing, 0 or seconds.
    fn seconds(self) -> Option<u64> {
        match self {
            Self::Default => None,
            Self::Never => Some(0),
            Self::Minutes(minutes) => Some(minutes.saturating_mul(60)),
        }
    }
}

fn time(text: &str) -> Result<Wish, String> {
    match text {
        "default" => Ok(Wish::Default),
        "never" => Ok(Wish::Never),
        _ => match text.parse() {
            Ok(0) | Err(_) => Err("a number of minutes, `never` or `default`".to_owned()),
            Ok(minutes) => Ok(Wish::Minutes(minutes)),
        },
    }
}

/// Runs `landfall sleep`.
pub(crate) fn sleep(ready_file: &Path, arguments: &SleepArguments) -> Result<()> {
    let client = client(ready_file)?;
    let app = &arguments.app;
    let update = SleepUpdate {
        idle_seconds: arguments.idle.map(Wish::seconds),
        stop_after_seconds: arguments.stop_after.map(Wish::seconds),
    };
    let sleep = wait(async {
        if update != SleepUpdate::default() {
            client.update_sleep(app, &update).await?;
        }
        if arguments.now {
            client.put_to_sleep(app).await
        } else {
            client.sleep(app).await
        }
    })?;
    print(&sleep);
    Ok(())
}

/// Runs `landfall wake`.
pub(crate) fn wake(ready_file: &Path, arguments: &WakeArguments) -> Result<()> {
    let client = client(ready_file)?;
    print(&wait(client.wake(&arguments.app))?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn print(sleep: &Sleep) {
    println!("{}", told(sleep));
}

/// One fact a line.
fn told(sleep: &Sleep) -> String {
    let state = match sleep.state {
        SleepState::Awake => "awake",
        SleepState::Resting => "awake, and asleep as soon as no request is in flight",
        SleepState::Frozen => "asleep",
        SleepState::Stopped => "asleep, its dynos are stopped",
    };
    let minutes = |seconds: Option<u64>, what: &str| match seconds {
        None => "never".to_owned(),
        Some(seconds) if seconds % 60 == 0 => format!("after {} min {what}", seconds / 60),
        Some(seconds) => format!("after {seconds} s {what}"),
    };
    let mut lines = vec![
        format!("=== {}", sleep.app.name),
        format!("State:  {state} since {} ({})", sleep.since, sleep.cause),
        format!(
            "Sleeps: {}",
            minutes(sleep.effective_idle_seconds, "without a request")
        ),
        format!(
            "Stops:  {}",
            minutes(sleep.effective_stop_after_seconds, "asleep")
        ),
    ];
    if let (Some(at), Some(cause)) = (sleep.woken_at, &sleep.wake_cause) {
        lines.push(format!("Woke:   {at} ({cause})"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use api::{clock::Time, ids::AppId, references::AppReference};

    use super::*;

    #[test]
    fn times_are_minutes_or_words() {
        let check = |text, expected: Option<Wish>| assert_eq!(time(text).ok(), expected, "{text}");
        check("30", Some(Wish::Minutes(30)));
        check("never", Some(Wish::Never));
        check("default", Some(Wish::Default));
        for refused in ["0", "-1", "soon", ""] {
            check(refused, None);
        }
        let seconds = [Wish::Default, Wish::Never, Wish::Minutes(2)].map(Wish::seconds);
        assert_eq!(seconds, [None, Some(0), Some(120)]);
    }

    #[test]
    fn a_sleep_is_told_in_lines() {
        let sleep = Sleep {
            app: AppReference {
                id: AppId::new(),
                name: "example".parse().unwrap(),
            },
            idle_seconds: None,
            stop_after_seconds: None,
            effective_idle_seconds: Some(1800),
            effective_stop_after_seconds: None,
            state: SleepState::Frozen,
            since: Time::from_micros(1_771_488_000_000_000),
            cause: "no request for 30 minutes".to_owned(),
            woken_at: None,
            wake_cause: None,
        };
        let expected = "=== example\n\
            State:  asleep since 2026-02-19T08:00:00Z (no request for 30 minutes)\n\
            Sleeps: after 30 min without a request\n\
            Stops:  never";
        assert_eq!(told(&sleep), expected);
    }
}
