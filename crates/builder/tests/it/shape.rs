//! What a source's own files and an app's settings do to its build.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use api::build_settings::BuildSettings;
use builder::{BuildOrder, Built};
use serde_json::json;

use crate::{
    played::python,
    workbench::{PlayedEngine, Workbench},
};

const APP: [(&str, &str); 3] = [
    ("manage.py", ""),
    ("requirements.txt", ""),
    ("Procfile", "web: gunicorn x"),
];

fn settings(value: serde_json::Value) -> BuildSettings {
    serde_json::from_value(value).unwrap()
}

/// A Python build whose steps write what they see of the environment; step → environment.
async fn seen(
    more: &[(&str, &str)],
    settings: BuildSettings,
) -> (BTreeMap<String, BTreeMap<String, String>>, String) {
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let noted = Arc::clone(&seen);
    let bench = Workbench::new(PlayedEngine::new(move |spec| {
        let step = spec.labels["step"].clone();
        noted.lock().unwrap().insert(step, spec.env.clone());
        let (mut lines, code) = python(spec)?;
        lines.push(format!("{:?}", spec.env));
        Some((lines, code))
    }));
    let mut request = bench.request(&[&APP[..], more].concat());
    let vars = [
        ("DATABASE_URL", "postgres://u:hidden-password@db/x"),
        ("NEXT_PUBLIC_API", "https://api.example.com"),
        ("PIP_INDEX_URL", "https://index.example.com"),
        ("STRIPE_SECRET", "sk_live_0123456789"),
    ];
    request.config_vars = vars
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let order = BuildOrder {
        settings,
        ..BuildOrder::new(request)
    };
    let outcome = bench.carry_out(order).await;
    assert!(outcome.result.is_ok(), "{}", outcome.output);
    let steps = seen.lock().unwrap().clone();
    (steps, outcome.output)
}

#[tokio::test]
async fn the_apps_own_commands_see_its_config_vars_and_package_managers_theirs() {
    let (steps, output) = seen(&[], BuildSettings::default()).await;
    let own = &steps["collectstatic"];
    assert_eq!(own["STRIPE_SECRET"], "sk_live_0123456789");
    let packages = &steps["python-packages"];
    assert_eq!(packages["PIP_INDEX_URL"], "https://index.example.com");
    assert!(!packages.contains_key("STRIPE_SECRET") && !packages.contains_key("DATABASE_URL"));
    assert!(output.contains("postgres://u:***@db/x"), "{output}");
    assert!(output.contains("https://api.example.com"), "{output}");
    for secret in ["sk_live_0123456789", "hidden-password"] {
        assert!(!output.contains(secret), "{output}");
    }
}

#[tokio::test]
async fn an_app_can_say_which_config_vars_its_builds_see() {
    let named = settings(json!({"config_vars": ["NEXT_PUBLIC_API"]}));
    let (steps, _) = seen(&[], named).await;
    let own = &steps["collectstatic"];
    assert_eq!(own["NEXT_PUBLIC_API"], "https://api.example.com");
    assert_eq!(own["PIP_INDEX_URL"], "https://index.example.com");
    assert!(!own.contains_key("STRIPE_SECRET") && !own.contains_key("DATABASE_URL"));
}

#[tokio::test]
async fn a_project_names_buildpacks_and_variables_of_its_build() {
    let project = "[[io.buildpacks.group]]\nid = \"heroku/python\"\n\
                   [[io.buildpacks.build.env]]\nname = \"MODE\"\nvalue = \"build\"\n\
                   [[io.buildpacks.build.env]]\nname = \"PIP_INDEX_URL\"\nvalue = \"of the project\"\n";
    let files = [("project.toml", project), ("package.json", "{}")];
    let (steps, output) = seen(&files, BuildSettings::default()).await;
    assert!(
        output.contains("-----> Using buildpack: heroku/python"),
        "{output}"
    );
    assert_eq!(steps["collectstatic"]["MODE"], "build");
    assert_eq!(
        steps["collectstatic"]["PIP_INDEX_URL"],
        "https://index.example.com"
    );

    let bench = Workbench::new(PlayedEngine::new(python));
    let wrong = bench.request(&[("project.toml", "[io]\n[io]\n")]);
    let outcome = bench.build(wrong).await;
    assert!(outcome.result.unwrap_err().is_about_the_source());
    assert!(
        outcome.output.contains(" !     project.toml line 2: "),
        "{}",
        outcome.output
    );
}

#[tokio::test]
async fn what_app_json_asks_for_and_nobody_set_is_said() {
    let text = r#"{"env": {"STRIPE_SECRET": {}, "SECRET_KEY": {"generator": "secret"}}}"#;
    let (_, output) = seen(&[("app.json", text)], BuildSettings::default()).await;
    assert!(output.contains(" !       SECRET_KEY\n"), "{output}");
    let (_, output) = seen(&[("app.json", "[")], BuildSettings::default()).await;
    assert!(
        output.contains(" !     app.json cannot be read: "),
        "{output}"
    );
}

#[tokio::test]
async fn what_is_not_watched_is_not_built() {
    let bench = Workbench::new(PlayedEngine::new(python));
    let watching = settings(json!({"root_directory": "api", "watch_paths": ["api"]}));
    let build = async |note: &str, code: &str, live: Option<String>| {
        let files = [
            ("notes", note),
            ("api/requirements.txt", ""),
            ("api/run.py", code),
        ];
        let order = BuildOrder {
            settings: watching.clone(),
            live,
            ..BuildOrder::new(bench.request(&files))
        };
        bench.carry_out(order).await
    };
    let first = build("1", "1", None).await;
    assert!(
        first.output.contains("-----> Building the directory api"),
        "{}",
        first.output
    );
    let live = first.slug().watch_digest.clone();
    assert!(live.is_some());
    let second = build("2", "1", live.clone()).await;
    assert_eq!(second.result.unwrap(), Built::Unchanged);
    assert!(
        second
            .output
            .contains("-----> No watched file has changed (api)"),
        "{}",
        second.output
    );
    let third = build("2", "2", live.clone()).await;
    assert_ne!(third.slug().watch_digest, live);
    let left = bench.builder.sweep().await.unwrap();
    assert_eq!(left.drafts, 0);
}
