//! The sample apps, built by real build dynos and started from their slugs.

use builder::BuildError;
use engine::Engine as _;

use crate::machine::{Machine, sample};

#[tokio::test(flavor = "multi_thread")]
async fn django_is_built_served_and_not_installed_twice() {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample("django"), &[]).await;
    assert!(
        output.contains("static file copied to '/app/staticfiles'"),
        "{output}"
    );
    machine.serves(&slug).await;
    let seen = machine
        .run(
            &slug,
            "python -c 'import django, os; print(os.getuid() > 0)'",
        )
        .await;
    assert_eq!(seen, "True");
    let (again, output) = machine
        .built(&sample("django"), &[("notes.txt", "second")])
        .await;
    assert!(!output.contains("Installing requirements"), "{output}");
    assert!(
        output.contains("-----> Using cached dependencies"),
        "{output}"
    );
    assert_eq!(slug.layers[..1], again.layers[..1]);
    machine.serves(&again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn express_is_built_and_served_without_development_modules() {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample("express"), &[]).await;
    machine.serves(&slug).await;
    let look = "node --version; ls public; ls node_modules | grep -c -e '^express$' -e '^esbuild$'";
    let seen = machine.run(&slug, look).await;
    assert!(
        seen.starts_with("v22.") && seen.ends_with("page.js\n1"),
        "{seen}\n{output}"
    );
    let (_, output) = machine
        .built(&sample("express"), &[("notes.txt", "second")])
        .await;
    assert!(!output.contains("Installing node modules"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn go_is_built_with_its_own_version_and_served() {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample("go"), &[]).await;
    assert!(output.contains("Using Go 1.25."), "{output}");
    // Its own package and its module's are compiled, and none of Go's.
    assert!(output.contains("example.com/shop/go-hello"), "{output}");
    assert!(
        !output.lines().any(|line| line.trim() == "net/http"),
        "{output}"
    );
    machine.serves(&slug).await;
    let changed = [("more.go", "package main\n\nvar more = 1\n")];
    let (again, output) = machine.built(&sample("go"), &changed).await;
    assert!(
        output.contains("Using cached install of Go 1.25."),
        "{output}"
    );
    assert!(!output.contains("go: downloading"), "{output}");
    machine.serves(&again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn static_sites_are_served() {
    let machine = Machine::open().await;
    let (slug, _) = machine.built(&sample("static"), &[]).await;
    machine.serves(&slug).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_requirement_fails_the_build() {
    let machine = Machine::open().await;
    let (result, output) = machine.build(&sample("failing-build"), &[]).await;
    assert!(
        matches!(result, Err(BuildError::Step { status: 1, .. })),
        "{output}"
    );
    assert!(
        output.contains("this-package-does-not-exist-on-any-index"),
        "{output}"
    );
    let left = machine.engine.list().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}
