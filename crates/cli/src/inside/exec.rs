//! `landfall ps:exec`: a command or a shell inside a running dyno.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Result, bail};
use api::dynos::NewInside;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, stdin, stdout};

use super::{link::Link, status::Output, terminal};
use crate::config::Surroundings;

/// Entered unless another is named.
pub(super) const DEFAULT_DYNO: &str = "web.1";
/// Run unless something else is said.
const SHELL: &str = "bash";
const CHUNK: usize = 16 * 1024;

/// Arguments of `landfall ps:exec`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ExecArguments {
    /// The app; else that of `HEROKU_APP` or the git remote `heroku`
    #[arg(short, long, value_name = "APP")]
    pub app: Option<String>,
    /// Which dyno; web.1 if left out
    pub dyno: Option<String>,
    /// What to run, a shell if left out; its status is passed on
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

pub(super) async fn run(link: &Link, arguments: &ExecArguments) -> Result<ExitCode> {
    let dyno = arguments.dyno.as_deref().unwrap_or(DEFAULT_DYNO);
    let dyno = dyno_path(dyno)?;
    let has_terminal = terminal::is_used();
    let inside = NewInside {
        command: command_line(&arguments.command),
        env: Some(environment(has_terminal)),
        force_no_tty: Some(!has_terminal),
        binary: Some(!has_terminal),
        exit_code: Some(true),
    };
    let opened = link.client.run_inside(&link.app, &dyno, &inside).await?;
    let stream = link.enter(opened.attach_url.as_deref()).await?;
    let raw = has_terminal.then(terminal::Raw::begin).transpose()?;
    let (from, to) = tokio::io::split(stream);
    // Ends with the program: a key may never come.
    let input = tokio::spawn(pass_input(to));
    let status = pass_output(from).await?;
    input.abort();
    drop(raw);
    match status {
        Some(status) => Ok(ExitCode::from(status)),
        None => bail!(
            "the session ended before the command did\n  hint: `heroku ps` shows whether {dyno} \
             still runs"
        ),
    }
}

async fn pass_input(mut to: impl AsyncWrite + Unpin) {
    let (mut from, mut buffer) = (stdin(), vec![0; CHUNK]);
    loop {
        match from.read(&mut buffer).await {
            Ok(count @ 1..) => {
                let written = to.write_all(&buffer[..count]).await;
                if written.is_err() || to.flush().await.is_err() {
                    return;
                }
            }
            // A command that reads no more does not mind.
            Ok(_) | Err(_) => return drop(to.shutdown().await),
        }
    }
}

async fn pass_output(mut from: impl AsyncRead + Unpin) -> Result<Option<u8>> {
    let (mut to, mut buffer) = (stdout(), vec![0; CHUNK]);
    let mut output = Output::default();
    // A connection that breaks off has ended: the missing status tells.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        to.write_all(&output.take(&buffer[..count])).await?;
        to.flush().await?;
    }
    let (rest, status) = output.end();
    to.write_all(&rest).await?;
    to.flush().await?;
    Ok(status)
}

fn environment(has_terminal: bool) -> BTreeMap<String, Value> {
    let mut environment = BTreeMap::new();
    if has_terminal {
        let surroundings = Surroundings::of_this_process();
        let term = surroundings.get("TERM").unwrap_or("xterm");
        environment.insert("TERM".to_owned(), json!(term));
        if let Some((columns, lines)) = terminal::size() {
            environment.insert("COLUMNS".to_owned(), json!(columns));
            environment.insert("LINES".to_owned(), json!(lines));
        }
    }
    environment
}

/// One word is a command line by itself; several are kept apart.
fn command_line(words: &[String]) -> String {
    match words {
        [] => SHELL.to_owned(),
        [line] => line.clone(),
        words => {
            let quoted = words.iter().map(|word| quoted(word));
            quoted.collect::<Vec<_>>().join(" ")
        }
    }
}

fn quoted(word: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./=:,@%+".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A dyno's name or id as part of a path.
pub(super) fn dyno_path(dyno: &str) -> Result<String> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if dyno.is_empty() || !dyno.chars().all(is_plain) {
        bail!("`{dyno}` is no dyno\n  hint: `heroku ps` lists them");
    }
    Ok(dyno.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &str) {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(command_line(&words), expected);
    }

    #[test]
    fn words_reach_the_shell_as_they_are() {
        check(&[], "bash");
        check(&["ls -l | wc"], "ls -l | wc");
        check(&["sh", "-c", "exit 7"], "sh -c 'exit 7'");
        check(&["echo", "it's", ""], r"echo 'it'\''s' ''");
    }
}
