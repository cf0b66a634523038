//! Which app is meant when the command does not say: as with the official CLI, that of
//! `HEROKU_APP` or of the git remote `heroku`.

use std::process::Command;

use anyhow::{Result, anyhow};
use api::names::AppName;

use crate::config::Surroundings;

pub(crate) fn find(named: Option<&str>, surroundings: &Surroundings) -> Result<String> {
    let name = named.or_else(|| surroundings.get("HEROKU_APP"));
    let name = name.map(str::to_owned).or_else(of_remote);
    let name = name.ok_or_else(|| {
        anyhow!(
            "no app is named, and this directory has no git remote `heroku`\n  hint: use --app NAME"
        )
    })?;
    // It becomes part of a path.
    let name: AppName = name.parse()?;
    Ok(name.to_string())
}

fn of_remote() -> Option<String> {
    let output = Command::new("git")
        .args(["remote", "get-url", "heroku"])
        .output()
        .ok()?;
    app_of(str::from_utf8(&output.stdout).ok()?)
}

/// `https://localhost:5000/shop.git` → `shop`.
fn app_of(url: &str) -> Option<String> {
    let name = url.trim().rsplit('/').next()?;
    let name = name.strip_suffix(".git").unwrap_or(name);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Option<&str>) {
        assert_eq!(app_of(url).as_deref(), expected);
    }

    #[test]
    fn the_remote_names_the_app() {
        check("https://localhost:5000/shop.git\n", Some("shop"));
        check("https://localhost:5000/shop", Some("shop"));
        check("", None);
    }
}
