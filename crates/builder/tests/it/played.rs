//! What the builder does around its steps: reuse, failure, cancellation, leftovers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use builder::{BuildError, BuildOrder};
use engine::{DynoSpec, Engine as _};

use crate::workbench::{Outcome, Played, PlayedEngine, Workbench, leave};

const CATALOGUE: &str = r#"{"stack": "3.13.5", "debian": [], "upstream": []}"#;

/// Plays the steps of a Python build, each leaving one small file.
#[expect(clippy::unnecessary_wraps, reason = "the shape that plays have")]
pub(crate) fn python(spec: &DynoSpec) -> Played {
    match spec.labels["step"].as_str() {
        "python-versions" => leave(spec, "catalogue.json", CATALOGUE),
        step => leave(spec, &format!("made-by/{step}"), "x"),
    }
    Some((vec![format!("did {}", spec.labels["step"])], 0))
}

fn started(engine: &PlayedEngine) -> Vec<String> {
    std::mem::take(&mut *engine.started.lock().unwrap())
}

#[tokio::test]
async fn a_second_build_does_only_what_changed() {
    let engine = PlayedEngine::new(python);
    let bench = Workbench::new(Arc::clone(&engine) as Arc<_>);
    let first = [
        ("requirements.txt", "django"),
        ("manage.py", ""),
        ("Procfile", "web: gunicorn x"),
    ];
    let one = bench.build(bench.request(&first)).await;
    let all = ["uv", "python-versions", "python-packages", "collectstatic"];
    assert_eq!(started(&engine), all, "{}", one.output);
    assert!(
        one.output.contains("-----> Layers: 0 reused, 4 new"),
        "{}",
        one.output
    );

    let changed = [
        ("requirements.txt", "django"),
        ("manage.py", "# new"),
        ("Procfile", "web: gunicorn x"),
    ];
    let two = bench.build(bench.request(&changed)).await;
    assert_eq!(started(&engine), ["collectstatic"], "{}", two.output);
    assert!(
        two.output
            .contains("-----> Using cached dependencies (requirements.txt is unchanged)")
    );
    assert_ne!(one.slug().checksum, two.slug().checksum);

    let dependencies = [("requirements.txt", "django\nx"), ("manage.py", "# new")];
    let three = bench.build(bench.request(&dependencies)).await;
    assert_eq!(
        started(&engine),
        ["python-packages", "collectstatic"],
        "{}",
        three.output
    );
}

#[tokio::test]
async fn a_slug_is_its_layers_process_types_and_environment() {
    let bench = Workbench::new(PlayedEngine::new(python));
    let files = [
        ("requirements.txt", ""),
        ("Procfile", "web: gunicorn x\nworker: python w.py\n"),
    ];
    let built = bench.build(bench.request(&files)).await;
    let slug = built.slug();
    assert_eq!(
        (slug.language.as_str(), slug.buildpack.as_str()),
        ("Python", "heroku/python")
    );
    let types: Vec<_> = slug
        .process_types
        .iter()
        .map(|(name, command)| (name.as_str(), &**command))
        .collect();
    assert_eq!(types, [("web", "gunicorn x"), ("worker", "python w.py")]);
    assert!(slug.env["PATH"].starts_with("/app/.heroku/python/bin:/usr/local/sbin:"));
    let whole: Vec<_> = slug.layers.iter().map(|key| bench.layer(key)).collect();
    assert!(
        whole
            .iter()
            .any(|layer| layer.join("made-by/python-packages").is_file())
    );
    assert!(
        whole
            .iter()
            .any(|layer| layer.join(".profile.d/python.sh").is_file())
    );
    assert!(whole.last().unwrap().join("Procfile").is_file());
    assert!(
        !whole.iter().any(|layer| layer.join("made-by/uv").is_file()),
        "tools stay out"
    );
}

#[tokio::test]
async fn output_looks_like_herokus() {
    let bench = Workbench::new(PlayedEngine::new(python));
    let files = [
        ("requirements.txt", ""),
        ("Procfile", "web: a\nworker: b\n"),
    ];
    let built = bench.build(bench.request(&files)).await;
    insta::with_settings!({filters => vec![(r"\d+\.\d[KMG]", "[size]")]}, {
        insta::assert_snapshot!(built.output);
    });
}

async fn failed(files: &[(&str, &str)], play: fn(&DynoSpec) -> Played) -> Outcome {
    let bench = Workbench::new(PlayedEngine::new(play));
    let outcome = bench.build(bench.request(files)).await;
    assert!(outcome.result.is_err(), "{}", outcome.output);
    outcome
}

fn failing(spec: &DynoSpec) -> Played {
    match spec.labels["step"].as_str() {
        "python-packages" => Some((vec!["No matching distribution".to_owned()], 2)),
        _ => python(spec),
    }
}

#[tokio::test]
async fn a_failing_step_says_why() {
    let outcome = failed(&[("requirements.txt", "nope")], failing).await;
    let Err(BuildError::Step {
        step,
        status,
        last_lines,
        ..
    }) = &outcome.result
    else {
        panic!("{}", outcome.output)
    };
    assert_eq!((step.as_str(), *status), ("python-packages", 2));
    assert_eq!(last_lines, &["No matching distribution"]);
    let expected = "       No matching distribution\n !     The build step failed (exit status 2)\n !\n !     The dependencies";
    assert!(outcome.output.contains(expected), "{}", outcome.output);
}

#[tokio::test]
async fn sources_that_cannot_be_built_are_refused() {
    let check = async |files: &[(&str, &str)], expected: &str| {
        let outcome = failed(files, python).await;
        assert!(
            outcome
                .result
                .as_ref()
                .is_err_and(BuildError::is_about_the_source)
        );
        assert!(
            outcome.output.contains(&format!("\n !     {expected}")),
            "{}",
            outcome.output
        );
    };
    check(
        &[("README", "")],
        "No default language could be detected for this app.",
    )
    .await;
    check(
        &[
            ("requirements.txt", ""),
            ("Procfile", "web: a\nbad type: b"),
        ],
        "Procfile line 2: `bad type` is not a valid process type",
    )
    .await;
    check(
        &[("manage.py", "")],
        "Couldn't find any supported Python package manager files.",
    )
    .await;
    check(
        &[("requirements.txt", ""), (".python-version", "3.9")],
        "Python 3.9 is not available",
    )
    .await;
    check(&[("package.json", "{")], "Unable to parse package.json").await;
    check(&[("static.json", "[]")], "Unable to parse static.json").await;
}

#[tokio::test]
async fn chosen_buildpacks_are_used_in_their_order() {
    let bench = Workbench::new(PlayedEngine::new(python));
    let choose = async |files: &[(&str, &str)], names: &[&str]| {
        let mut request = bench.request(files);
        request.buildpacks = names.iter().map(|name| (*name).to_owned()).collect();
        bench.build(request).await
    };
    let both = [("requirements.txt", ""), ("index.html", "")];
    let built = choose(&both, &["heroku/static", "urn:buildpack:heroku/python"]).await;
    assert_eq!(built.slug().buildpack, "heroku/python");
    let built = choose(&both, &["heroku/python", "heroku/static"]).await;
    assert_eq!(
        built.slug().process_types.len(),
        1,
        "the last one's default"
    );
    let unknown = choose(&both, &["me/buildpack"]).await;
    assert!(matches!(
        unknown.result,
        Err(BuildError::UnknownBuildpack { .. })
    ));
    let wrong = choose(&both, &["heroku/nodejs"]).await;
    assert!(
        wrong
            .output
            .contains(" !     App not compatible with buildpack: heroku/nodejs")
    );
}

/// Set when the step that never ends has begun.
static HANGING: AtomicBool = AtomicBool::new(false);

#[tokio::test]
async fn a_dropped_build_leaves_no_dyno() {
    let engine = PlayedEngine::new(|spec| {
        HANGING.store(true, Ordering::SeqCst);
        leave(spec, "half", "x");
        None
    });
    let bench = Workbench::new(Arc::clone(&engine) as Arc<_>);
    let request = bench.request(&[("requirements.txt", "")]);
    let builder = bench.builder.clone();
    let (sender, _receiver) = tokio::sync::mpsc::channel(64);
    let build = tokio::spawn(async move {
        builder
            .carry_out(BuildOrder::new(request), sender)
            .await
            .map(drop)
    });
    while !HANGING.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    build.abort();
    assert!(build.await.is_err());
    while !engine.list().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        bench.builder.sweep().await.unwrap().drafts,
        0,
        "drafts went with the build"
    );
}

#[tokio::test]
async fn sweeping_removes_what_another_process_left() {
    let engine = PlayedEngine::new(|_| None);
    let bench = Workbench::new(Arc::clone(&engine) as Arc<_>);
    let mut spec = orphan();
    engine.start(spec.clone()).await.unwrap();
    spec.id = api::ids::DynoId::new();
    spec.kind = engine::DynoKind::Formation;
    engine.start(spec).await.unwrap();
    let swept = bench.builder.sweep().await.unwrap();
    assert_eq!((swept.dynos, engine.list().await.unwrap().len()), (1, 1));
}

fn orphan() -> DynoSpec {
    DynoSpec {
        id: api::ids::DynoId::new(),
        app: api::ids::AppId::new(),
        name: "build.1".parse().unwrap(),
        kind: engine::DynoKind::Build,
        stack: "landfall-13".parse().unwrap(),
        layers: Vec::new(),
        image: None,
        capture: None,
        binds: Vec::new(),
        command: Vec::new(),
        env: std::collections::BTreeMap::new(),
        port: None,
        limits: engine::Limits {
            memory_bytes: 0,
            cpu_weight: 1,
            pids: 1,
            ..engine::Limits::default()
        },
        stdio: engine::Stdio::Logged,
        is_restarted_unattended: false,
        labels: [("build".to_owned(), api::ids::BuildId::new().to_string())].into(),
    }
}

#[tokio::test]
async fn two_builds_of_the_same_dependencies_install_them_once() {
    let engine = PlayedEngine::new(python);
    let bench = Workbench::new(Arc::clone(&engine) as Arc<_>);
    let files = [("requirements.txt", "django")];
    let (one, two) = tokio::join!(
        bench.build(bench.request(&files)),
        bench.build(bench.request(&files))
    );
    assert_eq!(one.slug().layers, two.slug().layers);
    let installs = started(&engine)
        .iter()
        .filter(|step| *step == "python-packages")
        .count();
    assert_eq!(installs, 1);
}
