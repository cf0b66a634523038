//! Node.js: a runtime and a package manager out of the package registry, the modules of a lock
//! file, the app's build script.
//!
//! The build sees development modules, the slug does not: each set is a layer of its own, so
//! nothing is installed or pruned again while the lock file stays the same. Read [`plan`] first.

mod framework;
mod package;
mod registry;
mod tools;

use std::collections::BTreeMap;

use self::{
    framework::{Serving, Web},
    package::{Installer, Package},
    registry::Registries,
    tools::Tools,
};
pub(super) use self::{
    registry::find as registries,
    tools::{Catalogue, Published},
};
use api::names::ProcessType;

use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, app_env, base_env, hash, lines, package_vars, script,
        static_site,
    },
    error::BuildError,
    execute::{CATALOGUE_FILE, CATALOGUE_TTL, Execution, Question},
    plan::{BuildPlan, Cache, LayerRef, Step},
    source_tree::SourceTree,
};

const HOME: &str = "/app/.heroku/node";

pub(super) const CATALOGUE: &str = include_str!("scripts/node_catalogue.py");
pub(super) const INSTALL_TOOLS: &str = include_str!("scripts/node_install.py");
const INSTALL_MODULES: &str = include_str!("scripts/node_modules.sh");
const PROFILE: &str = include_str!("scripts/node_profile.sh");

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "heroku/nodejs",
    language: "Node.js",
    looked_for: "a package.json",
    detects,
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

fn detects(tree: &SourceTree) -> bool {
    tree.has_file("package.json")
}

/// Looks up what versions there are, and adds the steps.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let package = Package::read(&execution.tree)?;
    let web = Web::of(&package, &execution.tree)?;
    let unserved = framework::unserved(web.as_ref(), &package, &execution.tree);
    let registries = registry::find(context, execution).await?;
    let addresses = registries.of_tools.join(" ");
    // Another registry may have other versions under the same names.
    let question = Question {
        name: &format!("node-{}-{}", std::env::consts::ARCH, hash(&addresses)),
        now: context.now,
        ttl: CATALOGUE_TTL,
    };
    let catalogue: Catalogue = execution
        .catalogue(question, &catalogue_step(context, &addresses))
        .await?;
    let tools = Tools::choose(&package, &catalogue)?;
    let app = App {
        context,
        package,
        web,
        registries,
        tools,
    };
    app.extend(&execution.tree, plan);
    let mut extended = app.extended();
    extended.lines.extend(unserved.map(Line::Warning));
    Ok(extended)
}

fn catalogue_step(context: &Context<'_>, registries: &str) -> Step {
    let output = format!("/app/{CATALOGUE_FILE}");
    let mut arguments = vec![output.as_str(), registries];
    arguments.extend(tools::packages());
    let mut step = Step::run("node-versions", script("python3", CATALOGUE, &arguments));
    step.heading = vec!["Looking up available Node.js versions".to_owned()];
    step.env = base_env(context.request.stack.as_str());
    step.advice = lines(&[
        "The package registry could not be asked for the versions of Node.js.",
        "hint: npm_config_registry may be set as a config var.",
    ]);
    step
}

/// All that the steps of one app depend on.
struct App<'a> {
    context: &'a Context<'a>,
    package: Package,
    web: Option<Web>,
    registries: Registries,
    tools: Tools,
}

/// Which modules an install brings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Modules {
    All,
    Production,
}

impl App<'_> {
    fn extended(&self) -> Extended {
        let package = &self.package;
        let mut lines = vec![
            Line::Heading("Installing binaries".to_owned()),
            Line::Text(format!(
                "engines.node (package.json):   {}",
                shown(package.node.as_ref())
            )),
            Line::Text(format!(
                "engines.npm (package.json):    {}",
                package
                    .npm
                    .as_deref()
                    .unwrap_or("unspecified (use default)")
            )),
            Line::Text(String::new()),
            Line::Text(format!("Using Node.js {}", self.tools.described())),
        ];
        if !package.has_lock && package.has_dependencies {
            lines.push(Line::Warning(
                "No lock file was found: a later build may get other versions.".to_owned(),
            ));
            lines.push(Line::Warning(
                "hint: run `npm install` on your machine and commit package-lock.json.".to_owned(),
            ));
        }
        let notice = self.web.as_ref().and_then(|web| web.notice.clone());
        lines.extend(notice.map(Line::Text));
        let default_types = self.web_command().and_then(|command| {
            let web: ProcessType = "web".parse().ok()?;
            Some((web, command))
        });
        Extended {
            lines,
            default_types: default_types.into_iter().collect(),
        }
    }

    fn web_command(&self) -> Option<String> {
        match self.web.as_ref()?.serving {
            Serving::Command(command) => Some(command.to_owned()),
            Serving::Site {
                root,
                is_single_page,
            } => Some(static_site::command(root, is_single_page)),
            Serving::Nothing(_) => None,
        }
    }

    fn extend(&self, tree: &SourceTree, plan: &mut BuildPlan) {
        plan.keep(self.tools_step());
        plan.set_env("NODE_ENV", "production");
        plan.set_env("NODE_HOME", HOME);
        plan.add_path(&format!("{HOME}/bin"));
        let path = plan.env.get("PATH").cloned().unwrap_or_default();
        plan.set_env("PATH", &format!("{path}:/app/bin:/app/node_modules/.bin"));
        if self.package.has_script("heroku-prebuild") {
            self.app_script(plan, "heroku-prebuild", &[]);
        }
        self.modules(tree, plan);
        let files = BTreeMap::from([(".profile.d/nodejs.sh".to_owned(), PROFILE.to_owned())]);
        plan.keep(Step::write("node-profile", files));
        let serving = self.web.as_ref().map(|web| web.serving);
        if let Some(Serving::Site { .. }) = serving {
            plan.keep(static_site::server_step());
        }
        plan.keep_source();
        if self.package.has_script("heroku-cleanup") {
            self.app_script(plan, "heroku-cleanup", &[]);
        }
    }

    fn tools_step(&self) -> Step {
        let mut arguments = vec![HOME.to_owned()];
        for (folder, package) in self.tools.list() {
            arguments.extend([
                folder.to_owned(),
                package.url.clone(),
                package.integrity.clone(),
            ]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut step = Step::run("node", script("python3", INSTALL_TOOLS, &arguments));
        step.heading = vec![format!(
            "Downloading and installing node {}",
            self.tools.node.version
        )];
        step.cached_heading = vec![format!("Using cached node {}", self.tools.node.version)];
        step.env = base_env(self.context.request.stack.as_str());
        step.advice = lines(&["Node.js could not be installed; see the output above."]);
        step
    }

    /// The modules and what the build script makes with them.
    fn modules(&self, tree: &SourceTree, plan: &mut BuildPlan) {
        let build = ["heroku-postbuild", "build"]
            .into_iter()
            .find(|name| self.package.has_script(name));
        let has_modules = self.package.has_dependencies;
        if !has_modules {
            if let Some(name) = build {
                self.app_script(plan, name, &[]);
            }
            return;
        }
        if self.needs_source(tree) {
            plan.keep_source();
        }
        let keeps_all = !self.prunes();
        if build.is_none() && (keeps_all || !self.package.has_root_install_script) {
            let modules = if keeps_all {
                Modules::All
            } else {
                Modules::Production
            };
            let step = self.modules_step(tree, plan, modules);
            plan.keep(step);
            return;
        }
        if keeps_all || !self.installs_twice() {
            let step = self.modules_step(tree, plan, Modules::All);
            plan.keep(step);
            if let Some(name) = build {
                self.app_script(plan, name, &[]);
            }
            if !keeps_all {
                self.prune(plan);
            }
            return;
        }
        let all = self.modules_step(tree, plan, Modules::All);
        let all_layer = LayerRef::Step(all.name.clone());
        plan.steps.push(all);
        let production = self.modules_step(tree, plan, Modules::Production);
        plan.keep(production);
        if let Some(name) = build {
            self.app_script(plan, name, &[all_layer]);
        }
    }

    /// Whether installing only production modules anew gives the same as pruning does.
    fn installs_twice(&self) -> bool {
        self.package.has_lock
            && !self.package.has_root_install_script
            && self.package.installer != Installer::Berry
    }

    /// Heroku keeps development modules when told so in one of these ways.
    fn prunes(&self) -> bool {
        let vars = &self.context.request.config_vars;
        let is = |name: &str, value: &str| vars.get(name).is_some_and(|found| found == value);
        let keeps = is("NPM_CONFIG_PRODUCTION", "false")
            || is("YARN_PRODUCTION", "false")
            || is("YARN2_SKIP_PRUNING", "true")
            || is("PNPM_SKIP_PRUNING", "true")
            || vars
                .get("NODE_ENV")
                .is_some_and(|value| value != "production");
        !keeps && self.package.installer != Installer::Berry
    }

    fn needs_source(&self, tree: &SourceTree) -> bool {
        self.package.is_local
            || self.package.has_root_install_script
            || self.package.has_script("heroku-prebuild")
            || self.package.installer == Installer::Berry
            || tree.has("node_modules")
    }

    fn modules_step(&self, tree: &SourceTree, plan: &BuildPlan, modules: Modules) -> Step {
        let (name, scope) = match modules {
            Modules::All => ("node-modules-all", "all"),
            Modules::Production => ("node-modules", "production"),
        };
        let installer = self.package.installer.name();
        let lock = if self.package.has_lock {
            "locked"
        } else {
            "unlocked"
        };
        let mut step = Step::run(
            name,
            script("bash", INSTALL_MODULES, &[installer, scope, lock]),
        );
        let what = match modules {
            Modules::All => "node modules",
            Modules::Production => "production node modules",
        };
        step.heading = vec![format!("Installing {what} ({})", self.package.lock_file())];
        step.cached_heading = vec![format!(
            "Using cached {what} ({} is unchanged)",
            self.package.lock_file()
        )];
        if self.needs_source(tree) {
            step.upon.clone_from(&plan.slug);
        } else {
            step.upon = vec![LayerRef::Step("node".to_owned())];
            step.files = package::input_files(tree);
        }
        step.env = self.modules_env(tree);
        step.caches = vec![Cache {
            name: "node".to_owned(),
        }];
        // Without a lock file every install may give something else, and is meant to.
        step.is_reusable = self.package.has_lock;
        step.advice = lines(&[
            "The node modules could not be installed; see the output above.",
            "hint: when package.json and the lock file do not agree, run the install on your machine",
            "and commit the lock file.",
        ]);
        step
    }

    fn modules_env(&self, tree: &SourceTree) -> BTreeMap<String, String> {
        let texts: Vec<String> = [".npmrc", ".yarnrc.yml"]
            .iter()
            .filter_map(|path| tree.read_text(path))
            .collect();
        let prefixes = [
            "npm_config_",
            "NPM_",
            "NODE_",
            "YARN_",
            "PNPM_",
            "pnpm_config_",
        ];
        let mut env = base_env(self.context.request.stack.as_str());
        let pairs = [
            ("NODE_ENV", "production"),
            ("npm_config_update_notifier", "false"),
            ("npm_config_fund", "false"),
            ("npm_config_audit", "false"),
            // Native modules find the headers here instead of downloading them.
            (self.tools.headers_setting(), HOME),
        ];
        env.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let path = format!("{HOME}/bin:{}:/app/node_modules/.bin", super::STACK_PATH);
        env.insert("PATH".to_owned(), path);
        env.extend(self.registry_setting());
        env.extend(package_vars(
            &self.context.request.config_vars,
            &prefixes,
            &texts,
        ));
        // What is pruned is decided by the plan, not by npm.
        env.remove("NPM_CONFIG_PRODUCTION");
        env
    }

    /// Tells package managers their registry, where they would not find it by themselves.
    fn registry_setting(&self) -> Option<(String, String)> {
        let url = self.registries.of_modules.as_ref()?;
        Some(("npm_config_registry".to_owned(), url.clone()))
    }

    /// Runs a script of package.json; it may write anywhere, and runs in every build.
    fn app_script(&self, plan: &mut BuildPlan, name: &str, besides: &[LayerRef]) {
        let program = self.package.installer.program();
        let command = [program, "run", name].map(str::to_owned).to_vec();
        let mut step = Step::run(&format!("npm-{name}"), command);
        step.heading = vec![format!("Build: running {program} run {name}")];
        plan.keep_source();
        step.upon.clone_from(&plan.slug);
        // The development modules go below the source, which may hold patches of them.
        for layer in besides {
            let at = step
                .upon
                .iter()
                .position(|layer| *layer == LayerRef::Source)
                .unwrap_or(0);
            step.upon.insert(at, layer.clone());
        }
        step.env = app_env(self.context, plan);
        step.env
            .insert("npm_config_update_notifier".to_owned(), "false".to_owned());
        step.env.extend(self.registry_setting());
        step.is_reusable = false;
        step.advice = vec![format!(
            "The `{name}` script of package.json failed; see the output above."
        )];
        plan.keep(step);
    }

    fn prune(&self, plan: &mut BuildPlan) {
        let installer = self.package.installer.name();
        let mut step = Step::run(
            "node-prune",
            script("bash", INSTALL_MODULES, &[installer, "prune", ""]),
        );
        step.heading = vec!["Pruning devDependencies".to_owned()];
        step.upon.clone_from(&plan.slug);
        step.env = app_env(self.context, plan);
        step.env.extend(self.registry_setting());
        step.caches = vec![Cache {
            name: "node".to_owned(),
        }];
        step.is_reusable = false;
        plan.keep(step);
    }
}

fn shown(range: Option<&String>) -> &str {
    range.map_or("unspecified (use default)", String::as_str)
}
