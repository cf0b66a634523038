//! Domains: the host names that an app answers on.

use api::{domains::NewDomain, ids::SniEndpointId};
use store::{App, Domain, DomainKind, DomainStatus};

use crate::{
    Platform,
    caller::Caller,
    certificates::covers,
    error::{Error, Result},
    sni_endpoints::check_covers,
};

impl Platform {
    /// An app's domains, the default one first.
    pub async fn domains(&self, app: &App) -> Result<Vec<Domain>> {
        Ok(self.store.domains(app.id).await?)
    }

    /// One of an app's domains, by host name or id.
    pub async fn domain(&self, app: &App, identity: &str) -> Result<Domain> {
        let found = self.domains(app).await?.into_iter().find(|domain| {
            domain.hostname.eq_ignore_ascii_case(identity) || domain.id.to_string() == identity
        });
        found.ok_or_else(|| Error::NotFound {
            resource: "domain",
            name: identity.to_owned(),
        })
    }

    /// Lets an app answer on one more host name.
    ///
    /// # Errors
    /// `Invalid` for what is no host name, belongs to the platform, or is another app's; and for a
    /// certificate that is not good for it.
    pub async fn add_domain(&self, caller: &Caller, app: &App, new: NewDomain) -> Result<Domain> {
        let invalid = |message: String| Error::Invalid { message };
        let hostname = new
            .hostname
            .trim()
            .trim_end_matches('.')
            .to_ascii_lowercase();
        if !is_hostname(&hostname) {
            return Err(invalid(format!(
                "Hostname `{hostname}` is not a valid domain name"
            )));
        }
        let own = &self.settings.app_domain;
        if hostname == *own || hostname.ends_with(&format!(".{own}")) {
            return Err(invalid(format!(
                "Names below {own} are given by the platform"
            )));
        }
        if self.store.domain_by_hostname(&hostname).await?.is_some() {
            return Err(invalid(format!("{hostname} is currently in use by an app")));
        }
        let sni_endpoint = self
            .endpoint_for(app, &hostname, new.sni_endpoint.as_deref())
            .await?;
        let row = store::NewDomain {
            app: app.id,
            hostname,
            kind: DomainKind::Custom,
            cname: Some(self.settings.default_hostname(&app.name)),
            status: DomainStatus::None,
            sni_endpoint,
        };
        let domain = self.store.create_domain(&caller.change(), &row).await?;
        self.certificates_changed(app);
        Ok(domain)
    }

    /// The certificate that a new domain is shown: the named one; else the only one that is good
    /// for it, unless the platform makes certificates.
    async fn endpoint_for(
        &self,
        app: &App,
        hostname: &str,
        named: Option<&str>,
    ) -> Result<Option<SniEndpointId>> {
        if let Some(identity) = named {
            let endpoint = self.sni_endpoint(app, identity).await?;
            check_covers(&endpoint.contents, hostname)?;
            return Ok(Some(endpoint.row.id));
        }
        let good: Vec<SniEndpointId> = self
            .sni_endpoints(app)
            .await?
            .into_iter()
            .filter(|endpoint| !endpoint.row.is_acm && covers(&endpoint.contents.domains, hostname))
            .map(|endpoint| endpoint.row.id)
            .collect();
        match good[..] {
            [only] if !app.acm => Ok(Some(only)),
            _ => Ok(None),
        }
    }

    /// Chooses the certificate that a domain is shown, by name or id, or none.
    ///
    /// # Errors
    /// `Invalid` for the app's own name, and for a certificate that is not good for the domain.
    pub async fn update_domain(
        &self,
        caller: &Caller,
        (app, identity): (&App, &str),
        sni_endpoint: Option<&str>,
    ) -> Result<Domain> {
        let domain = self.domain(app, identity).await?;
        if domain.kind == DomainKind::Heroku {
            return Err(Error::Invalid {
                message: format!("{} has the platform's certificate", domain.hostname),
            });
        }
        let endpoint = match sni_endpoint {
            Some(_) => {
                self.endpoint_for(app, &domain.hostname, sni_endpoint)
                    .await?
            }
            None => None,
        };
        let domain = self
            .store
            .set_domain_endpoint(&caller.change(), (app.id, domain.id), endpoint)
            .await?;
        self.certificates_changed(app);
        Ok(domain)
    }

    /// Ends an app's answering on a host name.
    pub async fn remove_domain(
        &self,
        caller: &Caller,
        app: &App,
        identity: &str,
    ) -> Result<Domain> {
        let domain = self.domain(app, identity).await?;
        if domain.kind == DomainKind::Heroku {
            return Err(Error::Invalid {
                message: format!(
                    "{} is the app's own name and cannot be removed",
                    domain.hostname
                ),
            });
        }
        self.store
            .delete_domain(&caller.change(), app.id, domain.id)
            .await?;
        self.certificates_changed(app);
        Ok(domain)
    }
}

/// RFC 1123 labels, at least two; the first may be `*`.
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let labels = text.strip_prefix("*.").unwrap_or(text);
    let is_number = labels
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && labels.contains('.') && labels.split('.').all(is_label) && !is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames() {
        for valid in [
            "www.example.com",
            "*.example.com",
            "xn--bcher-kva.example",
            "a.b",
        ] {
            assert!(is_hostname(valid), "{valid}");
        }
        for refused in [
            "",
            "localhost",
            "a..b",
            "-a.b",
            "a_b.c",
            "*.*.c",
            "a.*.c",
            "1.2.3.4",
            "a b.c",
        ] {
            assert!(!is_hostname(refused), "{refused}");
        }
    }
}
