//! Cloud Native Buildpacks of our own, run by real build dynos; they use every part of the API.

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
async fn cloud_native_buildpacks_detect_build_and_launch() {
    let machine = Machine::open().await;
    let suite = ["cnb/suite"];
    let (result, output) = machine.build_by(&suite, &parts(), &[]).await;
    let slug = result.unwrap_or_else(|error| panic!("{error:?}\n{output}"));
    for line in [
        "-----> landfall-tests/tool 1.0.0\nasked for 1 of version \"5\"\n",
        "\nconfig var hello, file hello, on linux\n",
        "\nrun 1, store\n",
        "\nmaking the layer for dynos\n",
        "-----> landfall-tests/app 1.0.0\nkit for one\n",
    ] {
        says(&output, line);
    }
    let types: Vec<_> = slug
        .process_types
        .iter()
        .map(|(name, command)| (name.as_str(), command.as_str()))
        .collect();
    let print = r"echo $WHO 'it'\''s' '$WHO'";
    assert_eq!(types, [("print", print), ("web", "'dyno-tool'")]);
    // The test's dynos are all called web.1.
    assert_eq!(
        machine
            .run(&slug, "export WHO; dyno-tool; cat made-by-app; ls")
            .await,
        "dyno tool: me, by $(env), no kit, it is me's, web only, too\nkit for one\nmade-by-app\npart"
    );
    assert_eq!(machine.run(&slug, print).await, "me it's $WHO");
    let kept = "ls .cnb/layers/landfall-tests_tool && cat .cnb/labels.json .cnb/sbom/launch/*/*";
    assert_eq!(
        machine.run(&slug, kept).await,
        "dyno\n{\"a label\":\"its value\"}{\"bomFormat\": \"CycloneDX\"}"
    );

    let more = [("another", "")];
    let (result, output) = machine.build_by(&suite, &parts(), &more).await;
    let again = result.unwrap_or_else(|error| panic!("{error:?}\n{output}"));
    says(&output, "\nrun 2, store 1\n");
    says(&output, "\nusing the layer for dynos again\n");
    let shared = again.layers.iter().filter(|key| slug.layers.contains(key));
    assert!(
        shared.count() >= 1,
        "the dynos' layer is the same\n{output}"
    );
    says(
        &machine.run(&again, "dyno-tool").await,
        "dyno tool: me, by $(env), no kit",
    );
}

#[tokio::test]
async fn a_group_that_does_not_fit_is_explained() {
    let machine = Machine::open().await;
    let empty = tempfile::tempdir().unwrap();
    let (result, output) = machine.build_by(&["cnb/suite"], empty.path(), &[]).await;
    assert!(
        matches!(result, Err(BuildError::NotDetected { .. })),
        "{output}"
    );
    says(
        &output,
        "landfall-tests/tool 1.0.0 does not find what it builds",
    );
    says(&output, "no greeting");
}
