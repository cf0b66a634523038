//! Pushes that are taken.

use crate::{platform::Outcome, site::Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_shows_its_build_live_and_moves_the_branch() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let commit = checkout.commit("static/app.css", "body {}\n").await;
    site.platform.hold();
    let mut push = checkout.begin_push(&["main"]);
    push.until("remote: Building source:").await;
    push.until("remote: -----> Python app detected").await;
    assert_eq!(
        site.at("refs/heads/main").await,
        "",
        "the branch moves after the build"
    );
    site.platform.release();
    push.until("remote: -----> Launching...").await;
    push.until("remote:        Released v3").await;
    push.until("remote:        http://example.localhost:8080/ deployed to Landfall")
        .await;
    let (succeeded, rest) = push.end().await;
    assert!(succeeded, "{rest}");
    assert_eq!(site.at("refs/heads/main").await, commit);
    assert_eq!(site.platform.versions(), [commit]);
    let archive = site.platform.newest_archive();
    assert_eq!(archive["Procfile"], "web: python app.py\n");
    assert_eq!(archive["static/app.css"], "body {}\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_holds_what_a_checkout_would() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    checkout.commit("tests/test.py", "assert True\n").await;
    checkout.commit("version.txt", "$Format:%H$\n").await;
    checkout
        .commit(
            ".gitattributes",
            "tests export-ignore\nversion.txt export-subst\n",
        )
        .await;
    assert!(checkout.push(&["main"]).await.0);
    let archive = site.platform.newest_archive();
    assert_eq!(archive["tests/test.py"], "assert True\n");
    assert_eq!(archive["version.txt"], "$Format:%H$\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_branch_is_kept_and_not_built() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let (succeeded, shown) = checkout.push(&["main:feature"]).await;
    assert!(succeeded, "{shown}");
    assert!(
        shown.contains("remote: Pushed to non-main branch, skipping build."),
        "{shown}"
    );
    assert!(shown.contains("git push heroku feature:main"), "{shown}");
    assert_ne!(site.at("refs/heads/feature").await, "");
    assert!(site.platform.versions().is_empty());
    let (succeeded, shown) = checkout.push(&[":feature"]).await;
    assert!(succeeded, "{shown}");
    assert_eq!(site.at("refs/heads/feature").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn master_is_built_too_and_a_clone_checks_it_out() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let (succeeded, shown) = checkout.push(&["main:master"]).await;
    assert!(succeeded, "{shown}");
    assert_eq!(site.platform.versions().len(), 1);
    assert_eq!(
        site.served().git(&["symbolic-ref", "HEAD"]).await,
        "refs/heads/master"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pushes_at_once_are_built_one_after_the_other_and_the_loser_is_told() {
    let site = Site::open().await;
    let (first, second) = (site.checkout("a").await, site.checkout("b").await);
    let won = first.commit("a.txt", "a").await;
    second.commit("b.txt", "b").await;
    site.platform.hold();
    let mut winning = first.begin_push(&["main"]);
    winning.until("Python app detected").await;
    let mut losing = second.begin_push(&["main"]);
    losing.until("Waiting for another push").await;
    losing.until("Still waiting").await;
    site.platform.release();
    let (succeeded, rest) = winning.end().await;
    assert!(succeeded, "{rest}");
    let (succeeded, rest) = losing.end().await;
    assert!(!succeeded);
    assert!(
        rest.contains("Another push moved main in the meantime."),
        "{rest}"
    );
    assert!(rest.contains("pre-receive hook declined"), "{rest}");
    assert_eq!(site.platform.versions(), std::slice::from_ref(&won));
    assert_eq!(site.at("refs/heads/main").await, won);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_waited_for_one_that_failed_is_built() {
    let site = Site::open().await;
    let (first, second) = (site.checkout("a").await, site.checkout("b").await);
    first.commit("a.txt", "a").await;
    let commit = second.commit("b.txt", "b").await;
    site.platform.hold();
    site.platform.set(Outcome::BuildFails);
    let mut failing = first.begin_push(&["main"]);
    failing.until("Python app detected").await;
    let mut waiting = second.begin_push(&["main"]);
    waiting.until("Waiting for another push").await;
    site.platform.set(Outcome::Live);
    site.platform.release();
    assert!(!failing.end().await.0);
    let (succeeded, rest) = waiting.end().await;
    assert!(succeeded, "{rest}");
    assert_eq!(site.at("refs/heads/main").await, commit);
    assert_eq!(site.platform.most_running(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_killed_amid_a_build_does_not_stop_it() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let commit = checkout.git(&["rev-parse", "HEAD"]).await;
    site.platform.hold();
    let mut push = checkout.begin_push(&["main"]);
    push.until("Python app detected").await;
    push.kill().await;
    site.platform.release();
    site.until_at("refs/heads/main", &commit).await;
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(
        succeeded && shown.contains("Everything up-to-date"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_push_goes_back() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let old = checkout.git(&["rev-parse", "HEAD"]).await;
    let new = checkout.commit("more.txt", "more").await;
    assert!(checkout.push(&["main"]).await.0);
    let (succeeded, shown) = checkout.push(&["+HEAD~1:main"]).await;
    assert!(succeeded, "{shown}");
    assert_eq!(site.at("refs/heads/main").await, old);
    assert_eq!(site.platform.versions(), [new, old]);
    assert!(!site.platform.newest_archive().contains_key("more.txt"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shallow_clone_can_push() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    checkout.commit("second.txt", "2").await;
    let url = format!("file://{}", checkout.path.display());
    let shallow = site.place("shallow");
    shallow
        .git(&[
            "clone",
            "--quiet",
            "--depth=1",
            &url,
            &shallow.path.display().to_string(),
        ])
        .await;
    let remote = checkout.git(&["remote", "get-url", "heroku"]).await;
    shallow.git(&["remote", "add", "heroku", &remote]).await;
    let (succeeded, shown) = shallow.push(&["main"]).await;
    assert!(succeeded, "{shown}");
    assert_eq!(site.platform.newest_archive()["second.txt"], "2");
    let commit = shallow.commit("third.txt", "3").await;
    let (succeeded, shown) = shallow.push(&["main"]).await;
    assert!(succeeded, "{shown}");
    assert_eq!(site.at("refs/heads/main").await, commit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_above_a_mebibyte_comes_in_chunks() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let noise: Vec<u8> = (0..5 << 20).map(|_| rand::random()).collect();
    checkout.commit("noise.bin", &noise).await;
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(succeeded, "{shown}");
    assert!(site.platform.newest_archive().contains_key("noise.bin"));
    let packs = site.object_files();
    assert!(
        packs
            .iter()
            .any(|path| path.extension().is_some_and(|e| e == "pack")),
        "{packs:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submodules_and_lfs_pointers_are_warned_about() {
    let site = Site::open().await;
    let checkout = site.checkout("a").await;
    let head = checkout.git(&["rev-parse", "HEAD"]).await;
    let module = format!("160000,{head},vendor/lib");
    checkout
        .git(&["update-index", "--add", "--cacheinfo", &module])
        .await;
    checkout
        .git(&["commit", "--quiet", "--message", "module"])
        .await;
    std::fs::create_dir_all(checkout.path.join("vendor/lib")).unwrap();
    checkout
        .commit(
            "assets/.gitattributes",
            "*.psd filter=lfs diff=lfs merge=lfs -text\n",
        )
        .await;
    let (succeeded, shown) = checkout.push(&["main"]).await;
    assert!(succeeded, "{shown}");
    assert!(
        shown.contains(
            " !     Submodules are not fetched, their directories stay empty: vendor/lib"
        ),
        "{shown}"
    );
    assert!(shown.contains(" !     Git LFS is used here"), "{shown}");
}
