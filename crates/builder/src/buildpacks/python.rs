//! Python: an interpreter, the packages of a requirements or lock file, Django's static files.
//!
//! The interpreter comes from the first source that has the wanted version; the packages go into
//! an environment at `/app/.heroku/python`, where Heroku has them too. Read [`plan`] first.

mod packages;
mod serving;
mod version;

use std::collections::BTreeMap;

use self::{
    packages::{Installer, Needs},
    version::{Catalogue, Origin, Request, Runtime, Wish},
};
use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, app_env, base_env, hash, lines, package_vars, script,
        sources, tool_env,
    },
    error::BuildError,
    execute::{CATALOGUE_TTL, Execution, Question},
    plan::{BuildPlan, Cache, LayerRef, Step},
    source_tree::SourceTree,
};

/// The environment with the packages.
const HOME: &str = "/app/.heroku/python";
/// The interpreter, unless the stack's own is used.
const RUNTIME: &str = "/app/.heroku/python-runtime";
const UV: &str = "/app/.heroku/uv/bin";

/// uv's version, with the checksums of its wheels for `x86_64` and `aarch64`.
const UV_VERSION: &str = "0.13.8";
const UV_HASHES: [&str; 2] = [
    "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
];
/// Where uv downloads interpreters from, if an app says so.
const INSTALL_MIRROR: &str = "UV_PYTHON_INSTALL_MIRROR";
const POETRY_VERSION: &str = "2.5.1";
const PIPENV_VERSION: &str = "2026.10.3";

/// Debian suites newer than the stack whose packages are looked at, nearest first.
const SUITES: [&str; 2] = ["forky", "sid"];

const APT: &str = include_str!("scripts/apt.py");
const CATALOGUE: &str = include_str!("scripts/python_catalogue.py");
const DEBIAN_RUNTIME: &str = include_str!("scripts/python_debian.py");
const MIRROR_RUNTIME: &str = include_str!("scripts/python_mirror.sh");
const UPSTREAM_RUNTIME: &str = include_str!("scripts/python_upstream.sh");
const INSTALL_UV: &str = include_str!("scripts/uv_install.sh");
const INSTALL_PACKAGES: &str = include_str!("scripts/python_packages.sh");
const COLLECTSTATIC: &str = include_str!("scripts/collectstatic.sh");
const PROFILE: &str = include_str!("scripts/python_profile.sh");

/// Files that make a source a Python app; more than can be built, so that the error can tell.
const KNOWN_FILES: [&str; 14] = [
    "requirements.txt",
    "uv.lock",
    "poetry.lock",
    "Pipfile",
    "Pipfile.lock",
    "pyproject.toml",
    "runtime.txt",
    ".python-version",
    "manage.py",
    "setup.py",
    "setup.cfg",
    "app.py",
    "main.py",
    "pdm.lock",
];

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "heroku/python",
    language: "Python",
    looked_for: "a requirements.txt, uv.lock, poetry.lock or Pipfile.lock",
    detects,
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

fn detects(tree: &SourceTree) -> bool {
    KNOWN_FILES.iter().any(|file| tree.has_file(file))
}

/// Looks up what Pythons there are, and adds the steps.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let installer = Installer::of(&execution.tree)?;
    let request = version::requested(&execution.tree)?;
    let uv = uv_step(context);
    execution.run(&uv).await?;
    let stack = context.request.stack.as_str();
    let mut name = format!("python-{stack}");
    if let Some(mirror) = context.request.config_vars.get(INSTALL_MIRROR) {
        // Another mirror may have other versions.
        name = format!("{name}-{}", hash(mirror));
    }
    let question = Question {
        name: &name,
        now: context.now,
        ttl: CATALOGUE_TTL,
    };
    let catalogue: Catalogue = execution
        .catalogue(question, &catalogue_step(context))
        .await?;
    let runtimes = &execution.workshop.runtimes;
    let mut mirror = sources::mirrored_versions(runtimes, "python", stack);
    mirror.sort();
    let runtime = version::choose(&request, &mirror, &catalogue)?;
    let digest = match &runtime.origin {
        Origin::Mirror(path) => sources::pinned_digest(path)?,
        _ => String::new(),
    };
    plan.steps.push(uv);
    let app = App {
        context,
        installer,
        runtime,
        digest,
    };
    app.extend(&execution.tree, plan);
    let mut extended = Extended::default();
    announce(&request, &app.runtime, &mut extended.lines);
    match (serving::web(&execution.tree), "web".parse()) {
        (Ok(Some(command)), Ok(web)) => {
            extended.default_types.insert(web, command);
        }
        (Err(line), _) => extended.lines.push(line),
        _ => {}
    }
    Ok(extended)
}

fn announce(request: &Request, runtime: &Runtime, lines: &mut Vec<Line>) {
    let version = &runtime.version;
    match &request.wish {
        Wish::Default => lines.push(Line::Heading(format!(
            "No Python version was specified. Using the buildpack default: Python {version}"
        ))),
        _ => lines.push(Line::Heading(format!(
            "Using Python {version} specified in {}",
            request.origin
        ))),
    }
    if let Wish::Exact(wanted) = &request.wish
        && wanted != version
    {
        lines.push(Line::Warning(format!(
            "Python {wanted} is not available on this platform; {version} is used instead."
        )));
        lines.push(Line::Warning(format!(
            "hint: write 3.{} into .python-version to always get its newest patch release.",
            version.minor
        )));
    }
}

fn uv_step(context: &Context<'_>) -> Step {
    let mut arguments = vec![UV_VERSION];
    arguments.extend(UV_HASHES);
    let mut step = Step::run("uv", script("bash", INSTALL_UV, &arguments));
    step.heading = vec![format!("Installing uv {UV_VERSION}")];
    step.cached_heading = vec![format!("Using cached uv {UV_VERSION}")];
    step.env = tool_env(context);
    step.env
        .extend(package_vars(&context.request.config_vars, &["PIP_"], &[]));
    step.advice = lines(&[
        "uv, which installs Python packages, could not be fetched from the package index.",
        "hint: see the output above; PIP_INDEX_URL may be set as a config var.",
    ]);
    step
}

fn catalogue_step(context: &Context<'_>) -> Step {
    let output = format!("/app/{}", crate::execute::CATALOGUE_FILE);
    let uv = format!("{UV}/uv");
    let mut arguments = vec![output.as_str(), uv.as_str()];
    arguments.extend(SUITES);
    let program = format!("{APT}\n{CATALOGUE}");
    let mut step = Step::run("python-versions", script("python3", &program, &arguments));
    step.heading = vec!["Looking up available Python versions".to_owned()];
    step.upon = vec![LayerRef::Step("uv".to_owned())];
    step.env = base_env(context.request.stack.as_str());
    step.env.extend(package_vars(
        &context.request.config_vars,
        &[INSTALL_MIRROR],
        &[],
    ));
    step
}

/// All that the steps of one app depend on.
struct App<'a> {
    context: &'a Context<'a>,
    installer: Installer,
    runtime: Runtime,
    /// Of the mirrored archive, if it is one.
    digest: String,
}

impl App<'_> {
    fn extend(&self, tree: &SourceTree, plan: &mut BuildPlan) {
        self.set_env(plan);
        if let Some(step) = self.runtime_step() {
            plan.keep(step);
        }
        if self.installer == Installer::Uv {
            plan.slug.push(LayerRef::Step("uv".to_owned()));
            plan.add_path(UV);
        }
        plan.add_path(&format!("{HOME}/bin"));
        self.hook(tree, plan, "bin/pre_compile");
        let packages = self.packages_step(tree, plan);
        if packages.sees_source() {
            plan.keep_source();
        }
        plan.keep(packages);
        let files = BTreeMap::from([(".profile.d/python.sh".to_owned(), PROFILE.to_owned())]);
        plan.keep(Step::write("python-profile", files));
        plan.keep_source();
        self.collectstatic(tree, plan);
        self.hook(tree, plan, "bin/post_compile");
    }

    fn set_env(&self, plan: &mut BuildPlan) {
        plan.set_env("LANG", "C.UTF-8");
        plan.set_env("PYTHONUNBUFFERED", "true");
        plan.set_env("PYTHONPATH", "/app");
        plan.set_env("FORWARDED_ALLOW_IPS", "*");
        plan.set_env("GUNICORN_CMD_ARGS", "--access-logfile -");
        if self.runtime.origin != Origin::Stack {
            plan.add_search_path("LD_LIBRARY_PATH", &format!("{RUNTIME}/lib"));
        }
        if self.installer != Installer::Pip {
            plan.set_env("VIRTUAL_ENV", HOME);
        }
        if self.installer == Installer::Uv {
            plan.set_env("UV_PROJECT_ENVIRONMENT", HOME);
            plan.set_env("UV_NO_SYNC", "1");
            plan.set_env("UV_PYTHON_DOWNLOADS", "never");
        }
    }

    fn interpreter(&self) -> String {
        match self.runtime.origin {
            Origin::Stack => "/usr/bin/python3".to_owned(),
            _ => format!("{RUNTIME}/bin/python3"),
        }
    }

    fn runtime_step(&self) -> Option<Step> {
        let version = self.runtime.version.to_string();
        let minor = format!("3.{}", self.runtime.version.minor);
        let command = match &self.runtime.origin {
            Origin::Stack => return None,
            Origin::Debian {
                suite,
                package_version,
            } => {
                let program = format!("{APT}\n{DEBIAN_RUNTIME}");
                script(
                    "python3",
                    &program,
                    &[RUNTIME, suite, &minor, package_version],
                )
            }
            Origin::Mirror(_) => script("bash", MIRROR_RUNTIME, &[RUNTIME, &self.digest]),
            Origin::Upstream => script("bash", UPSTREAM_RUNTIME, &[RUNTIME, &version]),
        };
        let mut step = Step::run("python-runtime", command);
        step.heading = vec![format!("Installing Python {version}")];
        step.cached_heading = vec![format!("Using cached install of Python {version}")];
        step.env = base_env(self.context.request.stack.as_str());
        if let Origin::Mirror(path) = &self.runtime.origin {
            step.mirror = Some(path.clone());
        }
        if self.runtime.origin == Origin::Upstream {
            step.upon = vec![LayerRef::Step("uv".to_owned())];
            step.env
                .insert("PATH".to_owned(), format!("{UV}:{}", super::STACK_PATH));
            let vars = &self.context.request.config_vars;
            step.env.extend(package_vars(vars, &[INSTALL_MIRROR], &[]));
        }
        step.advice = vec![format!(
            "Python {version} could not be installed; see the output above."
        )];
        Some(step)
    }

    fn packages_step(&self, tree: &SourceTree, plan: &BuildPlan) -> Step {
        let needs = self.installer.needs(tree);
        let interpreter = self.interpreter();
        let has_source = needs == Needs::Source;
        let scope = if has_source { "source" } else { "files" };
        let (installer, tool) = match self.installer {
            Installer::Pip => ("pip", String::new()),
            Installer::Pipenv => ("pipenv", format!("pipenv=={PIPENV_VERSION}")),
            Installer::Poetry => ("poetry", format!("poetry=={POETRY_VERSION}")),
            Installer::Uv => ("uv", String::new()),
        };
        let arguments = [installer, HOME, &interpreter, scope, &tool];
        let mut step = Step::run(
            "python-packages",
            script("bash", INSTALL_PACKAGES, &arguments),
        );
        let lock = self.installer.lock_file();
        step.heading = vec![match self.installer {
            Installer::Pip => "Installing requirements with uv".to_owned(),
            Installer::Pipenv => {
                "Installing dependencies using 'pipenv install --deploy'".to_owned()
            }
            Installer::Poetry => {
                "Installing dependencies using 'poetry export --only main' and uv".to_owned()
            }
            Installer::Uv => {
                "Installing dependencies using 'uv sync --locked --no-default-groups'".to_owned()
            }
        }];
        step.cached_heading = vec![format!("Using cached dependencies ({lock} is unchanged)")];
        step.upon = vec![LayerRef::Step("uv".to_owned())];
        match needs {
            Needs::Source => {
                step.upon.extend(
                    plan.slug
                        .iter()
                        .filter(|layer| !step.upon.contains(layer))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
                if !step.sees_source() {
                    step.upon.push(LayerRef::Source);
                }
            }
            Needs::Files(files) => {
                if self.runtime.origin != Origin::Stack {
                    step.upon.push(LayerRef::Step("python-runtime".to_owned()));
                }
                step.files = files;
            }
        }
        step.env = self.packages_env(tree, &step.files);
        step.caches = vec![Cache {
            name: "uv".to_owned(),
        }];
        step.advice = lines(&[
            "The dependencies could not be installed; see the output above.",
            "hint: the same command fails on your machine with the same Python version, or the",
            "package needs a library that the stack does not have.",
        ]);
        step
    }

    /// uv reads its own variables; pip's names are set as well because Heroku's apps use those.
    fn packages_env(&self, tree: &SourceTree, files: &[String]) -> BTreeMap<String, String> {
        let vars = &self.context.request.config_vars;
        let texts: Vec<String> = files
            .iter()
            .filter_map(|path| tree.read_text(path))
            .collect();
        let prefixes = ["PIP_", "UV_", "POETRY_", "PIPENV_", "PYPI_"];
        let mut env = base_env(self.context.request.stack.as_str());
        env.insert(
            "PATH".to_owned(),
            format!("{HOME}/bin:{UV}:{}", super::STACK_PATH),
        );
        if self.runtime.origin != Origin::Stack {
            env.insert("LD_LIBRARY_PATH".to_owned(), format!("{RUNTIME}/lib"));
        }
        let same = [
            ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
            ("PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL"),
            ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
            ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST"),
            ("PIP_CONSTRAINT", "UV_CONSTRAINT"),
        ];
        for (pip, uv) in same {
            if let Some(value) = vars.get(pip) {
                env.insert(uv.to_owned(), value.clone());
            }
        }
        env.extend(package_vars(vars, &prefixes, &texts));
        for (name, value) in [
            ("UV_CACHE_DIR", "/cache/uv"),
            ("UV_LINK_MODE", "copy"),
            ("UV_NO_PROGRESS", "1"),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        env
    }

    /// A script of the app's own that Heroku runs before or after the install.
    fn hook(&self, tree: &SourceTree, plan: &mut BuildPlan, path: &str) {
        if !tree.has_file(path) {
            return;
        }
        plan.keep_source();
        let mut step = Step::run(
            &path.replace('/', "-"),
            vec!["bash".to_owned(), path.to_owned()],
        );
        step.heading = vec![format!("Running {path} hook")];
        step.upon.clone_from(&plan.slug);
        step.env = app_env(self.context, plan);
        step.is_reusable = false;
        step.advice = vec![format!("The {path} script failed; see the output above.")];
        plan.keep(step);
    }

    fn collectstatic(&self, tree: &SourceTree, plan: &mut BuildPlan) {
        let is_disabled = self
            .context
            .request
            .config_vars
            .get("DISABLE_COLLECTSTATIC")
            .is_some_and(|value| !value.is_empty() && value != "0");
        let Some(manage) = manage_file(tree) else {
            return;
        };
        if is_disabled {
            let text =
                "Skipping Django collectstatic since the config var DISABLE_COLLECTSTATIC is set.";
            if let Some(step) = plan.steps.last_mut() {
                step.heading.push(text.to_owned());
                step.cached_heading.push(text.to_owned());
            }
            return;
        }
        let mut step = Step::run("collectstatic", script("bash", COLLECTSTATIC, &[&manage]));
        step.upon.clone_from(&plan.slug);
        step.env = app_env(self.context, plan);
        step.is_reusable = false;
        step.advice = vec![
            "Error: Unable to generate Django static files.".to_owned(),
            String::new(),
            format!("The 'python {manage} collectstatic --noinput' Django"),
            "management command to generate static files failed.".to_owned(),
            String::new(),
            "See the traceback above for details.".to_owned(),
            String::new(),
            "You may need to update application code to resolve this error.".to_owned(),
            "Or, you can disable collectstatic for this application:".to_owned(),
            String::new(),
            "   $ heroku config:set DISABLE_COLLECTSTATIC=1".to_owned(),
        ];
        plan.keep(step);
    }
}

/// The topmost `manage.py`, as Heroku looks for it: at most two directories down.
fn manage_file(tree: &SourceTree) -> Option<String> {
    let folders = |at: &str| -> Vec<String> {
        let prefix = if at.is_empty() {
            String::new()
        } else {
            format!("{at}/")
        };
        let names = tree
            .list(at)
            .into_iter()
            .filter_map(|name| name.strip_suffix('/').map(str::to_owned));
        names
            .filter(|name| !name.starts_with('.'))
            .map(|name| format!("{prefix}{name}"))
            .collect()
    };
    let first = folders("");
    let second = first.iter().flat_map(|folder| folders(folder));
    std::iter::once(String::new())
        .chain(first.iter().cloned())
        .chain(second)
        .map(|folder| {
            if folder.is_empty() {
                "manage.py".to_owned()
            } else {
                format!("{folder}/manage.py")
            }
        })
        .find(|path| tree.has_file(path))
}
