//! What dynos of an app that Cloud Native Buildpacks have built start with: process types, and a
//! profile that sets the environment of launch layers and runs their `exec.d`.
//!
//! Pure functions on what buildpacks wrote. Source: the buildpack specification, "launch.toml" and
//! "Launch". Read [`Launch`] first.

use std::collections::BTreeMap;

use api::names::ProcessType;
use serde::Deserialize;

use super::env::{Change, quoted};

/// `launch.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Launch {
    #[serde(default)]
    pub(crate) processes: Vec<Process>,
    #[serde(default)]
    pub(crate) labels: Vec<Label>,
}

/// One process type.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Process {
    #[serde(rename = "type")]
    kind: String,
    command: Command,
    #[serde(default)]
    args: Vec<String>,
    /// Up to API 0.8: whether no shell reads the command.
    #[serde(default)]
    direct: bool,
    #[serde(default)]
    working_dir: Option<String>,
}

/// A command, as the API up to 0.8 and as later ones write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Command {
    Text(String),
    Words(Vec<String>),
}

impl Default for Command {
    fn default() -> Self {
        Self::Words(Vec::new())
    }
}

/// A name and a value that an image of the app carries.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Label {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// A launch layer's part of the profile.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerLaunch {
    pub(crate) changes: Vec<Change>,
    pub(crate) by_type: BTreeMap<String, Vec<Change>>,
    /// Programs of `exec.d`, and of its directories by process type.
    pub(crate) programs: Vec<String>,
    pub(crate) programs_by_type: BTreeMap<String, Vec<String>>,
}

impl Process {
    /// Its type and its command for Bash; `None` for a type that is not one here.
    pub(crate) fn command(&self) -> Option<(ProcessType, String)> {
        let process_type: ProcessType = self.kind.parse().ok()?;
        let (mut words, is_shell) = match &self.command {
            Command::Text(text) if self.direct => (vec![quoted(text)], false),
            Command::Text(text) => (vec![text.clone()], true),
            Command::Words(words) => (words.iter().map(|word| quoted(word)).collect(), false),
        };
        words.extend(self.args.iter().map(|word| quoted(word)));
        let mut command = words.join(" ");
        if command.is_empty() || command.contains('\0') {
            return None;
        }
        if let Some(folder) = &self.working_dir {
            let exec = if is_shell { "" } else { "exec " };
            command = format!("cd {} && {exec}{command}", quoted(folder));
        }
        Some((process_type, command))
    }
}

/// Bash that a dyno sources before its command.
pub(crate) fn profile(layers: &[LayerLaunch]) -> String {
    let mut lines = Vec::new();
    for layer in layers {
        lines.extend(layer.changes.iter().map(Change::script));
        for (process_type, changes) in &layer.by_type {
            let scripts: Vec<String> = changes.iter().map(Change::script).collect();
            lines.push(for_type(process_type, &scripts));
        }
    }
    let run = |program: &String| format!("landfall_exec_d {}", quoted(program));
    let mut runs = Vec::new();
    for layer in layers {
        runs.extend(layer.programs.iter().map(run));
        for (process_type, programs) in &layer.programs_by_type {
            let scripts: Vec<String> = programs.iter().map(run).collect();
            runs.push(for_type(process_type, &scripts));
        }
    }
    if !runs.is_empty() {
        lines.push(EXEC_D.to_owned());
        lines.extend(runs);
        lines.push("unset -f landfall_exec_d".to_owned());
    }
    lines.push("unset landfall_delimiter\n".to_owned());
    lines.join("\n")
}

fn for_type(process_type: &str, scripts: &[String]) -> String {
    if scripts.is_empty() {
        return String::new();
    }
    format!(
        "if [ \"${{DYNO%%.*}}\" = {} ]; then\n{}\nfi",
        quoted(process_type),
        scripts.join("\n")
    )
}

/// A program of `exec.d` writes TOML to its file descriptor 3.
const EXEC_D: &str = include_str!("../scripts/cnb_exec_d.sh");

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let launch: Launch = toml::from_str(text).unwrap();
        let found: Vec<_> = launch
            .processes
            .iter()
            .filter_map(Process::command)
            .collect();
        let found: Vec<_> = found
            .iter()
            .map(|(process_type, command)| (process_type.as_str(), command.as_str()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn processes_become_commands() {
        check("", &[]);
        check(
            "[[processes]]\ntype = \"web\"\ncommand = [\"node\", \"a b.js\"]\nargs = [\"$PORT\"]\ndefault = true",
            &[("web", "'node' 'a b.js' '$PORT'")],
        );
        check(
            "[[processes]]\ntype = \"web\"\ncommand = \"node $X\"\ndirect = false",
            &[("web", "node $X")],
        );
        check(
            "[[processes]]\ntype = \"web\"\ncommand = \"a\"\nargs = [\"it's\"]\ndirect = true",
            &[("web", r"'a' 'it'\''s'")],
        );
        check(
            "[[processes]]\ntype = \"web\"\ncommand = [\"a\"]\nworking-dir = \"/app/x\"",
            &[("web", "cd '/app/x' && exec 'a'")],
        );
        check(
            "[[processes]]\ntype = \"not a type\"\ncommand = [\"a\"]",
            &[],
        );
        check("[[processes]]\ntype = \"web\"\ncommand = []", &[]);
    }
}
