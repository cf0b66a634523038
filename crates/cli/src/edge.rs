//! `landfall edge`: what the router does for an app beyond routing.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::own::{client, wait};

/// Arguments of `landfall edge`.
#[derive(Clone, Debug, clap::Args)]
pub struct EdgeArguments {
    /// The app, by name or id
    #[arg(long, short)]
    pub app: String,
    /// Settings to change, their values as JSON; null switches one off
    #[arg(value_name = "NAME=VALUE", value_parser = setting)]
    pub settings: Vec<(String, Value)>,
}

fn setting(text: &str) -> Result<(String, Value)> {
    let (name, value) = text
        .split_once('=')
        .context("a setting is NAME=VALUE, such as max_body_bytes=1000000")?;
    let value = serde_json::from_str(value)
        .with_context(|| format!("the value of {name} is no JSON: {value}"))?;
    Ok((name.to_owned(), value))
}

/// Runs `landfall edge`.
#[expect(clippy::print_stdout, reason = "a command's output")]
pub(crate) fn edge(ready_file: &Path, arguments: &EdgeArguments) -> Result<()> {
    let client = client(ready_file)?;
    let update = Map::from_iter(arguments.settings.clone());
    let edge = wait(async {
        if update.is_empty() {
            client.edge(&arguments.app).await
        } else {
            client.update_edge(&arguments.app, &update).await
        }
    })?;
    println!("{}", serde_json::to_string_pretty(&edge)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_names_and_json() {
        let parsed = setting("deny=[\"192.0.2.0/24\"]").unwrap();
        assert_eq!(parsed, ("deny".to_owned(), json!(["192.0.2.0/24"])));
        assert_eq!(setting("deny=null").unwrap().1, Value::Null);
        for (wrong, why) in [
            (
                "deny",
                "a setting is NAME=VALUE, such as max_body_bytes=1000000",
            ),
            ("deny=[", "the value of deny is no JSON: ["),
        ] {
            assert_eq!(setting(wrong).unwrap_err().to_string(), why);
        }
    }
}
