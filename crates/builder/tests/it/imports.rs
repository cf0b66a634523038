//! Slugs that were built elsewhere.

use std::{fs, io::Write, os::unix::fs::MetadataExt as _, path::PathBuf};

use builder::Imported;
use flate2::{Compression, write::GzEncoder};

use crate::workbench::{PlayedEngine, Workbench};

fn workbench() -> Workbench {
    Workbench::new(PlayedEngine::new(|spec| {
        panic!("no dyno is needed: {spec:?}")
    }))
}

/// A tar.gz of paths that end with a slash, and others with their content, in a file of that name.
fn archive(workbench: &Workbench, name: &str, entries: &[(&str, &str)]) -> PathBuf {
    let path = workbench.folder.path().join(name);
    let file = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast());
    let mut tar = tar::Builder::new(file);
    for (path, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(if content.starts_with("#!") {
            0o700
        } else {
            0o600
        });
        header.set_size(content.len() as u64);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        // The tar crate would take the leading dot away.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    path
}

async fn import(workbench: &Workbench, entries: &[(&str, &str)]) -> Imported {
    let archive = archive(workbench, "slug.tgz", entries);
    workbench.builder.import(archive).await.unwrap()
}

/// What a layer holds, as paths below it.
fn held(workbench: &Workbench, imported: &Imported) -> Vec<String> {
    let root = workbench.layer(&imported.layer);
    let mut left = vec![root.clone()];
    let mut held = Vec::new();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                held.push(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    held.sort();
    held
}

async fn check(entries: &[(&str, &str)], expected: &[&str]) {
    let workbench = workbench();
    let imported = import(&workbench, entries).await;
    assert_eq!(held(&workbench, &imported), expected, "{entries:?}");
}

#[tokio::test]
async fn herokus_layout_and_a_plain_one_are_understood() {
    check(
        &[
            ("./", ""),
            ("./app/", ""),
            ("./app/bin/web", "#!"),
            ("./app/a", "1"),
        ],
        &["a", "bin/web"],
    )
    .await;
    check(&[("app/app/a", "1")], &["app/a"]).await;
    check(&[("./bin/web", "#!"), ("./a", "1")], &["a", "bin/web"]).await;
    // An app that has a directory of that name, packed without the one around it.
    check(
        &[("./app/models.py", "1"), ("./web.py", "1")],
        &["app/models.py", "web.py"],
    )
    .await;
    check(&[("app", "a file")], &["app"]).await;
    check(&[], &[]).await;
}

#[tokio::test]
async fn a_layer_is_named_by_its_content_and_owned_like_others() {
    let workbench = workbench();
    let entries = [("./app/bin/web", "#!/bin/sh"), ("./app/a", "12")];
    let first = import(&workbench, &entries).await;
    assert_eq!(first, import(&workbench, &entries).await);
    let other = import(&workbench, &[("./app/a", "12")]).await;
    assert_ne!(first.layer, other.layer);
    assert_eq!((first.size_bytes, other.size_bytes), (11, 2));
    assert!(
        first.env["PATH"].contains("/usr/bin:/sbin:/bin"),
        "{first:?}"
    );
    let owner = fs::metadata(workbench.folder.path()).unwrap().uid();
    let layer = workbench.layer(&first.layer);
    for (path, mode) in [
        ("", 0o755),
        ("bin", 0o755),
        ("bin/web", 0o755),
        ("a", 0o644),
    ] {
        let metadata = fs::metadata(layer.join(path)).unwrap();
        assert_eq!(
            (metadata.mode() & 0o7777, metadata.uid()),
            (mode, owner),
            "{path}"
        );
    }
    let drafts = fs::read_dir(workbench.folder.path().join("layers/.drafts")).unwrap();
    assert_eq!(drafts.count(), 0);
}

#[tokio::test]
async fn archives_that_are_none_or_leave_their_place_are_refused() {
    let workbench = workbench();
    let mut files = vec![
        archive(&workbench, "above.tgz", &[("../../../outside", "1")]),
        archive(&workbench, "absolute.tgz", &[("/outside", "1")]),
    ];
    for (name, content) in [
        ("empty", &b""[..]),
        ("text", b"not an archive"),
        ("torn", b"\x1f\x8b\x08"),
    ] {
        let path = workbench.folder.path().join(name);
        fs::File::create(&path).unwrap().write_all(content).unwrap();
        files.push(path);
    }
    for file in files {
        let refused = workbench.builder.import(file.clone()).await.unwrap_err();
        assert!(
            refused.is_about_the_source(),
            "{}: {refused}",
            file.display()
        );
    }
    let layers: Vec<_> = fs::read_dir(workbench.folder.path().join("layers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| !name.to_string_lossy().starts_with('.'))
        .collect();
    assert!(layers.is_empty(), "{layers:?}");
}
