//! Clone and fetch.

use crate::{
    platform::{APP, TOKEN},
    site::Site,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_pushed_can_be_cloned() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let commit = checkout.git(&["rev-parse", "HEAD"]).await;
    assert!(checkout.push(&["main"]).await.0);
    // So many branches that the request is large enough for git to gzip it.
    let branches: Vec<_> = (0..60)
        .map(|n| format!("main~0:refs/heads/branch-{n}"))
        .collect();
    checkout.commit("later.txt", "later").await;
    let branches: Vec<_> = branches.iter().map(String::as_str).collect();
    let (succeeded, shown) = checkout.push(&branches).await;
    assert!(succeeded, "{shown}");
    for version in ["0", "2"] {
        let clone = site.place(&format!("clone{version}"));
        let path = clone.path.display().to_string();
        let protocol = format!("protocol.version={version}");
        clone
            .git(&[
                "-c",
                &protocol,
                "clone",
                "--quiet",
                &site.url(APP, TOKEN),
                &path,
            ])
            .await;
        assert_eq!(clone.git(&["rev-parse", "HEAD"]).await, commit);
        for n in 0..40 {
            clone.commit(&format!("{n}.txt"), "x").await;
        }
        clone
            .git(&["-c", &protocol, "fetch", "--quiet", "origin"])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_never_pushed_to_clones_empty() {
    let site = Site::open().await;
    let clone = site.place("clone");
    clone
        .git(&[
            "clone",
            "--quiet",
            &site.url(APP, TOKEN),
            &clone.path.display().to_string(),
        ])
        .await;
    assert_eq!(
        clone.git(&["symbolic-ref", "HEAD"]).await,
        "refs/heads/main"
    );
}
