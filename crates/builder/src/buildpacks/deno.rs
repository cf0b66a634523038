//! Deno: the runtime out of the package registry, imports by the lock file, `deno task build`.
//!
//! Read [`plan`] first.

use std::collections::BTreeMap;

use api::names::ProcessType;

use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, app_env, lines,
        npm_runtime::{Kind, Request, Runtime},
        packages_env, script, tool_versions,
    },
    error::BuildError,
    execute::Execution,
    plan::{BuildPlan, LayerRef, Step},
    source_tree::SourceTree,
};

const KIND: Kind = Kind {
    name: "deno",
    title: "Deno",
    packages: ["@deno/linux-x64-glibc", "@deno/linux-arm64-glibc"],
    home: "/app/.heroku/deno",
    program: "deno",
    default: "2.x",
};
/// What the app imports, for build and dynos.
const CACHE: &str = "/app/.heroku/deno-dir";

const INSTALL: &str = include_str!("scripts/deno_install.sh");
const PROFILE: &str = include_str!("scripts/deno_profile.sh");

/// Config vars that tell Deno where packages come from.
const VARIABLES: [&str; 2] = ["DENO_AUTH_TOKENS", "NPM_CONFIG_"];
/// Settings by which `deno install` looks at more files than its own.
const OTHER_FILES: [&str; 3] = ["workspace", "importMap", "links"];

const SETTINGS: [&str; 2] = ["deno.json", "deno.jsonc"];
/// Files that are likely to be the program, first one first.
const ENTRIES: [&str; 10] = [
    "main.ts",
    "main.tsx",
    "main.js",
    "server.ts",
    "server.js",
    "src/main.ts",
    "src/server.ts",
    "mod.ts",
    "index.ts",
    "app.ts",
];

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "landfall/deno",
    language: "Deno",
    looked_for: "a deno.json, deno.jsonc or deno.lock",
    detects,
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

/// A lock file of npm's says that the app runs on Node.js, and uses Deno as a tool.
fn detects(tree: &SourceTree) -> bool {
    let has_deno = SETTINGS.iter().any(|file| tree.has_file(file)) || tree.has_file("deno.lock");
    has_deno && !super::has_node_lock(tree)
}

/// Finds a runtime, and adds the steps.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let app = App::read(&execution.tree)?;
    let request = requested(&execution.tree);
    let runtime = Runtime::find(context, execution, &KIND, &request).await?;
    let mut said = vec![runtime.line(&KIND, &request)];
    if !app.has_lock && app.has_imports {
        said.push(Line::Warning(
            "No deno.lock was found: a later build may get other versions. Run `deno install` and commit it."
                .to_owned(),
        ));
    }
    app.extend(context, runtime, plan);
    let default_types = app.web().and_then(|command| {
        let web: ProcessType = "web".parse().ok()?;
        Some((web, command))
    });
    Ok(Extended {
        lines: said,
        default_types: default_types.into_iter().collect(),
    })
}

fn requested(tree: &SourceTree) -> Request {
    let file = |path: &str| Some(tree.read_text(path)?.trim().to_owned());
    let stated = [
        (".deno-version", file(".deno-version")),
        (".dvmrc", file(".dvmrc")),
        (".tool-versions", tool_versions::pinned(tree, "deno")),
        ("mise.toml", tool_versions::mise(tree, "deno")),
    ];
    let found = stated
        .into_iter()
        .find_map(|(origin, text)| Some((origin, text?)));
    let (origin, text) = found.unwrap_or(("", KIND.default.to_owned()));
    Request { text, origin }
}

/// What an app says of itself.
struct App {
    has_lock: bool,
    has_imports: bool,
    /// All that `deno install` goes by; `None` where that may be any part of the source.
    packages: Option<Vec<String>>,
    tasks: Vec<String>,
    /// The program, and whether it is a handler for `deno serve`.
    entry: Option<(String, bool)>,
}

impl App {
    fn read(tree: &SourceTree) -> Result<Self, BuildError> {
        let found = SETTINGS
            .iter()
            .find_map(|file| Some((file, tree.read_text(file)?)));
        let name = found.as_ref().map(|(file, _)| **file);
        let settings: serde_json::Value = match found {
            Some((file, text)) => {
                serde_json::from_str(&without_comments(&text)).map_err(|error| {
                    BuildError::Source {
                        problem: format!("{file} is not valid: {error}"),
                        advice: lines(&["hint: run `deno check` on your machine."]),
                    }
                })?
            }
            None => serde_json::Value::Null,
        };
        let names = |key: &str| -> Vec<String> {
            let object = settings.get(key).and_then(serde_json::Value::as_object);
            object.map_or_else(Vec::new, |object| object.keys().cloned().collect())
        };
        let entry = ENTRIES.iter().find_map(|path| {
            let text = tree.read_text(path)?;
            let is_handler = text.contains("export default") && !text.contains("Deno.serve(");
            Some(((*path).to_owned(), is_handler))
        });
        let has_lock = tree.has_file("deno.lock");
        let is_alone = !tree.has_file("package.json")
            && OTHER_FILES.iter().all(|key| settings.get(key).is_none());
        let packages = name.filter(|_| has_lock && is_alone).map(|settings| {
            let mut files = lines(&[settings, "deno.lock"]);
            files.extend(tree.has_file(".npmrc").then(|| ".npmrc".to_owned()));
            files
        });
        Ok(Self {
            has_lock,
            packages,
            has_imports: !names("imports").is_empty() || tree.has_file("package.json"),
            tasks: names("tasks"),
            entry,
        })
    }

    fn has_task(&self, name: &str) -> bool {
        self.tasks.iter().any(|task| task == name)
    }

    fn web(&self) -> Option<String> {
        if self.has_task("start") {
            return Some("deno task start".to_owned());
        }
        let (entry, is_handler) = self.entry.as_ref()?;
        Some(if *is_handler {
            format!(
                "deno serve --allow-env --allow-read --allow-net --host 0.0.0.0 --port $PORT {entry}"
            )
        } else {
            format!("deno run --allow-env --allow-read --allow-net {entry}")
        })
    }

    fn extend(&self, context: &Context<'_>, runtime: Runtime, plan: &mut BuildPlan) {
        plan.set_env("LANG", "C.UTF-8");
        plan.set_env("DENO_DIR", CACHE);
        plan.set_env("DENO_NO_UPDATE_CHECK", "1");
        plan.add_path(KIND.home);
        let home = LayerRef::Step(runtime.step.name.clone());
        plan.keep(runtime.step);
        let files = BTreeMap::from([(".profile.d/deno.sh".to_owned(), PROFILE.to_owned())]);
        plan.keep(Step::write("deno-profile", files));
        let registry = runtime.registry;
        let registry = registry.map(|url| ("NPM_CONFIG_REGISTRY".to_owned(), url));
        let lock = if self.has_lock { "locked" } else { "unlocked" };
        if let Some(files) = &self.packages {
            let command = script("bash", INSTALL, &[lock, "settings", ""]);
            let mut packages = Step::run("deno-packages", command);
            packages.upon = vec![home];
            packages.files.clone_from(files);
            packages.env = packages_env(context, plan, &VARIABLES);
            packages.env.extend(registry.clone());
            packages.heading = vec![format!("Installing imports ({lock})")];
            packages.cached_heading =
                vec!["Using cached imports (deno.lock is unchanged)".to_owned()];
            packages.advice = install_advice();
            plan.keep(packages);
        }
        plan.keep_source();
        if self.packages.is_none() || self.entry.is_some() {
            let mut install = self.install_step(context, plan, lock);
            install.env.extend(registry);
            plan.keep(install);
        }
        if self.has_task("build") {
            let command = ["deno", "task", "build"].map(str::to_owned).to_vec();
            let mut build = step(context, plan, "deno-build", command);
            build.heading = vec!["Build: running deno task build".to_owned()];
            build.is_reusable = false;
            build.advice = lines(&["The `build` task failed; see the output above."]);
            plan.keep(build);
        }
    }

    /// Fetches what only the program itself says that it imports, and all the rest where nothing was
    /// fetched by the settings alone.
    fn install_step(&self, context: &Context<'_>, plan: &BuildPlan, lock: &str) -> Step {
        let entry = self.entry.as_ref().map_or("", |(path, _)| path);
        let settings = match self.packages {
            Some(_) => "",
            None => "settings",
        };
        let command = script("bash", INSTALL, &[lock, settings, entry]);
        let mut install = step(context, plan, "deno-install", command);
        install.heading = vec![match self.packages {
            Some(_) => format!("Preparing {entry} ({lock})"),
            None => format!("Installing imports ({lock})"),
        }];
        install.cached_heading = vec!["Using cached imports (the source is unchanged)".to_owned()];
        install.is_reusable = self.has_lock;
        install.advice = install_advice();
        install
    }
}

fn install_advice() -> Vec<String> {
    lines(&[
        "What the app imports could not be fetched; see the output above.",
        "hint: when deno.json and deno.lock do not agree, run `deno install` and commit deno.lock.",
    ])
}

fn step(context: &Context<'_>, plan: &BuildPlan, name: &str, command: Vec<String>) -> Step {
    let mut step = Step::run(name, command);
    step.upon.clone_from(&plan.slug);
    step.env = app_env(context, plan);
    step
}

/// JSON out of JSON with comments and commas at the ends of lists.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut is_text = false;
    while let Some(letter) = letters.next() {
        match (is_text, letter, letters.peek()) {
            (true, '\\', Some(_)) => {
                plain.push(letter);
                plain.extend(letters.next());
                continue;
            }
            (_, '"', _) => is_text = !is_text,
            (false, '/', Some('/')) => {
                letters.by_ref().find(|letter| *letter == '\n');
                continue;
            }
            (false, '/', Some('*')) => {
                let mut before = ' ';
                letters.by_ref().skip(1).find(|letter| {
                    let ends = before == '*' && *letter == '/';
                    before = *letter;
                    ends
                });
                continue;
            }
            (false, '}' | ']', _) => {
                let kept = plain.trim_end().trim_end_matches(',').len();
                plain.truncate(kept);
            }
            _ => {}
        }
        plain.push(letter);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check(files: &[(&str, &str)], expected: Option<&str>) {
        let app = App::read(&source_of(files).1).unwrap();
        assert_eq!(app.web().as_deref(), expected, "{files:?}");
    }

    #[test]
    fn the_program_is_found() {
        let start = (
            "deno.jsonc",
            "{/* a */ \"tasks\": {\"start\": \"x\",}, // b\n}",
        );
        check(&[start, ("main.ts", "")], Some("deno task start"));
        let serve =
            "deno serve --allow-env --allow-read --allow-net --host 0.0.0.0 --port $PORT main.ts";
        check(&[("main.ts", "export default { fetch }")], Some(serve));
        let run = "deno run --allow-env --allow-read --allow-net server.ts";
        check(&[("server.ts", "Deno.serve(() => x)")], Some(run));
        check(&[("lib.ts", "")], None);
    }

    #[test]
    fn comments_are_left_out() {
        let check = |text: &str, expected: &str| assert_eq!(without_comments(text), expected);
        check(
            "{\"a\": \"b // c\\\" /* d */\"}",
            "{\"a\": \"b // c\\\" /* d */\"}",
        );
        check("[1, 2, // x\n]", "[1, 2]");
        check("/* a * / */{}", "{}");
    }

    #[test]
    fn wishes_are_read() {
        let check = |files: &[(&str, &str)], text: &str, origin: &str| {
            let request = requested(&source_of(files).1);
            assert_eq!((request.text.as_str(), request.origin), (text, origin));
        };
        check(&[], "2.x", "");
        check(&[(".deno-version", "2.1.4\n")], "2.1.4", ".deno-version");
        check(
            &[(".tool-versions", "deno 2.2.0")],
            "2.2.0",
            ".tool-versions",
        );
    }
}
