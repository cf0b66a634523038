//! The one line that an SSH client sends for a shell to run. No shell ever sees it.

use thiserror::Error;

use crate::target::Service;

/// Longest line that is looked at.
const LONGEST: usize = 1024;

/// What git asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) service: Service,
    /// What stands before `.git`: an app's name, if it is one.
    pub(super) app: String,
}

/// Why a line is not run.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum CommandRefusal {
    #[error("Archives are not made here.\nhint: git clone, then git archive")]
    Archive,
    #[error("Only git is served here: git push, git fetch, git clone.")]
    NotGit,
}

impl Command {
    /// Reads `git-receive-pack 'APP.git'` and its like.
    pub(super) fn parse(line: &[u8]) -> Result<Self, CommandRefusal> {
        let line = std::str::from_utf8(line).map_err(|_| CommandRefusal::NotGit)?;
        if line.len() > LONGEST {
            return Err(CommandRefusal::NotGit);
        }
        let line = line.strip_prefix("git ").or(line.strip_prefix("git-"));
        let (command, path) = line
            .and_then(|line| line.split_once(' '))
            .ok_or(CommandRefusal::NotGit)?;
        let service = match command {
            "receive-pack" => Service::ReceivePack,
            "upload-pack" => Service::UploadPack,
            "upload-archive" => return Err(CommandRefusal::Archive),
            _ => return Err(CommandRefusal::NotGit),
        };
        let path = path.trim();
        let path = unquoted(path, '\'')
            .or_else(|| unquoted(path, '"'))
            .unwrap_or(path);
        // `ssh://HOST/APP.git` has a slash that `HOST:APP.git` has not.
        let name = path.strip_prefix('/').unwrap_or(path);
        Ok(Self {
            service,
            app: name.strip_suffix(".git").unwrap_or(name).to_owned(),
        })
    }
}

fn unquoted(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote)?.strip_suffix(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<(Service, &str), CommandRefusal>) {
        let expected = expected.map(|(service, app)| Command {
            service,
            app: app.to_owned(),
        });
        assert_eq!(Command::parse(line.as_bytes()), expected, "{line}");
    }

    #[test]
    fn what_git_clients_send() {
        let push = Ok((Service::ReceivePack, "example"));
        check("git-receive-pack 'example.git'", push.clone());
        check("git-receive-pack '/example.git'", push.clone());
        check("git receive-pack 'example'", push.clone());
        check("git-receive-pack \"example.git\"", push.clone());
        check("git-receive-pack example.git", push);
        check(
            "git-upload-pack 'example.git'",
            Ok((Service::UploadPack, "example")),
        );
    }

    #[test]
    fn what_nobody_gets() {
        check(
            "git-upload-archive 'example.git'",
            Err(CommandRefusal::Archive),
        );
        for line in [
            "",
            "ls",
            "git-receive-pack",
            "scp -t /",
            "bash -c 'git-upload-pack x'",
        ] {
            check(line, Err(CommandRefusal::NotGit));
        }
        // No app is called so: names are checked where they are used.
        check(
            "git-upload-pack '../../x'",
            Ok((Service::UploadPack, "../../x")),
        );
        check(
            "git-upload-pack 'x'; ls ''",
            Ok((Service::UploadPack, "x'; ls '")),
        );
        assert_eq!(Command::parse(&[0xff]), Err(CommandRefusal::NotGit));
    }
}
