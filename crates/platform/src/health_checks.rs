//! Health checks as people set them, and as an app's own `app.json` does.
//!
//! What the API was told goes before the file. The checks are made by [`crate::checks`].

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use api::{
    health_checks::{CheckKind, ChecksSource, FormationHealthChecks, HealthCheck, HealthChecks},
    ids::{AppId, SlugId},
    names::ProcessType,
};
use logs::LogSource;
use serde_json::Value;
use store::Release;

use crate::{
    Caller, Platform,
    error::{Error, Result},
    plan::health::{Pace, Which},
};

/// No `app.json` is longer.
const FILE_BYTES: u64 = 256 * 1024;
const PATH_BYTES: usize = 1024;
const HEADERS: usize = 16;
const HEADER_BYTES: usize = 4096;
const COMMAND_BYTES: usize = 4096;
/// A dyno that takes longer to start does not start.
const PATIENCE_SECONDS: u64 = 3600;

/// What slugs say of health checks; slugs never change. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlugChecks(Arc<Mutex<HashMap<SlugId, ByType>>>);

type ByType = Arc<BTreeMap<String, HealthChecks>>;

impl Platform {
    /// The checks of a process type that are in force.
    ///
    /// # Errors
    /// `NotFound` for a process type the app does not have.
    pub async fn health_checks(
        &self,
        app: AppId,
        process_type: &str,
    ) -> Result<FormationHealthChecks> {
        let process_type = self.known_type(app, process_type).await?;
        let current = self.store.current_release(app).await?;
        self.checks_of(app, current.as_ref(), &process_type).await
    }

    /// Sets the checks of a process type, or with `None` leaves them to `app.json` again.
    /// Running dynos are checked so from now on.
    ///
    /// # Errors
    /// `NotFound` for a process type the app does not have, `Invalid` for a check that cannot be
    /// made.
    pub async fn set_health_checks(
        &self,
        caller: &Caller,
        app: AppId,
        process_type: &str,
        checks: Option<HealthChecks>,
    ) -> Result<FormationHealthChecks> {
        let process_type = self.known_type(app, process_type).await?;
        if let Some(checks) = &checks {
            check(checks, process_type.is_web()).map_err(|message| Error::Invalid { message })?;
        }
        self.store
            .set_health_checks(&caller.change(), app, &process_type, checks.as_ref())
            .await?;
        let text = format!(
            "Update health checks of {process_type} by user {}",
            caller.email
        );
        self.say(app, LogSource::App, "api", text).await;
        self.checks_changed
            .send_modify(|count| *count = count.wrapping_add(1));
        self.nudges.nudge(app);
        let current = self.store.current_release(app).await?;
        self.checks_of(app, current.as_ref(), &process_type).await
    }

    async fn known_type(&self, app: AppId, name: &str) -> Result<ProcessType> {
        let formation = self.store.formation(app).await?;
        formation
            .into_iter()
            .map(|row| row.process_type)
            .find(|known| known.as_str() == name)
            .ok_or_else(|| Error::NotFound {
                resource: "process_type",
                name: name.to_owned(),
            })
    }

    /// The checks of a process type in a release.
    pub(crate) async fn checks_of(
        &self,
        app: AppId,
        release: Option<&Release>,
        process_type: &ProcessType,
    ) -> Result<FormationHealthChecks> {
        let formation = self.store.formation(app).await?;
        let row = formation
            .into_iter()
            .find(|row| row.process_type == *process_type);
        if let Some(checks) = row.and_then(|row| row.health_checks) {
            let source = ChecksSource::Api;
            return Ok(FormationHealthChecks { checks, source });
        }
        let slug = release.and_then(|release| release.slug);
        let checks = match slug {
            Some(slug) => self
                .slug_checks(slug)
                .await?
                .get(process_type.as_str())
                .cloned()
                .unwrap_or_default(),
            None => HealthChecks::default(),
        };
        let source = if checks.is_empty() {
            ChecksSource::None
        } else {
            ChecksSource::AppJson
        };
        Ok(FormationHealthChecks { checks, source })
    }

    /// How long dynos of the types with a startup check may take until they pass it.
    pub(crate) async fn startup_patience(
        &self,
        release: &Release,
        process_types: &BTreeMap<ProcessType, String>,
    ) -> Result<BTreeMap<ProcessType, std::time::Duration>> {
        let mut patience = BTreeMap::new();
        for process_type in process_types.keys() {
            let checks = self
                .checks_of(release.app, Some(release), process_type)
                .await?
                .checks;
            if let Some(startup) = checks.startup {
                let pace = Pace::of(Which::Startup, &startup);
                patience.insert(process_type.clone(), pace.patience());
            }
        }
        Ok(patience)
    }

    async fn slug_checks(&self, id: SlugId) -> Result<ByType> {
        let known = |checks: &SlugChecks| {
            let known = checks.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&id).cloned()
        };
        if let Some(known) = known(&self.slug_checks) {
            return Ok(known);
        }
        let slug = self.store.slug(id).await?;
        let directories: Vec<_> = slug
            .layers
            .iter()
            .map(|key| self.settings.layers_dir.join(key))
            .collect();
        let read = tokio::task::spawn_blocking(move || {
            // The uppermost layer that has the file is the one an app would see.
            let texts = directories.iter().rev().find_map(|layer| app_json(layer));
            texts.map_or_else(BTreeMap::new, |text| from_app_json(&text))
        });
        let checks = Arc::new(read.await.unwrap_or_default());
        let mut all = self
            .slug_checks
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(id, Arc::clone(&checks));
        Ok(checks)
    }
}

/// The text of a layer's `app.json`. A link is not followed: who knows where it leads.
fn app_json(layer: &Path) -> Option<String> {
    let path = layer.join("app.json");
    let is_plain =
        |metadata: &std::fs::Metadata| metadata.is_file() && metadata.len() <= FILE_BYTES;
    std::fs::symlink_metadata(&path).ok().filter(is_plain)?;
    std::fs::read_to_string(path).ok()
}

/// Reads `healthchecks` as Dokku's `app.json` has it: process type → list of checks, of which the
/// first of each kind that can be made counts. What cannot be read is no check.
fn from_app_json(text: &str) -> BTreeMap<String, HealthChecks> {
    let mut all = BTreeMap::new();
    let file: Value = serde_json::from_str(text).unwrap_or_default();
    for (process_type, list) in file["healthchecks"].as_object().into_iter().flatten() {
        let is_web = process_type == ProcessType::WEB;
        let mut checks = HealthChecks::default();
        for item in list.as_array().into_iter().flatten() {
            let place = match item["type"].as_str() {
                Some("startup") => &mut checks.startup,
                Some("readiness") if is_web => &mut checks.readiness,
                Some("liveness") => &mut checks.liveness,
                _ => continue,
            };
            if place.is_none() {
                *place = one_check(item).filter(|found| check_one("check", found, is_web).is_ok());
            }
        }
        if !checks.is_empty() {
            all.insert(process_type.clone(), checks);
        }
    }
    all
}

fn one_check(item: &Value) -> Option<HealthCheck> {
    let number = |key: &str| item[key].as_u64().and_then(|n| u32::try_from(n).ok());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let command: Vec<String> = match &item["command"] {
        Value::Array(words) => words.iter().filter_map(text).collect(),
        _ => Vec::new(),
    };
    let path = item["path"].as_str().map(str::to_owned);
    let kind = if !command.is_empty() {
        CheckKind::Command
    } else if path.is_some() {
        CheckKind::Http
    } else if item["listening"].as_bool() == Some(true) {
        CheckKind::Tcp
    } else {
        return None;
    };
    let headers = item["httpHeaders"].as_array().into_iter().flatten();
    let headers =
        headers.filter_map(|header| Some((text(&header["name"])?, text(&header["value"])?)));
    Some(HealthCheck {
        kind,
        path,
        status: None,
        headers: headers.collect(),
        port: item["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok()),
        command,
        interval_seconds: number("wait").map(|wait| wait.max(1)),
        timeout_seconds: number("timeout").map(|timeout| timeout.max(1)),
        attempts: number("attempts").map(|attempts| attempts.max(1)),
    })
}

/// Says what is wrong with a process type's checks, if something is.
fn check(checks: &HealthChecks, is_web: bool) -> Result<(), String> {
    if checks.readiness.is_some() && !is_web {
        return Err("Only web dynos have a readiness check: others get no requests.".to_owned());
    }
    for (name, check) in [
        ("startup", &checks.startup),
        ("readiness", &checks.readiness),
        ("liveness", &checks.liveness),
    ] {
        if let Some(check) = check {
            check_one(name, check, is_web)?;
        }
    }
    if let Some(startup) = &checks.startup
        && Pace::of(Which::Startup, startup).patience().as_secs() > PATIENCE_SECONDS
    {
        return Err(format!(
            "startup: attempts times interval_seconds must be {PATIENCE_SECONDS} at most."
        ));
    }
    Ok(())
}

fn check_one(name: &str, check: &HealthCheck, is_web: bool) -> Result<(), String> {
    let faults = misplaced(check, is_web).into_iter().chain(unfit(check));
    for (is_fault, text) in faults {
        if is_fault {
            return Err(format!("{name}: {text}."));
        }
    }
    Ok(())
}

/// What a check of its kind must or must not have.
fn misplaced(check: &HealthCheck, is_web: bool) -> [(bool, &'static str); 7] {
    let is_http = check.kind == CheckKind::Http;
    let is_command = check.kind == CheckKind::Command;
    [
        (!is_http && check.path.is_some(), "path is for http checks"),
        (
            !is_http && check.status.is_some(),
            "status is for http checks",
        ),
        (
            !is_http && !check.headers.is_empty(),
            "headers are for http checks",
        ),
        (
            is_command && check.port.is_some(),
            "port is for http and tcp checks",
        ),
        (
            !is_command && !check.command.is_empty(),
            "command is for command checks",
        ),
        (
            is_command && check.command.is_empty(),
            "command must name a program",
        ),
        (
            !is_command && !is_web && check.port.is_none(),
            "port is needed: only web dynos are told one",
        ),
    ]
}

/// What its values must be. Nothing in a path or header may end a line of the request.
fn unfit(check: &HealthCheck) -> [(bool, &'static str); 8] {
    let path = check.path.as_deref().unwrap_or("/");
    let is_printable = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let is_name = |text: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !text.is_empty() && text.bytes().all(is_allowed)
    };
    let headers = &check.headers;
    let header_bytes: usize = headers.iter().map(|(k, v)| k.len() + v.len()).sum();
    let are_headers = headers.iter().all(|(k, v)| is_name(k) && is_printable(v));
    let command_bytes: usize = check.command.iter().map(String::len).sum();
    let is_out = |value: Option<u32>, most: u32| value.is_some_and(|n| !(1..=most).contains(&n));
    [
        (
            !path.starts_with('/')
                || path.contains(' ')
                || !is_printable(path)
                || path.len() > PATH_BYTES,
            "path must begin with a slash and hold neither spaces nor other than ASCII",
        ),
        (
            check.status.is_some_and(|code| !(100..600).contains(&code)),
            "status must be an HTTP status",
        ),
        (
            headers.len() > HEADERS || header_bytes > HEADER_BYTES || !are_headers,
            "headers must be at most 16 names and values of printable ASCII",
        ),
        (check.port == Some(0), "port must not be 0"),
        (
            command_bytes > COMMAND_BYTES || check.command.iter().any(|word| word.contains('\0')),
            "command must be text of 4096 bytes at most",
        ),
        (
            is_out(check.interval_seconds, 3600),
            "interval_seconds must be 1 to 3600",
        ),
        (
            is_out(check.timeout_seconds, 300),
            "timeout_seconds must be 1 to 300",
        ),
        (is_out(check.attempts, 1000), "attempts must be 1 to 1000"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str, is_web: bool) -> Option<String> {
        let checks: HealthChecks = serde_json::from_str(json).unwrap();
        check(&checks, is_web).err()
    }

    #[test]
    fn what_cannot_be_checked_is_refused_in_words() {
        for (json, is_web, expected) in [
            (r#"{"startup":{"type":"http"}}"#, true, None),
            (
                r#"{"liveness":{"type":"command","command":["bin/alive"]}}"#,
                false,
                None,
            ),
            (r#"{"liveness":{"type":"tcp","port":9000}}"#, false, None),
            (
                r#"{"liveness":{"type":"tcp"}}"#,
                false,
                Some("liveness: port is needed: only web dynos are told one."),
            ),
            (
                r#"{"readiness":{"type":"command","command":["x"]}}"#,
                false,
                Some("Only web dynos have a readiness check: others get no requests."),
            ),
            (
                r#"{"startup":{"type":"http","path":"health"}}"#,
                true,
                Some(
                    "startup: path must begin with a slash and hold neither spaces nor other than ASCII.",
                ),
            ),
            (
                r#"{"startup":{"type":"http","path":"/a\r\nX: y"}}"#,
                true,
                Some(
                    "startup: path must begin with a slash and hold neither spaces nor other than ASCII.",
                ),
            ),
            (
                r#"{"startup":{"type":"http","headers":{"A":"b\r\nC: d"}}}"#,
                true,
                Some("startup: headers must be at most 16 names and values of printable ASCII."),
            ),
            (
                r#"{"startup":{"type":"tcp","path":"/"}}"#,
                true,
                Some("startup: path is for http checks."),
            ),
            (
                r#"{"liveness":{"type":"command"}}"#,
                true,
                Some("liveness: command must name a program."),
            ),
            (
                r#"{"liveness":{"type":"http","attempts":0}}"#,
                true,
                Some("liveness: attempts must be 1 to 1000."),
            ),
            (r#"{"startup":{"type":"http","attempts":1000}}"#, true, None),
            (
                r#"{"startup":{"type":"http","attempts":1000,"interval_seconds":10}}"#,
                true,
                Some("startup: attempts times interval_seconds must be 3600 at most."),
            ),
        ] {
            assert_eq!(refused(json, is_web).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn dokkus_form_is_read() {
        let text = r#"{
            "name": "example",
            "healthchecks": {
                "web": [
                    {"type": "startup", "name": "boot", "path": "/health", "attempts": 5, "wait": 3,
                     "timeout": 2, "httpHeaders": [{"name": "Host", "value": "example.com"}]},
                    {"type": "readiness", "listening": true},
                    {"type": "startup", "path": "/other"},
                    {"type": "liveness", "uptime": 10}
                ],
                "worker": [{"type": "liveness", "command": ["bin/alive", "-q"]}],
                "clock": [{"type": "liveness", "path": "/without-a-port"}]
            }
        }"#;
        let all = from_app_json(text);
        let web = &all["web"];
        let startup = web.startup.as_ref().unwrap();
        assert_eq!(startup.path.as_deref(), Some("/health"));
        assert_eq!(startup.headers["Host"], "example.com");
        assert_eq!(Pace::of(Which::Startup, startup).patience().as_secs(), 15);
        assert_eq!(web.readiness.as_ref().unwrap().kind, CheckKind::Tcp);
        assert_eq!(web.liveness, None);
        let alive = all["worker"].liveness.as_ref().unwrap();
        assert_eq!(alive.command, ["bin/alive", "-q"]);
        assert!(!all.contains_key("clock"));
        assert!(from_app_json("[").is_empty());
        assert!(from_app_json("{\"healthchecks\": 3}").is_empty());
    }
}
