//! OAuth clients: programs that people let act for them.

use api::{
    ids::OauthClientId,
    oauth_clients::{NewOauthClient, OauthClientUpdate},
};
use store::{OauthClient, hash_token};

use crate::{
    Platform,
    authorizations::new_token,
    caller::Caller,
    error::{Error, Result},
};

/// Longest name, in characters.
const LONGEST_NAME: usize = 100;

impl Platform {
    /// The caller's clients, oldest first.
    pub async fn oauth_clients(&self, caller: &Caller) -> Result<Vec<OauthClient>> {
        Ok(self.store.oauth_clients_of(caller.account).await?)
    }

    /// One of the caller's clients.
    pub async fn own_oauth_client(&self, caller: &Caller, id: &str) -> Result<OauthClient> {
        let client = self.oauth_client(id).await?;
        if client.account == caller.account {
            Ok(client)
        } else {
            Err(unknown(id))
        }
    }

    /// Anybody's client, as people see it who let it act for them.
    pub async fn oauth_client(&self, id: &str) -> Result<OauthClient> {
        let parsed: OauthClientId = id.parse().map_err(|_| unknown(id))?;
        Ok(self.store.oauth_client(parsed).await?)
    }

    /// What a client shows that it is itself.
    pub fn oauth_client_secret(&self, client: &OauthClient) -> Result<String> {
        Ok(self.store.oauth_client_secret(client)?)
    }

    /// Makes a client of the caller's.
    ///
    /// # Errors
    /// `Invalid` for an empty name, and for an address that would take codes over the net unencrypted.
    pub async fn create_oauth_client(
        &self,
        caller: &Caller,
        new: &NewOauthClient,
    ) -> Result<OauthClient> {
        check_name(&new.name)?;
        check_redirect(&new.redirect_uri)?;
        let secret = new_token();
        let hash = hash_token(&secret);
        Ok(self
            .store
            .create_oauth_client(
                &caller.change(),
                caller.account,
                (&new.name, &new.redirect_uri),
                (&secret, &hash),
            )
            .await?)
    }

    /// Changes a client of the caller's.
    pub async fn update_oauth_client(
        &self,
        caller: &Caller,
        id: &str,
        update: OauthClientUpdate,
    ) -> Result<OauthClient> {
        let client = self.own_oauth_client(caller, id).await?;
        if let Some(name) = &update.name {
            check_name(name)?;
        }
        if let Some(redirect_uri) = &update.redirect_uri {
            check_redirect(redirect_uri)?;
        }
        let row = store::OauthClientUpdate {
            name: update.name,
            redirect_uri: update.redirect_uri,
        };
        Ok(self
            .store
            .update_oauth_client(&caller.change(), client.id, &row)
            .await?)
    }

    /// Gives a client of the caller's another secret.
    pub async fn rotate_oauth_client(&self, caller: &Caller, id: &str) -> Result<OauthClient> {
        let client = self.own_oauth_client(caller, id).await?;
        let secret = new_token();
        let hash = hash_token(&secret);
        Ok(self
            .store
            .rotate_oauth_client(&caller.change(), client.id, (&secret, &hash))
            .await?)
    }

    /// Removes a client of the caller's, with all it was let do.
    pub async fn delete_oauth_client(&self, caller: &Caller, id: &str) -> Result<OauthClient> {
        let client = self.own_oauth_client(caller, id).await?;
        self.store
            .delete_oauth_client(&caller.change(), &client)
            .await?;
        Ok(client)
    }
}

fn unknown(id: &str) -> Error {
    Error::NotFound {
        resource: "client",
        name: id.to_owned(),
    }
}

fn check_name(name: &str) -> Result<()> {
    let fits = !name.trim().is_empty()
        && name.chars().count() <= LONGEST_NAME
        && !name.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    Err(Error::Invalid {
        message: format!("Name must have between 1 and {LONGEST_NAME} characters"),
    })
}

fn check_redirect(address: &str) -> Result<()> {
    let uri: Option<http::Uri> = address.parse().ok();
    let fits = uri.is_some_and(|uri| {
        let host = uri.host().unwrap_or_default();
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        !host.is_empty()
            && match uri.scheme_str() {
                Some("https") => true,
                Some("http") => is_here,
                _ => false,
            }
    });
    if fits && !address.contains('#') {
        return Ok(());
    }
    Err(Error::Invalid {
        message: "redirect_uri must be an https:// address without a fragment; http:// only to \
                  localhost"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_only_where_nobody_reads_along() {
        for fits in [
            "https://app.example.com/callback",
            "http://localhost:3000/cb",
            "http://127.0.0.1/cb",
        ] {
            assert!(check_redirect(fits).is_ok(), "{fits}");
        }
        for refused in [
            "",
            "/cb",
            "http://app.example.com/cb",
            "http://localhost.example.com/cb",
            "javascript:alert(1)",
            "https://app.example.com/#x",
        ] {
            assert!(check_redirect(refused).is_err(), "{refused}");
        }
    }
}
