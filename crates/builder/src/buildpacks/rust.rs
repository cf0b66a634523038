//! Rust: a toolchain for `rust-toolchain.toml`, programs built by cargo with the lock file.
//!
//! Crates and compiled dependencies stay in a cache of the app's own. The build runs while the plan
//! is made, since which programs come of it decides the web command. Read [`plan`] first.

mod version;

use api::names::ProcessType;

use self::version::{Release, Request};
use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, app_env, base_env, debian, hash, lines, package_vars,
        run_all, script,
        sources::{mirror_step, mirrored_versions},
    },
    error::BuildError,
    execute::{CATALOGUE_FILE, CATALOGUE_TTL, Execution, Question},
    plan::{BuildPlan, Cache, LayerRef, Step},
    source_tree::SourceTree,
};

const HOME: &str = "/app/.heroku/rust";
/// Where programs are put, as everywhere.
const PROGRAMS: &str = "target/release";
/// The host's settings of where toolchains come from.
const HOST_VARIABLES: [&str; 1] = ["RUSTUP_DIST_SERVER"];
/// Most source files that are looked at for a port.
const MAX_FILES: usize = 200;

const CATALOGUE: &str = include_str!("scripts/rust_catalogue.sh");
const INSTALL: &str = include_str!("scripts/rust_toolchain.sh");
const BUILD: &str = include_str!("scripts/rust_build.sh");

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "landfall/rust",
    language: "Rust",
    looked_for: "a Cargo.toml",
    detects: |tree| tree.has_file("Cargo.toml"),
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

/// Finds a toolchain, and builds.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let manifest = manifest(&execution.tree)?;
    let request = version::requested(&execution.tree)?;
    let toolchain = find(context, execution, plan, &request).await?;
    let version = toolchain.name.clone();
    let mut lines = vec![Line::Heading(match request.origin {
        "" => format!("No Rust version was specified. Using the newest release: Rust {version}"),
        origin => format!("Using Rust {version} for {} in {origin}", request.channel),
    })];
    lines.extend(port_warning(&execution.tree, &manifest));
    for line in lines {
        line.put(&mut execution.output).await;
    }
    plan.steps.push(toolchain.step);
    plan.set_env("LANG", "C.UTF-8");
    plan.add_path(&format!("/app/{PROGRAMS}"));
    plan.keep_source();
    let build = build_step(context, plan);
    plan.keep(build.clone());
    run_all(execution, plan).await?;
    Ok(extended(execution, &build, &manifest))
}

/// A toolchain that was chosen, and how it gets here.
struct Toolchain {
    name: String,
    step: Step,
}

/// From the mirror directory, or by rustup.
async fn find(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
    request: &Request,
) -> Result<Toolchain, BuildError> {
    let stack = context.request.stack.as_str();
    let offers = mirrored_versions(&execution.workshop.runtimes, "rust", stack);
    if let Some((version, path)) = request.newest_of(&offers) {
        let step = mirror_step("rust", (HOME, "bin/cargo"), path)?;
        return Ok(Toolchain::new(context, version.to_string(), step));
    }
    let rustup = debian::packages(context, execution, "rustup", &["rustup"]).await?;
    execution.run(&rustup.step).await?;
    plan.steps.push(rustup.step);
    let env = rustup_env(context);
    let name = if request.is_exact() {
        request.channel.clone()
    } else {
        let server = env.get(HOST_VARIABLES[0]).map_or("", String::as_str);
        let question = Question {
            name: &format!("rust-{}-{}", request.channel, hash(server)),
            now: context.now,
            ttl: CATALOGUE_TTL,
        };
        let ask = ask_step(request, env.clone());
        request.exactly(&execution.catalogue::<Release>(question, &ask).await?)
    };
    let mut arguments = vec![HOME, name.as_str()];
    arguments.extend(request.targets.iter().map(String::as_str));
    let mut step = Step::run("rust", script("bash", INSTALL, &arguments));
    step.upon = vec![LayerRef::Step("rustup".to_owned())];
    step.env = env;
    Ok(Toolchain::new(context, name, step))
}

impl Toolchain {
    fn new(context: &Context<'_>, name: String, mut step: Step) -> Self {
        step.heading = vec![format!("Installing Rust {name}")];
        step.cached_heading = vec![format!("Using cached install of Rust {name}")];
        if step.env.is_empty() {
            step.env = base_env(context.request.stack.as_str());
        }
        step.advice = vec![
            format!("Rust {name} could not be installed; see the output above."),
            "hint: ask for a release that there is in rust-toolchain.toml, or have the operator of"
                .to_owned(),
            "this platform add it with `landfall runtimes:add`.".to_owned(),
        ];
        Self { name, step }
    }
}

fn rustup_env(context: &Context<'_>) -> std::collections::BTreeMap<String, String> {
    let mut env = base_env(context.request.stack.as_str());
    env.extend(package_vars(context.host_vars, &HOST_VARIABLES, &[]));
    debian::add_env(&mut env);
    env
}

fn ask_step(request: &Request, env: std::collections::BTreeMap<String, String>) -> Step {
    let output = format!("/app/{CATALOGUE_FILE}");
    let command = script("bash", CATALOGUE, &[&output, &request.channel]);
    let mut step = Step::run("rust-version", command);
    step.heading = vec![format!("Looking up Rust {}", request.channel)];
    step.upon = vec![LayerRef::Step("rustup".to_owned())];
    step.env = env;
    step.advice = lines(&[
        "This Rust cannot be had: no archive in the runtime mirror directory has it, and rustup",
        "does not find it. hint: see the output above, and rust-toolchain.toml.",
    ]);
    step
}

fn build_step(context: &Context<'_>, plan: &BuildPlan) -> Step {
    let mut step = Step::run("cargo-build", script("bash", BUILD, &[]));
    step.heading = vec!["Running: cargo build --release --locked".to_owned()];
    step.upon = vec![LayerRef::Step("rust".to_owned())];
    step.upon.extend(plan.slug.iter().cloned());
    step.env = app_env(context, plan);
    let path = step
        .env
        .get("PATH")
        .map_or(super::STACK_PATH, String::as_str);
    let path = format!("{HOME}/bin:{path}");
    step.env.insert("PATH".to_owned(), path);
    step.caches = vec![Cache {
        name: "rust".to_owned(),
    }];
    // A build script is a program, and may look at more than its source.
    step.is_reusable = false;
    step.advice = lines(&[
        "The app could not be compiled; see the output above.",
        "hint: `cargo build --release --locked` fails in the same way on your machine with the same",
        "version; where the lock file is behind, run `cargo update --workspace` and commit it.",
    ]);
    step
}

/// The root manifest of an app that can be built.
fn manifest(tree: &SourceTree) -> Result<toml::Table, BuildError> {
    let text = tree.read_text("Cargo.toml").unwrap_or_default();
    let manifest: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let problem = format!("Cargo.toml is not valid: {}", error.message());
        let advice = lines(&["hint: run `cargo metadata` on your machine."]);
        BuildError::Source { problem, advice }
    })?;
    if !tree.has_file("Cargo.lock") {
        return Err(BuildError::Source {
            problem: "The app has no Cargo.lock.".to_owned(),
            advice: lines(&[
                "hint: run `cargo generate-lockfile`, take Cargo.lock out of .gitignore, and commit it:",
                "an app that is deployed is built with the versions that it was tried with.",
            ]),
        });
    }
    let has_program = tree.has_file("src/main.rs")
        || !tree.list("src/bin").is_empty()
        || manifest.contains_key("bin")
        || manifest.contains_key("workspace");
    if !has_program {
        return Err(BuildError::Source {
            problem: "Cargo.toml makes no program: there is no src/main.rs, src/bin or [[bin]]."
                .to_owned(),
            advice: lines(&["hint: push the crate or the workspace that holds the server."]),
        });
    }
    Ok(manifest)
}

/// Warns of an app none of whose files speaks of its port.
fn port_warning(tree: &SourceTree, manifest: &toml::Table) -> Option<Line> {
    if is_rocket(manifest) || manifest.contains_key("workspace") || tree.has_file("Procfile") {
        return None;
    }
    let mut folders = vec!["src".to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for name in tree.list(&folder) {
            let path = format!("{folder}/{name}");
            if let Some(folder) = path.strip_suffix('/') {
                folders.push(folder.to_owned());
                continue;
            }
            seen += 1;
            if seen > MAX_FILES
                || tree
                    .read_text(&path)
                    .is_some_and(|text| text.contains("PORT"))
            {
                return None;
            }
        }
    }
    Some(Line::Warning(
        "No file in src speaks of PORT: a server has to listen on the port in that variable, on 0.0.0.0."
            .to_owned(),
    ))
}

fn is_rocket(manifest: &toml::Table) -> bool {
    let dependencies = manifest.get("dependencies");
    dependencies.is_some_and(|dependencies| dependencies.get("rocket").is_some())
}

/// The web command for the programs that a build left.
fn extended(execution: &Execution, build: &Step, manifest: &toml::Table) -> Extended {
    let mut extended = Extended::default();
    let built = execution.layer(&LayerRef::Step(build.name.clone()));
    let programs = built.map_or_else(Vec::new, |layer| {
        SourceTree::new(execution.workshop.layers.path(&layer.key)).list(PROGRAMS)
    });
    if let (Some(command), Ok(web)) = (
        web_command(&programs, manifest),
        "web".parse::<ProcessType>(),
    ) {
        extended.default_types.insert(web, command);
    } else if !execution.tree.has_file("Procfile") {
        extended.lines.push(Line::Warning(format!(
            "Which of these serves is not clear: {}. Say so in a Procfile: `web: target/release/NAME`.",
            programs.join(", ")
        )));
    }
    extended
}

/// The only program, or the one that the manifest or its name says.
fn web_command(programs: &[String], manifest: &toml::Table) -> Option<String> {
    let package = manifest.get("package");
    let stated = |key: &str| package?.get(key)?.as_str();
    let wishes = [
        stated("default-run"),
        Some("web"),
        Some("server"),
        stated("name"),
    ];
    let named = wishes.into_iter().flatten();
    let mut named = named.filter_map(|name| programs.iter().find(|program| *program == name));
    let program = match programs {
        [only] => only,
        _ => named.next()?,
    };
    let settings = if is_rocket(manifest) {
        "ROCKET_ADDRESS=0.0.0.0 ROCKET_PORT=$PORT "
    } else {
        ""
    };
    Some(format!("{settings}/app/{PROGRAMS}/{program}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check_refused(files: &[(&str, &str)], expected: &str) {
        let error = manifest(&source_of(files).1).unwrap_err();
        assert_eq!(error.to_string(), expected, "{files:?}");
    }

    #[test]
    fn what_cannot_be_built_is_said_early() {
        check_refused(
            &[("Cargo.toml", "[package]"), ("src/main.rs", "")],
            "The app has no Cargo.lock.",
        );
        check_refused(
            &[
                ("Cargo.toml", "[package]"),
                ("Cargo.lock", ""),
                ("src/lib.rs", ""),
            ],
            "Cargo.toml makes no program: there is no src/main.rs, src/bin or [[bin]].",
        );
    }

    #[test]
    fn the_program_that_serves_is_found() {
        let check = |programs: &[&str], manifest: &str, expected: Option<&str>| {
            let programs: Vec<String> = programs.iter().map(|name| (*name).to_owned()).collect();
            let found = web_command(&programs, &manifest.parse().unwrap());
            assert_eq!(found.as_deref(), expected, "{programs:?}");
        };
        let shop = "[package]\nname = 'shop'";
        check(&["x"], shop, Some("/app/target/release/x"));
        check(&["shop", "tool"], shop, Some("/app/target/release/shop"));
        check(&["shop", "web"], shop, Some("/app/target/release/web"));
        let stated = "[package]\nname = 'shop'\ndefault-run = 'tool'";
        check(&["shop", "tool"], stated, Some("/app/target/release/tool"));
        check(&["a", "b"], shop, None);
        check(
            &["x"],
            "[dependencies]\nrocket = '0.5'",
            Some("ROCKET_ADDRESS=0.0.0.0 ROCKET_PORT=$PORT /app/target/release/x"),
        );
    }

    #[test]
    fn a_server_without_its_port_is_warned_of() {
        let check = |code: &str, warns: bool| {
            let files = [("src/main.rs", "mod net;"), ("src/net/mod.rs", code)];
            let warning = port_warning(&source_of(&files).1, &toml::Table::new());
            assert_eq!(warning.is_some(), warns, "{code}");
        };
        check("var(\"PORT\")", false);
        check("bind(\"127.0.0.1:3000\")", true);
    }
}
