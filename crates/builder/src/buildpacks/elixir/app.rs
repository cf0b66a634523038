//! What an Elixir app's own files say of it.
//!
//! `mix.exs` is a program: it is never run here, only looked through for what people write in it.
//! Read [`App::read`] first.

use std::collections::BTreeMap;

use crate::{buildpacks::lines, error::BuildError, source_tree::SourceTree};

/// Files that say when the app starts what it needs.
const RUNTIME_FILES: [&str; 2] = ["config/runtime.exs", "config/releases.exs"];
/// How far below a directory files of a dependency may be, and how many there may be in all.
const MOST_FILES: (usize, usize) = (8, 500);

pub(super) struct App {
    name: String,
    pub(super) is_phoenix: bool,
    /// Whether it has its own way to make its assets.
    pub(super) has_assets: bool,
    /// Whether it wants to be run as a release.
    pub(super) is_released: bool,
    /// All that its dependencies depend on; `None` where that may be any part of the source.
    pub(super) dependency_files: Option<Vec<String>>,
    /// Config vars without which it does not start, and the file that says so.
    needed: Vec<(String, &'static str)>,
}

impl App {
    /// # Errors
    /// `Source` for a project without a name.
    pub(super) fn read(tree: &SourceTree) -> Result<Self, BuildError> {
        let project = tree.read_text("mix.exs").unwrap_or_default();
        let is_umbrella = project.contains("apps_path:");
        let name = after(&project, "app:")
            .and_then(|rest| rest.strip_prefix(':'))
            .map(word)
            .filter(|name| !name.is_empty());
        let name = match name {
            Some(name) => name,
            None if is_umbrella => String::new(),
            None => return Err(without_name()),
        };
        let settings = tree
            .read_text("elixir_buildpack.config")
            .unwrap_or_default();
        let is_released = settings
            .lines()
            .any(|line| line.replace(' ', "") == "release=true");
        Ok(Self {
            is_phoenix: project.contains("{:phoenix,"),
            has_assets: project.contains("\"assets.deploy\":"),
            is_released: is_released && !name.is_empty(),
            dependency_files: dependency_files(tree, &project, is_umbrella),
            needed: needed(tree),
            name,
        })
    }

    pub(super) fn web(&self) -> String {
        let Self { name, .. } = self;
        if self.is_released {
            format!("_build/prod/rel/{name}/bin/{name} start")
        } else if self.is_phoenix {
            "mix phx.server".to_owned()
        } else {
            "mix run --no-halt".to_owned()
        }
    }

    /// What the app needs and nobody has set.
    pub(super) fn missing_vars(
        &self,
        config_vars: &BTreeMap<String, String>,
    ) -> Vec<(String, &'static str)> {
        // The platform's own.
        const GIVEN: [&str; 4] = ["PORT", "DYNO", "HOME", "PATH"];
        let is_missing = |(name, _): &&(String, &str)| {
            !config_vars.contains_key(name) && !GIVEN.contains(&name.as_str())
        };
        self.needed.iter().filter(is_missing).cloned().collect()
    }
}

fn dependency_files(tree: &SourceTree, project: &str, is_umbrella: bool) -> Option<Vec<String>> {
    // Dependencies that are committed, and project files that read others.
    if is_umbrella || tree.has("deps") || project.contains("File.") || project.contains("Code.") {
        return None;
    }
    let mut files = vec!["mix.exs".to_owned()];
    files.extend(tree.has_file("mix.lock").then(|| "mix.lock".to_owned()));
    tree.add_files("config", MOST_FILES, &mut files)?;
    let mut rest = project;
    while let Some((_, after)) = rest.split_once("path:") {
        rest = after;
        let path = after.trim_start().strip_prefix('"')?.split('"').next()?;
        let path = path.trim_end_matches('/').trim_start_matches("./");
        if path.is_empty() || path.contains("..") || path.contains("#{") {
            return None;
        }
        tree.add_files(path, MOST_FILES, &mut files)?;
    }
    Some(files)
}

/// Config vars that the app asks for in a way that ends it when they are not there.
fn needed(tree: &SourceTree) -> Vec<(String, &'static str)> {
    let mut found: Vec<(String, &'static str)> = Vec::new();
    for file in RUNTIME_FILES {
        let text = tree.read_text(file).unwrap_or_default();
        for (at, _) in text.match_indices("System.") {
            let rest = &text[at + "System.".len()..];
            let (rest, must_be) = match rest.strip_prefix("fetch_env!(\"") {
                Some(rest) => (rest, true),
                None => match rest.strip_prefix("get_env(\"") {
                    Some(rest) => (rest, false),
                    None => continue,
                },
            };
            let Some((name, rest)) = rest.split_once("\")") else {
                continue;
            };
            let raises = || {
                let rest = rest.trim_start().strip_prefix("||");
                rest.is_some_and(|rest| rest.trim_start().starts_with("raise"))
            };
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if is_name && (must_be || raises()) && !found.iter().any(|(known, _)| known == name) {
                found.push((name.to_owned(), file));
            }
        }
    }
    found
}

fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    Some(text.split_once(key)?.1.trim_start())
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

fn without_name() -> BuildError {
    BuildError::Source {
        problem: "mix.exs names no app: there is no `app: :NAME` in its project.".to_owned(),
        advice: lines(&["hint: push the directory that holds the mix.exs of the app or umbrella."]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    const PROJECT: &str = "def project do\n [app: :shop, version: \"1\"]\nend";

    fn check_web(project: &str, settings: &str, expected: &str) {
        let files = [("mix.exs", project), ("elixir_buildpack.config", settings)];
        let app = App::read(&source_of(&files).1).unwrap();
        assert_eq!(app.web(), expected, "{project}");
    }

    #[test]
    fn apps_are_served_as_their_projects_have_it() {
        check_web(PROJECT, "", "mix run --no-halt");
        let phoenix = format!("{PROJECT}\n{{:phoenix, \"~> 1.8\"}},");
        check_web(&phoenix, "", "mix phx.server");
        check_web(
            &phoenix,
            "release = true\n",
            "_build/prod/rel/shop/bin/shop start",
        );
        assert!(App::read(&source_of(&[("mix.exs", "x")]).1).is_err());
    }

    fn check_files(project: &str, more: &[(&str, &str)], expected: Option<&[&str]>) {
        let mut files = vec![("mix.exs", project), ("mix.lock", "")];
        files.extend(more);
        let app = App::read(&source_of(&files).1).unwrap();
        let found = app.dependency_files;
        let found: Option<Vec<&str>> = found
            .as_ref()
            .map(|files| files.iter().map(String::as_str).collect());
        assert_eq!(found.as_deref(), expected, "{project}");
    }

    #[test]
    fn dependencies_see_what_they_depend_on() {
        let path = format!("{PROJECT} {{:greeting, path: \"vendor/greeting\"}}");
        let greeting = ("vendor/greeting/mix.exs", "");
        let config = ("config/config.exs", "");
        check_files(PROJECT, &[], Some(&["mix.exs", "mix.lock"]));
        check_files(
            &path,
            &[greeting, config],
            Some(&[
                "mix.exs",
                "mix.lock",
                "config/config.exs",
                "vendor/greeting/mix.exs",
            ]),
        );
        check_files(PROJECT, &[("deps/plug/mix.exs", "")], None);
        check_files(&path.replace("vendor", "../other"), &[], None);
        check_files(&format!("{PROJECT} File.read!(\"VERSION\")"), &[], None);
        check_files("[apps_path: \"apps\"]", &[], None);
    }

    #[test]
    fn what_ends_the_app_when_it_is_missing_is_known_early() {
        let runtime = "System.fetch_env!(\"DATABASE_URL\")\nSystem.get_env(\"PORT\") || raise \"x\"\n\
            System.get_env(\"SECRET_KEY_BASE\") ||\n  raise \"\"\"\nx\"\"\"\nSystem.get_env(\"POOL\") || \"5\"";
        let files = [("mix.exs", PROJECT), ("config/runtime.exs", runtime)];
        let app = App::read(&source_of(&files).1).unwrap();
        let set = BTreeMap::from([("DATABASE_URL".to_owned(), String::new())]);
        let file = "config/runtime.exs";
        assert_eq!(
            app.missing_vars(&set),
            [("SECRET_KEY_BASE".to_owned(), file)]
        );
        assert_eq!(app.missing_vars(&BTreeMap::new()).len(), 2);
    }
}
