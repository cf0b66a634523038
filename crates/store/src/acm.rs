//! Automated certificates: which apps have them, how far each domain's has come, and the accounts
//! at certificate authorities. When to ask for one is not decided here.

use api::{
    clock::Time,
    ids::{AppId, DomainId},
    tls::AppTls,
};
use serde_json::json;
use sqlx::query;

use crate::{
    App, CertificatePair, Change, Domain, Result, Store, StoreError,
    apps::app_row,
    columns::{Columns, Record, list, optional, to_number},
    domains::domain_row,
    seal::Purpose,
    sni_endpoints::attach,
    words::words,
    write::{Happening, Write},
};

words! {
    /// How the automatic certificate of a domain stands, in the words that clients know.
    AcmStatus {
        /// It will be asked for, or is being asked for.
        Pending = "pending",
        /// There is one.
        Issued = "cert issued",
        /// The last attempt failed; there will be others.
        Failing = "failing",
        /// Many attempts failed; there will be another only now and then.
        Failed = "failed",
    }
}

/// How far the automatic certificate of a domain has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmDomain {
    /// The domain.
    pub domain: DomainId,
    /// Its app.
    pub app: AppId,
    /// How it stands.
    pub status: AcmStatus,
    /// Why it failed, if it did.
    pub reason: Option<String>,
    /// Attempts that failed since the last one that did not.
    pub failures: u32,
    /// Not before this.
    pub next_try_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

impl Record for AcmDomain {
    const RESOURCE: &'static str = "acm domain";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            domain: columns.parsed("domain_id")?,
            app: columns.parsed("app_id")?,
            status: columns.parsed("status")?,
            reason: columns.optional_text("reason")?,
            failures: columns.number("failures")?,
            next_try_at: columns.time("next_try_at")?,
            updated_at: columns.time("updated_at")?,
        })
    }
}

struct SealedAccount {
    data_key: String,
    credentials: String,
}

impl Record for SealedAccount {
    const RESOURCE: &'static str = "acme account";

    fn read(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            data_key: columns.text("data_key")?,
            credentials: columns.text("credentials")?,
        })
    }
}

impl Store {
    /// Switches an app's automatic certificates on or off. Off removes those that there are.
    pub async fn set_acm(&self, change: &Change, app: AppId, is_on: bool) -> Result<App> {
        let mut write = self.write_app(change, app).await?;
        let statement = query("UPDATE apps SET acm = $2, updated_at = $3 WHERE id = $1")
            .bind(app.to_string())
            .bind(i64::from(is_on))
            .bind(write.now.as_micros());
        write.run(statement).await?;
        if !is_on {
            for statement in [
                "DELETE FROM sni_endpoints WHERE app_id = $1 AND is_acm = 1",
                "DELETE FROM acm_domains WHERE app_id = $1",
            ] {
                write.run(query(statement).bind(app.to_string())).await?;
            }
        }
        let updated = app_row(&mut write, app).await?;
        let kind = if is_on { "acm.enable" } else { "acm.disable" };
        write.commit(of_app(kind, app, json!({}))).await?;
        Ok(updated)
    }

    /// Has all certificates of an app that failed tried again now.
    pub async fn refresh_acm(&self, change: &Change, app: AppId) -> Result<()> {
        let mut write = self.write_app(change, app).await?;
        let statement = query(
            "UPDATE acm_domains SET status = $2, failures = 0, next_try_at = 0, updated_at = $3
             WHERE app_id = $1 AND status <> $4",
        )
        .bind(app.to_string())
        .bind(AcmStatus::Pending.as_str())
        .bind(write.now.as_micros())
        .bind(AcmStatus::Issued.as_str());
        write.run(statement).await?;
        write.commit(of_app("acm.refresh", app, json!({}))).await
    }

    /// How far the certificates of an app's domains have come.
    pub async fn acm_domains(&self, app: AppId) -> Result<Vec<AcmDomain>> {
        let statement = query("SELECT * FROM acm_domains WHERE app_id = $1").bind(app.to_string());
        list(self.backend.reader(), statement).await
    }

    /// Records how far the certificate of a domain has come; `updated_at` is set here.
    pub async fn save_acm_domain(&self, change: &Change, row: &AcmDomain) -> Result<()> {
        let mut write = self.write_app(change, row.app).await?;
        let domain = domain_row(&mut write, row.app, row.domain).await?;
        save(&mut write, row).await?;
        let details = json!({ "hostname": domain.hostname, "status": row.status,
            "reason": row.reason, "failures": row.failures, "next_try_at": row.next_try_at });
        let happening = Happening {
            kind: "acm.update",
            app: Some(row.app),
            subject: row.domain.to_string(),
            details,
        };
        write.commit(happening).await
    }

    /// Shows a certificate that an authority has issued for a domain: in the place of the automatic
    /// one that it has, if it has one.
    ///
    /// # Errors
    /// `NotFound` when the domain has gone meanwhile, `Stale` when the app's certificates are no
    /// longer automatic.
    pub async fn issue_certificate(
        &self,
        change: &Change,
        (row, name): (&AcmDomain, &str),
        pair: &CertificatePair,
    ) -> Result<Domain> {
        let (app, domain) = (row.app, row.domain);
        let mut write = self.write_app(change, app).await?;
        if !app_row(&mut write, app).await?.acm {
            return Err(StoreError::stale("app", &app));
        }
        let former = domain_row(&mut write, app, domain).await?.sni_endpoint;
        let is_acm = match former {
            Some(id) => self.is_acm(&mut write, id.to_string()).await?,
            None => false,
        };
        if let Some(id) = former.filter(|_| is_acm) {
            self.replace_pair(&mut write, (app, id), pair).await?;
        } else {
            let new = (app, name, true);
            let id = self.insert_endpoint(&mut write, new, pair).await?;
            attach(&mut write, (app, domain), Some(id)).await?;
        }
        save(&mut write, row).await?;
        let issued = domain_row(&mut write, app, domain).await?;
        let details = json!({ "hostname": issued.hostname, "sni_endpoint": issued.sni_endpoint,
            "expires_at": pair.expires_at });
        let happening = Happening {
            kind: "acm.issue",
            app: Some(app),
            subject: domain.to_string(),
            details,
        };
        write.commit(happening).await?;
        Ok(issued)
    }

    async fn is_acm(&self, write: &mut Write<'_>, endpoint: String) -> Result<bool> {
        let statement = query("SELECT * FROM sni_endpoints WHERE id = $1").bind(endpoint);
        let found = write.find::<crate::SniEndpoint>(statement).await?;
        Ok(found.is_some_and(|endpoint| endpoint.is_acm))
    }

    /// Changes what an app asks of its clients.
    pub async fn set_app_tls(&self, change: &Change, app: AppId, tls: &AppTls) -> Result<App> {
        let mut write = self.write_app(change, app).await?;
        let text = serde_json::to_string(tls).expect("a struct of plain values is always JSON");
        let statement = query("UPDATE apps SET tls = $2, updated_at = $3 WHERE id = $1")
            .bind(app.to_string())
            .bind(text)
            .bind(write.now.as_micros());
        write.run(statement).await?;
        let updated = app_row(&mut write, app).await?;
        let details = json!({ "redirect": tls.redirect, "hsts": tls.hsts,
            "client_authority": tls.client_authority.is_some() });
        write.commit(of_app("app-tls.update", app, details)).await?;
        Ok(updated)
    }

    /// What opens our account at a certificate authority.
    pub async fn acme_account(&self, directory: &str) -> Result<Option<String>> {
        let statement =
            query("SELECT * FROM acme_accounts WHERE directory = $1").bind(directory.to_owned());
        let Some(row) = optional::<SealedAccount>(self.backend.reader(), statement).await? else {
            return Ok(None);
        };
        let key = self.root_key.data_key(nobody(), &row.data_key)?;
        key.open(Purpose::AcmeAccount(directory), &row.credentials)
            .map(Some)
    }

    /// Keeps what opens our account at a certificate authority, in place of what did before.
    pub async fn save_acme_account(
        &self,
        change: &Change,
        directory: &str,
        credentials: &str,
    ) -> Result<()> {
        let mut write = self.write(change).await?;
        let data_key = self.root_key.new_data_key(nobody());
        let key = self.root_key.data_key(nobody(), &data_key)?;
        let statement = query(
            "INSERT INTO acme_accounts (directory, data_key, credentials, created_at)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (directory) DO UPDATE SET data_key = excluded.data_key,
                credentials = excluded.credentials, created_at = excluded.created_at",
        )
        .bind(directory.to_owned())
        .bind(data_key)
        .bind(key.seal(Purpose::AcmeAccount(directory), credentials))
        .bind(write.now.as_micros());
        write.run(statement).await?;
        write
            .commit(of_platform("acme-account.create", directory))
            .await
    }

    /// Forgets an account at a certificate authority, which no longer knows it.
    pub async fn delete_acme_account(&self, change: &Change, directory: &str) -> Result<()> {
        let mut write = self.write(change).await?;
        let statement =
            query("DELETE FROM acme_accounts WHERE directory = $1").bind(directory.to_owned());
        write.run(statement).await?;
        write
            .commit(of_platform("acme-account.destroy", directory))
            .await
    }
}

/// In the place of an app, for what belongs to the platform.
fn nobody() -> AppId {
    "00000000-0000-0000-0000-000000000000"
        .parse()
        .expect("it is a UUID")
}

async fn save(write: &mut Write<'_>, row: &AcmDomain) -> Result<()> {
    let statement = query(
        "INSERT INTO acm_domains (domain_id, app_id, status, reason, failures, next_try_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (domain_id) DO UPDATE SET status = excluded.status, reason = excluded.reason,
            failures = excluded.failures, next_try_at = excluded.next_try_at,
            updated_at = excluded.updated_at",
    )
    .bind(row.domain.to_string())
    .bind(row.app.to_string())
    .bind(row.status.as_str())
    .bind(row.reason.clone())
    .bind(to_number(u64::from(row.failures), "a number of failures")?)
    .bind(row.next_try_at.as_micros())
    .bind(write.now.as_micros());
    write.run(statement).await?;
    Ok(())
}

fn of_app(kind: &'static str, app: AppId, details: serde_json::Value) -> Happening {
    Happening {
        kind,
        app: Some(app),
        subject: app.to_string(),
        details,
    }
}

fn of_platform(kind: &'static str, subject: &str) -> Happening {
    Happening {
        kind,
        app: None,
        subject: subject.to_owned(),
        details: json!({}),
    }
}
