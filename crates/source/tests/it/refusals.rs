//! Pushes that are refused, and what the person sees.

use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{
    platform::{APP, Outcome, TOKEN},
    site::Site,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_build_rejects_the_push_and_leaves_nothing() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let old = checkout.git(&["rev-parse", "HEAD"]).await;
    assert!(checkout.push(&["main"]).await.0);
    let before = site.object_files();
    checkout.commit("requirements.txt", "nope").await;
    site.platform.set(Outcome::BuildFails);
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(!succeeded);
    assert!(
        shown.contains("remote:  !     No matching distribution found for nope"),
        "{shown}"
    );
    assert!(
        shown.contains("remote:  !     Push rejected to example."),
        "{shown}"
    );
    assert!(
        shown.contains("! [remote rejected] main -> main (pre-receive hook declined)"),
        "{shown}"
    );
    assert_eq!(site.at("refs/heads/main").await, old);
    assert_eq!(site.object_files(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_release_rejects_the_push() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    site.platform.set(Outcome::ReleaseFails);
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(!succeeded);
    assert!(
        shown.contains("Push rejected, release v3 failed."),
        "{shown}"
    );
    assert_eq!(site.at("refs/heads/main").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_platform_refuses_is_said_in_its_words() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    site.platform.set(Outcome::Refused);
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(!succeeded);
    assert!(
        shown.contains("remote:  !     Deploys are frozen until Monday."),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_main_is_refused() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    assert!(checkout.push(&["main"]).await.0);
    let (succeeded, shown) = checkout.push(&[":main"]).await;
    assert!(!succeeded);
    assert!(shown.contains("main cannot be deleted"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_app_is_said_to_be_unknown() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    for app in ["other", "..", "a_b", "EXAMPLE"] {
        checkout
            .git(&["remote", "set-url", "heroku", &site.url(app, TOKEN)])
            .await;
        let (succeeded, shown) = checkout.push(&["main"]).await;
        assert!(!succeeded);
        let expected = if app == ".." {
            "not found"
        } else {
            "remote: Couldn't find that app."
        };
        assert!(shown.contains(expected), "{app}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_is_not_let_in() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    checkout
        .git(&["remote", "set-url", "heroku", &site.url(APP, "wrong")])
        .await;
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(!succeeded);
    assert!(shown.contains("Authentication failed"), "{shown}");
    assert!(!site.served().path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_every_request_is_answered_401() {
    let site = Site::open().await;
    for (method, path) in [
        ("GET", "/example.git/info/refs?service=git-receive-pack"),
        ("GET", "/other.git/info/refs?service=git-upload-pack"),
        ("POST", "/example.git/git-receive-pack"),
        ("POST", "/example.git/git-upload-pack"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = site.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(
            answer.headers()[header::WWW_AUTHENTICATE],
            "Basic realm=\"Landfall\""
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_politely() {
    let site = Site::open().await;
    let send = |method: &str, path: &str, body: &'static str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Body::from(body))
            .unwrap();
        site.router.clone().oneshot(request)
    };
    let dumb = send("GET", "/example.git/info/refs", "").await.unwrap();
    assert_eq!(dumb.status(), StatusCode::FORBIDDEN);
    let nonsense = send("POST", "/example.git/git-receive-pack", "nonsense")
        .await
        .unwrap();
    assert!(!nonsense.status().is_server_error(), "{nonsense:?}");
    // What curl sends first to learn whether it is let in.
    let probe = send("POST", "/example.git/git-receive-pack", "0000")
        .await
        .unwrap();
    assert_eq!(probe.status(), StatusCode::OK);
    assert_eq!(
        probe.headers()[header::CONTENT_TYPE],
        "application/x-git-receive-pack-result"
    );
    assert!(
        probe
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_is_too_large_is_refused() {
    let site = Site::with(|config| config.max_push_bytes = 1 << 20).await;
    let checkout = site.checkout("a").await;
    let noise: Vec<u8> = (0..3 << 20).map(|_| rand::random()).collect();
    checkout.commit("noise.bin", &noise).await;
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(!succeeded);
    assert!(shown.contains("exceeds maximum allowed size"), "{shown}");
    assert!(site.object_files().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_would_write_into_git_is_refused() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let blob = checkout.git(&["rev-parse", "HEAD:Procfile"]).await;
    let bytes: Vec<u8> = (0..20)
        .map(|at| u8::from_str_radix(&blob[at * 2..at * 2 + 2], 16).unwrap())
        .collect();
    let tree = [b"100644 .git\0".as_slice(), &bytes].concat();
    std::fs::write(checkout.path.join("tree"), tree).unwrap();
    let tree = checkout
        .git(&["hash-object", "-t", "tree", "-w", "--literally", "tree"])
        .await;
    let commit = checkout.git(&["commit-tree", "-m", "evil", &tree]).await;
    let (succeeded, shown) = checkout.push(&[&format!("{commit}:refs/heads/main")]).await;
    assert!(!succeeded);
    assert!(shown.contains("hasDotgit"), "{shown}");
    assert!(site.platform.versions().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_objects_that_stand_for_a_million_files_are_refused() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let mut tree = checkout.git(&["rev-parse", "HEAD^{tree}"]).await;
    for _ in 0..6 {
        let entries: Vec<_> = (0..10)
            .map(|copy| format!("040000 tree {tree}\t{copy}\n"))
            .collect();
        tree = checkout.git_with(&["mktree"], &entries.concat()).await;
    }
    let commit = checkout.git(&["commit-tree", "-m", "bomb", &tree]).await;
    let (succeeded, shown) = checkout.push(&[&format!("{commit}:refs/heads/main")]).await;
    assert!(!succeeded);
    assert!(
        shown.contains("remote:  !     The pushed commit holds more than 200000 files."),
        "{shown}"
    );
    assert!(site.platform.versions().is_empty());
}

/// git makes room for a whole tree before it unpacks it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_claims_to_be_enormous_is_not_made_room_for() {
    let site = Site::open().await;
    let update = format!(
        "{:040} {:040x} refs/heads/x\0report-status side-band-64k",
        0, 1
    );
    let mut push = format!("{:04x}{update}0000", update.len() + 4).into_bytes();
    push.extend_from_slice(b"PACK\0\0\0\x02\0\0\0\x01");
    // A tree (2) of 16 GiB: four bits of the size, then seven at a time.
    push.extend_from_slice(&[0xa0, 0x80, 0x80, 0x80, 0x80, 0x04]);
    let request = Request::post("/example.git/git-receive-pack")
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .body(Body::from(push))
        .unwrap();
    let answer = site.router.clone().oneshot(request).await.unwrap();
    let content = answer.into_body().collect().await.unwrap().to_bytes();
    let shown = String::from_utf8_lossy(&content);
    assert!(shown.contains("attempting to allocate"), "{shown}");
    assert!(site.object_files().is_empty());
}
