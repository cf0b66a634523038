//! Automatic certificates, and what an app asks of clients over TLS: what may be asked of both.
//! Certificates are asked for by `reconcile::certificates`.

use api::tls::AppTls;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use store::{AcmDomain, App};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

/// Browsers' preload lists ask for a year; longer than ten is a slip.
const MOST_MAX_AGE_SECONDS: u64 = 10 * 366 * 24 * 3600;
/// Of a client authority, as text.
const MOST_PEM_BYTES: usize = 64 * 1024;

impl Platform {
    /// How far the automatic certificates of an app's domains have come.
    pub async fn acm_domains(&self, app: &App) -> Result<Vec<AcmDomain>> {
        Ok(self.store.acm_domains(app.id).await?)
    }

    /// Has certificates made for all of the app's own domains that have none.
    ///
    /// # Errors
    /// `Invalid` when the operator has named no certificate authority.
    pub async fn enable_acm(&self, caller: &Caller, app: &App) -> Result<App> {
        if self.settings.acme.is_none() {
            return Err(Error::Invalid {
                message: "This platform has no certificate authority: its operator must set \
                          `acme.directory` in landfall.toml"
                    .to_owned(),
            });
        }
        let app = self.store.set_acm(&caller.change(), app.id, true).await?;
        self.certificates_changed(&app);
        Ok(app)
    }

    /// Ends automatic certificates, and removes those that there are.
    pub async fn disable_acm(&self, caller: &Caller, app: &App) -> Result<App> {
        let app = self.store.set_acm(&caller.change(), app.id, false).await?;
        self.certificates_changed(&app);
        Ok(app)
    }

    /// Has what failed tried again now.
    pub async fn refresh_acm(&self, caller: &Caller, app: &App) -> Result<App> {
        if !app.acm {
            return Err(Error::Invalid {
                message: format!(
                    "Automatic certificates are off for {}: run `heroku certs:auto:enable`",
                    app.name
                ),
            });
        }
        self.store.refresh_acm(&caller.change(), app.id).await?;
        self.certificates_changed(app);
        Ok(app.clone())
    }

    /// Changes what an app asks of its clients.
    ///
    /// # Errors
    /// `Invalid` for what browsers or the router could not make anything of.
    pub async fn set_app_tls(&self, caller: &Caller, app: &App, tls: AppTls) -> Result<App> {
        check(&tls).map_err(|message| Error::Invalid { message })?;
        let app = self
            .store
            .set_app_tls(&caller.change(), app.id, &tls)
            .await?;
        self.nudges.nudge(app.id);
        Ok(app)
    }
}

fn check(tls: &AppTls) -> Result<(), String> {
    if let Some(hsts) = tls.hsts {
        if hsts.max_age_seconds > MOST_MAX_AGE_SECONDS {
            return Err("hsts: max_age_seconds must be ten years at most.".to_owned());
        }
        if !tls.redirect {
            return Err(
                "hsts: switch redirect on, too: browsers ignore it over plain HTTP.".to_owned(),
            );
        }
    }
    let Some(authority) = &tls.client_authority else {
        return Ok(());
    };
    let text = authority.certificates.as_bytes();
    let unreadable = || "client_authority: certificates must be PEM text.".to_owned();
    if text.len() > MOST_PEM_BYTES {
        return Err("client_authority: certificates must be 64 KiB at most.".to_owned());
    }
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|_| unreadable())?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| unreadable())?;
        if !parsed.is_ca() {
            let subject = parsed.subject();
            return Err(format!(
                "client_authority: {subject} is no authority: it may not sign certificates."
            ));
        }
        count += 1;
    }
    if count == 0 {
        return Err(unreadable());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use api::tls::{ClientAuthority, Hsts};

    use super::*;

    #[test]
    fn what_nobody_could_use_is_refused_in_words() {
        let hsts = |max_age_seconds| {
            Some(Hsts {
                max_age_seconds,
                include_subdomains: false,
                preload: false,
            })
        };
        let authority = |certificates: String| {
            Some(ClientAuthority {
                certificates,
                is_optional: false,
            })
        };
        let no_authority = rcgen::generate_simple_self_signed(vec!["a.b".to_owned()]).unwrap();
        for (redirect, hsts, client_authority, expected) in [
            (true, hsts(31_536_000), None, None),
            (false, None, None, None),
            (
                false,
                hsts(1),
                None,
                Some("hsts: switch redirect on, too: browsers ignore it over plain HTTP."),
            ),
            (
                true,
                hsts(u64::MAX),
                None,
                Some("hsts: max_age_seconds must be ten years at most."),
            ),
            (
                false,
                None,
                authority("nonsense".to_owned()),
                Some("client_authority: certificates must be PEM text."),
            ),
            (
                false,
                None,
                authority(no_authority.cert.pem()),
                Some(
                    "client_authority: CN=rcgen self signed cert is no authority: it may not sign certificates.",
                ),
            ),
        ] {
            let tls = AppTls {
                redirect,
                hsts,
                client_authority,
            };
            assert_eq!(check(&tls).err().as_deref(), expected);
        }
    }
}
