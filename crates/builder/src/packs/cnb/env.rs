//! How a layer of a Cloud Native Buildpack changes the environment.
//!
//! Pure functions on directory listings. Source: the buildpack specification, "Environment".
//! Read [`changes_of`] first.

use std::collections::BTreeMap;

use crate::source_tree::SourceTree;

/// When an environment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// For later buildpacks.
    Build,
    /// For dynos.
    Launch,
}

/// One change of one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) action: Action,
}

/// What is done with a value that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Override,
    Default,
    /// The delimiter between the two.
    Append(String),
    /// The delimiter between the two.
    Prepend(String),
}

/// Directories of a layer that stand for a variable, and whether dynos have it as well.
const FOLDERS: [(&str, &str, bool); 5] = [
    ("bin", "PATH", true),
    ("lib", "LD_LIBRARY_PATH", true),
    ("lib", "LIBRARY_PATH", false),
    ("include", "CPATH", false),
    ("pkgconfig", "PKG_CONFIG_PATH", false),
];

/// What the layer `name` of `tree`, which will be at `place`, changes in this phase.
pub(crate) fn changes_of(tree: &SourceTree, name: &str, place: &str, phase: Phase) -> Vec<Change> {
    let entries = tree.list(name);
    let mut changes: Vec<Change> = FOLDERS
        .iter()
        .filter(|(folder, _, at_launch)| {
            entries.contains(&format!("{folder}/")) && (phase == Phase::Build || *at_launch)
        })
        .map(|(folder, variable, _)| Change {
            name: (*variable).to_owned(),
            value: format!("{place}/{folder}"),
            action: Action::Prepend(":".to_owned()),
        })
        .collect();
    let own = match phase {
        Phase::Build => "env.build",
        Phase::Launch => "env.launch",
    };
    for folder in ["env", own] {
        changes.extend(changes_in(&files_in(tree, &format!("{name}/{folder}"))));
    }
    changes
}

/// What a layer changes for dynos of one process type, after all else: process type → changes.
pub(crate) fn changes_by_type(tree: &SourceTree, name: &str) -> BTreeMap<String, Vec<Change>> {
    let folder = format!("{name}/env.launch");
    let types = tree.list(&folder);
    types
        .iter()
        .filter_map(|entry| entry.strip_suffix('/'))
        .map(|process_type| {
            let files = files_in(tree, &format!("{folder}/{process_type}"));
            (process_type.to_owned(), changes_in(&files))
        })
        .collect()
}

fn files_in(tree: &SourceTree, folder: &str) -> Vec<(String, String)> {
    let names = tree.list(folder);
    names
        .into_iter()
        .filter(|name| !name.ends_with('/'))
        .filter_map(|name| {
            let bytes = tree.read(&format!("{folder}/{name}"))?;
            let text = String::from_utf8(bytes).ok()?;
            Some((name, text))
        })
        .collect()
}

/// What the files of one directory change: name → content, in the order of names.
fn changes_in(files: &[(String, String)]) -> Vec<Change> {
    let delimiter = |variable: &str| {
        let wanted = format!("{variable}.delim");
        let found = files.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, text)| text.clone()).unwrap_or_default()
    };
    files
        .iter()
        .filter_map(|(file, value)| {
            let (name, suffix) = file.split_once('.').unwrap_or((file, "override"));
            let action = match suffix {
                "override" => Action::Override,
                "default" => Action::Default,
                "append" => Action::Append(delimiter(name)),
                "prepend" => Action::Prepend(delimiter(name)),
                _ => return None,
            };
            (is_variable(name) && !value.contains('\0')).then(|| Change {
                name: name.to_owned(),
                value: value.clone(),
                action,
            })
        })
        .collect()
}

pub(crate) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Change {
    /// Makes the change.
    pub(crate) fn apply(&self, env: &mut BTreeMap<String, String>) {
        let joined = |first: &str, second: &str, delimiter: &str| {
            if first.is_empty() {
                second.to_owned()
            } else if second.is_empty() {
                first.to_owned()
            } else {
                format!("{first}{delimiter}{second}")
            }
        };
        let old = env.get(&self.name);
        let there = old.map_or("", String::as_str);
        let new = match &self.action {
            Action::Default if old.is_some() => return,
            Action::Override | Action::Default => self.value.clone(),
            Action::Append(delimiter) => joined(there, &self.value, delimiter),
            Action::Prepend(delimiter) => joined(&self.value, there, delimiter),
        };
        env.insert(self.name.clone(), new);
    }

    /// The same as a line of Bash.
    pub(crate) fn script(&self) -> String {
        let (name, value) = (&self.name, quoted(&self.value));
        match &self.action {
            Action::Override => format!("export {name}={value}"),
            Action::Default => format!("[ -n \"${{{name}+x}}\" ] || export {name}={value}"),
            Action::Append(delimiter) => format!(
                "landfall_delimiter={}; export {name}=\"${{{name}:+${name}$landfall_delimiter}}\"{value}",
                quoted(delimiter)
            ),
            Action::Prepend(delimiter) => format!(
                "landfall_delimiter={}; export {name}={value}\"${{{name}:+$landfall_delimiter${name}}}\"",
                quoted(delimiter)
            ),
        }
    }
}

/// A text as one word of a shell, with nothing in it left to interpret.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::source_tree::tests::source_of;

    /// Changes by the files of `env`, from `A=1`, by the rules and by the script.
    fn check(files: &[(&str, &str)], name: &str, expected: &str) {
        let paths: Vec<(String, &str)> = files
            .iter()
            .map(|(path, content)| (format!("l/env/{path}"), *content))
            .collect();
        let paths: Vec<(&str, &str)> = paths.iter().map(|(p, c)| (p.as_str(), *c)).collect();
        let changes = changes_of(&source_of(&paths).1, "l", "/at", Phase::Build);
        let mut env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for change in &changes {
            change.apply(&mut env);
        }
        assert_eq!(
            env.get(name).map_or("", String::as_str),
            expected,
            "{files:?}"
        );
        let mut script: Vec<String> = changes.iter().map(Change::script).collect();
        script.push(format!("printf %s \"${name}\""));
        let said = Command::new("/bin/bash")
            .args(["-c", &script.join("\n")])
            .env_clear()
            .env("A", "1")
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(said.stdout).unwrap(),
            expected,
            "{script:?}"
        );
    }

    #[test]
    fn suffixes_say_what_becomes_of_the_old_value() {
        check(&[("A", "2")], "A", "2");
        check(&[("A.override", "2")], "A", "2");
        check(&[("A.default", "2")], "A", "1");
        check(&[("B.default", "2")], "B", "2");
        check(&[("A.append", "2")], "A", "12");
        check(&[("A.append", "2"), ("A.delim", ":")], "A", "1:2");
        check(&[("A.prepend", "2"), ("A.delim", ", ")], "A", "2, 1");
        check(&[("B.append", "2"), ("B.delim", ":")], "B", "2");
        check(&[("B.prepend", "2"), ("B.delim", ":")], "B", "2");
        check(&[("A.unknown", "2")], "A", "1");
        check(&[("A.append", "2"), ("A.override", "3")], "A", "3");
    }

    #[test]
    fn values_are_never_interpreted() {
        let odd = "$(id) `id` \\ \"'; exit 1 #\n$A";
        check(&[("A", odd)], "A", odd);
        check(
            &[("A.append", odd), ("A.delim", "';$A")],
            "A",
            &format!("1';$A{odd}"),
        );
        check(&[("B.default", odd)], "B", odd);
        check(&[("A;id", "2"), ("1A", "3")], "A", "1");
    }

    fn names(files: &[(&str, &str)], phase: Phase) -> Vec<String> {
        let changes = changes_of(&source_of(files).1, "l", "/at/l", phase);
        changes
            .into_iter()
            .map(|change| format!("{}={}", change.name, change.value))
            .collect()
    }

    #[test]
    fn folders_stand_for_variables() {
        let files = [
            ("l/bin/x", ""),
            ("l/lib/x", ""),
            ("l/include/x", ""),
            ("l/pkgconfig/x", ""),
            ("l/env/E", "both"),
            ("l/env.build/E", "build"),
            ("l/env.launch/E", "launch"),
            ("l/env.launch/web/E", "web"),
        ];
        assert_eq!(
            names(&files, Phase::Build),
            [
                "PATH=/at/l/bin",
                "LD_LIBRARY_PATH=/at/l/lib",
                "LIBRARY_PATH=/at/l/lib",
                "CPATH=/at/l/include",
                "PKG_CONFIG_PATH=/at/l/pkgconfig",
                "E=both",
                "E=build"
            ]
        );
        assert_eq!(
            names(&files, Phase::Launch),
            [
                "PATH=/at/l/bin",
                "LD_LIBRARY_PATH=/at/l/lib",
                "E=both",
                "E=launch"
            ]
        );
        let by_type = changes_by_type(&source_of(&files).1, "l");
        assert_eq!(by_type["web"][0].value, "web");
        assert_eq!(by_type.len(), 1);
    }
}
