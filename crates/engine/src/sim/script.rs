//! What a simulated dyno does, written in its command.
//!
//! Steps are separated by `;` and happen one after the other. The words of the whole command are
//! read if they are a script, else those of its last argument, so that a command wrapped in a
//! shell's works too. A command that is no script runs until it is stopped, and serves.

use std::time::Duration;

use crate::report::LogStream;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `print TEXT`, `warn TEXT`: a line on standard output or error.
    Print(LogStream, String),
    /// `sleep SECONDS`: the next step comes later.
    Sleep(Duration),
    /// `serve`: from now on the port answers.
    Serve,
    /// `silent`: from now on the port accepts and says nothing.
    Silent,
    /// `hang`: runs on, without listening.
    Hang,
    /// `cat`: gives attached input back until that ends.
    Cat,
    /// `trap`: from now on SIGTERM does nothing.
    Trap,
    /// `exit CODE`.
    Exit(i32),
    /// `abort`: ends by SIGABRT.
    Abort,
    /// `exhaust`: is killed for lack of memory.
    Exhaust,
}

impl Step {
    /// Whether a script whose last step this is runs on rather than ends.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(self, Self::Serve | Self::Silent | Self::Hang | Self::Cat)
    }
}

/// The steps a command stands for.
pub(super) fn read(command: &[String]) -> Vec<Step> {
    let whole = steps(&command.join(" "));
    let last = || command.last().and_then(|last| steps(last));
    whole.or_else(last).unwrap_or_else(|| vec![Step::Serve])
}

fn steps(script: &str) -> Option<Vec<Step>> {
    script
        .split(';')
        .map(|step| one_step(step.trim()))
        .collect()
}

fn one_step(text: &str) -> Option<Step> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match (word, rest) {
        ("print", line) => Step::Print(LogStream::Stdout, line.to_owned()),
        ("warn", line) => Step::Print(LogStream::Stderr, line.to_owned()),
        ("sleep", seconds) => Step::Sleep(Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?),
        ("exit", code) => Step::Exit(code.parse::<u8>().ok()?.into()),
        ("serve", "") => Step::Serve,
        ("silent", "") => Step::Silent,
        ("hang", "") => Step::Hang,
        ("cat", "") => Step::Cat,
        ("trap", "") => Step::Trap,
        ("abort", "") => Step::Abort,
        ("exhaust", "") => Step::Exhaust,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &[&str], expected: &[Step]) {
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(read(&command), expected, "{command:?}");
    }

    #[test]
    fn commands_are_scripts() {
        check(&["exit", "3"], &[Step::Exit(3)]);
        check(
            &["serve; sleep 1.5; abort"],
            &[
                Step::Serve,
                Step::Sleep(Duration::from_millis(1500)),
                Step::Abort,
            ],
        );
        check(
            &["bash", "-c", "exec bash -c \"$0\"", "print a  b; exit 0"],
            &[
                Step::Print(LogStream::Stdout, "a  b".to_owned()),
                Step::Exit(0),
            ],
        );
    }

    #[test]
    fn other_commands_serve() {
        for command in [
            "gunicorn app:app",
            "exit 256",
            "sleep -1",
            "serve now",
            "serve; launch",
            "",
        ] {
            check(&[command], &[Step::Serve]);
        }
        check(&[], &[Step::Serve]);
    }
}
