//! The tested table as `docs/security.md` shows it.

use std::{collections::BTreeMap, env, fmt::Write, fs, path::Path};

use crate::{
    calls,
    expected::{Expected, SECTIONS, Section},
};

const BEGIN: &str = "<!-- table: what the confinement test expects -->\n";
const END: &str = "<!-- end of table -->\n";
/// Set this to have the document rewritten.
const UPDATE: &str = "LANDFALL_UPDATE_DOCS";

#[test]
fn the_document_shows_the_tested_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md");
    let document = fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("it has a table");
    let (shown, after) = rest.split_once(END).expect("the table has an end");
    let table = table();
    if env::var_os(UPDATE).is_some() {
        fs::write(path, [before, BEGIN, &table, END, after].concat()).unwrap();
        return;
    }
    assert!(
        shown == table,
        "docs/security.md shows another table\n  hint: run this test with {UPDATE}=1"
    );
}

fn table() -> String {
    let mut table =
        "| | tried from inside a dyno | found | by what |\n|---|---|---|---|\n".to_owned();
    for section in SECTIONS {
        rows(section, &mut table);
    }
    for (opens, names) in calls::CLOSED.iter().chain(calls::CLOSED_HERE) {
        let names: Vec<&str> = names
            .iter()
            .map(|(name, _)| name.trim_start_matches("SYS_"))
            .collect();
        let names = names.join("` `");
        writeln!(
            table,
            "| System calls: {opens} | `{names}` | refused | the system call filter |"
        )
        .unwrap();
    }
    table
}

/// A row for each kind of outcome.
fn rows(section: &Section, table: &mut String) {
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (finding, expected) in section.findings {
        let tried = match expected {
            Expected::Is("") => format!("{finding}: none"),
            Expected::Is(exactly) if exactly.len() <= 24 && !exactly.contains('"') => {
                format!("{finding}: `{exactly}`")
            }
            _ => (*finding).to_owned(),
        };
        kinds.entry(expected.describe()).or_default().push(tried);
    }
    for (found, tried) in kinds {
        let by = if found == Expected::Open.describe() {
            ""
        } else {
            section.closed_by
        };
        let (title, tried) = (section.title, tried.join(", "));
        writeln!(table, "| {title} | {tried} | {found} | {by} |").unwrap();
    }
}
