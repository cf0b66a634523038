//! Domains: the host names that an app answers on.

use api::domains::NewDomain;
use store::{App, Domain, DomainKind, DomainStatus};

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
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
    /// `Invalid` for what is no host name, belongs to the platform, or is another app's.
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
        let row = store::NewDomain {
            app: app.id,
            hostname,
            kind: DomainKind::Custom,
            cname: Some(self.settings.default_hostname(&app.name)),
            status: DomainStatus::None,
        };
        let domain = self.store.create_domain(&caller.change(), &row).await?;
        self.nudges.nudge(app.id);
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
        self.nudges.nudge(app.id);
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
