//! App transfers: offers to give an app to another account, which accepts or declines.

use api::{app_transfers::NewAppTransfer, ids::AppTransferId};
use store::{AppTransfer, StoreError, TransferState};

use crate::{
    Platform,
    authorize::{Action, Bearer},
    caller::Caller,
    error::{Error, Result},
};

impl Platform {
    /// Offers an app to somebody.
    ///
    /// # Errors
    /// `NotFound` for an app or a user that there is not, `Invalid` for who owns it already.
    pub async fn offer_app(&self, bearer: &Bearer, new: &NewAppTransfer) -> Result<AppTransfer> {
        let app = self
            .admitted_app(bearer, Action::ManageApp, &new.app)
            .await?;
        let recipient = self.person(&new.recipient).await?;
        if recipient.id == app.owner {
            return Err(Error::Invalid {
                message: format!("{} owns the app {} already.", recipient.email, app.name),
            });
        }
        Ok(self
            .store
            .create_app_transfer(&bearer.caller.change(), app.id, recipient.id)
            .await?)
    }

    /// Offers that the caller made or got, oldest first.
    pub async fn app_transfers(&self, caller: &Caller) -> Result<Vec<AppTransfer>> {
        let mut found = Vec::new();
        for offer in self.store.app_transfers().await? {
            if offer.recipient == caller.account || self.may_withdraw(caller, &offer).await? {
                found.push(offer);
            }
        }
        Ok(found)
    }

    /// One offer that the caller made or got, by its id or the app's name.
    pub async fn app_transfer(&self, caller: &Caller, identity: &str) -> Result<AppTransfer> {
        let missing = || Error::NotFound {
            resource: "app transfer",
            name: identity.to_owned(),
        };
        let app = match identity.parse::<AppTransferId>() {
            Ok(_) => None,
            Err(_) => Some(self.app(identity).await.map_err(|_| missing())?.id),
        };
        let offers = self.app_transfers(caller).await?.into_iter().rev();
        let found = offers.into_iter().find(|offer| match app {
            Some(app) => offer.app == app,
            None => offer.id.to_string() == identity,
        });
        found.ok_or_else(missing)
    }

    /// Accepts or declines an offer; only who got it may.
    pub async fn answer_app_transfer(
        &self,
        caller: &Caller,
        identity: &str,
        state: &str,
    ) -> Result<AppTransfer> {
        let offer = self.app_transfer(caller, identity).await?;
        if offer.recipient != caller.account {
            return Err(Error::Forbidden {
                what: "this transfer, which somebody else was offered".to_owned(),
            });
        }
        let change = caller.change();
        let answered = match state.parse() {
            Ok(TransferState::Accepted) => self.store.accept_app_transfer(&change, &offer).await,
            Ok(TransferState::Declined) => self.store.decline_app_transfer(&change, &offer).await,
            Ok(TransferState::Pending) | Err(_) => {
                return Err(Error::Invalid {
                    message: "State must be accepted or declined".to_owned(),
                });
            }
        };
        match answered {
            Err(StoreError::Stale { .. }) => Err(Error::Invalid {
                message: "This transfer was answered already.".to_owned(),
            }),
            answered => {
                self.nudges.nudge(offer.app);
                Ok(answered?)
            }
        }
    }

    /// Withdraws an offer; only who may give the app away may.
    pub async fn withdraw_app_transfer(
        &self,
        caller: &Caller,
        identity: &str,
    ) -> Result<AppTransfer> {
        let offer = self.app_transfer(caller, identity).await?;
        if !self.may_withdraw(caller, &offer).await? {
            return Err(Error::Forbidden {
                what: "this transfer: decline it instead".to_owned(),
            });
        }
        if offer.state != TransferState::Pending {
            return Err(Error::Invalid {
                message: "This transfer was answered already.".to_owned(),
            });
        }
        self.store
            .delete_app_transfer(&caller.change(), &offer)
            .await?;
        Ok(offer)
    }

    async fn may_withdraw(&self, caller: &Caller, offer: &AppTransfer) -> Result<bool> {
        if offer.owner == caller.account {
            return Ok(true);
        }
        let team = offer.owner.as_uuid().into();
        let member = self.store.team_member(team, caller.account).await?;
        Ok(member.is_some_and(|member| member.role.is_admin()))
    }
}
