//! Log sessions: a secret URL that reads one app's log. Nothing is kept: the URL says what to read
//! and until when, and its secret proves that we said so, also after a restart.

use std::time::Duration;

use api::{
    clock::Time,
    ids::AppId,
    log_sessions::{LogSession, NewLogSession},
    paths,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use logs::{Filter, LogSource, Tail};
use serde::{Deserialize, Serialize};
use store::App;
use uuid::Uuid;

use crate::{
    Platform,
    error::{Error, Result},
};

const DEFAULT_LINES: u32 = 100;
const MOST_LINES: u32 = 1500;
/// A reader may come back to the same URL for this long.
const LIFETIME: Duration = Duration::from_hours(24);

/// What the URL says.
#[derive(Debug, Serialize, Deserialize)]
struct Session {
    app: AppId,
    lines: u32,
    tail: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dyno: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<LogSource>,
    expires_at: Time,
}

impl Platform {
    /// Makes a session.
    ///
    /// # Errors
    /// `Invalid` for a source other than `app` and `heroku`.
    pub fn create_log_session(&self, app: &App, new: NewLogSession) -> Result<LogSession> {
        let source = match new.source.as_deref().filter(|source| !source.is_empty()) {
            None => None,
            Some("app") => Some(LogSource::App),
            Some("heroku") => Some(LogSource::Heroku),
            Some(other) => {
                return Err(Error::Invalid {
                    message: format!("Log source `{other}` is not one of: app, heroku"),
                });
            }
        };
        let now = self.clock.now();
        let dyno = new.dyno.or(new.dyno_name).or(new.process_type);
        let session = Session {
            app: app.id,
            lines: new.lines.unwrap_or(DEFAULT_LINES).min(MOST_LINES),
            tail: new.tail.unwrap_or(false),
            dyno: dyno.filter(|dyno| !dyno.is_empty()),
            source,
            expires_at: now.after(LIFETIME),
        };
        let json = serde_json::to_vec(&session).expect("plain fields serialise");
        let text = URL_SAFE_NO_PAD.encode(json);
        let secret = self.settings.secret_for("log-session", &text);
        let path = paths::log_stream(&text, &secret);
        Ok(LogSession {
            created_at: now,
            id: Uuid::now_v7(),
            logplex_url: format!("{}{path}", self.settings.api_url),
            updated_at: now,
        })
    }

    /// The lines of a session. With `after`, those that a reader who comes back has not seen: all
    /// kept lines later than that moment, then new ones.
    ///
    /// # Errors
    /// `NotFound` for a session that we did not make or that has expired.
    pub async fn read_log_session(
        &self,
        session: &str,
        secret: &str,
        after: Option<Time>,
    ) -> Result<Tail> {
        let missing = || Error::NotFound {
            resource: "log_session",
            name: String::new(),
        };
        if !self.settings.is_secret_for("log-session", session, secret) {
            return Err(missing());
        }
        let json = URL_SAFE_NO_PAD.decode(session).map_err(|_| missing())?;
        let session: Session = serde_json::from_slice(&json).map_err(|_| missing())?;
        if session.expires_at < self.clock.now() {
            return Err(missing());
        }
        self.store.app(session.app).await?;
        let lines = if after.is_some() {
            MOST_LINES
        } else {
            session.lines
        };
        let filter = Filter {
            lines: lines as usize,
            follow: session.tail,
            dyno: session.dyno,
            source: session.source,
        };
        Ok(self.logs.tail(session.app, filter).await?)
    }
}
