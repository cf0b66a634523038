//! Answers to an authority's challenges, given through the router or in DNS and taken back.

use instant_acme::{ChallengeType, KeyAuthorization};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use router::{
    feed::Wait,
    wire::{Challenge, PrivateKey},
};

use super::{AcmeError, AcmeSettings, ChallengeKind, dns_updates::Change};
use crate::Platform;

/// An answer that stands.
pub(super) enum Answer {
    Routed(Challenge),
    Record { name: String, text: String },
}

/// The protocol's word for it.
pub(super) fn word(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http => ChallengeType::Http01,
        ChallengeKind::TlsAlpn => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns => ChallengeType::Dns01,
    }
}

/// Makes the answer for a host; it does not stand yet.
pub(super) fn make(
    kind: ChallengeKind,
    hostname: &str,
    (token, authorization): (&str, &KeyAuthorization),
) -> Result<Answer, AcmeError> {
    Ok(match kind {
        ChallengeKind::Http => Answer::Routed(Challenge::Http {
            token: token.to_owned(),
            answer: authorization.as_str().to_owned(),
        }),
        ChallengeKind::TlsAlpn => {
            let mut parameters = CertificateParams::new(vec![hostname.to_owned()])?;
            let proof = authorization.digest();
            let proof = CustomExtension::new_acme_identifier(proof.as_ref());
            parameters.custom_extensions.push(proof);
            let key = KeyPair::generate()?;
            let certificate = parameters.self_signed(&key)?;
            Answer::Routed(Challenge::TlsAlpn {
                host: hostname.to_owned(),
                chain: certificate.pem(),
                key: PrivateKey(key.serialize_pem()),
            })
        }
        ChallengeKind::Dns => Answer::Record {
            name: format!("_acme-challenge.{}", hostname.trim_start_matches("*.")),
            text: authorization.dns_value(),
        },
    })
}

impl Answer {
    /// Returns when whoever asks gets the answer.
    pub(super) async fn give(
        &self,
        platform: &Platform,
        settings: &AcmeSettings,
    ) -> Result<(), AcmeError> {
        match self {
            Self::Routed(challenge) => {
                let version = platform
                    .route_book
                    .answer(challenge.clone(), &platform.feed);
                match platform.feed.wait_applied(version).await {
                    Wait::Done => Ok(()),
                    Wait::NoRouter => Err(AcmeError::NoRouter),
                }
            }
            Self::Record { name, text } => {
                self.record(Change::Add, (name, text), platform, settings)
                    .await
            }
        }
    }

    /// What cannot be taken back is only litter.
    pub(super) async fn take_back(self, platform: &Platform, settings: &AcmeSettings) {
        match &self {
            Self::Routed(challenge) => {
                platform
                    .route_book
                    .withdraw(challenge.clone(), &platform.feed);
            }
            Self::Record { name, text } => {
                let removed = self.record(Change::Remove, (name, text), platform, settings);
                if let Err(error) = removed.await {
                    tracing::warn!(%error, name, "cannot remove a DNS record");
                }
            }
        }
    }

    async fn record(
        &self,
        change: Change,
        record: (&str, &str),
        platform: &Platform,
        settings: &AcmeSettings,
    ) -> Result<(), AcmeError> {
        let updates = settings.dns.as_ref().ok_or(AcmeError::NoDns)?;
        let now = platform.clock.now().as_micros() / 1_000_000;
        let now = u64::try_from(now).unwrap_or_default();
        Ok(updates.change(change, record, now).await?)
    }
}
