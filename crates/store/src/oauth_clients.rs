//! OAuth clients: programs that people let act for them. A client's secret is sealed, because its owner
//! may read it again, and hashed, because it is what a client is known by.

use api::{
    clock::Time,
    ids::{AccountId, AppId, OauthClientId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store, StoreError,
    columns::{Columns, Record, list, optional, required},
    seal::Purpose,
    write::Happening,
};

/// A program that people let act for them.
#[derive(Clone, PartialEq, Eq)]
pub struct OauthClient {
    /// Its id.
    pub id: OauthClientId,
    /// Whose it is.
    pub account: AccountId,
    /// What people are told that it is called.
    pub name: String,
    /// Where it takes people back to.
    pub redirect_uri: String,
    /// See [`Store::oauth_client_secret`].
    sealed: (String, String),
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

impl std::fmt::Debug for OauthClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OauthClient")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Record for OauthClient {
    const RESOURCE: &'static str = "client";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            account: columns.parsed("account_id")?,
            name: columns.text("name")?,
            redirect_uri: columns.text("redirect_uri")?,
            sealed: (columns.text("data_key")?, columns.text("sealed_secret")?),
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

/// What a client is to be; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct OauthClientUpdate {
    /// What people are told that it is called.
    pub name: Option<String>,
    /// Where it takes people back to.
    pub redirect_uri: Option<String>,
}

impl Store {
    /// Makes a client.
    pub async fn create_oauth_client(
        &self,
        change: &Change,
        account: AccountId,
        (name, redirect_uri): (&str, &str),
        (secret, secret_hash): (&str, &str),
    ) -> Result<OauthClient> {
        let mut write = self.write(change).await?;
        let id = OauthClientId::new();
        let (data_key, sealed) = self.sealed_secret(id, secret)?;
        let statement = query(
            "INSERT INTO oauth_clients (id, account_id, name, redirect_uri, data_key, sealed_secret,
                                        secret_hash, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        )
        .bind(id.to_string())
        .bind(account.to_string())
        .bind(name.to_owned())
        .bind(redirect_uri.to_owned())
        .bind(data_key)
        .bind(sealed)
        .bind(secret_hash.to_owned())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        let statement = query("SELECT * FROM oauth_clients WHERE id = $1").bind(id.to_string());
        let made: OauthClient = required(write.connection(), statement, id).await?;
        write
            .commit(happening("oauth-client.create", &made))
            .await?;
        Ok(made)
    }

    /// The client with this id.
    pub async fn oauth_client(&self, id: OauthClientId) -> Result<OauthClient> {
        let statement = query("SELECT * FROM oauth_clients WHERE id = $1").bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// The client that shows this secret.
    pub async fn oauth_client_by_secret_hash(&self, hash: &str) -> Result<Option<OauthClient>> {
        let statement =
            query("SELECT * FROM oauth_clients WHERE secret_hash = $1").bind(hash.to_owned());
        optional(self.backend.reader(), statement).await
    }

    /// An account's clients, oldest first.
    pub async fn oauth_clients_of(&self, account: AccountId) -> Result<Vec<OauthClient>> {
        let statement =
            query("SELECT * FROM oauth_clients WHERE account_id = $1 ORDER BY created_at, id")
                .bind(account.to_string());
        list(self.backend.reader(), statement).await
    }

    /// A client's secret.
    pub fn oauth_client_secret(&self, client: &OauthClient) -> Result<String> {
        let (data_key, sealed) = &client.sealed;
        let key = self.root_key.data_key(holder(client.id), data_key)?;
        key.open(Purpose::OauthClient, sealed)
    }

    /// Changes a client.
    pub async fn update_oauth_client(
        &self,
        change: &Change,
        id: OauthClientId,
        update: &OauthClientUpdate,
    ) -> Result<OauthClient> {
        let mut write = self.write(change).await?;
        let statement = query(
            "UPDATE oauth_clients SET name = COALESCE($2, name),
                                      redirect_uri = COALESCE($3, redirect_uri), updated_at = $4
             WHERE id = $1",
        )
        .bind(id.to_string())
        .bind(update.name.clone())
        .bind(update.redirect_uri.clone())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        let statement = query("SELECT * FROM oauth_clients WHERE id = $1").bind(id.to_string());
        let changed: OauthClient = required(write.connection(), statement, id).await?;
        write
            .commit(happening("oauth-client.update", &changed))
            .await?;
        Ok(changed)
    }

    /// Gives a client another secret; the one before is void at once.
    pub async fn rotate_oauth_client(
        &self,
        change: &Change,
        id: OauthClientId,
        (secret, secret_hash): (&str, &str),
    ) -> Result<OauthClient> {
        let mut write = self.write(change).await?;
        let (data_key, sealed) = self.sealed_secret(id, secret)?;
        let statement = query(
            "UPDATE oauth_clients SET data_key = $2, sealed_secret = $3, secret_hash = $4,
                                      updated_at = $5
             WHERE id = $1",
        )
        .bind(id.to_string())
        .bind(data_key)
        .bind(sealed)
        .bind(secret_hash.to_owned())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        let statement = query("SELECT * FROM oauth_clients WHERE id = $1").bind(id.to_string());
        let changed: OauthClient = required(write.connection(), statement, id).await?;
        write
            .commit(happening("oauth-client.rotate", &changed))
            .await?;
        Ok(changed)
    }

    /// Removes a client, and with it whatever it was let do.
    pub async fn delete_oauth_client(&self, change: &Change, client: &OauthClient) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement =
            query("DELETE FROM oauth_clients WHERE id = $1").bind(client.id.to_string());
        if write.run(statement).await? == 0 {
            return Err(StoreError::not_found("client", &client.id));
        }
        write
            .commit(happening("oauth-client.destroy", client))
            .await
    }

    fn sealed_secret(&self, id: OauthClientId, secret: &str) -> Result<(String, String)> {
        let data_key = self.root_key.new_data_key(holder(id));
        let key = self.root_key.data_key(holder(id), &data_key)?;
        let sealed = key.seal(Purpose::OauthClient, secret);
        Ok((data_key, sealed))
    }
}

/// Whose data key it is: a client has one as an app has.
fn holder(client: OauthClientId) -> AppId {
    client.as_uuid().into()
}

fn happening(kind: &'static str, client: &OauthClient) -> Happening {
    Happening {
        kind,
        app: None,
        subject: client.id.to_string(),
        details: json!({ "account": client.account, "name": client.name,
            "redirect_uri": client.redirect_uri }),
    }
}
