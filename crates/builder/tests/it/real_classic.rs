//! Classic buildpacks of our own, run by real build dynos; they use every part of the API.

use std::path::{Path, PathBuf};

use builder::BuildError;

use crate::machine::Machine;

fn parts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/apps/parts")
}

fn says(output: &str, expected: &str) {
    assert!(output.contains(expected), "no {expected:?} in\n{output}");
}

#[tokio::test]
async fn classic_buildpacks_run_in_order_as_on_heroku() {
    let machine = Machine::open().await;
    let both = ["classic/first", "urn:buildpack:classic/second"];
    let (result, output) = machine.build_by(&both, &parts(), &[]).await;
    let slug = result.unwrap_or_else(|error| panic!("{error:?}\n{output}"));
    for line in [
        "-----> First app detected\n-----> Compiling in /tmp/build_, app at /app\n",
        "\n       stack heroku-24, source 0123abc, request known\n",
        "\n       config var hello, in the environment: no\n",
        "\n       run 1 with this cache\n",
        "\n-----> Second app detected\n-----> Second sees what the first has made\n       tool says first\n",
        "classic/first asks for add-ons, which are not made by a build: heroku-postgresql",
        "Procfile declares types          -> worker",
        "Default types for classic/second -> web",
    ] {
        says(&output, line);
    }
    assert_eq!(slug.language, "Second");
    assert_eq!(slug.buildpack, "classic/second");
    let types: Vec<_> = slug
        .process_types
        .iter()
        .map(|(name, command)| (name.as_str(), command.as_str()))
        .collect();
    let worker = r#"echo "$FIRST_PROFILE, $FIRST_DEFAULT" && first-tool inside"#;
    assert_eq!(types, [("web", "first-tool served"), ("worker", worker)]);
    assert_eq!(slug.layers.len(), 1);
    assert_eq!(
        machine.run(&slug, worker).await,
        "sourced, from the first\ntool says inside"
    );
    assert_eq!(
        machine.run(&slug, "ls -A").await,
        ".profile.d\nProcfile\nfile\nvendor"
    );

    let (again, output) = machine.build_by(&both, &parts(), &[]).await;
    again.unwrap();
    says(&output, "run 2 with this cache");

    // A built-in buildpack goes on from there, and has what was exported.
    let with = ["classic/first", "heroku/python"];
    let more = [
        ("requirements.txt", ""),
        ("bin/post_compile", "first-tool \"from $FIRST_HOME\""),
    ];
    let (result, output) = machine.build_by(&with, &parts(), &more).await;
    let slug = result.unwrap_or_else(|error| panic!("{error:?}\n{output}"));
    says(&output, "tool says from /app/vendor/first");
    assert_eq!(
        machine
            .run(&slug, "first-tool late && python -c 'print(1)'")
            .await,
        "tool says late\n1"
    );
}

#[tokio::test]
async fn a_classic_buildpack_that_fails_says_so_in_herokus_words() {
    let machine = Machine::open().await;
    let (result, output) = machine.build_by(&["classic/failing"], &parts(), &[]).await;
    assert!(
        matches!(
            result,
            Err(BuildError::Buildpack {
                status: 7,
                phase: "compile",
                ..
            })
        ),
        "{output}"
    );
    says(
        &output,
        "\n !     it does not work\n !     Push rejected, failed to compile Failing app.",
    );
    let more = [("undetected", "")];
    let (result, output) = machine
        .build_by(&["classic/failing"], &parts(), &more)
        .await;
    assert!(
        matches!(result, Err(BuildError::NotDetected { .. })),
        "{output}"
    );
    says(
        &output,
        " !     App not compatible with buildpack: classic/failing",
    );
    for missing in ["classic/none", "https://127.0.0.1/x.git", "file:///etc"] {
        let (result, _) = machine.build_by(&[missing], &parts(), &[]).await;
        assert!(
            result.is_err_and(|error| error.is_about_the_source()),
            "{missing}"
        );
    }
}
