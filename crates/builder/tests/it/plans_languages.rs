//! The plans of small apps of Java, Rust, Deno and Bun, as builds show them.

use crate::plans::{steps_of, steps_on};

const JDKS: &str = r#"[
    {"name": "maven", "version": "3.9.9-1", "suite": "stack"},
    {"name": "openjdk-21-jdk-headless", "version": "21.0.12.1+1-1~deb13u1", "suite": "stack"},
    {"name": "openjdk-25-jdk-headless", "version": "25.0.3+9-2~deb13u1", "suite": "stack"}]"#;

/// What played steps of these languages leave behind: a path and its content.
pub(crate) fn left_by(step: &str) -> Option<(&'static str, &'static str)> {
    match step {
        "java-versions" => Some(("catalogue.json", JDKS)),
        "maven-build" => Some((
            ".heroku/java/programs",
            "90 target/shop.jar\n8 target/tool.jar\n",
        )),
        "rustup-versions" => Some((
            "catalogue.json",
            r#"[{"name": "rustup", "version": "1.27.1-3", "url": "u", "sha256": "s"}]"#,
        )),
        "rust-version" => Some((
            "catalogue.json",
            r#"{"date": "2026-10-15", "version": "1.99.1"}"#,
        )),
        "cargo-build" => Some(("target/release/shop", "")),
        "deno-versions" | "bun-versions" => Some((
            "catalogue.json",
            r#"{"p": [{"version": "1.4.5", "engines": null, "url": "u", "integrity": "sha512-1"},
                {"version": "2.9.6", "engines": null, "url": "u", "integrity": "sha512-2"}]}"#,
        )),
        _ => None,
    }
}

#[tokio::test]
async fn a_spring_boot_app_with_its_own_maven() {
    let files = [
        ("pom.xml", "<groupId>org.springframework.boot</groupId>"),
        ("mvnw", ""),
        (".mvn/wrapper/maven-wrapper.properties", ""),
        ("system.properties", "java.runtime.version=21"),
    ];
    insta::assert_snapshot!(steps_of(&files, &[]).await);
}

#[tokio::test]
async fn the_hosts_mirror_is_used_for_maven_too() {
    let host = [("MAVEN_MIRROR_URL", "http://mirror.test/maven")];
    let files = [
        ("pom.xml", "<maven.compiler.release>17</"),
        ("Procfile", "web: x"),
    ];
    insta::assert_snapshot!(steps_on(&host, &files, &[]).await);
}

#[tokio::test]
async fn rust_channels_become_releases() {
    let files = [
        ("Cargo.toml", "[package]\nname = 'shop'"),
        ("Cargo.lock", ""),
        ("src/main.rs", "PORT"),
    ];
    insta::assert_snapshot!(steps_of(&files, &[]).await);
}

#[tokio::test]
async fn deno_installs_frozen_and_runs_its_build() {
    let files = [
        ("deno.json", r#"{"tasks": {"build": "x"}}"#),
        ("deno.lock", "{}"),
        ("main.ts", "export default {}"),
    ];
    insta::assert_snapshot!(steps_of(&files, &[]).await);
}

#[tokio::test]
async fn bun_installs_by_the_lock_file_alone() {
    let files = [
        ("package.json", r#"{"dependencies": {"a": "1"}}"#),
        ("bun.lock", ""),
        ("index.ts", ""),
    ];
    insta::assert_snapshot!(steps_of(&files, &[]).await);
}
