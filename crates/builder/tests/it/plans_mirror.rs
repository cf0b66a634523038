//! Plans of languages whose runtimes come out of the mirror directory, as builds show them.

use std::fs;

use crate::{plans::steps_with, workbench::Workbench};

/// Puts an archive into the mirror directory; only its name and checksum are looked at here.
fn add(bench: &Workbench, name: &str) {
    let folder = bench.folder.path().join("cache/runtimes");
    fs::create_dir_all(&folder).unwrap();
    let arch = std::env::consts::ARCH;
    fs::write(folder.join(name.replace("ARCH", arch)), "abc").unwrap();
}

const WEB: &str =
    "<Project Sdk=\"Microsoft.NET.Sdk.Web\"><TargetFramework>net8.0</TargetFramework>";

#[tokio::test]
async fn dotnet_publishes_a_solution() {
    let files = [
        ("All.sln", "\"Shop\", \"Shop\\Shop.csproj\""),
        ("Shop/Shop.csproj", WEB),
    ];
    let archives = [
        "dotnet-8.0.404-landfall-13-ARCH.tar.gz",
        "dotnet-9.0.100-landfall-13-ARCH.tar.gz",
    ];
    let prepare = |bench: &Workbench| archives.iter().for_each(|name| add(bench, name));
    insta::assert_snapshot!(steps_with(prepare, &[], &files, &[]).await);
}

#[tokio::test]
async fn the_gradle_that_a_wrapper_pins_is_taken_from_the_mirror() {
    let properties = "distributionUrl=https\\://gradle.example/gradle-9.2.0-bin.zip\n\
        distributionSha256Sum=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    let files = [
        ("gradlew", ""),
        ("gradle/wrapper/gradle-wrapper.properties", properties),
        ("build.gradle", ""),
    ];
    let prepare = |bench: &Workbench| add(bench, "gradle-9.2.0-landfall-13-ARCH.zip");
    insta::assert_snapshot!(steps_with(prepare, &[], &files, &[]).await);
}
