//! Rules about addresses: which package registry or mirror is used is the host's choice, or that
//! of the tool that fetches. No file under version control names one.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

use crate::{process, workspace};

/// Parts of hosts' names and addresses, each in two pieces so that this file obeys its own rule.
const HOSTS: &[(&str, &str)] = &[
    ("npm", "js"),
    ("pypi", ".org"),
    ("python", "hosted"),
    ("crates", ".io"),
    ("deb.", "debian"),
    ("debian", ".org"),
    ("proxy.", "golang"),
    ("maven", ".org"),
    ("yarnpkg", ".com"),
    ("rubygems", ".org"),
    ("packagist", ".org"),
    // A network that only some machines are in.
    ("10.255", ".255"),
];

/// Written by a package manager, which puts its registry's address there.
const EXEMPT: &[&str] = &["Cargo.lock"];

/// Checks every file that git knows, hidden ones as well; without git, all that are there.
pub(crate) fn check_all(root: &Path, complaints: &mut Vec<String>) -> Result<()> {
    let mut git = Command::new("git");
    let files = match process::output(git.args(["ls-files", "-z"]).current_dir(root)) {
        Ok(listed) => listed
            .split_terminator('\0')
            .map(|name| root.join(name))
            .collect(),
        Err(_) => workspace::files(root)?,
    };
    for file in files {
        // A file that was removed but not yet from the index names nothing.
        if let Ok(bytes) = fs::read(&file) {
            let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy();
            check(&name, &String::from_utf8_lossy(&bytes), complaints);
        }
    }
    Ok(())
}

/// No line of the file names a registry; `name` is its path from the root.
fn check(name: &str, text: &str, complaints: &mut Vec<String>) {
    if EXEMPT.contains(&name) {
        return;
    }
    for (index, line) in text.to_ascii_lowercase().lines().enumerate() {
        for host in hosts().filter(|host| line.contains(host)) {
            complaints.push(format!(
                "{name}:{}: `{host}` depends on where this runs; ask the tool for its default, take \
                 it from the host, or write mirror.example",
                index + 1
            ));
        }
    }
}

fn hosts() -> impl Iterator<Item = String> {
    HOSTS.iter().map(|(start, end)| format!("{start}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(name: &str, line: &str, expected: usize) {
        let mut complaints = Vec::new();
        check(name, line, &mut complaints);
        assert_eq!(complaints.len(), expected, "{complaints:?}");
    }

    #[test]
    fn registries_are_not_named() {
        for host in hosts() {
            check_line("a.sh", &format!("fetch https://x.{host}/y"), 1);
        }
        check_line("a.sh", "fetch http://mirror.example/debian", 0);
        check_line("a.rs", "npm, PyPI, crates and Debian packages", 0);
        check_line("Cargo.lock", &hosts().collect::<String>(), 0);
        check_line(
            "tests/apps/x/Cargo.lock",
            &hosts().collect::<String>(),
            HOSTS.len(),
        );
    }

    #[test]
    fn the_line_is_named() {
        let mut complaints = Vec::new();
        check(
            "a.md",
            &format!("x\n{}", hosts().collect::<Vec<_>>()[0]),
            &mut complaints,
        );
        assert!(complaints[0].starts_with("a.md:2: "), "{complaints:?}");
    }
}
