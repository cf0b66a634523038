//! Edge settings as people set them: what the router does for an app beyond routing.
//!
//! Looked over here, once; `router::edge` does what they say. Read [`Platform::update_edge`].

use std::collections::BTreeSet;

use api::{
    edge::{BasicAuth, Edge, EdgeUser, HeaderRule, RateLimit, Redirect, StaticFiles},
    ids::AppId,
    names::AppName,
};
use rand::{Rng, distr::Alphanumeric};
use router::{edge_password_hash, is_header, is_header_value, wire::PathRoute};
use serde_json::{Map, Value};
use store::{App, Change, StoreError};

use crate::{
    Platform,
    authorize::{Action, Bearer, Target},
    error::{Error, Result},
    merge::merged,
};

/// Entries of one setting.
const ENTRIES: usize = 100;
/// Letters of a path, a header's value, a name.
const TEXT_BYTES: usize = 2048;
/// Hashes are quick to make, so what is hashed must be hard to guess.
const PASSWORD_LETTERS: usize = 12;
/// Longest time that may be set: an hour.
const SECONDS: u32 = 3600;
const SALT_LETTERS: usize = 22;
/// How often a change is made anew because somebody else was quicker.
const UPDATE_TRIES: usize = 5;

impl Platform {
    /// An app's edge settings, without what nobody may read.
    pub async fn edge(&self, app: AppId) -> Result<Edge> {
        Ok(self.store.edge(app).await?.shown())
    }

    /// Changes edge settings: what is left out stays, `null` is off again. They are in force when
    /// the router has the app's next routes, within milliseconds.
    ///
    /// # Errors
    /// `Invalid` with the setting and what is wrong with it; `Forbidden` for a path that goes to an
    /// app whose config vars the caller may not change.
    pub async fn update_edge(
        &self,
        bearer: &Bearer,
        app: &App,
        update: Map<String, Value>,
    ) -> Result<Edge> {
        let mut tries = 0;
        loop {
            match self.try_update_edge(bearer, app, update.clone()).await {
                // Somebody else was quicker: what they changed stays.
                Err(Error::Store(StoreError::Stale { .. })) if tries < UPDATE_TRIES => tries += 1,
                ended => return ended,
            }
        }
    }

    async fn try_update_edge(
        &self,
        bearer: &Bearer,
        app: &App,
        update: Map<String, Value>,
    ) -> Result<Edge> {
        let present = self.store.edge(app.id).await?;
        let names: Vec<String> = update.keys().cloned().collect();
        let mut edge = merged(&present, update, "edge")?;
        check(&edge)?;
        for path in &edge.paths {
            let other = self.app(path.app.as_str()).await?;
            let target = Target::App(&other);
            self.authorize(Some(bearer), Action::UpdateConfigVars, target)
                .await?;
        }
        if let Some(auth) = &mut edge.basic_auth {
            hash_passwords(auth, present.basic_auth.as_ref())?;
        }
        self.store
            .set_edge(&bearer.caller.change(), app.id, (&present, &edge), &names)
            .await?;
        self.nudges.nudge(app.id);
        Ok(edge.shown())
    }

    /// An app has another name: the paths of others that it answers name it by that.
    pub(crate) async fn follow_rename(
        &self,
        change: &Change,
        (old, new): (&AppName, &AppName),
    ) -> Result<()> {
        for app in self.store.apps().await? {
            let mut tries = 0;
            loop {
                let former = self.store.edge(app.id).await?;
                let mut edge = former.clone();
                for path in edge.paths.iter_mut().filter(|path| path.app == *old) {
                    path.app = new.clone();
                }
                if edge == former {
                    break;
                }
                let names = ["paths".to_owned()];
                let set = self
                    .store
                    .set_edge(change, app.id, (&former, &edge), &names);
                match set.await {
                    Err(StoreError::Stale { .. }) if tries < UPDATE_TRIES => tries += 1,
                    set => {
                        set?;
                        self.nudges.nudge(app.id);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// The paths of an app that others answer, as the router needs them. Where there is no such app
    /// any more, the app itself answers.
    pub(crate) fn path_routes(&self, edge: &Edge) -> Vec<PathRoute> {
        let route = |path: &api::edge::PathRoute| PathRoute {
            prefix: path.prefix.clone(),
            host: self.settings.default_hostname(&path.app),
            strip: path.strip,
        };
        edge.paths.iter().map(route).collect()
    }
}

/// What the types do not see to.
fn check(edge: &Edge) -> Result<()> {
    let lengths = [
        ("timeouts", edge.timeouts.len()),
        ("allow", edge.allow.len()),
        ("deny", edge.deny.len()),
        ("paths", edge.paths.len()),
        ("redirects", edge.redirects.len()),
        ("static", edge.static_files.len()),
        ("request_headers", edge.request_headers.len()),
        ("response_headers", edge.response_headers.len()),
    ];
    if let Some((name, _)) = lengths.iter().find(|(_, length)| *length > ENTRIES) {
        return Err(wrong(
            name,
            &format!("must not have more than {ENTRIES} entries"),
        ));
    }
    for timeouts in &edge.timeouts {
        check_path("timeouts: prefix", &timeouts.prefix)?;
        let given = [timeouts.first_byte_seconds, timeouts.idle_seconds];
        if given
            .iter()
            .flatten()
            .any(|seconds| !(1..=SECONDS).contains(seconds))
        {
            return Err(wrong(
                "timeouts",
                &format!("a time is 1 to {SECONDS} seconds"),
            ));
        }
    }
    for path in &edge.paths {
        check_path("paths: prefix", &path.prefix)?;
    }
    edge.redirects.iter().try_for_each(check_redirect)?;
    edge.static_files.iter().try_for_each(check_static)?;
    let rates = edge.rate_limits;
    let rates = [
        ("rate_limits: per_client", rates.per_client),
        ("rate_limits: per_app", rates.per_app),
    ];
    for (name, rate) in rates {
        check_rate(name, rate)?;
    }
    for (name, rules) in [
        ("request_headers", &edge.request_headers),
        ("response_headers", &edge.response_headers),
    ] {
        rules.iter().try_for_each(|rule| check_header(name, rule))?;
    }
    Ok(())
}

fn check_path(name: &str, path: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\');
    if !path.starts_with('/') || !path.bytes().all(is_plain) || path.len() > TEXT_BYTES {
        let why = format!("{path:?} is not a path: it begins with / and has no ? or space");
        return Err(wrong(name, &why));
    }
    Ok(())
}

fn check_static(files: &StaticFiles) -> Result<()> {
    check_path("static: prefix", &files.prefix)?;
    let is_plain = |path: &str| {
        let is_name =
            |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['\\', '\0']);
        path.len() <= TEXT_BYTES && path.split('/').all(is_name)
    };
    if !is_plain(files.folder.trim_matches('/')) {
        let why = format!(
            "{:?} is not a folder of the slug: give its path, without hidden folders; the slug itself is not one",
            files.folder
        );
        return Err(wrong("static: folder", &why));
    }
    if let Some(fallback) = &files.fallback
        && !is_plain(fallback.trim_start_matches('/'))
    {
        let why = format!("{fallback:?} is not a file in {}", files.folder);
        return Err(wrong("static: fallback", &why));
    }
    Ok(())
}

fn check_redirect(redirect: &Redirect) -> Result<()> {
    let name = "redirects";
    let (from, is_open) = match redirect.path.strip_suffix('*') {
        Some(path) => (path, true),
        None => (redirect.path.as_str(), false),
    };
    check_path("redirects: path", from)?;
    let to = redirect.to.strip_suffix('*').unwrap_or(&redirect.to);
    let is_elsewhere = to.starts_with("https://") || to.starts_with("http://");
    let is_here = to.starts_with('/') && !to.starts_with("//");
    let is_plain = to
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !(is_elsewhere || is_here) || !is_plain || to.len() > TEXT_BYTES {
        let why = format!("{:?} is neither a path nor an http(s) address", redirect.to);
        return Err(wrong("redirects: to", &why));
    }
    if redirect.to.ends_with('*') && !is_open {
        let why = format!("{:?} has an asterisk that stands for nothing", redirect.to);
        return Err(wrong("redirects: to", &why));
    }
    if let Some(status) = redirect.status
        && ![301, 302, 303, 307, 308].contains(&status)
    {
        return Err(wrong(
            name,
            &format!("{status} is not 301, 302, 303, 307 or 308"),
        ));
    }
    Ok(())
}

fn check_rate(name: &str, rate: Option<RateLimit>) -> Result<()> {
    let is_wrong = |rate: RateLimit| rate.per_minute == 0 || rate.burst == Some(0);
    if rate.is_some_and(is_wrong) {
        return Err(wrong(name, "per_minute and burst are at least 1"));
    }
    Ok(())
}

fn check_header(name: &str, rule: &HeaderRule) -> Result<()> {
    if !is_header(&rule.name) {
        let why = format!(
            "{:?} is no header, or one that only the router may change",
            rule.name
        );
        return Err(wrong(name, &why));
    }
    let value = rule.value.as_deref().unwrap_or_default();
    if !is_header_value(value) || value.len() > TEXT_BYTES {
        let why = format!("the value of {} has a line break or is too long", rule.name);
        return Err(wrong(name, &why));
    }
    Ok(())
}

/// Puts hashes in the place of passwords; a known name may go without one.
fn hash_passwords(auth: &mut BasicAuth, present: Option<&BasicAuth>) -> Result<()> {
    let setting = "basic_auth";
    let mut names = BTreeSet::new();
    if auth.users.is_empty() || auth.users.len() > ENTRIES {
        return Err(wrong(setting, &format!("needs 1 to {ENTRIES} users")));
    }
    for path in &auth.except {
        check_path("basic_auth: except", path)?;
    }
    for user in &mut auth.users {
        let name = user.name.clone();
        if name.is_empty() || name.contains(':') || name.len() > TEXT_BYTES {
            return Err(wrong(
                setting,
                &format!("{name:?} is no name: it has no colon"),
            ));
        }
        if !names.insert(name.clone()) {
            return Err(wrong(setting, &format!("{name} is there twice")));
        }
        let known = |known: &&EdgeUser| known.name == name;
        let known = present.and_then(|present| present.users.iter().find(known));
        user.password_hash = match user.password.take() {
            Some(password) if password.chars().count() < PASSWORD_LETTERS => {
                let why =
                    format!("the password of {name} needs {PASSWORD_LETTERS} letters or more");
                return Err(wrong(setting, &why));
            }
            Some(password) => {
                let salt: String = salt();
                Some(format!("{salt}${}", edge_password_hash(&salt, &password)))
            }
            None => known.and_then(|known| known.password_hash.clone()),
        };
        if user.password_hash.is_none() {
            return Err(wrong(setting, &format!("{name} has no password")));
        }
    }
    Ok(())
}

fn salt() -> String {
    let letters = rand::rng().sample_iter(Alphanumeric).take(SALT_LETTERS);
    letters.map(char::from).collect()
}

fn wrong(setting: &str, why: &str) -> Error {
    Error::Invalid {
        message: format!("{setting}: {why}."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn update(present: &Edge, update: Value) -> std::result::Result<Edge, String> {
        let Value::Object(update) = update else {
            panic!("an object")
        };
        let mut edge = merged(present, update, "edge").map_err(|error| error.to_string())?;
        check(&edge).map_err(|error| error.to_string())?;
        if let Some(auth) = &mut edge.basic_auth {
            hash_passwords(auth, present.basic_auth.as_ref()).map_err(|error| error.to_string())?;
        }
        Ok(edge)
    }

    #[test]
    fn what_is_left_out_stays_and_null_is_off() {
        let none = Edge::default();
        let first = update(
            &none,
            json!({"deny": ["192.0.2.0/24"], "max_body_bytes": 5}),
        )
        .unwrap();
        let second = update(&first, json!({"deny": null})).unwrap();
        assert!(second.deny.is_empty() && second.max_body_bytes == Some(5));
        assert!(
            update(&second, json!({"max_body_bytes": null}))
                .unwrap()
                .is_default()
        );
    }

    fn check_refused(cases: &[(Value, &str)]) {
        for (settings, expected) in cases {
            let error = update(&Edge::default(), settings.clone()).unwrap_err();
            assert!(error.starts_with(expected), "{settings}: {error}");
        }
    }

    #[test]
    fn files_are_below_a_folder_of_the_slug() {
        check_refused(&[
            (
                json!({"static": [{"prefix": "/", "folder": "/"}]}),
                "static: folder: \"/\" is not a folder of the slug",
            ),
            (
                json!({"static": [{"prefix": "/", "folder": "public/../.git"}]}),
                "static: folder: \"public/../.git\" is not",
            ),
            (
                json!({"static": [{"prefix": "/", "folder": "a", "fallback": "../b"}]}),
                "static: fallback: \"../b\" is not a file in a",
            ),
            (
                json!({"static": [{"prefix": "/", "folder": "a", "immutable": "some"}]}),
                "These are no edge settings: unknown variant `some`",
            ),
        ]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        check_refused(&[
            (
                json!({"denied": []}),
                "These are no edge settings: unknown field `denied`",
            ),
            (json!({"denied": null}), "There is no edge setting denied."),
            (
                json!({"deny": ["192.0.2.7/24"]}),
                "These are no edge settings: 192.0.2.7/24 is not the first address",
            ),
            (
                json!({"timeouts": [{"prefix": "api"}]}),
                "timeouts: prefix: \"api\" is not a path",
            ),
            (
                json!({"timeouts": [{"prefix": "/", "idle_seconds": 0}]}),
                "timeouts: a time is 1 to 3600 seconds.",
            ),
            (
                json!({"rate_limits": {"per_app": {"per_minute": 0}}}),
                "rate_limits: per_app: per_minute and burst",
            ),
            (
                json!({"redirects": [{"path": "/a", "to": "//evil.example"}]}),
                "redirects: to: \"//evil.example\" is neither",
            ),
            (
                json!({"redirects": [{"path": "/a", "to": "/b*"}]}),
                "redirects: to: \"/b*\" has an asterisk",
            ),
            (
                json!({"redirects": [{"path": "/a", "to": "/b", "status": 200}]}),
                "redirects: 200 is not",
            ),
            (
                json!({"request_headers": [{"name": "Host", "value": "x"}]}),
                "request_headers: \"Host\" is no header",
            ),
            (
                json!({"response_headers": [{"name": "X", "value": "a\r\nb"}]}),
                "response_headers: the value of X",
            ),
            (
                json!({"basic_auth": {"users": []}}),
                "basic_auth: needs 1 to 100 users.",
            ),
            (
                json!({"basic_auth": {"users": [{"name": "a"}]}}),
                "basic_auth: a has no password.",
            ),
            (
                json!({"basic_auth": {"users": [{"name": "a", "password": "short"}]}}),
                "basic_auth: the password of a needs 12",
            ),
            (
                json!({"basic_auth": {"users": [{"name": "a", "password_hash": "x$y"}]}}),
                "basic_auth: a has no password.",
            ),
        ]);
    }

    #[test]
    fn a_known_name_keeps_its_password() {
        let auth = json!({"basic_auth": {"users": [{"name": "a", "password": "correct horse"}]}});
        let first = update(&Edge::default(), auth).unwrap();
        let user = &first.basic_auth.as_ref().unwrap().users[0];
        assert_eq!(user.password, None);
        let hash = user.password_hash.clone().unwrap();
        let (salt, _) = hash.split_once('$').unwrap();
        assert_eq!(
            hash,
            format!("{salt}${}", edge_password_hash(salt, "correct horse"))
        );
        let again = json!({"basic_auth": {"users": [{"name": "a"}], "except": ["/health"]}});
        let second = update(&first, again).unwrap();
        let user = &second.basic_auth.as_ref().unwrap().users[0];
        assert_eq!(user.password_hash.as_ref(), Some(&hash));
    }
}
