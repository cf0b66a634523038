//! What is noted of builds, on an engine whose dynos are played.

use api::build_records::StepOutcome;
use builder::{BuildError, BuildOrder, BuildRequest, Journal, Noted};
use tokio::sync::mpsc;

use crate::{
    played::python,
    workbench::{PlayedEngine, Workbench},
};

const APP: [(&str, &str); 3] = [
    ("requirements.txt", "flask==3.1.0\n"),
    ("Procfile", "web: gunicorn app:app\n"),
    (".python-version", "3.13\n"),
];

async fn noted(bench: &Workbench, request: BuildRequest, former: Option<&Noted>) -> Noted {
    order(bench, request, None).await.1.noted(former)
}

async fn order(
    bench: &Workbench,
    request: BuildRequest,
    source_layer: Option<String>,
) -> (Result<Vec<String>, BuildError>, Journal) {
    let journal = Journal::new("secret");
    let order = BuildOrder {
        source_layer,
        journal: journal.clone(),
        ..BuildOrder::new(request)
    };
    let (sender, _) = mpsc::channel(1);
    let built = bench.builder.carry_out(order, sender).await;
    let layers = |built: builder::Built| built.slug().unwrap().layers;
    (built.map(layers), journal)
}

fn outcomes(noted: &Noted) -> Vec<(&str, StepOutcome, Vec<&str>)> {
    let steps = noted.course.steps.iter();
    steps
        .map(|step| {
            let because = step.because.iter().map(String::as_str).collect();
            (step.name.as_str(), step.outcome, because)
        })
        .collect()
}

#[tokio::test]
async fn each_step_is_cached_or_says_why_not() {
    let bench = Workbench::new(PlayedEngine::new(python));
    let first = noted(&bench, bench.request(&APP), None).await;
    let names: Vec<_> = first
        .course
        .steps
        .iter()
        .map(|step| step.name.as_str())
        .collect();
    assert!(names.contains(&"python-packages"), "{names:?}");
    for (step, outcome, because) in outcomes(&first) {
        assert_eq!(outcome, StepOutcome::Ran, "{step}");
        assert_eq!(because, ["no earlier build of this app had this step"]);
    }
    let version = &first.course.versions[0];
    assert_eq!(
        (version.name.as_str(), version.version.as_str()),
        ("Python", "3.13.5")
    );
    assert_eq!(version.reason, "specified in .python-version");
    assert_eq!(first.course.buildpacks, ["heroku/python"]);
    assert!(first.course.layers.iter().all(|layer| layer.is_new));

    let mut changed = APP;
    changed[0].1 = "flask==3.2.0\n";
    let second = noted(&bench, bench.request(&changed), Some(&first)).await;
    for (step, outcome, because) in outcomes(&second) {
        if step == "python-packages" {
            assert_eq!(outcome, StepOutcome::Ran);
            assert_eq!(because, ["file requirements.txt changed"]);
        } else {
            assert_eq!((outcome, because), (StepOutcome::Cached, vec![]), "{step}");
        }
    }
}

#[tokio::test]
async fn a_failed_build_has_its_notes() {
    let engine = PlayedEngine::new(|spec| match spec.labels["step"].as_str() {
        "python-packages" => Some((vec!["no such package".to_owned()], 1)),
        _ => python(spec),
    });
    let bench = Workbench::new(engine);
    let (built, journal) = order(&bench, bench.request(&APP), None).await;
    assert!(matches!(built, Err(BuildError::Step { .. })), "{built:?}");
    let noted = journal.noted(None);
    let last = noted.course.steps.last().unwrap();
    assert_eq!(
        (last.name.as_str(), last.outcome),
        ("python-packages", StepOutcome::Failed)
    );
    assert!(noted.source_layer.is_some());
}

#[tokio::test]
async fn a_build_is_done_again_from_the_source_that_is_kept() {
    let bench = Workbench::new(PlayedEngine::new(python));
    let (first, journal) = order(&bench, bench.request(&APP), None).await;
    let source = journal.noted(None).source_layer;
    let request = BuildRequest {
        archive: "/nonexistent".into(),
        ..bench.request(&[])
    };
    let (again, _) = order(&bench, request.clone(), source).await;
    assert_eq!(again.unwrap(), first.unwrap());
    let (gone, _) = order(&bench, request, Some("0".repeat(64))).await;
    assert!(matches!(gone, Err(BuildError::SourceGone)), "{gone:?}");
}
