//! Source hooks: a code host says that something was pushed, and the app is built from there.
//!
//! A delivery proves itself by a secret that was made here and shown once. What it says decides
//! only whether to build: the source itself comes from the repository that the app was given, never
//! from an address in a delivery.

mod delivery;

use std::time::Duration;

use api::{
    authorizations::Scope,
    clock::Time,
    ids::SourceHookId,
    source_hooks::{Heard, Sender},
};
use serde_json::json;
use store::{App, BuildCause, NewEvent, SourceHook};

pub use self::delivery::Delivery;
use self::delivery::Verdict;
use crate::{
    Platform,
    authorize::{Action, Bearer, Target},
    caller::Caller,
    error::{Error, Result},
    sources::random_secret,
};

/// Hooks of one app.
const MOST_HOOKS: usize = 20;
/// A delivery is known again for so long.
const MEMORY: Duration = Duration::from_hours(30 * 24);

impl Platform {
    /// Makes a hook, and the secret that its sender signs with: it is not to be had again.
    ///
    /// # Errors
    /// `Invalid` for an app without a source repository.
    pub async fn create_source_hook(
        &self,
        caller: &Caller,
        app: &App,
        sender: Sender,
    ) -> Result<(SourceHook, String)> {
        let invalid = |message: &str| Error::Invalid {
            message: message.to_owned(),
        };
        if self.store.source_repository(app.id).await?.is_none() {
            return Err(invalid(
                "This app has no source repository.\nhint: landfall repository -a APP URL",
            ));
        }
        if self.store.source_hooks(app.id).await?.len() >= MOST_HOOKS {
            return Err(invalid("There are too many hooks already."));
        }
        let secret = random_secret();
        let by = (caller.account, sender);
        let hook = self
            .store
            .create_source_hook(&caller.change(), app.id, by, &secret)
            .await?;
        Ok((hook, secret))
    }

    /// An app's hooks, oldest first.
    pub async fn source_hooks(&self, app: &App) -> Result<Vec<SourceHook>> {
        Ok(self.store.source_hooks(app.id).await?)
    }

    /// Removes a hook; what its sender still sends is refused.
    pub async fn delete_source_hook(
        &self,
        caller: &Caller,
        app: &App,
        id: &str,
    ) -> Result<SourceHook> {
        let hooks = self.store.source_hooks(app.id).await?;
        let found = hooks.into_iter().find(|hook| hook.id.to_string() == id);
        let hook = found.ok_or_else(|| unknown(id))?;
        self.store
            .delete_source_hook(&caller.change(), &hook)
            .await?;
        Ok(hook)
    }

    /// The hook that a delivery proves to come from.
    ///
    /// # Errors
    /// `NotFound` for a hook that is none or another app's; `Unauthorized` for a signature that is
    /// missing or wrong.
    pub async fn signed_source_hook(
        &self,
        (app, id): (&str, &str),
        delivery: &Delivery,
    ) -> Result<(App, SourceHook)> {
        let parsed: SourceHookId = id.parse().map_err(|_| unknown(id))?;
        let hook = self.store.source_hook(parsed).await?;
        let of = self.store.app(hook.app).await?;
        if of.name.as_str() != app && of.id.to_string() != app {
            return Err(unknown(id));
        }
        let secret = self.store.source_hook_secret(&hook).await?;
        if delivery.is_signed(hook.sender, &secret) {
            Ok((of, hook))
        } else {
            Err(Error::Unauthorized)
        }
    }

    /// Does what a delivery of a hook asks for, once, in the name of who made the hook.
    ///
    /// # Errors
    /// As [`Platform::deploy_repository`]; the delivery may then be sent again.
    pub async fn hear(
        &self,
        (app, hook): (&App, &SourceHook),
        delivery: &Delivery,
        request_id: String,
    ) -> Result<Heard> {
        let account = self.store.account(hook.account).await?;
        let caller = Caller {
            account: account.id,
            email: account.email,
            origin: format!("{} hook", hook.sender),
            request_id,
            cause: format!("POST /hooks/{}/{}", app.name, hook.id),
        };
        let said = |message: String| Heard {
            message,
            build: None,
        };
        let Some(repository) = self.store.source_repository(app.id).await? else {
            return Ok(said(
                "The app has no source repository any more.".to_owned(),
            ));
        };
        let heard = match delivery.verdict(hook.sender, &repository.branch) {
            Verdict::Nothing(message) => said(message),
            Verdict::Unreadable => {
                return Err(Error::Invalid {
                    message: "This is no push that can be understood. Its content type must be \
                              application/json."
                        .to_owned(),
                });
            }
            Verdict::Deploy { commit } => {
                let names = delivery.names(hook.sender);
                let oldest = before(self.clock.now(), MEMORY);
                let change = caller.change();
                let heard = self.store.hear_delivery(&change, hook, (&names, oldest));
                if !heard.await? {
                    return Ok(said("This delivery was heard before.".to_owned()));
                }
                match self.deploy_pushed(&caller, app).await {
                    Ok(build) => Heard {
                        message: format!("Building {commit} of {}.", repository.branch),
                        build: Some(build),
                    },
                    Err(error) => {
                        let forgotten = self.store.forget_delivery(&change, hook, &names);
                        forgotten.await?;
                        return Err(error);
                    }
                }
            }
        };
        let event = NewEvent {
            app: Some(app.id),
            kind: "source-hook.deliver",
            subject: hook.id.to_string(),
            details: json!({ "answer": heard.message, "build": heard.build }),
        };
        self.store.record_event(&caller.change(), event).await?;
        Ok(heard)
    }

    /// Whoever made the hook must still be somebody who may deploy the app.
    async fn deploy_pushed(&self, caller: &Caller, app: &App) -> Result<api::ids::BuildId> {
        let bearer = Bearer {
            caller: caller.clone(),
            scopes: vec![Scope::Write],
            authorization: None,
        };
        self.authorize(Some(&bearer), Action::Deploy, Target::App(app))
            .await?;
        Ok(self
            .deploy_repository(caller, app, BuildCause::Webhook)
            .await?
            .id)
    }
}

fn unknown(id: &str) -> Error {
    Error::NotFound {
        resource: "source_hook",
        name: id.to_owned(),
    }
}

fn before(now: Time, long: Duration) -> Time {
    let micros = i64::try_from(long.as_micros()).unwrap_or(i64::MAX);
    Time::from_micros(now.as_micros().saturating_sub(micros))
}
