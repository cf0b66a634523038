//! Paths of the API, in one place for those who call it and those who hand out URLs.
//!
//! A path segment can only be a valid name, an id or a secret in hexadecimal, so nothing here
//! needs escaping; callers pass names they have parsed.

use std::fmt::Display;

/// `/account`.
pub const ACCOUNT: &str = "/account";
/// `/account/keys`.
pub const KEYS: &str = "/account/keys";
/// `/apps`.
pub const APPS: &str = "/apps";
/// `/sources`.
pub const SOURCES: &str = "/sources";
/// `/oauth/authorizations`.
pub const AUTHORIZATIONS: &str = "/oauth/authorizations";

/// `/apps/{app}`; `app` is a name or id.
pub fn app(app: impl Display) -> String {
    format!("/apps/{app}")
}

/// `/apps/{app}/code`: the app, for whoever may see its code.
pub fn app_code(app: impl Display) -> String {
    format!("/apps/{app}/code")
}

/// `/apps/{app}/config-vars`.
pub fn config_vars(app: impl Display) -> String {
    format!("/apps/{app}/config-vars")
}

/// `/apps/{app}/builds`.
pub fn builds(app: impl Display) -> String {
    format!("/apps/{app}/builds")
}

/// `/apps/{app}/builds/{build}`.
pub fn build(app: impl Display, build: impl Display) -> String {
    format!("/apps/{app}/builds/{build}")
}

/// `/apps/{app}/builds/{build}/record`; `build` is a number or id.
pub fn build_record(app: impl Display, build: impl Display) -> String {
    format!("/apps/{app}/builds/{build}/record")
}

/// `/apps/{app}/builds/{build}/rebuild`; `build` is a number or id.
pub fn rebuild(app: impl Display, build: impl Display) -> String {
    format!("/apps/{app}/builds/{build}/rebuild")
}

/// `/apps/{app}/releases`.
pub fn releases(app: impl Display) -> String {
    format!("/apps/{app}/releases")
}

/// `/apps/{app}/releases/{release}`; `release` is a version or id.
pub fn release(app: impl Display, release: impl Display) -> String {
    format!("/apps/{app}/releases/{release}")
}

/// `/apps/{app}/formation`.
pub fn formation(app: impl Display) -> String {
    format!("/apps/{app}/formation")
}

/// `/apps/{app}/dynos`.
pub fn dynos(app: impl Display) -> String {
    format!("/apps/{app}/dynos")
}

/// `/apps/{app}/dynos/{dyno}`; `dyno` is a name or id.
pub fn dyno(app: impl Display, dyno: impl Display) -> String {
    format!("/apps/{app}/dynos/{dyno}")
}

/// `/apps/{app}/dynos/{dyno}/copies`.
pub fn dyno_copies(app: impl Display, dyno: impl Display) -> String {
    format!("/apps/{app}/dynos/{dyno}/copies")
}

/// `/apps/{app}/dynos/{dyno}/forwards`.
pub fn dyno_forwards(app: impl Display, dyno: impl Display) -> String {
    format!("/apps/{app}/dynos/{dyno}/forwards")
}

/// `/apps/{app}/domains`.
pub fn domains(app: impl Display) -> String {
    format!("/apps/{app}/domains")
}

/// `/apps/{app}/log-sessions`.
pub fn log_sessions(app: impl Display) -> String {
    format!("/apps/{app}/log-sessions")
}

/// `/streams/{build or release id}/{secret}`: what a build or release phase printed.
pub fn stream(id: impl Display, secret: &str) -> String {
    format!("/streams/{id}/{secret}")
}

/// `/logs/{session}/{secret}`: an app's log.
pub fn log_stream(session: impl Display, secret: &str) -> String {
    format!("/logs/{session}/{secret}")
}

/// `/sources/{source}/{secret}`: an uploaded source archive.
pub fn source_blob(source: impl Display, secret: &str) -> String {
    format!("/sources/{source}/{secret}")
}

/// `/slugs/{slug}/{secret}`: an uploaded slug archive.
pub fn slug_blob(slug: impl Display, secret: &str) -> String {
    format!("/slugs/{slug}/{secret}")
}

/// `/apps/{app}/images/{slug}`; `slug` is a slug's id, a release's number, or `current`.
pub fn image(app: impl Display, slug: impl Display, compression: impl Display) -> String {
    format!("/apps/{app}/images/{slug}?compression={compression}")
}

/// `/apps/{app}/images/{slug}/archive`.
pub fn image_archive(app: impl Display, slug: impl Display, compression: impl Display) -> String {
    format!("/apps/{app}/images/{slug}/archive?compression={compression}")
}

/// What the status page shows, at its own host.
pub const STATUS: &str = "/status.json";

/// What the operator says on the status page.
pub const STATUS_NOTES: &str = "/status/notes";

/// `/status/notes/{note}`.
pub fn status_note(note: impl Display) -> String {
    format!("/status/notes/{note}")
}

/// `/apps/{app}/edge`.
pub fn edge(app: impl Display) -> String {
    format!("/apps/{app}/edge")
}

/// `/apps/{app}/sleep`.
pub fn sleep(app: impl Display) -> String {
    format!("/apps/{app}/sleep")
}

/// `/apps/{app}/sleep/actions/{action}`: `now` or `wake`.
pub fn sleep_action(app: impl Display, action: impl Display) -> String {
    format!("/apps/{app}/sleep/actions/{action}")
}

/// `/apps/{app}/build-settings`.
pub fn build_settings(app: impl Display) -> String {
    format!("/apps/{app}/build-settings")
}

/// `/apps/{app}/source-repository`.
pub fn source_repository(app: impl Display) -> String {
    format!("/apps/{app}/source-repository")
}

/// `/apps/{app}/source-hooks`.
pub fn source_hooks(app: impl Display) -> String {
    format!("/apps/{app}/source-hooks")
}
