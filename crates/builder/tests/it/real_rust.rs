//! The Rust sample, built by a real toolchain.

use crate::machine::{Machine, sample};

#[tokio::test(flavor = "multi_thread")]
async fn cargo_builds_and_downloads_nothing_twice() {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample("rust"), &[]).await;
    assert!(
        output.contains("Using Rust 1.85.1 for 1.85 in rust-toolchain.toml"),
        "{output}"
    );
    machine.serves(&slug).await;
    let changed = [
        ("notes.txt", "second"),
        (".cargo/config.toml", "[net]\noffline = true\n"),
    ];
    let (again, output) = machine.built(&sample("rust"), &changed).await;
    assert!(
        output.contains("Using cached install of Rust 1.85.1"),
        "{output}"
    );
    assert!(output.contains("Compiling rust-hello"), "{output}");
    machine.serves(&again).await;
}
