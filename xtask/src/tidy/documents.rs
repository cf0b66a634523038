//! Rules about documents: a path in backticks exists.

/// Folders whose paths are checked; anything else in backticks is not taken for a path.
const FOLDERS: &[&str] = &[
    ".ci/",
    "bench/",
    "changelog.d/",
    "crates/",
    "docs/",
    "tests/",
    "xtask/",
];

/// Every path named in a document exists, as `exists` knows.
pub(crate) fn check(
    name: &str,
    text: &str,
    exists: &impl Fn(&str) -> bool,
    complaints: &mut Vec<String>,
) {
    for (index, line) in text.lines().enumerate() {
        for path in paths(line).filter(|path| !exists(path)) {
            complaints.push(format!(
                "{name}:{}: `{path}` does not exist; correct the path or drop it",
                index + 1
            ));
        }
    }
}

/// Paths in backticks on a line, without `#anchor` or `:line`.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter_map(|quoted| {
        let is_path = FOLDERS.iter().any(|folder| quoted.starts_with(folder))
            && !quoted.contains(|c: char| c.is_whitespace() || "*{}<>…()|$".contains(c));
        let path = quoted.split(['#', ':']).next()?;
        is_path.then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(line: &str, expected: &[&str]) {
        assert_eq!(paths(line).collect::<Vec<_>>(), expected, "{line}");
    }

    #[test]
    fn what_is_taken_for_a_path() {
        check_line(
            "see `crates/api/src/ids.rs` and `docs/glossary.md#dyno`",
            &["crates/api/src/ids.rs", "docs/glossary.md"],
        );
        check_line(
            "`crates/*` and `tests/{e2e,browser}` and `cargo xtask`",
            &[],
        );
        check_line("crates/api without ticks", &[]);
        check_line("`xtask/src/main.rs:12`", &["xtask/src/main.rs"]);
    }

    #[test]
    fn a_missing_path_is_named_with_its_line() {
        let mut complaints = Vec::new();
        check(
            "README.md",
            "a\n`crates/gone`\n",
            &|_: &str| false,
            &mut complaints,
        );
        assert_eq!(
            complaints,
            ["README.md:2: `crates/gone` does not exist; correct the path or drop it"]
        );
    }
}
