//! Environments laid over one another.
//!
//! Pure functions on maps; it must not know whose they are.

use std::collections::BTreeMap;

use crate::buildpacks::STACK_PATH;

/// Variables that are lists of directories, separated by colons.
const LISTS: [&str; 6] = [
    "PATH",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "CPATH",
    "PKG_CONFIG_PATH",
    "MANPATH",
];

/// `upper` over `lower`. Of a list of directories that both have, `upper`'s come first, and the
/// stack's own last.
pub(crate) fn over(
    lower: &BTreeMap<String, String>,
    upper: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut whole = lower.clone();
    for (name, value) in upper {
        let value = match lower.get(&name) {
            Some(below) if LISTS.contains(&name.as_str()) => joined(&value, below),
            _ => value,
        };
        whole.insert(name, value);
    }
    whole
}

fn joined(first: &str, second: &str) -> String {
    let is_stack = |folder: &&str| STACK_PATH.split(':').any(|own| own == *folder);
    let all = || first.split(':').chain(second.split(':'));
    let mut folders: Vec<&str> = Vec::new();
    let own = all().filter(|folder| !is_stack(folder));
    for folder in own.chain(all().filter(is_stack)) {
        if !folder.is_empty() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn check(lower: &[(&str, &str)], upper: &[(&str, &str)], expected: &[(&str, &str)]) {
        assert_eq!(over(&map(lower), map(upper)), map(expected));
    }

    #[test]
    fn lists_are_joined_and_other_variables_replaced() {
        check(&[("A", "1")], &[("B", "2")], &[("A", "1"), ("B", "2")]);
        check(&[("A", "1")], &[("A", "2")], &[("A", "2")]);
        check(
            &[("PATH", "/app/.apt/bin:/usr/bin:/bin")],
            &[("PATH", "/app/node/bin:/usr/bin:/bin")],
            &[("PATH", "/app/node/bin:/app/.apt/bin:/usr/bin:/bin")],
        );
        check(
            &[("LD_LIBRARY_PATH", "/a:/b")],
            &[("LD_LIBRARY_PATH", "/b")],
            &[("LD_LIBRARY_PATH", "/b:/a")],
        );
        check(&[], &[("PATH", "/x")], &[("PATH", "/x")]);
    }
}
