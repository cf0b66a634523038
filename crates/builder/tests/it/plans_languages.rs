//! The plans of small apps of languages besides Python and Node.js, as builds show them.

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
        "gradle-versions" => Some((
            "catalogue.json",
            r#"[{"name": "gradle", "version": "4.4.1-22", "suite": "stack"}]"#,
        )),
        "gradle-build" => Some((".heroku/java/programs", "90 build/libs/shop.jar\n")),
        "elixir-versions" => Some((
            "catalogue.json",
            r#"[{"name": "elixir", "version": "1.18.3.dfsg-1", "suite": "stack"}]"#,
        )),
        "ruby-runtime-versions" => Some((
            "catalogue.json",
            r#"[{"name": "ruby3.3", "version": "3.3.13-0+deb13u1", "url": "u", "sha256": "s"}]"#,
        )),
        "php-runtime-versions" => Some((
            "catalogue.json",
            r#"[{"name": "php8.4-cli", "version": "8.4.11-1", "url": "u", "sha256": "s"}]"#,
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

const WRAPPER: &str = "distributionUrl=https\\://gradle.example/gradle-8.10.2-bin.zip\n";

#[tokio::test]
async fn a_gradle_wrapper_decides_the_gradle_and_so_the_java() {
    let files = [
        ("gradlew", ""),
        ("gradle/wrapper/gradle-wrapper.properties", WRAPPER),
        ("build.gradle.kts", "id(\"org.springframework.boot\")"),
        ("settings.gradle.kts", ""),
    ];
    insta::assert_snapshot!(steps_of(&files, &[]).await);
}

#[tokio::test]
async fn gradle_without_a_wrapper_is_the_stacks() {
    let host = [("MAVEN_MIRROR_URL", "http://mirror.test/maven")];
    let files = [("build.gradle", "apply plugin: 'application'")];
    insta::assert_snapshot!(steps_on(&host, &files, &[]).await);
}

const MIX: &str = "[app: :shop, version: \"1\"]\n{:phoenix, \"~> 1.8\"},\n\"assets.deploy\": []";

#[tokio::test]
async fn phoenix_compiles_its_dependencies_apart() {
    let files = [
        ("mix.exs", MIX),
        ("mix.lock", ""),
        ("config/prod.exs", ""),
        ("lib/shop.ex", ""),
    ];
    let config = [("HEX_API_KEY", "x")];
    insta::assert_snapshot!(steps_of(&files, &config).await);
}

const RAILS: &str = "GEM
  remote: https://gems.example/
  specs:
    pg (1.5.9)
    puma (6.4.0)
    rack (3.1.0)
    railties (8.0.0)
    rake (13.0.0)

PLATFORMS
  ruby
  x86_64-linux

DEPENDENCIES
  pg
  puma
  rails
";

#[tokio::test]
async fn rails_compiles_its_assets() {
    let files = [
        ("Gemfile", ""),
        ("Gemfile.lock", RAILS),
        ("Rakefile", ""),
        ("config.ru", ""),
    ];
    insta::assert_snapshot!(steps_of(&files, &[]).await);
}

#[tokio::test]
async fn a_rack_app_runs_no_task() {
    let lock = RAILS
        .replace("    railties (8.0.0)\n", "")
        .replace("  rails\n", "");
    let files = [
        ("Gemfile", ""),
        ("Gemfile.lock", lock.as_str()),
        ("config.ru", ""),
    ];
    insta::assert_snapshot!(steps_of(&files, &[("BUNDLE_WITHOUT", "test")]).await);
}

#[tokio::test]
async fn php_installs_packages_before_it_sees_the_source() {
    let files = [
        ("composer.json", r#"{"require": {"a/b": "^1"}}"#),
        (
            "composer.lock",
            r#"{"packages": [{"name": "a/b", "version": "1.0.0", "dist": {"type": "zip", "url": "u"}}], "platform": {}}"#,
        ),
        ("public/index.php", ""),
    ];
    insta::assert_snapshot!(steps_of(&files, &[]).await);
}
