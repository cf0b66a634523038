//! Log drains: an app's log lines, sent on to a place of its people's choice.
//!
//! Here is what may be set; [`keeper`] keeps a sender running for each drain, [`frame`] is what a line
//! looks like on the way. A drain gets what is said from the moment its sender runs; one that is
//! slow or away loses lines and is told how many, and holds nobody up.

pub(crate) mod frame;
pub(crate) mod keeper;

use store::{App, LogDrain};
use uuid::Uuid;

use crate::{
    Platform,
    caller::Caller,
    error::Result,
    outbound::Address,
    pipelines::{invalid, unknown},
};

/// Drains of one app.
const MOST_DRAINS: usize = 25;
/// Longest address.
const MOST_URL_BYTES: usize = 2048;
/// What can be sent to, and the port if none is named.
pub(crate) const SCHEMES: &[(&str, u16)] = &[
    ("https", 443),
    ("http", 80),
    ("syslog", 514),
    ("syslog+tls", 6514),
];

/// A drain with its address.
pub type OpenDrain = (LogDrain, String);

impl Platform {
    /// Adds a drain; lines go there at once.
    ///
    /// # Errors
    /// `Invalid` for an address that is none, leads into the machine's own network, or has one.
    pub async fn create_log_drain(
        &self,
        caller: &Caller,
        app: &App,
        url: &str,
    ) -> Result<OpenDrain> {
        let address = Address::parse(url, SCHEMES).filter(|_| url.len() <= MOST_URL_BYTES);
        let Some(address) = address else {
            return Err(invalid(
                "Url is invalid: it begins with https://, http://, syslog:// or syslog+tls://, and \
                 names a host",
            ));
        };
        if !self.may_lead_to(&address) {
            return Err(invalid(
                "Url is invalid: it leads to this machine or a private network.\nhint: the operator \
                 may allow networks: `reach.networks` in landfall.toml",
            ));
        }
        let present = self.log_drains(app).await?;
        if present.iter().any(|(_, known)| known == url) {
            return Err(invalid("Url has already been taken"));
        }
        if present.len() >= MOST_DRAINS {
            return Err(invalid("There are too many drains already."));
        }
        let change = caller.change();
        let token = format!("d.{}", Uuid::new_v4());
        let named = (token.as_str(), url);
        let drain = self.store.create_log_drain(&change, app.id, named).await?;
        self.drains_changed.notify_one();
        Ok((drain, url.to_owned()))
    }

    /// An app's drains with their addresses, oldest first.
    pub async fn log_drains(&self, app: &App) -> Result<Vec<OpenDrain>> {
        let mut drains = Vec::new();
        for drain in self.store.log_drains(app.id).await? {
            let url = self.store.log_drain_url(&drain).await?;
            drains.push((drain, url));
        }
        Ok(drains)
    }

    /// A drain by id, token or address.
    pub async fn log_drain(&self, app: &App, identity: &str) -> Result<OpenDrain> {
        let drains = self.log_drains(app).await?;
        let found = drains.into_iter().find(|(drain, url)| {
            drain.id.to_string() == identity || drain.token == identity || url == identity
        });
        found.ok_or_else(|| unknown("log_drain", identity))
    }

    /// Removes a drain; what it was not sent yet, it is not sent.
    pub async fn delete_log_drain(
        &self,
        caller: &Caller,
        app: &App,
        identity: &str,
    ) -> Result<OpenDrain> {
        let open = self.log_drain(app, identity).await?;
        self.store
            .delete_log_drain(&caller.change(), &open.0)
            .await?;
        self.drains_changed.notify_one();
        Ok(open)
    }
}
