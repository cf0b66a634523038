//! `landfall heroku-env`: the variables that make the official CLI use a platform.
//!
//! What each variable does was found by experiment with the CLI; where it takes its answer from a
//! fixed host unless told otherwise, it is told this platform.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{config::Surroundings, ready::Ready};

/// Arguments of `landfall heroku-env`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HerokuEnvArguments {
    /// Also export `HEROKU_API_KEY`, the first account's token
    #[arg(long)]
    pub api_key: bool,
}

/// Proxy variables that would send requests for this machine elsewhere.
const PROXIES: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

/// Prints them for a shell.
#[expect(clippy::print_stdout, reason = "the command's output, for `eval`")]
pub(crate) fn print(ready_file: &Path, arguments: &HerokuEnvArguments) -> Result<()> {
    let ready = Ready::read(ready_file)?;
    let exports = exports(&ready, &Surroundings::of_this_process(), arguments.api_key)?;
    print!("{}", to_shell(&exports));
    Ok(())
}

/// Name and value of each variable, trust bundles written beside the platform's CA.
pub(crate) fn exports(
    ready: &Ready,
    surroundings: &Surroundings,
    with_key: bool,
) -> Result<Vec<(String, String)>> {
    let node = bundle(
        ready,
        "node.pem",
        surroundings.get("NODE_EXTRA_CA_CERTS").map(PathBuf::from),
    )?;
    let git_trusts = surroundings.get("GIT_SSL_CAINFO").map(PathBuf::from);
    let git = bundle(
        ready,
        "git.pem",
        git_trusts.or_else(|| surroundings.system_bundle()),
    )?;
    let mut exports = variables(ready, with_key);
    exports.push(("NODE_EXTRA_CA_CERTS".to_owned(), node.display().to_string()));
    exports.push(("GIT_SSL_CAINFO".to_owned(), git.display().to_string()));
    exports.extend(no_proxy(ready, surroundings));
    Ok(exports)
}

/// The variables that depend on nothing but the platform.
fn variables(ready: &Ready, with_key: bool) -> Vec<(String, String)> {
    let api = ready.api_url.as_str();
    let host = hostname(api);
    let is_local = ["localhost", "127.0.0.1"].contains(&host);
    // The CLI refuses other hosts unless the text `localhost` is somewhere in the URL, and then
    // attaches no token by itself.
    let heroku_host = if is_local {
        api.to_owned()
    } else {
        api.replacen("://", "://localhost@", 1)
    };
    let mut variables = vec![
        ("HEROKU_HOST", heroku_host),
        ("HEROKU_DATA_HOST", host.to_owned()),
    ];
    for name in [
        "HEROKU_PARTICLEBOARD_URL",
        "HEROKU_BUILDPACK_REGISTRY_URL",
        "HEROKU_LOGIN_HOST",
    ] {
        variables.push((name, api.to_owned()));
    }
    // The router answers also while the server does not.
    let status = Some(&ready.status_url).filter(|url| !url.is_empty());
    variables.push((
        "HEROKU_STATUS_HOST",
        status.unwrap_or(&ready.api_url).clone(),
    ));
    if let Some((_, git_host)) = ready.git_url.split_once("://") {
        variables.push(("HEROKU_GIT_HOST", git_host.to_owned()));
    }
    variables.push(("DISABLE_TELEMETRY", "true".to_owned()));
    variables.push(("HEROKU_SKIP_NEW_VERSION_CHECK", "true".to_owned()));
    // Otherwise each call may leave a process behind that asks the CLI's makers for a newer one.
    variables.push(("HEROKU_DISABLE_AUTOUPDATE", "true".to_owned()));
    if with_key {
        variables.push(("HEROKU_API_KEY", ready.admin_token.clone()));
        if !is_local {
            let header = format!(r#"{{"authorization":"Bearer {}"}}"#, ready.admin_token);
            variables.push(("HEROKU_HEADERS", header));
        }
    }
    variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Where a proxy is set, requests to the platform must not take it.
fn no_proxy(ready: &Ready, surroundings: &Surroundings) -> Vec<(String, String)> {
    if PROXIES.iter().all(|name| surroundings.get(name).is_none()) {
        return Vec::new();
    }
    let host = hostname(&ready.api_url);
    ["no_proxy", "NO_PROXY"]
        .into_iter()
        .map(|name| {
            let kept = surroundings
                .get(name)
                .map(|list| format!(",{list}"))
                .unwrap_or_default();
            (name.to_owned(), format!("{host},localhost,127.0.0.1{kept}"))
        })
        .collect()
}

/// A file with the certificates of `trusted`, if there is one, and the platform's CA.
fn bundle(ready: &Ready, name: &str, trusted: Option<PathBuf>) -> Result<PathBuf> {
    let own = fs::read_to_string(&ready.ca_pem_path)
        .with_context(|| format!("could not read {}", ready.ca_pem_path.display()))?;
    let path = ready.ca_pem_path.with_file_name("trust").join(name);
    if trusted.as_ref() == Some(&path) && path.is_file() {
        // A shell that took these exports before: the bundle already holds what it trusted.
        return Ok(path);
    }
    let content = match trusted.filter(|file| file.is_file()) {
        None => return Ok(ready.ca_pem_path.clone()),
        Some(file) => fs::read_to_string(&file)
            .with_context(|| format!("could not read {}", file.display()))?,
    };
    let content = format!("{}\n{own}", content.trim_end());
    if fs::read_to_string(&path).is_ok_and(|old| old == content) {
        return Ok(path);
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("could not make {}", directory.display()))?;
    }
    fs::write(&path, content).with_context(|| format!("could not write {}", path.display()))?;
    Ok(path)
}

/// `http://localhost:5000` → `localhost`.
fn hostname(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host)
}

/// `export NAME='VALUE'` lines.
fn to_shell(exports: &[(String, String)]) -> String {
    exports
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let quoted = value.replace('\'', r"'\''");
            writeln!(text, "export {name}='{quoted}'").expect("a String takes all text");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(directory: &Path, api_url: &str) -> Ready {
        let ca_pem_path = directory.join("ca.pem");
        fs::write(&ca_pem_path, "OURS\n").unwrap();
        Ready {
            api_url: api_url.to_owned(),
            git_url: api_url.replace("http:", "https:"),
            http_addr: "127.0.0.1:8080".to_owned(),
            https_addr: "127.0.0.1:8443".to_owned(),
            ssh_addr: None,
            ssh_host_key: None,
            rendezvous_addr: "localhost:5000".to_owned(),
            ca_pem_path,
            admin_email: "admin@localhost".to_owned(),
            admin_token: "secret".to_owned(),
            status_host: "status.localhost".to_owned(),
            status_url: "http://localhost:8080".to_owned(),
            version: "0".to_owned(),
        }
    }

    fn check(api_url: &str, surroundings: &[(&str, &str)], expected: &[(&str, &str)]) {
        let directory = tempfile::tempdir().unwrap();
        let ready = ready(directory.path(), api_url);
        let exports = exports(&ready, &Surroundings::of(surroundings), true).unwrap();
        for (name, value) in expected {
            let found = exports.iter().find(|(found, _)| found == name);
            assert_eq!(
                found.map(|(_, value)| value.as_str()),
                Some(*value),
                "{name}"
            );
        }
    }

    #[test]
    fn a_local_platform() {
        check(
            "http://localhost:5000",
            &[],
            &[
                ("HEROKU_HOST", "http://localhost:5000"),
                ("HEROKU_DATA_HOST", "localhost"),
                ("HEROKU_LOGIN_HOST", "http://localhost:5000"),
                ("HEROKU_STATUS_HOST", "http://localhost:8080"),
                ("HEROKU_GIT_HOST", "localhost:5000"),
                ("HEROKU_API_KEY", "secret"),
                ("DISABLE_TELEMETRY", "true"),
            ],
        );
    }

    #[test]
    fn a_platform_elsewhere_gets_past_the_list_of_hosts() {
        check(
            "https://api.example.com:5000",
            &[
                ("HTTPS_PROXY", "http://proxy:3128"),
                ("NO_PROXY", "intranet"),
            ],
            &[
                ("HEROKU_HOST", "https://localhost@api.example.com:5000"),
                ("HEROKU_DATA_HOST", "api.example.com"),
                ("HEROKU_HEADERS", r#"{"authorization":"Bearer secret"}"#),
                ("NO_PROXY", "api.example.com,localhost,127.0.0.1,intranet"),
            ],
        );
    }

    #[test]
    fn certificates_trusted_before_stay_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let company = directory.path().join("company.pem");
        fs::write(&company, "COMPANY\n").unwrap();
        let ready = ready(directory.path(), "http://localhost:5000");
        let surroundings = Surroundings::of(&[("NODE_EXTRA_CA_CERTS", company.to_str().unwrap())]);
        // Twice: the second call may find its own bundle in the environment.
        for _ in 0..2 {
            let exports = exports(&ready, &surroundings, false).unwrap();
            let (_, node) = exports
                .iter()
                .find(|(name, _)| name == "NODE_EXTRA_CA_CERTS")
                .unwrap();
            assert_eq!(fs::read_to_string(node).unwrap(), "COMPANY\nOURS\n");
        }
    }

    #[test]
    fn values_are_quoted_for_the_shell() {
        let exports = [("A".to_owned(), "it's".to_owned())];
        assert_eq!(to_shell(&exports), "export A='it'\\''s'\n");
    }
}
