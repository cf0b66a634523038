//! Which package registry Node.js, npm and the modules come from: the app's choice, else the
//! host's, else the one that npm itself uses.
//!
//! This program knows no registry's address. npm does, and is asked once per machine. Read
//! [`find`] first.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    buildpacks::{Context, lines, script, tool_env},
    error::BuildError,
    execute::{CATALOGUE_FILE, Execution, Question},
    plan::Step,
};

/// The version of the wheel that npm is asked from, with its checksums for `x86_64` and `aarch64`.
const WHEEL_VERSION: &str = "24.19.0";
const WHEEL_HASHES: [&str; 2] = [
    "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
    "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
];
/// One version of npm always gives the same answer.
const ANSWER_TTL: Duration = Duration::from_hours(24 * 365);

const ASK: &str = include_str!("../scripts/npm_registry.py");

/// Where to fetch from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::buildpacks) struct Registries {
    /// Addresses, without a slash at the end, to look for Node.js and package managers at, first
    /// one first.
    pub(in crate::buildpacks) of_tools: Vec<String>,
    /// What package managers are told, so that the host's setting counts where the app has none,
    /// and nowhere else.
    pub(in crate::buildpacks) of_modules: Option<String>,
}

/// What is known without asking npm.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    ConfigVar(String),
    /// An `.npmrc` is there for the modules; its registry may well lack Node.js, or want a
    /// password.
    File(String),
    Host(String),
    Nothing,
}

/// The registries of one app.
pub(in crate::buildpacks) async fn find(
    context: &Context<'_>,
    execution: &mut Execution,
) -> Result<Registries, BuildError> {
    let npmrc = execution.tree.read_text(".npmrc").unwrap_or_default();
    let of_host = named(context.host_vars);
    let known = known(&context.request.config_vars, &npmrc, of_host.as_ref());
    let mut registries = Registries {
        of_tools: Vec::new(),
        of_modules: None,
    };
    match known {
        Known::ConfigVar(url) => registries.of_tools.push(url),
        Known::Host(url) => {
            registries.of_modules = Some(url.clone());
            registries.of_tools.push(url);
        }
        Known::Nothing => registries.of_tools.push(ask_npm(context, execution).await?),
        Known::File(url) => {
            // Variables, which the host's may be, come before files.
            registries.of_modules = of_host.is_some().then(|| format!("{url}/"));
            registries.of_tools.push(url);
            let other = match of_host {
                Some(url) => Some(url),
                // The file's registry may do alone.
                None => ask_npm(context, execution).await.ok(),
            };
            registries.of_tools.extend(other);
            registries.of_tools.dedup();
        }
    }
    Ok(registries)
}

fn known(vars: &BTreeMap<String, String>, npmrc: &str, of_host: Option<&String>) -> Known {
    // npm has it in this order too.
    named(vars)
        .map(Known::ConfigVar)
        .or_else(|| in_file(npmrc, vars).map(Known::File))
        .or_else(|| of_host.cloned().map(Known::Host))
        .unwrap_or(Known::Nothing)
}

/// npm reads its variables in any case.
fn named(vars: &BTreeMap<String, String>) -> Option<String> {
    vars.iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("npm_config_registry"))
        .find_map(|(_, value)| address(value))
}

/// The `registry` of an `.npmrc`, with `${NAME}` replaced by config vars. The last one counts.
fn in_file(npmrc: &str, vars: &BTreeMap<String, String>) -> Option<String> {
    let mut values = npmrc.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "registry").then_some(value)
    });
    let mut value = values.next_back()?.to_owned();
    for (name, replacement) in vars {
        value = value.replace(&format!("${{{name}}}"), replacement);
    }
    let value = value.split([';', '#']).next().unwrap_or_default().trim();
    address(value.trim_matches(['"', '\'']))
}

/// The text without slashes at its end, if it is a web address.
fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    let is_one_word = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    (is_web && is_one_word).then(|| text.trim_end_matches('/').to_owned())
}

async fn ask_npm(context: &Context<'_>, execution: &mut Execution) -> Result<String, BuildError> {
    let question = Question {
        name: &format!("npm-registry-{WHEEL_VERSION}"),
        now: context.now,
        ttl: ANSWER_TTL,
    };
    let answer: String = execution.catalogue(question, &ask_step(context)).await?;
    address(&answer).ok_or_else(|| {
        let problem = std::io::Error::other(format!("npm's registry is `{answer}`"));
        BuildError::host("find npm's package registry")(problem)
    })
}

fn ask_step(context: &Context<'_>) -> Step {
    let output = format!("/app/{CATALOGUE_FILE}");
    let mut arguments = vec![output.as_str(), WHEEL_VERSION];
    arguments.extend(WHEEL_HASHES);
    let mut step = Step::run("npm-registry", script("python3", ASK, &arguments));
    step.heading = vec!["Asking npm for its package registry".to_owned()];
    // All apps share the answer, so that no app's settings may have a part in it.
    step.env = tool_env(context);
    step.advice = lines(&[
        "npm, which knows its package registry, could not be fetched from the Python package index.",
        "hint: see the output above; npm_config_registry may be set as a config var.",
    ]);
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn the_app_comes_before_the_host() {
        let check = |pairs: &[(&str, &str)], npmrc: &str, host: Option<&str>, expected: Known| {
            let host = host.map(str::to_owned);
            assert_eq!(known(&vars(pairs), npmrc, host.as_ref()), expected);
        };
        let file = "registry=http://file.test/";
        let host = Some("http://host.test");
        check(
            &[("Npm_Config_REGISTRY", "http://var.test/npm//")],
            file,
            host,
            Known::ConfigVar("http://var.test/npm".to_owned()),
        );
        check(
            &[("npm_config_registry", "")],
            file,
            host,
            Known::File("http://file.test".to_owned()),
        );
        check(&[], "", host, Known::Host("http://host.test".to_owned()));
        check(&[("NPM_TOKEN", "http://x")], "", None, Known::Nothing);
    }

    fn check_file(npmrc: &str, expected: Option<&str>) {
        let vars = vars(&[("HOST", "var.test")]);
        assert_eq!(in_file(npmrc, &vars).as_deref(), expected, "{npmrc:?}");
    }

    #[test]
    fn a_file_names_its_registry() {
        check_file("registry=https://a.test/", Some("https://a.test"));
        check_file(
            "a=b\n registry = \"https://a.test/npm/\" ; ours\n",
            Some("https://a.test/npm"),
        );
        check_file("registry=https://${HOST}/x", Some("https://var.test/x"));
        check_file(
            "registry=https://a.test\nregistry=https://b.test",
            Some("https://b.test"),
        );
        check_file("#registry=https://a.test", None);
        check_file("@us:registry=https://a.test", None);
        check_file("//a.test/:_authToken=registry=https://b.test", None);
        check_file("registry=file:///etc", None);
        check_file("registry=https://a.test --proxy", None);
        check_file("registry", None);
    }
}
