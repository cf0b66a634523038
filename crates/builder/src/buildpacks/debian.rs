//! Packages of the stack's own Debian suite as a layer below `/app/.apt`: what an `Aptfile` names,
//! and what languages need that the stack does not have.
//!
//! Which packages those are, apt itself decides against the stack's list of installed ones; the
//! answer is a catalogue, so a layer is named by exact versions and checksums. Nothing of a package
//! is run. Read [`packages`] first, then [`BUILDPACK`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    buildpacks::{Buildpack, Context, Extended, STACK_PATH, base_env, hash, script},
    error::BuildError,
    execute::{CATALOGUE_FILE, CATALOGUE_TTL, Execution, Question},
    plan::{Action, BuildPlan, LayerRef, Step},
};

/// Where packages are unpacked, as Heroku's buildpack for them has it.
pub(super) const PREFIX: &str = "/app/.apt";
const APTFILE: &str = "Aptfile";
/// The step of an `Aptfile`'s packages.
const STEP: &str = "apt-packages";
/// Most packages that one `Aptfile` may name.
const MAX_NAMES: usize = 500;

const APT: &str = include_str!("scripts/apt.py");
const PACKAGES: &str = include_str!("scripts/debian_packages.py");
const LAYER: &str = include_str!("scripts/debian_layer.py");
const PROFILE: &str = include_str!("scripts/apt_profile.sh");

/// Chosen by name, before the buildpacks of languages; they all heed an `Aptfile` anyway.
pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "heroku-community/apt",
    language: "Apt",
    looked_for: "an Aptfile",
    detects: |tree| tree.has_file(APTFILE),
    plan: |context, execution, written| {
        Box::pin(async move {
            prepare(context, execution, written).await?;
            Ok(Extended::default())
        })
    },
};

/// A package with its address and checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Package {
    name: String,
    version: String,
    url: String,
    sha256: String,
}

/// A step that unpacks packages, and which versions they are.
#[derive(Clone, Debug)]
pub(super) struct Packages {
    pub(super) step: Step,
    /// Of all that is unpacked, also of what the wanted packages depend on. A package that the stack
    /// has already is not among them.
    pub(super) versions: BTreeMap<String, String>,
}

/// Packages that were looked up.
#[derive(Clone, Debug)]
pub(super) struct Found {
    packages: Vec<Package>,
}

impl Found {
    /// Name → version.
    pub(super) fn versions(&self) -> BTreeMap<String, String> {
        let row = |package: &Package| (package.name.clone(), package.version.clone());
        self.packages.iter().map(row).collect()
    }

    /// As scripts that follow [`program`] take them.
    pub(super) fn list(&self) -> String {
        // Plain strings always serialise.
        serde_json::to_string(&self.packages).unwrap_or_default()
    }
}

/// A Python program that can fetch and unpack packages, with a script of a language behind it.
pub(super) fn program(script: &str) -> String {
    format!("{APT}\n{PACKAGES}\n{script}")
}

/// Looks up `names` (`libvips42t64`, or `NAME=VERSION`) and all that they depend on and the stack
/// lacks; the answer holds for a day.
pub(super) async fn find(
    context: &Context<'_>,
    execution: &mut Execution,
    step_name: &str,
    names: &[&str],
) -> Result<Found, BuildError> {
    let stack = context.request.stack.as_str();
    let question = Question {
        name: &format!("debian-{stack}-{}", hash(&names.join(" "))),
        now: context.now,
        ttl: CATALOGUE_TTL,
    };
    let packages = execution
        .catalogue(question, &find_step(context, step_name, names))
        .await?;
    Ok(Found { packages })
}

/// The same as [`find`], with a step that makes a layer of them below [`PREFIX`]; [`keep`] adds it
/// to a slug.
pub(super) async fn packages(
    context: &Context<'_>,
    execution: &mut Execution,
    step_name: &str,
    names: &[&str],
) -> Result<Packages, BuildError> {
    let found = find(context, execution, step_name, names).await?;
    Ok(Packages {
        step: install_step(context, step_name, names, &found),
        versions: found.versions(),
    })
}

fn find_step(context: &Context<'_>, step_name: &str, names: &[&str]) -> Step {
    let output = format!("/app/{CATALOGUE_FILE}");
    let mut arguments = vec!["find", output.as_str()];
    arguments.extend(names);
    let mut step = step_of(context, &format!("{step_name}-versions"), &arguments);
    step.heading = vec![format!("Looking up packages: {}", names.join(", "))];
    step.advice = vec![
        "The stack's package archive does not have these packages, or cannot be reached."
            .to_owned(),
        format!(
            "hint: see the output above; the stack is {}, and the names of its packages are",
            context.request.stack
        ),
        "those of Debian 13: they may differ from Ubuntu's, which Heroku's stacks are made of."
            .to_owned(),
    ];
    step
}

fn install_step(context: &Context<'_>, step_name: &str, names: &[&str], found: &Found) -> Step {
    let list = found.list();
    let mut arguments = vec!["install", PREFIX, list.as_str()];
    arguments.extend(names);
    let mut step = step_of(context, step_name, &arguments);
    step.advice = vec![
        "The packages could not be fetched from the archive that the stack was made from."
            .to_owned(),
        "hint: see the output above.".to_owned(),
    ];
    step
}

fn step_of(context: &Context<'_>, name: &str, arguments: &[&str]) -> Step {
    let mut step = Step::run(name, script("python3", &program(LAYER), arguments));
    step.env = base_env(context.request.stack.as_str());
    step
}

/// What makes programs, libraries and headers below [`PREFIX`] found; put before what is there.
pub(super) fn add_env(env: &mut BTreeMap<String, String>) {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = [format!("usr/lib/{triplet}"), "usr/lib".to_owned()];
    let headers = ["usr/include".to_owned(), format!("usr/include/{triplet}")];
    let packages = [
        format!("usr/lib/{triplet}/pkgconfig"),
        "usr/lib/pkgconfig".to_owned(),
        "usr/share/pkgconfig".to_owned(),
    ];
    let programs = ["usr/bin", "usr/sbin", "usr/games"].map(str::to_owned);
    let rows: [(&str, &[String]); 7] = [
        ("PATH", &programs),
        ("LD_LIBRARY_PATH", &libraries),
        ("LIBRARY_PATH", &libraries),
        ("INCLUDE_PATH", &headers),
        ("CPATH", &headers),
        ("CPPPATH", &headers),
        ("PKG_CONFIG_PATH", &packages),
    ];
    for (name, folders) in rows {
        for folder in folders.iter().rev() {
            prepend(env, name, &format!("{PREFIX}/{folder}"));
        }
    }
}

/// Puts a directory in front of a search path, unless it is in there.
pub(super) fn prepend(env: &mut BTreeMap<String, String>, name: &str, directory: &str) {
    let stacks = if name == "PATH" { STACK_PATH } else { "" };
    let rest = env.get(name).map_or(stacks, String::as_str);
    if rest.split(':').any(|part| part == directory) {
        return;
    }
    let value = match rest {
        "" => directory.to_owned(),
        rest => format!("{directory}:{rest}"),
    };
    env.insert(name.to_owned(), value);
}

/// Adds a step of [`packages`] to the slug, with the environment and the profile that it needs.
pub(super) fn keep(plan: &mut BuildPlan, step: Step) {
    plan.keep(step);
    add_env(&mut plan.env);
    let profile = Step::write(
        "apt-profile",
        BTreeMap::from([(".profile.d/000_apt.sh".to_owned(), PROFILE.to_owned())]),
    );
    if !plan.steps.iter().any(|other| other.name == profile.name) {
        plan.keep(profile);
    }
}

/// Adds the packages of the source's `Aptfile`, if there is one and it is not in the plan yet.
pub(super) async fn prepare(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<(), BuildError> {
    let Some(text) = execution.tree.read_text(APTFILE) else {
        return Ok(());
    };
    if plan.steps.iter().any(|step| step.name == STEP) {
        return Ok(());
    }
    let names = names_of(&text)?;
    if names.is_empty() {
        let advice = "You have no packages listed in your Aptfile: it can be deleted.";
        execution.output.notice(advice).await;
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Packages { mut step, versions } = packages(context, execution, STEP, &names).await?;
    step.heading = vec![format!(
        "Installing {} packages for the Aptfile",
        versions.len()
    )];
    step.cached_heading = vec!["Using cached packages of the Aptfile".to_owned()];
    let known = |name: &&&str| !versions.contains_key(**name) && !name.contains(['=', ':']);
    let known: Vec<&str> = names.iter().filter(known).copied().collect();
    if !known.is_empty() {
        let text = format!("Part of the stack already: {}", known.join(", "));
        execution.output.text(&text).await;
    }
    keep(plan, step);
    Ok(())
}

/// Has the steps that a language added see the packages of the `Aptfile`: to compile against, or to
/// run.
pub(super) fn put_below(plan: &mut BuildPlan, from: usize) {
    let packages = LayerRef::Step(STEP.to_owned());
    if !plan.slug.contains(&packages) {
        return;
    }
    for step in plan.steps.iter_mut().skip(from) {
        let is_command = matches!(step.action, Action::Run(_));
        if is_command && step.name != STEP {
            if !step.upon.contains(&packages) {
                step.upon.insert(0, packages.clone());
            }
            append_env(&mut step.env);
        }
    }
}

/// The same as [`add_env`], behind what a step has set itself.
fn append_env(env: &mut BTreeMap<String, String>) {
    let mut added = BTreeMap::new();
    add_env(&mut added);
    for (name, value) in added {
        let mut parts: Vec<&str> = match env.get(&name) {
            Some(own) => own.split(':').collect(),
            None => Vec::new(),
        };
        parts.extend(value.split(':'));
        let mut seen = std::collections::BTreeSet::new();
        parts.retain(|part| !part.is_empty() && seen.insert(*part));
        let joined = parts.join(":");
        env.insert(name, joined);
    }
}

/// The packages that an `Aptfile` names: one a line, or several with spaces; `#` begins a comment.
fn names_of(text: &str) -> Result<Vec<String>, BuildError> {
    let mut names = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        if line.trim_start().starts_with(":repo:") {
            return Err(refused(number, line, "names a package archive of its own"));
        }
        for word in line.split_whitespace() {
            let is_file = std::path::Path::new(word)
                .extension()
                .is_some_and(|extension| extension == "deb");
            if is_file || word.contains("://") {
                return Err(refused(number, word, "is the address of a package file"));
            }
            if !is_package(word) {
                return Err(refused(number, word, "is not a package's name"));
            }
            names.push(word.to_owned());
        }
    }
    if names.len() > MAX_NAMES {
        return Err(BuildError::Source {
            problem: format!("The Aptfile names more than {MAX_NAMES} packages."),
            advice: Vec::new(),
        });
    }
    Ok(names)
}

fn refused(number: usize, word: &str, what: &str) -> BuildError {
    let word: String = word.trim().chars().take(120).collect();
    BuildError::Source {
        problem: format!("Line {number} of the Aptfile {what}: {word}"),
        advice: vec![
            "Packages come from the signed archive that the stack was made from, so that each is"
                .to_owned(),
            "verified. hint: write the name of a Debian 13 package, one a line.".to_owned(),
        ],
    }
}

/// Debian's rule for names, with a version or an architecture behind it.
fn is_package(word: &str) -> bool {
    let (name, version) = word.split_once('=').unwrap_or((word, "0"));
    let (name, architecture) = name.split_once(':').unwrap_or((name, "any"));
    let is_plain = |text: &str, more: &str| {
        !text.is_empty()
            && text.len() <= 128
            && text.chars().all(|letter| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || more.contains(letter)
            })
    };
    // A name that ends in a sign would tell apt to remove it.
    is_plain(name, "+-.")
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !name.ends_with(['-', '.'])
        && (!name.ends_with('+') || name.ends_with("++"))
        && is_plain(architecture, "")
        && is_plain(&version.to_ascii_lowercase(), "+-.~:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[&str], &str>) {
        let found = names_of(text).map_err(|error| error.to_string());
        let expected = expected
            .map(|names| {
                names
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>()
            })
            .map_err(str::to_owned);
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn aptfiles() {
        check("", Ok(&[]));
        check("# only a comment\n\n", Ok(&[]));
        check(
            "imagemagick\r\nlibvips42t64\n",
            Ok(&["imagemagick", "libvips42t64"]),
        );
        check("  ffmpeg # for videos\n", Ok(&["ffmpeg"]));
        check("jq tree", Ok(&["jq", "tree"]));
        check("libstdc++6 g++\n", Ok(&["libstdc++6", "g++"]));
        check(
            "tree=2.2.1-1 libc6:amd64",
            Ok(&["tree=2.2.1-1", "libc6:amd64"]),
        );
        check(
            ":repo:deb http://example.test/ stable main",
            Err(
                "Line 1 of the Aptfile names a package archive of its own: :repo:deb http://example.test/ stable main",
            ),
        );
        check(
            "tree\nhttps://example.test/wkhtmltox.deb",
            Err(
                "Line 2 of the Aptfile is the address of a package file: https://example.test/wkhtmltox.deb",
            ),
        );
        check(
            "./local.deb",
            Err("Line 1 of the Aptfile is the address of a package file: ./local.deb"),
        );
        for word in [
            "--allow-unauthenticated",
            "-o",
            "tree-",
            "tree+",
            "../x",
            "a/b",
            "Tree",
            "$(id)",
        ] {
            check(
                word,
                Err(&format!(
                    "Line 1 of the Aptfile is not a package's name: {word}"
                )),
            );
        }
    }

    #[test]
    fn directories_are_found_once_and_first() {
        let mut env = BTreeMap::from([("LD_LIBRARY_PATH".to_owned(), "/app/own".to_owned())]);
        add_env(&mut env);
        add_env(&mut env);
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        assert_eq!(
            env["LD_LIBRARY_PATH"],
            format!("/app/.apt/usr/lib/{triplet}:/app/.apt/usr/lib:/app/own")
        );
        assert!(env["PATH"].starts_with("/app/.apt/usr/bin:/app/.apt/usr/sbin:"));
        assert!(env["PATH"].ends_with(STACK_PATH));
        let mut step = BTreeMap::from([("PATH".to_owned(), format!("/app/bin:{STACK_PATH}"))]);
        append_env(&mut step);
        assert!(step["PATH"].starts_with(&format!("/app/bin:{STACK_PATH}:/app/.apt/usr/bin")));
    }
}
