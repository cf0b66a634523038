//! SNI endpoints: certificates that people bring for their apps' domains.

use std::collections::HashMap;

use api::{
    ids::{DomainId, SniEndpointId},
    sni_endpoints::NewSniEndpoint,
};
use store::{App, SniEndpoint, StoreError};

use crate::{
    Platform,
    apps::made_up_name,
    caller::Caller,
    certificates::{self, Contents, Fault},
    error::{Error, Result},
};

/// Certificates of one app.
const MOST_PER_APP: usize = 1000;
/// Made-up names that are taken are tried again this often.
const NAME_ATTEMPTS: usize = 8;

/// A certificate with what it says and where it is shown.
#[derive(Clone, Debug)]
pub struct ShownEndpoint {
    /// The certificate.
    pub row: SniEndpoint,
    /// What it says.
    pub contents: Contents,
    /// Whether this machine trusts who signed it.
    pub is_ca_signed: bool,
    /// The domains it is shown for.
    pub domains: Vec<DomainId>,
}

impl Platform {
    /// An app's certificates, oldest first.
    pub async fn sni_endpoints(&self, app: &App) -> Result<Vec<ShownEndpoint>> {
        let domains = self.store.domains(app.id).await?;
        let rows = self.store.sni_endpoints(app.id).await?;
        rows.into_iter()
            .map(|row| {
                let shown_for = domains
                    .iter()
                    .filter(|domain| domain.sni_endpoint == Some(row.id));
                let domains = shown_for.map(|domain| domain.id).collect();
                self.shown(row, domains)
            })
            .collect()
    }

    /// The names of an app's certificates.
    pub async fn sni_endpoint_names(&self, app: &App) -> Result<HashMap<SniEndpointId, String>> {
        let rows = self.store.sni_endpoints(app.id).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
    }

    /// One of an app's certificates, by name or id.
    pub async fn sni_endpoint(&self, app: &App, identity: &str) -> Result<ShownEndpoint> {
        let found = self.sni_endpoints(app).await?.into_iter().find(|endpoint| {
            endpoint.row.name == identity || endpoint.row.id.to_string() == identity
        });
        found.ok_or_else(|| Error::NotFound {
            resource: "sni_endpoint",
            name: identity.to_owned(),
        })
    }

    /// Adds a certificate, and shows it for those of the app's domains that it is good for and that
    /// have none.
    ///
    /// # Errors
    /// `Invalid` when chain and key cannot be served together, in words that say why.
    pub async fn add_sni_endpoint(
        &self,
        caller: &Caller,
        app: &App,
        new: NewSniEndpoint,
    ) -> Result<ShownEndpoint> {
        let pair = certificates::check(&new.certificate_chain, &new.private_key, self.clock.now())
            .map_err(invalid)?;
        if self.store.sni_endpoints(app.id).await?.len() >= MOST_PER_APP {
            return Err(Error::Invalid {
                message: format!("An app can have {MOST_PER_APP} certificates at most."),
            });
        }
        let contents = certificates::read(&pair.certificate_chain).map_err(invalid)?;
        let bare = self.store.domains(app.id).await?.into_iter();
        let domains: Vec<DomainId> = bare
            .filter(|domain| {
                domain.sni_endpoint.is_none()
                    && certificates::covers(&contents.domains, &domain.hostname)
            })
            .map(|domain| domain.id)
            .collect();
        let change = caller.change();
        for _ in 0..NAME_ATTEMPTS {
            let name = made_up_name();
            let created =
                self.store
                    .create_sni_endpoint(&change, (app.id, name.as_str()), &pair, &domains);
            match created.await {
                Err(StoreError::Conflict { .. }) => {}
                created => {
                    self.certificates_changed(app);
                    return self.shown(created?, domains);
                }
            }
        }
        Err(Error::Unavailable {
            message: "No free name was found; please try again.".to_owned(),
        })
    }

    /// Puts another certificate in the place of one.
    ///
    /// # Errors
    /// `Invalid` when chain and key cannot be served together, when the new one is not good for a
    /// domain that the old one is shown for, or when the platform renews it by itself.
    pub async fn update_sni_endpoint(
        &self,
        caller: &Caller,
        (app, identity): (&App, &str),
        new: NewSniEndpoint,
    ) -> Result<ShownEndpoint> {
        let former = self.sni_endpoint(app, identity).await?;
        refuse_automatic(&former)?;
        let pair = certificates::check(&new.certificate_chain, &new.private_key, self.clock.now())
            .map_err(invalid)?;
        let contents = certificates::read(&pair.certificate_chain).map_err(invalid)?;
        for domain in self.store.domains(app.id).await? {
            if domain.sni_endpoint == Some(former.row.id) {
                check_covers(&contents, &domain.hostname)?;
            }
        }
        let id = (app.id, former.row.id);
        let row = self
            .store
            .update_sni_endpoint(&caller.change(), id, &pair)
            .await?;
        self.certificates_changed(app);
        self.shown(row, former.domains)
    }

    /// Removes a certificate; its domains have none then.
    pub async fn remove_sni_endpoint(
        &self,
        caller: &Caller,
        app: &App,
        identity: &str,
    ) -> Result<ShownEndpoint> {
        let former = self.sni_endpoint(app, identity).await?;
        refuse_automatic(&former)?;
        self.store
            .delete_sni_endpoint(&caller.change(), app.id, former.row.id)
            .await?;
        self.certificates_changed(app);
        Ok(former)
    }

    /// Has the router told, and automatic certificates looked at.
    pub(crate) fn certificates_changed(&self, app: &App) {
        self.nudges.nudge(app.id);
        self.certificates_due.notify_one();
    }

    fn shown(&self, row: SniEndpoint, domains: Vec<DomainId>) -> Result<ShownEndpoint> {
        let contents = certificates::read(&row.certificate_chain).map_err(invalid)?;
        let is_ca_signed = self
            .trust
            .vouches_for(&row.certificate_chain, self.clock.now());
        Ok(ShownEndpoint {
            row,
            contents,
            is_ca_signed,
            domains,
        })
    }
}

/// Whether a certificate may be shown for a domain.
pub(crate) fn check_covers(contents: &Contents, hostname: &str) -> Result<()> {
    if certificates::covers(&contents.domains, hostname) {
        return Ok(());
    }
    Err(Error::Invalid {
        message: format!(
            "The certificate is not good for {hostname}: it is for {}",
            contents.domains.join(", ")
        ),
    })
}

fn refuse_automatic(endpoint: &ShownEndpoint) -> Result<()> {
    if !endpoint.row.is_acm {
        return Ok(());
    }
    Err(Error::Invalid {
        message: format!(
            "{} is an automatic certificate: run `heroku certs:auto:disable` first",
            endpoint.row.name
        ),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "it is for map_err")]
fn invalid(fault: Fault) -> Error {
    Error::Invalid {
        message: fault.to_string(),
    }
}
