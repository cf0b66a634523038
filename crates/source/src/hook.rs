//! The program that git starts before it moves references: tells the server what is pushed, shows
//! what the server says, and ends as it is told. It must not know why.

use std::{
    env, fmt,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    process::ExitCode,
};

use crate::wire::{Hello, MAX_MESSAGE_BYTES, PUSH_VARIABLE, Reply, SOCKET_VARIABLE, Update};

/// Runs the hook: reads git's environment and standard input, prints to standard output.
///
/// The exit status is the server's, or 1 when the server cannot be reached or goes away.
pub fn run() -> ExitCode {
    match ask() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            show(&format!(" !     {error}"));
            show(" !     Nothing was deployed. hint: push again when the server is up.");
            ExitCode::FAILURE
        }
    }
}

/// Why the server's word could not be had.
#[derive(Debug)]
enum HookError {
    NotAPush,
    Unreachable(io::Error),
    WentAway,
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPush => f.write_str("This hook only runs for a push to a Landfall server."),
            Self::Unreachable(error) => {
                write!(f, "The Landfall server cannot be reached: {error}.")
            }
            Self::WentAway => f.write_str("The Landfall server went away during the push."),
        }
    }
}

fn ask() -> Result<u8, HookError> {
    // git hands its hooks everything by environment.
    let variable = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let socket = variable(SOCKET_VARIABLE).ok_or(HookError::NotAPush)?;
    let hello = Hello {
        push: variable(PUSH_VARIABLE).ok_or(HookError::NotAPush)?,
        objects: variable("GIT_OBJECT_DIRECTORY"),
        alternates: variable("GIT_ALTERNATE_OBJECT_DIRECTORIES"),
        updates: updates(io::stdin().lock()).map_err(HookError::Unreachable)?,
    };
    let mut stream = UnixStream::connect(socket).map_err(HookError::Unreachable)?;
    let mut message = serde_json::to_vec(&hello).map_err(|_| HookError::NotAPush)?;
    message.push(b'\n');
    stream.write_all(&message).map_err(HookError::Unreachable)?;
    follow(BufReader::new(stream), show)
}

/// Shows what the server says until it says how to end.
fn follow(mut replies: impl BufRead, mut show: impl FnMut(&str)) -> Result<u8, HookError> {
    loop {
        let mut message = Vec::new();
        let mut limited = replies.by_ref().take(MAX_MESSAGE_BYTES);
        limited
            .read_until(b'\n', &mut message)
            .map_err(|_| HookError::WentAway)?;
        match serde_json::from_slice(&message) {
            Ok(Reply::Line(line)) => show(&line),
            Ok(Reply::Exit(status)) => return Ok(status),
            Err(_) => return Err(HookError::WentAway),
        }
    }
}

/// git's `OLD NEW REFERENCE` lines.
fn updates(mut stdin: impl Read) -> io::Result<Vec<Update>> {
    let mut text = Vec::new();
    stdin.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let updates = text.lines().filter_map(|line| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        Some(Update {
            old: words.next()?,
            new: words.next()?,
            name: words.next()?,
        })
    });
    Ok(updates.collect())
}

/// Prints a line at once. Whether anybody still reads it does not matter: the push goes on.
fn show(line: &str) {
    let mut stdout = io::stdout().lock();
    drop(stdout.write_all(format!("{line}\n").as_bytes()));
    drop(stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_read_as_git_writes_them() {
        let read = updates(&b"aa bb refs/heads/main\ncc dd refs/heads/with space\n"[..]).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(
            (read[0].old.as_str(), read[1].name.as_str()),
            ("aa", "refs/heads/with space")
        );
    }

    #[test]
    fn a_server_that_goes_away_is_an_error() {
        let mut shown = Vec::new();
        let mut follow = |replies: &[u8]| follow(replies, |line| shown.push(line.to_owned()));
        assert!(matches!(follow(b"{\"line\":\"x\"}\n{\"exit\":3}\n"), Ok(3)));
        assert!(matches!(
            follow(b"{\"line\":\"y\"}\n"),
            Err(HookError::WentAway)
        ));
        assert!(matches!(follow(b"{\"exit\":"), Err(HookError::WentAway)));
        assert_eq!(shown, ["x", "y"]);
    }
}
