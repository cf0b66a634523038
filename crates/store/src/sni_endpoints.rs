//! SNI endpoints: certificates with their sealed keys, and the domains they are shown for.

use api::{
    clock::Time,
    ids::{AppId, DomainId, SniEndpointId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Domain, Result, Store,
    columns::{Columns, Record, list, required, to_number},
    domains::domain_row,
    seal::Purpose,
    write::{Happening, Write},
};

/// A certificate of an app, without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SniEndpoint {
    /// Its id.
    pub id: SniEndpointId,
    /// Whose it is.
    pub app: AppId,
    /// Unique in the app.
    pub name: String,
    /// Whether the platform made it and renews it.
    pub is_acm: bool,
    /// PEM, the domains' own certificate first.
    pub certificate_chain: String,
    /// When it begins.
    pub starts_at: Time,
    /// When it ends.
    pub expires_at: Time,
    /// The least number of days before its end that somebody was alarmed at.
    pub alarmed_days: Option<u64>,
    /// When it was added.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct CertificatePair {
    /// PEM, the domains' own certificate first.
    pub certificate_chain: String,
    /// PEM.
    pub private_key: String,
    /// When it begins.
    pub starts_at: Time,
    /// When it ends.
    pub expires_at: Time,
}

impl std::fmt::Debug for CertificatePair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificatePair")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Record for SniEndpoint {
    const RESOURCE: &'static str = "sni_endpoint";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            name: columns.text("name")?,
            is_acm: columns.flag("is_acm")?,
            certificate_chain: columns.text("certificate_chain")?,
            starts_at: columns.time("starts_at")?,
            expires_at: columns.time("expires_at")?,
            alarmed_days: columns.optional_number("alarmed_days")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

struct WithPrivateKey {
    endpoint: SniEndpoint,
    sealed: String,
}

impl Record for WithPrivateKey {
    const RESOURCE: &'static str = "sni_endpoint";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            endpoint: SniEndpoint::read(columns)?,
            sealed: columns.text("private_key")?,
        })
    }
}

impl Store {
    /// An app's certificates, oldest first.
    pub async fn sni_endpoints(&self, app: AppId) -> Result<Vec<SniEndpoint>> {
        let statement =
            query("SELECT * FROM sni_endpoints WHERE app_id = $1 ORDER BY created_at, id")
                .bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The certificates of all apps.
    pub async fn all_sni_endpoints(&self) -> Result<Vec<SniEndpoint>> {
        list(
            self.backend.reader(),
            query("SELECT * FROM sni_endpoints ORDER BY created_at, id"),
        )
        .await
    }

    /// An app's certificates, each with its key in PEM, for the router.
    pub async fn sni_endpoints_with_keys(&self, app: AppId) -> Result<Vec<(SniEndpoint, String)>> {
        let statement = query("SELECT * FROM sni_endpoints WHERE app_id = $1 ORDER BY created_at")
            .bind(app.to_string());
        let rows: Vec<WithPrivateKey> = list(self.backend.reader(), statement).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.data_key(app).await?;
        rows.into_iter()
            .map(|row| {
                let private = key.open(Purpose::PrivateKey(row.endpoint.id), &row.sealed)?;
                Ok((row.endpoint, private))
            })
            .collect()
    }

    /// Adds a certificate that somebody brought, and shows it for these domains from now on.
    pub async fn create_sni_endpoint(
        &self,
        change: &Change,
        (app, name): (AppId, &str),
        pair: &CertificatePair,
        domains: &[DomainId],
    ) -> Result<SniEndpoint> {
        let mut write = self.write_app(change, app).await?;
        let id = self
            .insert_endpoint(&mut write, (app, name, false), pair)
            .await?;
        for domain in domains {
            attach(&mut write, (app, *domain), Some(id)).await?;
        }
        let endpoint = endpoint_row(&mut write, app, id).await?;
        let details = json!({ "name": name, "expires_at": pair.expires_at, "domains": domains });
        write
            .commit(happening("sni-endpoint.create", &endpoint, details))
            .await?;
        Ok(endpoint)
    }

    /// Puts another certificate in the place of one.
    pub async fn update_sni_endpoint(
        &self,
        change: &Change,
        (app, id): (AppId, SniEndpointId),
        pair: &CertificatePair,
    ) -> Result<SniEndpoint> {
        let mut write = self.write_app(change, app).await?;
        self.replace_pair(&mut write, (app, id), pair).await?;
        let endpoint = endpoint_row(&mut write, app, id).await?;
        let details = json!({ "name": endpoint.name, "expires_at": pair.expires_at });
        write
            .commit(happening("sni-endpoint.update", &endpoint, details))
            .await?;
        Ok(endpoint)
    }

    /// Removes a certificate; its domains have none then.
    pub async fn delete_sni_endpoint(
        &self,
        change: &Change,
        app: AppId,
        id: SniEndpointId,
    ) -> Result<SniEndpoint> {
        let mut write = self.write_app(change, app).await?;
        let endpoint = endpoint_row(&mut write, app, id).await?;
        let statement = query("DELETE FROM sni_endpoints WHERE id = $1").bind(id.to_string());
        write.run(statement).await?;
        let details = json!({ "name": endpoint.name });
        write
            .commit(happening("sni-endpoint.destroy", &endpoint, details))
            .await?;
        Ok(endpoint)
    }

    /// Chooses the certificate that a domain is shown, or none.
    pub async fn set_domain_endpoint(
        &self,
        change: &Change,
        (app, id): (AppId, DomainId),
        endpoint: Option<SniEndpointId>,
    ) -> Result<Domain> {
        let mut write = self.write_app(change, app).await?;
        attach(&mut write, (app, id), endpoint).await?;
        let domain = domain_row(&mut write, app, id).await?;
        let details = json!({ "hostname": domain.hostname, "sni_endpoint": endpoint });
        let happening = Happening {
            kind: "domain.update",
            app: Some(app),
            subject: id.to_string(),
            details,
        };
        write.commit(happening).await?;
        Ok(domain)
    }

    /// Records that somebody was alarmed this many days before a certificate's end. The event is
    /// the alarm.
    pub async fn alarm_of_expiry(
        &self,
        change: &Change,
        (app, id): (AppId, SniEndpointId),
        days: u64,
    ) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let statement = query("UPDATE sni_endpoints SET alarmed_days = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(to_number(days, "a number of days")?);
        write.run(statement).await?;
        let endpoint = endpoint_row(&mut write, app, id).await?;
        let details = json!({ "name": endpoint.name, "days": days,
            "expires_at": endpoint.expires_at });
        write
            .commit(happening("sni-endpoint.expiring", &endpoint, details))
            .await
    }

    /// Adds the row only; the caller tells the event.
    pub(crate) async fn insert_endpoint(
        &self,
        write: &mut Write<'_>,
        (app, name, is_acm): (AppId, &str, bool),
        pair: &CertificatePair,
    ) -> Result<SniEndpointId> {
        let id = SniEndpointId::new();
        let key = self.data_key_in(write, app).await?;
        let statement = query(
            "INSERT INTO sni_endpoints (id, app_id, name, is_acm, certificate_chain, private_key,
                starts_at, expires_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        )
        .bind(id.to_string())
        .bind(app.to_string())
        .bind(name.to_owned())
        .bind(i64::from(is_acm))
        .bind(pair.certificate_chain.clone())
        .bind(key.seal(Purpose::PrivateKey(id), &pair.private_key))
        .bind(pair.starts_at.as_micros())
        .bind(pair.expires_at.as_micros())
        .bind(write.now.as_micros());
        write
            .run(statement)
            .await
            .map_err(|e| e.or_conflict("sni_endpoint", &name))?;
        Ok(id)
    }

    /// Changes the row only; the caller tells the event.
    pub(crate) async fn replace_pair(
        &self,
        write: &mut Write<'_>,
        (app, id): (AppId, SniEndpointId),
        pair: &CertificatePair,
    ) -> Result<()> {
        let key = self.data_key_in(write, app).await?;
        let statement = query(
            "UPDATE sni_endpoints SET certificate_chain = $3, private_key = $4, starts_at = $5,
                expires_at = $6, alarmed_days = NULL, updated_at = $7
             WHERE app_id = $1 AND id = $2",
        )
        .bind(app.to_string())
        .bind(id.to_string())
        .bind(pair.certificate_chain.clone())
        .bind(key.seal(Purpose::PrivateKey(id), &pair.private_key))
        .bind(pair.starts_at.as_micros())
        .bind(pair.expires_at.as_micros())
        .bind(write.now.as_micros());
        write.run(statement).await?;
        Ok(())
    }
}

/// Changes the row only; the caller tells the event.
pub(crate) async fn attach(
    write: &mut Write<'_>,
    (app, domain): (AppId, DomainId),
    endpoint: Option<SniEndpointId>,
) -> Result<()> {
    let statement = query(
        "UPDATE domains SET sni_endpoint_id = $3, updated_at = $4 WHERE app_id = $1 AND id = $2",
    )
    .bind(app.to_string())
    .bind(domain.to_string())
    .bind(endpoint.map(|id| id.to_string()))
    .bind(write.now.as_micros());
    write.run(statement).await?;
    Ok(())
}

async fn endpoint_row(write: &mut Write<'_>, app: AppId, id: SniEndpointId) -> Result<SniEndpoint> {
    let statement = query("SELECT * FROM sni_endpoints WHERE app_id = $1 AND id = $2")
        .bind(app.to_string())
        .bind(id.to_string());
    required(write.connection(), statement, id).await
}

fn happening(kind: &'static str, endpoint: &SniEndpoint, details: serde_json::Value) -> Happening {
    Happening {
        kind,
        app: Some(endpoint.app),
        subject: endpoint.id.to_string(),
        details,
    }
}
