//! Commits made to break out of their directory, or to confuse whoever reads them.
//!
//! A row of a table each: refused with nothing left, or taken and harmless. The other half, hostile
//! archives, is in the builder's tests; `docs/security.md` has the table of both.

use axum::body::Body;
use http::{Request, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{
    platform::TOKEN,
    site::{Checkout, Site},
};

/// Writes a tree of one entry as bytes, which git's own commands would refuse to do.
async fn tree(checkout: &Checkout, mode: &str, name: &[u8], object: &str) -> String {
    let bytes: Vec<u8> = (0..20)
        .map(|at| u8::from_str_radix(&object[at * 2..at * 2 + 2], 16).unwrap())
        .collect();
    let entry = [mode.as_bytes(), b" ", name, b"\0", &bytes].concat();
    let file = checkout.path.join(".git/tree");
    std::fs::write(&file, entry).unwrap();
    let path = file.to_str().unwrap();
    checkout
        .git(&["hash-object", "-t", "tree", "-w", "--literally", path])
        .await
}

async fn blob(checkout: &Checkout, content: &str) -> String {
    checkout
        .git_with(&["hash-object", "-w", "--stdin"], content)
        .await
}

async fn push(checkout: &Checkout, tree: &str) -> (bool, String) {
    let commit = checkout.git(&["commit-tree", "-m", "odd", tree]).await;
    checkout
        .push(&["--force", &format!("{commit}:refs/heads/main")])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_mean_something_else_are_refused() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let file = blob(&checkout, "x").await;
    let module = blob(
        &checkout,
        "[submodule \"x\"]\n\tpath = x\n\turl = -u./evil\n",
    )
    .await;
    let outside = blob(
        &checkout,
        "[submodule \"../../x\"]\n\tpath = x\n\turl = x\n",
    )
    .await;
    let rows: [(&str, &[u8], &str, &str); 13] = [
        ("100644", b".git", &file, "hasDotgit"),
        ("100644", b".GIT", &file, "hasDotgit"),
        ("100644", b".GiT", &file, "hasDotgit"),
        ("100644", b"git~1", &file, "hasDotgit"),
        ("100644", b".git ", &file, "hasDotgit"),
        ("100644", b".git...", &file, "hasDotgit"),
        ("100644", b".git::$INDEX_ALLOCATION", &file, "hasDotgit"),
        // A character that some file systems leave out.
        ("100644", b".g\xe2\x80\x8cit", &file, "hasDotgit"),
        ("100644", b"..", &file, "hasDotdot"),
        ("100644", b".", &file, "hasDot"),
        ("100644", b"../../x", &file, "fullPathname"),
        ("100644", b".gitmodules", &module, "gitmodulesUrl"),
        ("100644", b".gitmodules", &outside, "gitmodulesName"),
    ];
    for (mode, name, object, why) in rows {
        let tree = tree(&checkout, mode, name, object).await;
        let (succeeded, shown) = push(&checkout, &tree).await;
        let name = String::from_utf8_lossy(name);
        assert!(!succeeded, "{name}");
        assert!(shown.contains(why), "{name}: {shown}");
    }
    let link = tree(&checkout, "120000", b".gitmodules", &file).await;
    let (succeeded, shown) = push(&checkout, &link).await;
    assert!(!succeeded && shown.contains("gitmodulesSymlink"), "{shown}");
    assert!(site.platform.versions().is_empty());
    assert!(site.object_files().is_empty(), "nothing of them is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_and_links_are_handed_on_as_they_are() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let file = blob(&checkout, "x").await;
    let target = blob(&checkout, "../../../etc/passwd").await;
    let entries = format!(
        "100644 blob {file}\tREADME\0100644 blob {file}\treadme\0100644 blob {file}\ta\nb\0\
         100644 blob {file}\t--output=x\0100644 blob {file}\t$(touch x)\0\
         120000 blob {target}\tout\0"
    );
    let tree = checkout.git_with(&["mktree", "-z"], &entries).await;
    let (succeeded, shown) = push(&checkout, &tree).await;
    assert!(succeeded, "{shown}");
    let archive = site.platform.newest_archive();
    for name in ["README", "readme", "a\nb", "--output=x", "$(touch x)"] {
        assert_eq!(archive.get(name).map(String::as_str), Some("x"), "{name:?}");
    }
    assert_eq!(archive["out"], "", "a link, not what it points to");
    let invalid = tree_of_invalid_name(&checkout, &file).await;
    let (succeeded, shown) = push(&checkout, &invalid).await;
    assert!(succeeded, "{shown}");
    assert_eq!(site.platform.newest_archive()["caf\u{fffd}"], "x");
}

async fn tree_of_invalid_name(checkout: &Checkout, file: &str) -> String {
    tree(checkout, "100644", b"caf\xe9", file).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packs_that_are_none_leave_nothing() {
    let site = Site::open().await;
    let update = format!("{:040} {:040x} refs/heads/main\0report-status", 0, 1);
    let start = format!("{:04x}{update}0000", update.len() + 4).into_bytes();
    let packs: [(&str, Vec<u8>); 5] = [
        ("no pack", b"hello".to_vec()),
        (
            "a version of the future",
            b"PACK\0\0\0\x09\0\0\0\x01".to_vec(),
        ),
        (
            "four thousand million objects",
            b"PACK\0\0\0\x02\xff\xff\xff\xff".to_vec(),
        ),
        (
            "broken compression",
            b"PACK\0\0\0\x02\0\0\0\x01\x31not zlib".to_vec(),
        ),
        (
            // A delta (7, by name) against an object that nobody has.
            "a delta against nothing",
            [b"PACK\0\0\0\x02\0\0\0\x01\x74".as_slice(), &[7; 40]].concat(),
        ),
    ];
    for (what, pack) in packs {
        let request = Request::post("/example.git/git-receive-pack")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Body::from([start.clone(), pack].concat()))
            .unwrap();
        let answer = site.router.clone().oneshot(request).await.unwrap();
        let content = answer.into_body().collect().await.unwrap().to_bytes();
        let shown = String::from_utf8_lossy(&content);
        assert!(!shown.contains("ok refs/heads/main"), "{what}: {shown}");
        assert!(site.object_files().is_empty(), "{what}");
    }
    assert_eq!(site.at("refs/heads/main").await, "");
    assert!(site.platform.versions().is_empty());
}
