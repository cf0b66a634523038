//! Apps: made, found, renamed. What happens inside one is in the other resources' files.

use api::{
    apps::{AppUpdate, NewApp},
    ids::{AccountId, AppId, TeamId},
    names::{AppName, StackName},
    references::lasting_id,
};
use rand::seq::IndexedRandom;
use store::{App, BuildStatus, NewRelease, StoreError};

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
    regions,
};

/// What answers, or may come to answer, at these names below the platform's domain is no app.
const RESERVED_NAMES: [&str; 4] = ["api", "dashboard", "git", "status"];
/// Made-up names that are taken are tried again this often.
const NAME_ATTEMPTS: usize = 8;

/// Whose a new app is, if not its maker's own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owner {
    /// The team that owns it.
    pub(crate) team: Option<TeamId>,
    /// Whether members of the team cannot let themselves on.
    pub(crate) locked: bool,
}

impl Platform {
    /// The app with this name or id.
    pub async fn app(&self, identity: &str) -> Result<App> {
        let missing = || Error::NotFound {
            resource: "app",
            name: identity.to_owned(),
        };
        if let Ok(id) = identity.parse::<AppId>() {
            return Ok(self.store.app(id).await?);
        }
        let name: AppName = identity.parse().map_err(|_| missing())?;
        Ok(self.store.app_by_name(&name).await?)
    }

    /// The apps that an account owns or works on, oldest first.
    pub async fn apps_of(&self, account: AccountId) -> Result<Vec<App>> {
        Ok(self.store.apps_of(account).await?)
    }

    /// Makes an app that belongs to the caller.
    ///
    /// # Errors
    /// `Invalid` for a name that is taken or not allowed, an unknown stack or region.
    pub async fn create_app(&self, caller: &Caller, new: NewApp) -> Result<App> {
        self.create_app_of(caller, new, Owner::default()).await
    }

    /// Makes an app that belongs to the caller or to a team.
    pub(crate) async fn create_app_of(
        &self,
        caller: &Caller,
        new: NewApp,
        owner: Owner,
    ) -> Result<App> {
        if let Some(region) = &new.region {
            regions::find(region)?;
        }
        let stack = match &new.stack {
            Some(stack) => self.stack_named(stack)?,
            None => self.settings.default_stack.clone(),
        };
        let app = match &new.name {
            None => self.create_named_by_chance(caller, stack, owner).await?,
            Some(name) => {
                let row = self.new_row(caller, (app_name(name)?, stack), owner);
                self.store.create_app(&caller.change(), &row).await?
            }
        };
        self.create_initial_release(caller, app.id).await?;
        Ok(app)
    }

    /// Every app begins with a release that has no slug, as on Heroku.
    async fn create_initial_release(&self, caller: &Caller, app: AppId) -> Result<()> {
        let initial = NewRelease {
            app,
            account: caller.account,
            description: "Initial release".to_owned(),
            slug: None,
            config_updates: None,
            config_replacement: None,
            output_stream: false,
        };
        self.add_release(caller, initial).await?;
        Ok(())
    }

    async fn create_named_by_chance(
        &self,
        caller: &Caller,
        stack: StackName,
        owner: Owner,
    ) -> Result<App> {
        for _ in 0..NAME_ATTEMPTS {
            let row = self.new_row(caller, (made_up_name(), stack.clone()), owner);
            match self.store.create_app(&caller.change(), &row).await {
                Err(StoreError::Conflict { .. }) => {}
                result => return Ok(result?),
            }
        }
        Err(Error::Unavailable {
            message: "No free name was found; please give one.".to_owned(),
        })
    }

    fn new_row(
        &self,
        caller: &Caller,
        (name, stack): (AppName, StackName),
        owner: Owner,
    ) -> store::NewApp {
        let hostname = self.settings.default_hostname(&name);
        store::NewApp {
            name,
            owner: caller.account,
            team: owner.team,
            locked: owner.locked,
            stack,
            hostname,
        }
    }

    /// Renames an app, switches its maintenance mode or chooses the stack of its next build.
    pub async fn update_app(&self, caller: &Caller, app: &App, update: AppUpdate) -> Result<App> {
        let change = caller.change();
        let mut current = app.clone();
        let build_stack = update
            .build_stack
            .map(|stack| self.stack_named(&stack))
            .transpose()?;
        let name = update.name.map(|name| app_name(&name)).transpose()?;
        if let Some(name) = name.filter(|name| *name != app.name) {
            let hostname = self.settings.default_hostname(&name);
            current = self
                .store
                .rename_app(&change, app.id, &name, &hostname)
                .await?;
            self.follow_rename(&change, (&app.name, &name)).await?;
        }
        if update.maintenance.is_some() || build_stack.is_some() {
            let row = store::AppUpdate {
                maintenance: update.maintenance,
                build_stack,
                ..store::AppUpdate::default()
            };
            current = self.store.update_app(&change, app.id, &row).await?;
        }
        self.nudges.nudge(app.id);
        Ok(current)
    }

    /// Removes an app: its rows at once, and then, behind the caller's back, what runs and is kept
    /// of it, see `reconcile::gone`. Its events stay.
    pub async fn delete_app(&self, caller: &Caller, app: AppId) -> Result<App> {
        let builds = self.store.builds(app).await?;
        for build in &builds {
            if build.status == BuildStatus::Pending {
                self.cancel_build(app, &build.id.to_string()).await?;
            }
        }
        let releases = self.store.releases(app).await?;
        let builds = builds.into_iter().map(|build| build.id.as_uuid());
        let outputs = builds.chain(releases.iter().map(|release| release.id.as_uuid()));
        let deleted = self.store.delete_app(&caller.change(), app).await?;
        self.tell_notes().await?;
        self.nudges.nudge(app);
        for output in outputs {
            self.outputs.remove(output).await;
        }
        Ok(deleted)
    }

    /// The stack with this name or id, if it may be chosen.
    pub(crate) fn stack_named(&self, identity: &str) -> Result<StackName> {
        let stacks = self.stack_names();
        let found = stacks.iter().find(|stack| {
            stack.as_str() == identity
                || lasting_id("stack", stack.as_str()).to_string() == identity
        });
        found.cloned().ok_or_else(|| Error::Invalid {
            message: format!(
                "{identity} is not a stack of this platform. Available: {}",
                stacks
                    .iter()
                    .map(StackName::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        })
    }
}

fn app_name(text: &str) -> Result<AppName> {
    if RESERVED_NAMES.contains(&text) {
        return Err(Error::Invalid {
            message: format!("Name {text} is the platform's own"),
        });
    }
    text.parse()
        .map_err(|error: api::names::NameError| Error::Invalid {
            message: error.to_string(),
        })
}

/// `quiet-harbor-40213`.
pub(crate) fn made_up_name() -> AppName {
    const QUALITIES: &[&str] = &[
        "amber", "bold", "brisk", "calm", "clear", "cool", "crisp", "dry", "early", "fair",
        "fresh", "gentle", "golden", "grand", "green", "hidden", "high", "keen", "kind", "late",
        "light", "lively", "long", "mild", "misty", "morning", "northern", "pale", "patient",
        "plain", "proud", "quick", "quiet", "silver", "slow", "smooth", "soft", "southern",
        "steady", "still", "sunny", "swift", "tidy", "warm", "western", "wide", "wild", "young",
    ];
    const THINGS: &[&str] = &[
        "anchor", "bay", "beacon", "beach", "breeze", "bridge", "buoy", "canal", "cape", "channel",
        "cliff", "cloud", "coast", "compass", "coral", "cove", "creek", "current", "delta", "dock",
        "dune", "estuary", "ferry", "fjord", "gull", "harbor", "haven", "horizon", "island",
        "jetty", "lagoon", "lantern", "mast", "meadow", "mooring", "ocean", "pebble", "pier",
        "port", "quay", "reef", "ridge", "river", "sail", "shore", "sound", "strait", "tide",
        "wave", "wharf",
    ];
    let mut random = rand::rng();
    let quality = QUALITIES.choose(&mut random).unwrap_or(&"still");
    let thing = THINGS.choose(&mut random).unwrap_or(&"harbor");
    let number = rand::Rng::random_range(&mut random, 10_000..100_000);
    format!("{quality}-{thing}-{number}")
        .parse()
        .expect("short lower-case words and a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_differ_and_fit() {
        let names: std::collections::BTreeSet<_> = (0..100).map(|_| made_up_name()).collect();
        assert!(names.len() > 90, "{names:?}");
        assert!(
            names
                .iter()
                .all(|name| name.as_str().split('-').count() == 3)
        );
    }
}
