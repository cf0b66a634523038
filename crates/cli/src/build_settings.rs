//! `landfall build-settings`: what of an app's source is built, when, and with which config vars.

use std::path::Path;

use anyhow::Result;
use api::build_settings::{BuildConfigVars, BuildSettings};
use serde_json::{Map, Value, json};

use crate::{
    config::Surroundings,
    inside,
    own::{client, wait},
};

/// Arguments of `landfall build-settings`.
#[derive(Clone, Debug, clap::Args)]
pub struct BuildSettingsArguments {
    /// The app; that of `HEROKU_APP` or of the git remote `heroku` if left out
    #[arg(long, short)]
    pub app: Option<String>,
    /// Build this directory of the source: services/api; an empty one for the whole source
    #[arg(long, value_name = "DIRECTORY")]
    pub root: Option<String>,
    /// Build only sources in which files of this pattern changed; may be given again; an empty one
    /// for all sources
    #[arg(long, value_name = "PATTERN")]
    pub watch: Vec<String>,
    /// Config vars that builds see: `all`, or names separated by commas, beside settings of
    /// languages' tools
    #[arg(long, value_name = "NAMES")]
    pub config_vars: Option<String>,
}

/// Runs `landfall build-settings`.
#[expect(clippy::print_stdout, reason = "a command's output")]
pub(crate) fn build_settings(ready_file: &Path, arguments: &BuildSettingsArguments) -> Result<()> {
    let app = inside::find_app(arguments.app.as_deref(), &Surroundings::of_this_process())?;
    let client = client(ready_file)?;
    let update = update(arguments);
    let settings = wait(async {
        if update.is_empty() {
            client.build_settings(&app).await
        } else {
            client.update_build_settings(&app, &update).await
        }
    })?;
    println!("{}", told(&settings).join("\n"));
    Ok(())
}

fn update(arguments: &BuildSettingsArguments) -> Map<String, Value> {
    let mut update = Map::new();
    if let Some(root) = &arguments.root {
        let value = if root.is_empty() {
            Value::Null
        } else {
            json!(root)
        };
        update.insert("root_directory".to_owned(), value);
    }
    if !arguments.watch.is_empty() {
        let paths: Vec<&String> = arguments
            .watch
            .iter()
            .filter(|path| !path.is_empty())
            .collect();
        update.insert("watch_paths".to_owned(), json!(paths));
    }
    if let Some(names) = &arguments.config_vars {
        let list = names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let value = match names.as_str() {
            "all" => json!("all"),
            _ => json!(list.collect::<Vec<_>>()),
        };
        update.insert("config_vars".to_owned(), value);
    }
    update
}

/// One fact a line.
fn told(settings: &BuildSettings) -> Vec<String> {
    let root = settings.root_directory.as_ref();
    let watched = match &settings.watch_paths[..] {
        [] => "everything".to_owned(),
        paths => paths.join(", "),
    };
    let vars = match &settings.config_vars {
        None | Some(BuildConfigVars::All(_)) => "all".to_owned(),
        Some(BuildConfigVars::Named(names)) => {
            let tools = "settings of languages' tools".to_owned();
            let names = names.iter().map(ToString::to_string);
            std::iter::once(tools)
                .chain(names)
                .collect::<Vec<_>>()
                .join(", ")
        }
    };
    vec![
        format!(
            "Root directory: {}",
            root.map_or("(the whole source)", |root| root.as_str())
        ),
        format!("Watched:        {watched}"),
        format!("Config vars:    {vars}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(root: Option<&str>, watch: &[&str], config_vars: Option<&str>) -> Value {
        let arguments = BuildSettingsArguments {
            app: None,
            root: root.map(str::to_owned),
            watch: watch.iter().map(ToString::to_string).collect(),
            config_vars: config_vars.map(str::to_owned),
        };
        Value::Object(update(&arguments))
    }

    #[test]
    fn what_is_not_said_stays_and_what_is_empty_goes() {
        assert_eq!(arguments(None, &[], None), json!({}));
        assert_eq!(
            arguments(Some(""), &[""], Some("all")),
            json!({
            "root_directory": null, "watch_paths": [], "config_vars": "all"})
        );
        assert_eq!(
            arguments(Some("api"), &["api", "lib"], Some("A, B,")),
            json!({
            "root_directory": "api", "watch_paths": ["api", "lib"], "config_vars": ["A", "B"]})
        );
        assert_eq!(arguments(None, &[], Some("")), json!({"config_vars": []}));
    }

    #[test]
    fn settings_are_shown_a_line_each() {
        let lines = told(&BuildSettings::default()).join("\n");
        assert_eq!(
            lines,
            "Root directory: (the whole source)\nWatched:        everything\nConfig vars:    all"
        );
        let settings = json!({"root_directory": "api", "watch_paths": ["api", "lib"],
            "config_vars": ["A"]});
        let lines = told(&serde_json::from_value(settings).unwrap()).join("\n");
        assert_eq!(
            lines,
            "Root directory: api\nWatched:        api, lib\nConfig vars:    settings of languages' tools, A"
        );
    }
}
