//! A runtime that is one program in a package of the npm registry: Deno and Bun.
//!
//! From the mirror directory, else from the registry that the app's modules come from, checked by
//! the package's integrity. It must not know what the program does. Read [`Runtime::find`] first.

use std::path::PathBuf;

use semver::Version;

use crate::{
    buildpacks::{
        Context, Line, base_env, hash, lines, nodejs, script,
        sources::{mirror_step, mirrored_versions},
    },
    error::BuildError,
    execute::{CATALOGUE_FILE, CATALOGUE_TTL, Execution, Question},
    plan::Step,
    versions::NpmRange,
};

/// What is fixed for a runtime.
pub(super) struct Kind {
    /// `deno`
    pub(super) name: &'static str,
    /// `Deno`
    pub(super) title: &'static str,
    /// The packages with the program for `x86_64` and `aarch64`.
    pub(super) packages: [&'static str; 2],
    /// Where it is unpacked.
    pub(super) home: &'static str,
    /// Below that: `bin/bun`
    pub(super) program: &'static str,
    /// What an app gets that asks for nothing.
    pub(super) default: &'static str,
}

/// What an app wants, and who says so.
pub(super) struct Request {
    /// A range, as npm has them.
    pub(super) text: String,
    /// `.bun-version`; empty for the default.
    pub(super) origin: &'static str,
}

/// A runtime that was chosen.
pub(super) struct Runtime {
    pub(super) version: String,
    pub(super) step: Step,
    /// What package managers are told of their registry, if anything.
    pub(super) registry: Option<String>,
}

enum Origin {
    Mirror(PathBuf),
    Registry(nodejs::Published),
}

impl Runtime {
    /// # Errors
    /// `Source` for a wish that is no range, or that nobody can meet.
    pub(super) async fn find(
        context: &Context<'_>,
        execution: &mut Execution,
        kind: &Kind,
        request: &Request,
    ) -> Result<Self, BuildError> {
        let range = NpmRange::parse(&request.text).ok_or_else(|| invalid(kind, request))?;
        let registries = nodejs::registries(context, execution).await?;
        let stack = context.request.stack.as_str();
        let archives = mirrored_versions(&execution.workshop.runtimes, kind.name, stack);
        let archives = archives.into_iter();
        let mut offers: Vec<(Version, Origin)> = archives
            .map(|(version, path)| (version, Origin::Mirror(path)))
            .collect();
        offers.retain(|(version, _)| range.matches(version));
        if offers.is_empty() {
            let addresses = registries.of_tools.join(" ");
            let question = Question {
                name: &format!(
                    "{}-{}-{}",
                    kind.name,
                    std::env::consts::ARCH,
                    hash(&addresses)
                ),
                now: context.now,
                ttl: CATALOGUE_TTL,
            };
            let step = catalogue_step(context, kind, &addresses);
            let catalogue: nodejs::Catalogue = execution.catalogue(question, &step).await?;
            let published = catalogue.into_values().flatten();
            let published = published.filter(|one| one.integrity.starts_with("sha512-"));
            offers.extend(published.filter_map(|published| {
                let version = Version::parse(&published.version).ok()?;
                Some((version, Origin::Registry(published)))
            }));
        }
        let fitting = offers
            .into_iter()
            .filter(|(version, _)| range.matches(version));
        let newest = fitting.max_by(|(one, _), (other, _)| one.cmp(other));
        let (version, origin) = newest.ok_or_else(|| unavailable(kind, request))?;
        Ok(Self {
            version: version.to_string(),
            step: install_step(context, kind, (&version, &origin))?,
            registry: registries.of_modules,
        })
    }

    /// What is said of the choice.
    pub(super) fn line(&self, kind: &Kind, request: &Request) -> Line {
        let (title, version) = (kind.title, &self.version);
        Line::Heading(match request.origin {
            "" => format!("No {title} version was specified. Using {title} {version}"),
            origin => format!("Using {title} {version} for {} in {origin}", request.text),
        })
    }
}

fn catalogue_step(context: &Context<'_>, kind: &Kind, registries: &str) -> Step {
    let output = format!("/app/{CATALOGUE_FILE}");
    let package = kind.packages[usize::from(std::env::consts::ARCH == "aarch64")];
    let command = script(
        "python3",
        nodejs::CATALOGUE,
        &[&output, registries, package],
    );
    let mut step = Step::run(&format!("{}-versions", kind.name), command);
    step.heading = vec![format!("Looking up available {} versions", kind.title)];
    step.env = base_env(context.request.stack.as_str());
    step.advice = lines(&[
        "The package registry could not be asked for versions.",
        "hint: npm_config_registry may be set as a config var.",
    ]);
    step
}

fn install_step(
    context: &Context<'_>,
    kind: &Kind,
    (version, origin): (&Version, &Origin),
) -> Result<Step, BuildError> {
    let mut step = match origin {
        Origin::Mirror(path) => mirror_step(kind.name, (kind.home, kind.program), path)?,
        Origin::Registry(published) => {
            let mark = format!("(home / {:?}).chmod(0o755)", kind.program);
            let program = format!("{}\n{mark}\n", nodejs::INSTALL_TOOLS);
            let arguments = [kind.home, ".", &published.url, &published.integrity];
            Step::run(kind.name, script("python3", &program, &arguments))
        }
    };
    let title = kind.title;
    step.heading = vec![format!("Installing {title} {version}")];
    step.cached_heading = vec![format!("Using cached install of {title} {version}")];
    step.env = base_env(context.request.stack.as_str());
    step.advice = vec![format!(
        "{title} {version} could not be installed; see the output above."
    )];
    Ok(step)
}

fn invalid(kind: &Kind, request: &Request) -> BuildError {
    let text: String = request.text.chars().take(80).collect();
    BuildError::Source {
        problem: format!(
            "The {} version in {} is not valid: {text}",
            kind.title, request.origin
        ),
        advice: vec![format!("hint: write a version such as {}.", kind.default)],
    }
}

fn unavailable(kind: &Kind, request: &Request) -> BuildError {
    BuildError::Source {
        problem: format!(
            "{} {}, which {} asks for, cannot be had.",
            kind.title, request.text, request.origin
        ),
        advice: lines(&[
            "It was looked for in the runtime mirror directory and in the package registry.",
            "hint: ask for another version, or have the operator of this platform add it with",
            "`landfall runtimes:add`.",
        ]),
    }
}
