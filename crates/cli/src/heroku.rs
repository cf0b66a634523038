//! `landfall heroku -- ARGUMENTS`: the official CLI, unmodified, against a platform.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{config::Surroundings, heroku_env, ready::Ready};

/// Commands that deal with tokens themselves and must not be given one.
const LOGIN_COMMANDS: &[&str] = &["login", "logout", "auth:login", "auth:logout"];

/// Arguments of `landfall heroku`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HerokuArguments {
    /// Leave `HEROKU_API_KEY` alone, so that the account logged in with `heroku login` is used
    #[arg(long)]
    pub no_api_key: bool,
    /// What to pass on to `heroku`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

/// Runs it.
pub(crate) fn run(ready_file: &Path, arguments: &HerokuArguments) -> Result<ExitCode> {
    let ready = Ready::read(ready_file)?;
    let surroundings = Surroundings::of_this_process();
    let heroku = surroundings.find_program("heroku").context(
        "there is no `heroku` in PATH\n  hint: install the official CLI: npm install -g heroku",
    )?;
    let with_key = wants_key(arguments) && surroundings.get("HEROKU_API_KEY").is_none();
    let exports = heroku_env::exports(&ready, &surroundings, with_key)?;
    let status = Command::new(&heroku)
        .args(&arguments.arguments)
        .envs(exports)
        .status()
        .with_context(|| format!("could not start {}", heroku.display()))?;
    // A signal has no code; a shell would say 128 + signal.
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let code = status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0));
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn wants_key(arguments: &HerokuArguments) -> bool {
    let first = arguments
        .arguments
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    !arguments.no_api_key && !LOGIN_COMMANDS.contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], no_api_key: bool, expected: bool) {
        let arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        assert_eq!(
            wants_key(&HerokuArguments {
                no_api_key,
                arguments
            }),
            expected
        );
    }

    #[test]
    fn login_is_not_given_a_token() {
        check(&["apps"], false, true);
        check(&[], false, true);
        check(&["login", "-i"], false, false);
        check(&["apps"], true, false);
    }
}
