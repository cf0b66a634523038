//! Hostile and honest layers.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};

use super::*;
use crate::archive::tests::{Entry, tar_of};

const OWNER: u32 = 64_321;

struct Unpacked {
    folder: tempfile::TempDir,
    result: Result<u64, LayerFault>,
}

impl Unpacked {
    fn of(entries: &[Entry<'_>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (blob, target) = (folder.path().join("blob"), folder.path().join("layer"));
        fs::write(&blob, tar_of(entries)).unwrap();
        fs::create_dir(&target).unwrap();
        let result = unpack(&blob, &target, OWNER);
        Self { folder, result }
    }

    fn at(&self, path: &str) -> fs::Metadata {
        fs::symlink_metadata(self.folder.path().join("layer").join(path)).unwrap()
    }

    fn is_opaque(&self, path: &str) -> bool {
        let mut value = [0; 8];
        let path = self.folder.path().join("layer").join(path);
        rustix::fs::lgetxattr(path, OPAQUE_ATTRIBUTE, &mut value[..]).is_ok()
    }
}

/// Owners, marks of removed files and trusted attributes are root's to make, as is an image.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn check_refused(entries: &[Entry<'_>], expected: &str) {
    let unpacked = Unpacked::of(entries);
    let message = unpacked.result.as_ref().unwrap_err().to_string();
    assert!(
        message.contains(expected),
        "{message:?} should contain {expected:?}"
    );
    let beside = fs::read_dir(unpacked.folder.path()).unwrap().count();
    assert_eq!(beside, 2, "nothing was made beside the layer");
}

#[test]
fn hostile_layers_are_refused() {
    if !is_root() {
        return;
    }
    check_refused(&[("/etc/passwd", Regular, 0o644, "x")], "unsafe path");
    check_refused(&[("../x", Regular, 0o644, "x")], "unsafe path");
    check_refused(&[("a/../../x", Directory, 0o755, "")], "unsafe path");
    check_refused(&[("a/.wh...", Regular, 0o644, "")], "unsafe path");
    check_refused(&[("a/.wh.", Regular, 0o644, "")], "unsafe path");
    check_refused(&[("h", Link, 0o644, "/etc/shadow")], "unsafe path");
    check_refused(&[("h", Link, 0o644, "etc/shadow")], "does not hold");
    check_refused(
        &[("d", Symlink, 0o777, "/tmp"), ("d/x", Regular, 0o644, "x")],
        "contradicts",
    );
    check_refused(
        &[("d", Symlink, 0o777, ".."), ("d/.wh.x", Regular, 0o644, "")],
        "contradicts",
    );
    check_refused(
        &[
            ("d", Symlink, 0o777, ".."),
            ("d/.wh..wh..opq", Regular, 0o644, ""),
        ],
        "contradicts",
    );
    check_refused(
        &[("d", Directory, 0o755, ""), ("d", Symlink, 0o777, "/")],
        "contradicts",
    );
}

#[test]
fn devices_and_dangerous_bits_are_left_out() {
    if !is_root() {
        return;
    }
    let unpacked = Unpacked::of(&[
        ("dev/mem", Char, 0o666, ""),
        ("dev/disk", Block, 0o666, ""),
        ("run/pipe", Fifo, 0o666, ""),
        ("bin/su", Regular, 0o6755, "x"),
        ("tmp", Directory, 0o1777, ""),
        ("etc/secret", Regular, 0o640, "x"),
    ]);
    assert_eq!(unpacked.result.as_ref().ok(), Some(&2));
    assert!(!unpacked.folder.path().join("layer/dev").exists());
    assert!(!unpacked.folder.path().join("layer/run").exists());
    assert_eq!(unpacked.at("bin/su").mode() & 0o7777, 0o755);
    assert_eq!(unpacked.at("tmp").mode() & 0o7777, 0o1777);
    assert_eq!(unpacked.at("etc/secret").mode() & 0o7777, 0o640);
    assert_eq!(unpacked.at("etc/secret").mtime(), 1_600_000_000);
    assert_eq!(unpacked.at("tmp").mtime(), 1_600_000_000);
}

#[test]
fn removed_files_become_the_marks_of_a_union_mount() {
    if !is_root() {
        return;
    }
    let unpacked = Unpacked::of(&[
        ("a/.wh.gone", Regular, 0o644, ""),
        ("b/.wh..wh..opq", Regular, 0o644, ""),
        ("b/new", Regular, 0o644, "x"),
        (".wh.c", Regular, 0o644, ""),
        ("c/again", Regular, 0o644, "x"),
        ("d/x", Regular, 0o644, "x"),
        (".wh.d", Regular, 0o644, ""),
        (".wh..wh.plnk", Directory, 0o755, ""),
    ]);
    unpacked.result.as_ref().unwrap();
    let gone = unpacked.at("a/gone");
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    for (path, expected) in [("a", false), ("b", true), ("c", true), ("d", true)] {
        assert_eq!(unpacked.is_opaque(path), expected, "{path}");
    }
    assert!(unpacked.at("c/again").is_file() && unpacked.at("d/x").is_file());
    assert!(!unpacked.folder.path().join("layer/.wh..wh.plnk").exists());
}

#[test]
fn links_lead_where_they_say_and_are_not_written_through() {
    if !is_root() {
        return;
    }
    let unpacked = Unpacked::of(&[
        ("s", Symlink, 0o777, "/etc/passwd"),
        ("s", Regular, 0o644, "mine"),
        ("one", Regular, 0o644, "x"),
        ("two", Link, 0o644, "one"),
        ("lib", Symlink, 0o777, "usr/lib"),
    ]);
    unpacked.result.as_ref().unwrap();
    assert!(unpacked.at("s").is_file());
    assert_eq!(unpacked.at("one").ino(), unpacked.at("two").ino());
    assert!(unpacked.at("lib").is_symlink());
}

#[test]
fn owners_are_kept_as_far_as_a_dyno_knows_them() {
    let check = |id: u64, expected: u32| {
        let mut header = tar::Header::new_ustar();
        header.set_uid(id);
        header.set_gid(id);
        let tree = Tree {
            root: PathBuf::new(),
            owner: OWNER,
            nodes: BTreeMap::new(),
            times: BTreeMap::new(),
            entries: 0,
            size_bytes: 0,
        };
        let attributes = tree.attributes(&header);
        assert_eq!(
            (attributes.user, attributes.group),
            (expected, expected),
            "{id}"
        );
    };
    check(0, 0);
    check(33, 33);
    check(1000, OWNER);
    check(1001, 1001);
    check(u64::from(OWNER), NOBODY);
    check(65_534, NOBODY);
}
