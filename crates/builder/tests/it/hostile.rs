//! Sources made to break out, to exhaust, or to be taken for something else: through the whole
//! builder, so that what is refused also leaves nothing behind.
//!
//! Most archives are written by hand, for the library refuses to make them.

use std::{fs, io::Write as _, path::Path};

use builder::BuildRequest;
use tar::{EntryType, Header};

use crate::{
    played::python,
    workbench::{Outcome, PlayedEngine, Workbench},
};

/// Path, kind, mode, content or target of a link.
type Entry<'a> = (&'a [u8], EntryType, u32, &'a str);

fn header(path: &[u8], kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_cksum();
    header
}

fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, mode, content) in entries {
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        let size = if is_link { 0 } else { content.len() as u64 };
        let mut header = header(path, *kind, *mode, size);
        if is_link {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            header.set_cksum();
        }
        let content = if is_link { "" } else { content };
        tar.append(&header, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

async fn build(bench: &Workbench, archive: &[u8]) -> Outcome {
    let request = bench.request(&[]);
    fs::write(&request.archive, archive).unwrap();
    bench.build(BuildRequest { ..request }).await
}

fn bench() -> Workbench {
    Workbench::new(PlayedEngine::new(python))
}

/// Refuses it for this reason, and leaves no layer and no draft.
async fn check_refused(archive: &[u8], why: &str) {
    let bench = bench();
    let outcome = build(&bench, archive).await;
    let error = outcome.result.unwrap_err();
    assert!(error.is_about_the_source(), "{error}");
    assert!(error.to_string().contains(why), "{error} should say {why}");
    assert!(outcome.output.contains(" !     "), "{}", outcome.output);
    let layers = bench.layer("");
    let left = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(left(&layers.join(".drafts")), 0);
    assert_eq!(left(&layers), 2, "only the store's own directories");
}

#[tokio::test]
async fn archives_that_reach_out_are_refused() {
    use EntryType::{Block, Char, Fifo, Link, Regular, Symlink};
    let rows: [(&[Entry<'_>], &str); 9] = [
        (&[(b"../x", Regular, 0o644, "x")], "unsafe path"),
        (&[(b"/etc/cron.d/x", Regular, 0o644, "x")], "unsafe path"),
        (
            &[
                (b"d", Symlink, 0o777, "/etc"),
                (b"d/x", Regular, 0o644, "x"),
            ],
            "contradicts itself at d",
        ),
        (&[(b"h", Link, 0o644, "/etc/shadow")], "unsafe path"),
        (
            &[
                (b"s", Symlink, 0o777, "/etc/shadow"),
                (b"h", Link, 0o644, "s"),
            ],
            "does not hold",
        ),
        (&[(b"c", Char, 0o666, "")], "neither a file"),
        (&[(b"b", Block, 0o666, "")], "neither a file"),
        (&[(b"p", Fifo, 0o666, "")], "neither a file"),
        (
            &[(&[b'a'; 100], EntryType::new(b'Z'), 0o644, "")],
            "neither a file",
        ),
    ];
    for (entries, why) in rows {
        check_refused(&tar_of(entries), why).await;
    }
}

#[tokio::test]
async fn archives_that_exhaust_are_refused_before_they_do() {
    // A header that claims three gigabytes, with nothing behind it.
    let claim = header(b"huge", EntryType::Regular, 0o644, 3 << 30);
    check_refused(claim.as_bytes(), "larger than 2048 MB").await;
    // Two hundred thousand and one entries, in some hundred bytes.
    let one = header(b"d", EntryType::Directory, 0o755, 0);
    let mut many = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..=200_000 {
        many.write_all(one.as_bytes()).unwrap();
    }
    let many = many.finish().unwrap();
    assert!(many.len() < 100_000, "{} bytes", many.len());
    check_refused(&many, "more than 200000 files").await;
    let mut deep = tar::Builder::new(Vec::new());
    let path = "d/".repeat(65) + "x";
    let mut header = Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    deep.append_data(&mut header, &path, &[][..]).unwrap();
    check_refused(&deep.into_inner().unwrap(), "unsafe path").await;
    check_refused(b"\x1f\x8bnot gzip at all", "could not unpack").await;
    check_refused(b"PK\x03\x04", "not a tar archive").await;
}

#[tokio::test]
async fn odd_but_harmless_things_are_kept_as_they_are() {
    use EntryType::{Regular, Symlink};
    let bench = bench();
    let outcome = build(
        &bench,
        &tar_of(&[
            (b"index.html", Regular, 0o644, "hello"),
            (b"README", Regular, 0o644, "upper"),
            (b"readme", Regular, 0o644, "lower"),
            (b"a\nb", Regular, 0o644, "newline"),
            (b"caf\xe9", Regular, 0o644, "not UTF-8"),
            (b"-rf", Regular, 0o644, "option"),
            (b".git/hooks/post-checkout", Regular, 0o755, "touch /tmp/x"),
            (b"su", Regular, 0o6755, "set-user-id"),
            (b"passwd", Symlink, 0o777, "/etc/passwd"),
            (b"up", Symlink, 0o777, "../../../../../etc/passwd"),
        ]),
    )
    .await;
    let slug = outcome.slug();
    let source = bench.layer(slug.layers.last().unwrap());
    let read = |name: &[u8]| {
        let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name);
        fs::read_to_string(source.join(name)).unwrap()
    };
    assert_eq!(
        (read(b"README"), read(b"readme")),
        ("upper".into(), "lower".into())
    );
    assert_eq!(
        (read(b"a\nb"), read(b"caf\xe9")),
        ("newline".into(), "not UTF-8".into())
    );
    assert_eq!(read(b"-rf"), "option");
    let mode = |name: &str| {
        let metadata = fs::symlink_metadata(source.join(name)).unwrap();
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
    };
    assert_eq!(mode("su"), 0o755, "set-user-id bits are taken away");
    for link in ["passwd", "up"] {
        assert!(
            fs::symlink_metadata(source.join(link))
                .unwrap()
                .is_symlink()
        );
    }
}

#[tokio::test]
async fn links_are_not_followed_when_the_source_is_read() {
    use EntryType::{Regular, Symlink};
    let bench = bench();
    let secret = bench.layer("").with_file_name("secret");
    fs::write(&secret, "web: the-hosts-own-secret\n").unwrap();
    let outcome = build(
        &bench,
        &tar_of(&[
            (b"index.html", Regular, 0o644, "hello"),
            (b"Procfile", Symlink, 0o777, secret.to_str().unwrap()),
        ]),
    )
    .await;
    assert!(!outcome.output.contains("secret"), "{}", outcome.output);
    let slug = outcome.slug();
    let commands: Vec<_> = slug.process_types.values().collect();
    assert!(
        commands.iter().all(|command| !command.contains("secret")),
        "{commands:?}"
    );
}
