//! Domains: the hostnames an app answers on, each belonging to one app only.

use api::{
    clock::Time,
    ids::{AppId, DomainId, SniEndpointId},
};
use serde_json::json;
use sqlx::query;

use crate::{
    Change, Result, Store,
    columns::{Columns, Record, list, optional, required},
    words::words,
    write::{Happening, Write},
};

words! {
    /// Who chose a hostname.
    DomainKind {
        /// The platform: made with the app and renamed with it.
        Heroku = "heroku",
        /// The app's people.
        Custom = "custom",
    }
}

words! {
    /// How far a domain has come.
    DomainStatus {
        /// Nothing is to be done.
        None = "none",
        /// Being set up.
        Pending = "pending",
        /// Requests to it are routed.
        Succeeded = "succeeded",
        /// Could not be set up.
        Failed = "failed",
    }
}

/// A domain name that an app answers on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Which app answers.
    pub app: AppId,
    /// In lower case; unique.
    pub hostname: String,
    /// Who chose it.
    pub kind: DomainKind,
    /// Where its owner points DNS to; none for the default domain.
    pub cname: Option<String>,
    /// How far it has come.
    pub status: DomainStatus,
    /// The certificate that it is shown.
    pub sni_endpoint: Option<SniEndpointId>,
    /// When it was added.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A domain to add.
#[derive(Clone, Debug)]
pub struct NewDomain {
    /// Which app answers.
    pub app: AppId,
    /// Letter case is dropped; a taken one is a conflict.
    pub hostname: String,
    /// Who chose it.
    pub kind: DomainKind,
    /// Where its owner points DNS to.
    pub cname: Option<String>,
    /// Its first status.
    pub status: DomainStatus,
    /// The certificate that it is shown.
    pub sni_endpoint: Option<SniEndpointId>,
}

impl Record for Domain {
    const RESOURCE: &'static str = "domain";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            id: columns.parsed("id")?,
            app: columns.parsed("app_id")?,
            hostname: columns.text("hostname")?,
            kind: columns.parsed("kind")?,
            cname: columns.optional_text("cname")?,
            status: columns.parsed("status")?,
            sni_endpoint: columns.optional_parsed("sni_endpoint_id")?,
            created_at: columns.time("created_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

impl Store {
    /// Adds a domain to an app.
    pub async fn create_domain(&self, change: &Change, new: &NewDomain) -> Result<Domain> {
        let mut write = self.write_app(change, new.app).await?;
        let domain = insert_domain(&mut write, new).await?;
        let details = json!({ "hostname": domain.hostname, "kind": domain.kind });
        write
            .commit(happening("domain.create", &domain, details))
            .await?;
        Ok(domain)
    }

    /// An app's domains, oldest first.
    pub async fn domains(&self, app: AppId) -> Result<Vec<Domain>> {
        let statement = query("SELECT * FROM domains WHERE app_id = $1 ORDER BY created_at, id")
            .bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// The domains of all apps, for the route table.
    pub async fn all_domains(&self) -> Result<Vec<Domain>> {
        list(
            self.backend.reader(),
            query("SELECT * FROM domains ORDER BY created_at, id"),
        )
        .await
    }

    /// A domain of an app.
    pub async fn domain(&self, app: AppId, id: DomainId) -> Result<Domain> {
        let statement = query("SELECT * FROM domains WHERE app_id = $1 AND id = $2")
            .bind(app.to_string())
            .bind(id.to_string());
        required(self.backend.reader(), statement, id).await
    }

    /// The domain with this hostname, in any letter case.
    pub async fn domain_by_hostname(&self, hostname: &str) -> Result<Option<Domain>> {
        let statement =
            query("SELECT * FROM domains WHERE hostname = $1").bind(hostname.to_lowercase());
        optional(self.backend.reader(), statement).await
    }

    /// Records how far a domain has come.
    pub async fn set_domain_status(
        &self,
        change: &Change,
        (app, id): (AppId, DomainId),
        status: DomainStatus,
    ) -> Result<Domain> {
        let mut write = self.write_app(change, app).await?;
        let mut domain = domain_row(&mut write, app, id).await?;
        let former = domain.status;
        domain.status = status;
        domain.updated_at = write.now;
        let statement = query("UPDATE domains SET status = $2, updated_at = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(status.as_str())
            .bind(write.now.as_micros());
        write.run(statement).await?;
        let details = json!({ "hostname": domain.hostname, "from": former, "to": status });
        write
            .commit(happening("domain.update", &domain, details))
            .await?;
        Ok(domain)
    }

    /// Removes a domain of an app, and the automatic certificate that it had.
    pub async fn delete_domain(&self, change: &Change, app: AppId, id: DomainId) -> Result<Domain> {
        let mut write = self.write_app(change, app).await?;
        let domain = domain_row(&mut write, app, id).await?;
        if let Some(endpoint) = domain.sni_endpoint {
            let statement = query("DELETE FROM sni_endpoints WHERE id = $1 AND is_acm = 1")
                .bind(endpoint.to_string());
            write.run(statement).await?;
        }
        write
            .run(query("DELETE FROM domains WHERE id = $1").bind(id.to_string()))
            .await?;
        let details = json!({ "hostname": domain.hostname, "kind": domain.kind });
        write
            .commit(happening("domain.destroy", &domain, details))
            .await?;
        Ok(domain)
    }
}

pub(crate) async fn domain_row(write: &mut Write<'_>, app: AppId, id: DomainId) -> Result<Domain> {
    let statement = query("SELECT * FROM domains WHERE app_id = $1 AND id = $2")
        .bind(app.to_string())
        .bind(id.to_string());
    required(write.connection(), statement, id).await
}

/// Adds the row only; the caller tells the event.
pub(crate) async fn insert_domain(write: &mut Write<'_>, new: &NewDomain) -> Result<Domain> {
    let domain = Domain {
        id: DomainId::new(),
        app: new.app,
        hostname: new.hostname.to_lowercase(),
        kind: new.kind,
        cname: new.cname.clone(),
        status: new.status,
        sni_endpoint: new.sni_endpoint,
        created_at: write.now,
        updated_at: write.now,
    };
    let statement = query(
        "INSERT INTO domains (id, app_id, hostname, kind, cname, status, created_at, updated_at,
            sni_endpoint_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)",
    )
    .bind(domain.id.to_string())
    .bind(domain.app.to_string())
    .bind(domain.hostname.clone())
    .bind(domain.kind.as_str())
    .bind(domain.cname.clone())
    .bind(domain.status.as_str())
    .bind(write.now.as_micros())
    .bind(domain.sni_endpoint.map(|id| id.to_string()));
    write
        .run(statement)
        .await
        .map_err(|e| e.or_conflict("domain", &domain.hostname))?;
    Ok(domain)
}

fn happening(kind: &'static str, domain: &Domain, details: serde_json::Value) -> Happening {
    Happening {
        kind,
        app: Some(domain.app),
        subject: domain.id.to_string(),
        details,
    }
}
