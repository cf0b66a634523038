//! Bun: the runtime out of the package registry, modules by the frozen lock file, the build script.
//!
//! Read [`plan`] first.

use api::names::ProcessType;
use serde_json::Value;

use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, app_env, base_env, lines,
        npm_runtime::{Kind, Request, Runtime},
        package_vars, tool_versions,
    },
    error::BuildError,
    execute::Execution,
    plan::{BuildPlan, Cache, LayerRef, Step},
    source_tree::SourceTree,
};

const KIND: Kind = Kind {
    name: "bun",
    title: "Bun",
    packages: ["@oven/bun-linux-x64", "@oven/bun-linux-aarch64"],
    home: "/app/.heroku/bun",
    program: "bin/bun",
    default: "1.x",
};
const LOCKS: [&str; 2] = ["bun.lock", "bun.lockb"];
const PACKAGE: &str = "package.json";
/// Files that decide what is installed.
const INPUTS: [&str; 5] = [PACKAGE, "bun.lock", "bun.lockb", "bunfig.toml", ".npmrc"];
/// Files that are likely to be the program, first one first.
const ENTRIES: [&str; 10] = [
    "index.ts",
    "index.tsx",
    "index.js",
    "server.ts",
    "server.js",
    "src/index.ts",
    "src/index.tsx",
    "src/server.ts",
    "app.ts",
    "main.ts",
];

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "landfall/bun",
    language: "Bun",
    looked_for: "a bun.lock, bun.lockb or bunfig.toml",
    detects,
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

/// Before Node.js, whose `package.json` is there as well.
fn detects(tree: &SourceTree) -> bool {
    let files = [LOCKS[0], LOCKS[1], "bunfig.toml"];
    files.iter().any(|file| tree.has_file(file)) && !super::has_node_lock(tree)
}

/// Finds a runtime, and adds the steps.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let app = App::read(&execution.tree)?;
    let runtime = Runtime::find(context, execution, &KIND, &app.request).await?;
    let said: Vec<Line> = vec![runtime.line(&KIND, &app.request)];
    app.extend(context, runtime, plan);
    let default_types = app.web.clone().and_then(|command| {
        let web: ProcessType = "web".parse().ok()?;
        Some((web, command))
    });
    Ok(Extended {
        lines: said,
        default_types: default_types.into_iter().collect(),
    })
}

/// What an app says of itself.
struct App {
    request: Request,
    has_modules: bool,
    /// Whether installing looks at more than [`INPUTS`].
    needs_source: bool,
    has_build: bool,
    web: Option<String>,
    inputs: Vec<String>,
}

impl App {
    fn read(tree: &SourceTree) -> Result<Self, BuildError> {
        let text = tree.read_text(PACKAGE).unwrap_or_else(|| "{}".to_owned());
        let package: Value = serde_json::from_str(&text).map_err(|error| BuildError::Source {
            problem: format!("{PACKAGE} is not valid: {error}"),
            advice: lines(&["hint: run `bun install` on your machine."]),
        })?;
        let has = |key: &str| {
            let object = package.get(key).and_then(Value::as_object);
            object.is_some_and(|object| !object.is_empty())
        };
        let script = |name: &str| {
            package
                .get("scripts")
                .and_then(|scripts| scripts.get(name))
                .is_some()
        };
        let has_modules = has("dependencies") || has("devDependencies");
        if has_modules && !LOCKS.iter().any(|lock| tree.has_file(lock)) {
            return Err(BuildError::Source {
                problem: "The app has modules and no bun.lock.".to_owned(),
                advice: lines(&[
                    "hint: run `bun install` on your machine and commit bun.lock: an app that is deployed is",
                    "built with the versions that it was tried with.",
                ]),
            });
        }
        let is_local = |value: &Value| {
            value.as_str().is_some_and(|text| {
                ["file:", "link:", "workspace:"]
                    .iter()
                    .any(|mark| text.starts_with(mark))
            })
        };
        let has_local = ["dependencies", "devDependencies"].iter().any(|key| {
            let object = package.get(key).and_then(Value::as_object);
            object.is_some_and(|object| object.values().any(is_local))
        });
        let installs = ["preinstall", "install", "postinstall", "prepare"];
        Ok(Self {
            request: requested(tree, &package),
            has_modules,
            needs_source: package.get("workspaces").is_some()
                || package.get("patchedDependencies").is_some()
                || has_local
                || installs.iter().any(|name| script(name)),
            has_build: script("build"),
            web: web(tree, &package),
            inputs: INPUTS
                .iter()
                .filter(|file| tree.has_file(file))
                .map(|file| (*file).to_owned())
                .collect(),
        })
    }

    fn extend(&self, context: &Context<'_>, runtime: Runtime, plan: &mut BuildPlan) {
        plan.set_env("LANG", "C.UTF-8");
        plan.set_env("NODE_ENV", "production");
        plan.add_path("/app/node_modules/.bin");
        plan.add_path(&format!("{}/bin", KIND.home));
        let registry = runtime.registry.clone();
        plan.keep(runtime.step);
        if self.has_modules {
            if self.needs_source {
                plan.keep_source();
            }
            let modules = self.modules_step(context, plan, registry);
            plan.keep(modules);
        }
        plan.keep_source();
        if self.has_build {
            let command = ["bun", "run", "build"].map(str::to_owned).to_vec();
            let mut build = Step::run("bun-build", command);
            build.heading = vec!["Build: running bun run build".to_owned()];
            build.upon.clone_from(&plan.slug);
            build.env = app_env(context, plan);
            build.is_reusable = false;
            build.advice =
                lines(&["The `build` script of package.json failed; see the output above."]);
            plan.keep(build);
        }
    }

    fn modules_step(
        &self,
        context: &Context<'_>,
        plan: &BuildPlan,
        registry: Option<String>,
    ) -> Step {
        let mut command = ["bun", "install", "--frozen-lockfile"]
            .map(str::to_owned)
            .to_vec();
        // What the build needs cannot be told from what the app needs but by running it.
        if !self.has_build {
            command.push("--production".to_owned());
        }
        let mut step = Step::run("bun-modules", command.clone());
        step.heading = vec![format!("Installing modules using '{}'", command.join(" "))];
        step.cached_heading = vec!["Using cached modules (the lock file is unchanged)".to_owned()];
        if self.needs_source {
            step.upon.clone_from(&plan.slug);
        } else {
            step.upon = vec![LayerRef::Step(KIND.name.to_owned())];
            step.files.clone_from(&self.inputs);
        }
        step.env = base_env(context.request.stack.as_str());
        let path = format!("{}/bin:{}", KIND.home, super::STACK_PATH);
        step.env.insert("PATH".to_owned(), path);
        step.env
            .insert("BUN_INSTALL_CACHE_DIR".to_owned(), "/cache/bun".to_owned());
        step.env
            .extend(registry.map(|url| ("NPM_CONFIG_REGISTRY".to_owned(), url)));
        let vars = &context.request.config_vars;
        step.env
            .extend(package_vars(vars, &["BUN_", "NPM_", "npm_config_"], &[]));
        step.caches = vec![Cache {
            name: "bun".to_owned(),
        }];
        step.advice = lines(&[
            "The modules could not be installed; see the output above.",
            "hint: when package.json and the lock file do not agree, run `bun install` on your machine",
            "and commit bun.lock.",
        ]);
        step
    }
}

/// The app's wish for a version.
fn requested(tree: &SourceTree, package: &Value) -> Request {
    let pinned = package.get("packageManager").and_then(Value::as_str);
    let pinned = pinned.and_then(|text| text.strip_prefix("bun@"));
    let pinned = pinned
        .and_then(|text| text.split('+').next())
        .map(str::to_owned);
    let engine = package
        .get("engines")
        .and_then(|engines| engines.get("bun"));
    let engine = engine.and_then(Value::as_str).map(str::to_owned);
    let file = tree
        .read_text(".bun-version")
        .map(|text| text.trim().to_owned());
    let stated = [
        (".bun-version", file),
        (".tool-versions", tool_versions::pinned(tree, "bun")),
        ("mise.toml", tool_versions::mise(tree, "bun")),
        ("package.json (packageManager)", pinned),
        ("package.json (engines)", engine),
    ];
    let mut stated = stated
        .into_iter()
        .filter_map(|(origin, text)| Some((origin, text?)));
    let (origin, text) = stated.next().unwrap_or(("", KIND.default.to_owned()));
    Request { text, origin }
}

fn web(tree: &SourceTree, package: &Value) -> Option<String> {
    let start = package
        .get("scripts")
        .and_then(|scripts| scripts.get("start"));
    if start.is_some() {
        return Some("bun run start".to_owned());
    }
    let stated = ["module", "main"]
        .iter()
        .find_map(|key| package.get(key)?.as_str());
    let stated = stated.filter(|path| tree.has_file(path) && is_plain(path));
    let entry = stated.or_else(|| ENTRIES.into_iter().find(|path| tree.has_file(path)))?;
    Some(format!("bun run {entry}"))
}

/// Whether a path means itself in a command line.
fn is_plain(path: &str) -> bool {
    !path.starts_with('-')
        && path
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check(files: &[(&str, &str)], expected: &str) {
        let shown = match App::read(&source_of(files).1) {
            Ok(app) => format!(
                "{} of {}: {}",
                app.request.text,
                app.request.origin,
                app.web.unwrap_or_default()
            ),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{files:?}");
    }

    #[test]
    fn apps_say_what_they_are() {
        let lock = ("bun.lock", "");
        check(&[lock, ("index.ts", "")], "1.x of : bun run index.ts");
        check(
            &[
                lock,
                (".bun-version", "1.2.3\n"),
                (PACKAGE, r#"{"scripts": {"start": "x"}}"#),
            ],
            "1.2.3 of .bun-version: bun run start",
        );
        check(
            &[
                lock,
                (
                    PACKAGE,
                    r#"{"packageManager": "bun@1.3.0+sha512.x", "module": "api.ts"}"#,
                ),
                ("api.ts", ""),
            ],
            "1.3.0 of package.json (packageManager): bun run api.ts",
        );
        check(
            &[
                lock,
                (PACKAGE, r#"{"main": "x;y", "engines": {"bun": "^1.2"}}"#),
                ("x;y", ""),
            ],
            "^1.2 of package.json (engines): ",
        );
        check(
            &[
                ("bunfig.toml", ""),
                (PACKAGE, r#"{"dependencies": {"a": "1"}}"#),
            ],
            "The app has modules and no bun.lock.",
        );
        check(
            &[lock, (PACKAGE, "{")],
            "package.json is not valid: EOF while parsing an object at line 1 column 1",
        );
    }
}
