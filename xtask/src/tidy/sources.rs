//! Rules about source files: header, size, names.

/// Most lines of a file, its tests not counted.
const MOST_LINES: usize = 600;

/// Words that say nothing or say what Heroku calls otherwise, and what to use instead.
const BANNED: &[(&str, &str)] = &[
    ("common", "name the file after what it holds"),
    ("container", "Heroku's word is dyno"),
    ("deployment", "Heroku's word is release"),
    ("helper", "name it after what it does"),
    ("helpers", "name it after what it does"),
    ("job", "say dyno, build or one-off dyno"),
    (
        "manager",
        "name it after what it does: a verb with -er, or the thing itself",
    ),
    ("misc", "name the file after what it holds"),
    ("project", "Heroku's word is app"),
    ("util", "name it after what it does"),
    ("utils", "name it after what it does"),
];

/// Last words of a type's name that add nothing.
const BANNED_ENDINGS: &[&str] = &["data", "info"];

/// All rules for one Rust file; `name` is its path from the root.
pub(crate) fn check(name: &str, text: &str, complaints: &mut Vec<String>) {
    if !text.starts_with("//!") {
        complaints.push(format!(
            "{name}: open it with `//!`: what it is for, what it must not know"
        ));
    }
    let lines = lines_without_tests(text);
    if lines > MOST_LINES && !is_test(name) {
        complaints.push(format!(
            "{name}: {lines} lines without its tests, at most {MOST_LINES}; split it by story"
        ));
    }
    let stem = name
        .rsplit('/')
        .next()
        .unwrap_or(name)
        .trim_end_matches(".rs");
    for word in stem.split('_') {
        if let Some(instead) = banned(word) {
            complaints.push(format!("{name}: `{word}` in a file name; {instead}"));
        }
    }
    for type_name in type_names(text) {
        let words = words(type_name);
        let ending = words
            .last()
            .filter(|last| BANNED_ENDINGS.contains(&last.as_str()));
        if let Some(ending) = ending {
            complaints.push(format!(
                "{name}: `{type_name}`: drop `{ending}`, it adds nothing"
            ));
        }
        for word in &words {
            if let Some(instead) = banned(word) {
                complaints.push(format!("{name}: `{word}` in `{type_name}`; {instead}"));
            }
        }
    }
}

fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.starts_with("tests/") || name.ends_with("/tests.rs")
}

fn lines_without_tests(text: &str) -> usize {
    let mut lines = 0;
    let mut rest = text.lines().peekable();
    while let Some(line) = rest.next() {
        let opens_tests = line.starts_with("#[cfg(test)]")
            && rest
                .peek()
                .is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if opens_tests {
            rest.find(|line| line.starts_with('}'));
        } else {
            lines += 1;
        }
    }
    lines
}

fn banned(word: &str) -> Option<&'static str> {
    BANNED
        .iter()
        .find(|(banned, _)| *banned == word)
        .map(|(_, instead)| *instead)
}

/// Names that follow `struct`, `enum`, `trait` or `type` at the start of an item.
fn type_names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| word.starts_with("pub"));
        let keyword = words.next()?;
        // An indented `type` belongs to a trait, which chose its name.
        let is_ours = keyword != "type" || !line.starts_with(char::is_whitespace);
        if !["struct", "enum", "trait", "type"].contains(&keyword) || !is_ours {
            return None;
        }
        let name = words.next()?;
        let end = name
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(name.len());
        name.get(..end)
    })
}

/// `ConfigVarName` → config, var, name.
fn words(type_name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for letter in type_name.chars() {
        match words.last_mut() {
            Some(word) if !letter.is_uppercase() => word.push(letter),
            _ => words.push(letter.to_lowercase().to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(name: &str, text: &str, expected: &[&str]) {
        let mut complaints = Vec::new();
        check(name, text, &mut complaints);
        assert_eq!(complaints.len(), expected.len(), "{complaints:?}");
        for (complaint, part) in complaints.iter().zip(expected) {
            assert!(complaint.contains(part), "{complaint} lacks {part}");
        }
    }

    #[test]
    fn headers_and_names() {
        check_one("a/b.rs", "//! Fine.\npub struct DynoSpec;\n", &[]);
        check_one("a/b.rs", "use x;\n", &["open it with"]);
        check_one("a/git_utils.rs", "//! X.\n", &["`utils` in a file name"]);
        check_one(
            "a/b.rs",
            "//! X.\npub(crate) struct DynoManager<T> {\n",
            &["`manager`"],
        );
        check_one("a/b.rs", "//! X.\nenum AppInfo {}\n", &["drop `info`"]);
        check_one("a/b.rs", "//! X.\nstruct Metadata;\nstruct DataDir;\n", &[]);
        check_one(
            "a/b.rs",
            "//! X.\nimpl Body for B {\n    type Data = Bytes;\n}\n",
            &[],
        );
        check_one("a/b.rs", "//! X.\n// a type manager of containers\n", &[]);
    }

    #[test]
    fn sizes() {
        let long = format!("//! X.\n{}", "fn f() {}\n".repeat(MOST_LINES));
        check_one("a/src/b.rs", &long, &["601 lines"]);
        check_one("a/tests/it/b.rs", &long, &[]);
        let tests = "    fn t() {}\n".repeat(MOST_LINES);
        check_one(
            "a/b.rs",
            &format!("//! X.\n#[cfg(test)]\nmod tests {{\n{tests}}}\n"),
            &[],
        );
    }
}
