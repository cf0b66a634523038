//! Hostile and plain archives.

use std::{
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use tar::{Builder, Header};

use super::*;

/// One entry of a test archive: path, kind, mode, content or link target.
pub(crate) type Entry<'a> = (&'a str, EntryType, u32, &'a str);

use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};

/// Writes headers by hand: the tar crate refuses to make the archives that matter here.
pub(crate) fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, kind, mode, content) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_mtime(1_600_000_000);
        let is_link = matches!(kind, Symlink | Link);
        if is_link {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_size(if is_link { 0 } else { content.len() as u64 });
        header.set_cksum();
        tar.append(&header, if is_link { &[][..] } else { content.as_bytes() })
            .unwrap();
    }
    tar.into_inner().unwrap()
}

fn unpack_bytes(bytes: &[u8]) -> (tempfile::TempDir, Result<Unpacked, ArchiveError>) {
    let folder = tempfile::tempdir().unwrap();
    let (archive, target) = (folder.path().join("a"), folder.path().join("t"));
    fs::write(&archive, bytes).unwrap();
    fs::create_dir(&target).unwrap();
    let owner = fs::metadata(&target).unwrap().uid();
    let now = Time::from_micros(1_700_000_000_000_000);
    let result = unpack(&archive, &target, Ownership { owner, now });
    (folder, result)
}

fn check_refused(entries: &[Entry<'_>], expected: &str) {
    let (folder, result) = unpack_bytes(&tar_of(entries));
    let message = result.unwrap_err().to_string();
    assert!(
        message.contains(expected),
        "{message:?} should contain {expected:?}"
    );
    let beside: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(beside.len(), 2, "nothing was made beside the target");
}

#[test]
fn hostile_archives_are_refused() {
    check_refused(&[("/etc/passwd", Regular, 0o644, "x")], "unsafe path");
    check_refused(&[("../x", Regular, 0o644, "x")], "unsafe path");
    check_refused(&[("a/../../x", Regular, 0o644, "x")], "unsafe path");
    check_refused(
        &[("d", Symlink, 0o777, "/tmp"), ("d/x", Regular, 0o644, "x")],
        "contradicts",
    );
    check_refused(
        &[("d", Symlink, 0o777, ".."), ("d/x", Directory, 0o755, "")],
        "contradicts",
    );
    check_refused(
        &[("d", Symlink, 0o777, ".."), ("d/x", Symlink, 0o777, "y")],
        "contradicts",
    );
    check_refused(
        &[("f", Regular, 0o644, "x"), ("f/g", Regular, 0o644, "x")],
        "contradicts",
    );
    check_refused(
        &[("d", Directory, 0o755, ""), ("d", Symlink, 0o777, "/")],
        "contradicts",
    );
    check_refused(&[("h", Link, 0o644, "/etc/shadow")], "unsafe path");
    check_refused(&[("h", Link, 0o644, "../t2")], "unsafe path");
    check_refused(
        &[
            ("s", Symlink, 0o777, "/etc/shadow"),
            ("h", Link, 0o644, "s"),
        ],
        "does not hold",
    );
    check_refused(&[("c", Char, 0o644, "")], "neither a file");
    check_refused(&[("b", Block, 0o644, "")], "neither a file");
    check_refused(&[("p", Fifo, 0o644, "")], "neither a file");
    check_refused(&[(".", Regular, 0o644, "x")], "contradicts");
}

#[test]
fn a_header_that_claims_much_is_not_believed() {
    for kind in [EntryType::XHeader, EntryType::GNULongName] {
        let mut tar = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(MAX_HEADER_BYTES + 1);
        header.set_cksum();
        let length = usize::try_from(MAX_HEADER_BYTES + 1).unwrap();
        tar.append(&header, vec![b'a'; length].as_slice()).unwrap();
        let (_directory, unpacked) = unpack_bytes(&tar.into_inner().unwrap());
        assert!(
            matches!(unpacked, Err(ArchiveError::LargeHeader)),
            "{unpacked:?}"
        );
    }
}

#[test]
fn a_link_may_be_replaced_but_is_not_written_through() {
    let (folder, result) = unpack_bytes(&tar_of(&[
        ("s", Symlink, 0o777, "../victim"),
        ("s", Regular, 0o644, "mine"),
    ]));
    result.unwrap();
    assert!(!folder.path().join("victim").exists());
    assert_eq!(
        fs::read_to_string(folder.path().join("t/s")).unwrap(),
        "mine"
    );
}

#[test]
fn modes_times_and_links_are_made_plain() {
    let (folder, result) = unpack_bytes(&tar_of(&[
        ("bin/run", Regular, 0o6777, "#!"),
        ("./readme", Regular, 0o600, "hello"),
        ("same", Link, 0o644, "readme"),
        ("abs", Symlink, 0o777, "/app/readme"),
    ]));
    assert_eq!(result.unwrap().size_bytes, 7);
    let at = |path: &str| fs::symlink_metadata(folder.path().join("t").join(path)).unwrap();
    assert_eq!(at("bin/run").permissions().mode() & 0o7777, 0o755);
    assert_eq!(at("readme").permissions().mode() & 0o7777, 0o644);
    assert_eq!(at("bin").mtime(), 1_600_000_000);
    assert_eq!(at("readme").ino(), at("same").ino());
    assert!(at("abs").is_symlink());
}

#[test]
fn the_digest_tells_contents_and_kinds_apart_but_not_times() {
    let digest = |entries: &[Entry<'_>]| unpack_bytes(&tar_of(entries)).1.unwrap().digest;
    let one = digest(&[("a", Regular, 0o644, "x")]);
    assert_eq!(one, digest(&[("./a", Regular, 0o600, "x")]));
    for other in [
        digest(&[("a", Regular, 0o644, "y")]),
        digest(&[("b", Regular, 0o644, "x")]),
        digest(&[("a", Regular, 0o755, "x")]),
        digest(&[("a", Symlink, 0o777, "x")]),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn compressed_archives_are_known_by_their_first_bytes() {
    let plain = tar_of(&[("a", Regular, 0o644, "x")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    let expected = unpack_bytes(&plain).1.unwrap();
    assert_eq!(unpack_bytes(&gzip.finish().unwrap()).1.unwrap(), expected);
    assert_eq!(unpack_bytes(&zstd).1.unwrap(), expected);
    assert!(matches!(
        unpack_bytes(b"PK\x03\x04").1,
        Err(ArchiveError::UnknownKind)
    ));
    assert!(matches!(
        unpack_bytes(b"").1,
        Err(ArchiveError::UnknownKind)
    ));
}
