//! Sources brought into shape.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _};

use api::clock::Time;

use super::*;

/// Path and content; a content that begins with `->` makes a link.
type Files<'a> = &'a [(&'a str, &'a str)];

fn archive_of(files: Files<'_>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        if let Some(target) = content.strip_prefix("->") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, path, target).unwrap();
        } else {
            header.set_size(content.len() as u64);
            let bytes = content.as_bytes();
            tar.append_data(&mut header, path, bytes).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

fn shaped(
    files: Files<'_>,
    settings: &BuildSettings,
) -> (BTreeSet<String>, Result<Shaped, ShapeError>) {
    let folder = tempfile::tempdir().unwrap();
    let (archive, target) = (folder.path().join("a.tar"), folder.path().join("t"));
    fs::write(&archive, archive_of(files)).unwrap();
    fs::create_dir(&target).unwrap();
    let ownership = Ownership {
        owner: fs::metadata(&target).unwrap().uid(),
        now: Time::from_micros(1_700_000_000_000_000),
    };
    let wishes = Wishes {
        settings,
        build: "stack",
    };
    let result = unpack(&archive, &target, ownership, wishes);
    let beside = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(beside, 2, "nothing is left beside the target");
    let mut found = BTreeSet::new();
    list(&target, "", &mut found);
    (found, result)
}

fn list(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name);
        }
    }
}

fn rooted(root: &str) -> BuildSettings {
    BuildSettings {
        root_directory: Some(root.parse().unwrap()),
        ..BuildSettings::default()
    }
}

fn watching(paths: &[&str]) -> BuildSettings {
    BuildSettings {
        watch_paths: paths.iter().map(ToString::to_string).collect(),
        ..BuildSettings::default()
    }
}

/// What is left of `files`, and what is said.
fn check(files: Files<'_>, settings: &BuildSettings, left: &[&str], said: &[&str]) {
    let (found, result) = shaped(files, settings);
    let notes: Vec<String> = result.unwrap().notes.into_iter().map(text).collect();
    assert_eq!(notes, said, "{files:?}");
    assert_eq!(
        found.iter().map(String::as_str).collect::<Vec<_>>(),
        left,
        "{files:?}"
    );
}

fn text(note: Note) -> String {
    match note {
        Note::Heading(text) | Note::Warning(text) => text,
    }
}

fn check_slug_ignore(patterns: &str, gone: &[&str]) {
    let all = [
        ".env",
        "Procfile",
        "README.md",
        "docs/a.md",
        "docs/deep/b.txt",
        "lib/docs/c.txt",
        "lib/x.log",
        "test/a.py",
        "x.log",
    ];
    let mut files: Vec<_> = all.iter().map(|path| (*path, "")).collect();
    files.push((".slugignore", patterns));
    let (found, result) = shaped(&files, &BuildSettings::default());
    result.unwrap();
    let missing: Vec<_> = all
        .iter()
        .filter(|path| !found.contains(**path))
        .copied()
        .collect();
    assert_eq!(missing, gone, "{patterns:?}");
    assert!(found.contains(".slugignore"));
}

#[test]
fn slugignore_is_read_as_heroku_says() {
    check_slug_ignore("", &[]);
    check_slug_ignore("# *.md\n\n", &[]);
    check_slug_ignore("*.md", &["README.md", "docs/a.md"]);
    check_slug_ignore(
        "docs\r\n",
        &["docs/a.md", "docs/deep/b.txt", "lib/docs/c.txt"],
    );
    check_slug_ignore("/docs", &["docs/a.md", "docs/deep/b.txt"]);
    check_slug_ignore("docs/deep/", &["docs/deep/b.txt"]);
    check_slug_ignore("x.log/", &[]);
    check_slug_ignore("*.log\n!lib/x.log\n", &["lib/x.log", "x.log"]);
    check_slug_ignore("lib/*\n!lib/docs", &["lib/docs/c.txt", "lib/x.log"]);
    check_slug_ignore("docs/**/*.txt\n/test", &["docs/deep/b.txt", "test/a.py"]);
    check_slug_ignore(".env\nProcfile", &[".env", "Procfile"]);
    check_slug_ignore("../a\n/../t", &[]);
}

#[test]
fn only_the_topmost_slugignore_counts_and_says_how_much_it_took() {
    let files = [
        (".slugignore", "/docs\n*.psd"),
        ("docs/a/b", ""),
        ("lib/.slugignore", "c"),
        ("lib/c", ""),
        ("x.psd", ""),
    ];
    let left = [".slugignore", "lib/.slugignore", "lib/c"];
    let said = ["Deleting 2 files matching .slugignore patterns."];
    check(&files, &BuildSettings::default(), &left, &said);
}

#[test]
fn a_line_that_is_no_pattern_is_told_and_counts_for_nothing() {
    let files = [(".slugignore", "!x\nb[z-a]\na\n"), ("a", ""), ("b", "")];
    let said = [
        "Deleting 1 files matching .slugignore patterns.",
        ".slugignore: line 2 is no pattern: b[z-a]",
    ];
    check(
        &files,
        &BuildSettings::default(),
        &[".slugignore", "b"],
        &said,
    );
}

#[test]
fn a_link_is_taken_away_and_what_it_leads_to_is_not() {
    let files = [
        (".slugignore", "link\n"),
        ("kept/a", ""),
        ("link", "->kept"),
    ];
    let said = ["Deleting 1 files matching .slugignore patterns."];
    check(
        &files,
        &BuildSettings::default(),
        &[".slugignore", "kept/a"],
        &said,
    );
    let files = [(".slugignore", "->/etc/hostname"), ("a", "")];
    check(
        &files,
        &BuildSettings::default(),
        &[".slugignore", "a"],
        &[],
    );
}

#[test]
fn the_root_directory_is_all_that_is_built() {
    let files = [
        (".slugignore", "*"),
        ("api/.slugignore", "/notes"),
        ("api/lib/x", ""),
        ("api/notes", ""),
        ("api/run", ""),
        ("web/run", ""),
    ];
    let said = [
        "Building the directory api",
        "Deleting 1 files matching .slugignore patterns.",
    ];
    check(
        &files,
        &rooted("api"),
        &[".slugignore", "lib/x", "run"],
        &said,
    );
    check(
        &files,
        &rooted("api/lib"),
        &["x"],
        &["Building the directory api/lib"],
    );
}

#[test]
fn a_root_directory_is_no_link_and_must_be_there() {
    let files = [
        ("api/run", ""),
        ("deep", "->api"),
        ("etc", "->/etc"),
        ("up", "->../../.."),
    ];
    for root in ["etc", "up", "deep", "none", "api/run", "etc/ssl"] {
        let (_, result) = shaped(&files, &rooted(root));
        let error = result.unwrap_err();
        assert!(
            matches!(error, ShapeError::NoRoot { .. }),
            "{root}: {error}"
        );
    }
}

#[test]
fn links_out_of_the_root_directory_are_named() {
    let files = [
        ("api/a", "->../shared/a"),
        ("api/b/c", "->../d"),
        ("api/d", "->/app/run"),
        ("api/e", "->b/../../shared"),
        ("shared/a", ""),
    ];
    let said = [
        "Building the directory api",
        "These links lead out of the root directory and are broken: a, e",
    ];
    check(&files, &rooted("api"), &["a", "b/c", "d", "e"], &said);
}

fn check_project(lines: &str, left: &[&str]) {
    let text = format!("[io.buildpacks]\n{lines}");
    let files = [
        ("README.md", ""),
        ("docs/a.md", ""),
        ("docs/b.txt", ""),
        ("project.toml", text.as_str()),
        ("src/main", ""),
    ];
    let (found, result) = shaped(&files, &BuildSettings::default());
    result.unwrap();
    assert_eq!(
        found.iter().map(String::as_str).collect::<Vec<_>>(),
        left,
        "{lines}"
    );
}

#[test]
fn a_project_says_which_files_are_built() {
    check_project(
        "exclude = [\"docs\"]",
        &["README.md", "project.toml", "src/main"],
    );
    check_project(
        "exclude = [\"docs/*\", \"!docs/b.txt\", \"*.toml\"]",
        &["README.md", "docs/b.txt", "project.toml", "src/main"],
    );
    check_project(
        "include = [\"/src\", \"docs/*.txt\"]",
        &["docs/b.txt", "project.toml", "src/main"],
    );
    check_project("include = []", &["project.toml"]);
    let (_, result) = shaped(&[("project.toml", "a =")], &BuildSettings::default());
    assert!(
        result
            .unwrap_err()
            .to_string()
            .starts_with("project.toml line 1: ")
    );
}

fn digest(files: Files<'_>, settings: &BuildSettings) -> Option<String> {
    shaped(files, settings).1.unwrap().watch_digest
}

#[test]
fn a_watch_digest_changes_with_what_is_watched_alone() {
    let files = [("api/a", "1"), ("api/notes.md", "1"), ("web/a", "1")];
    let settings = watching(&["api", "!*.md"]);
    let first = digest(&files, &settings);
    assert!(first.is_some());
    let other = |path: &str| {
        let changed = files.map(|(at, text)| (at, if at == path { "2" } else { text }));
        digest(&changed, &settings)
    };
    assert_eq!(other("web/a"), first);
    assert_eq!(other("api/notes.md"), first);
    assert_ne!(other("api/a"), first);
    assert_ne!(digest(&files[1..], &settings), first);
    assert_ne!(digest(&files, &watching(&["api"])), first);
    let root_directory = rooted("api").root_directory;
    let moved = BuildSettings {
        root_directory,
        ..settings.clone()
    };
    assert_ne!(digest(&files, &moved), first);
    assert_eq!(digest(&files, &BuildSettings::default()), None);
}

#[test]
fn there_are_limits() {
    let many = "a\n".repeat(1001);
    let (_, result) = shaped(&[(".slugignore", &many)], &BuildSettings::default());
    assert_eq!(
        result.unwrap_err().to_string(),
        ".slugignore: more than 1000 patterns"
    );
    let long = "#".repeat(300_000);
    let (_, result) = shaped(&[(".slugignore", &long)], &BuildSettings::default());
    assert_eq!(
        result.unwrap_err().to_string(),
        ".slugignore is longer than 262144 bytes"
    );
    assert!(check_watch_paths(&["services/**".to_owned()]).is_ok());
    let error = check_watch_paths(&["a".to_owned(), "b[z-a]".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "line 2 is no pattern: b[z-a]");
}
