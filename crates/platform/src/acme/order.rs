//! One order: account, proof that the host is ours, certificate.
//!
//! Nothing of an order is kept: one that is cut off is begun anew, and its answers go with the
//! process that gave them.

use std::{sync::PoisonError, time::Duration};

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, Error, Identifier, NewAccount, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use store::CertificatePair;
use tokio::time::timeout;

use super::{
    AcmeError, AcmeSettings,
    answers::{self, Answer},
    http::{Client, RetryAfter},
};
use crate::{Platform, caller::system_change, certificates};

/// For the whole of an order.
const ORDER_TIMEOUT: Duration = Duration::from_mins(4);
/// For the authority to look at an answer, and to make a certificate.
const POLL_TIMEOUT: Duration = Duration::from_secs(90);

/// Has a certificate made for a host. An account that the authority no longer knows is replaced,
/// once. Safe to drop; then answers may stand until the server restarts.
pub(crate) async fn order(
    platform: &Platform,
    settings: &AcmeSettings,
    hostname: &str,
) -> Result<CertificatePair, AcmeError> {
    let whole = async {
        let authority = Authority::new(platform, settings)?;
        let mut account = authority.account().await?;
        let mut order = match authority.begin(&account, hostname).await {
            Err(error) if error.is_account_gone() => {
                tracing::warn!(%error, "the account at the certificate authority is gone");
                account = authority.new_account().await?;
                authority.begin(&account, hostname).await?
            }
            begun => begun?,
        };
        let mut given = Vec::new();
        let made = authority.carry_out(&mut order, hostname, &mut given).await;
        for answer in given {
            answer.take_back(platform, settings).await;
        }
        made
    };
    timeout(ORDER_TIMEOUT, whole)
        .await
        .unwrap_or(Err(AcmeError::TooSlow))
}

struct Authority<'a> {
    platform: &'a Platform,
    settings: &'a AcmeSettings,
    client: Client,
    retry_after: RetryAfter,
}

impl<'a> Authority<'a> {
    fn new(platform: &'a Platform, settings: &'a AcmeSettings) -> Result<Self, AcmeError> {
        let roots = platform.trust.roots();
        let (client, retry_after) = Client::new(&roots, settings.root.as_deref())?;
        Ok(Self {
            platform,
            settings,
            client,
            retry_after,
        })
    }

    async fn account(&self) -> Result<Account, AcmeError> {
        let directory = &self.settings.directory;
        let Some(kept) = self.platform.store.acme_account(directory).await? else {
            return self.new_account().await;
        };
        let credentials: AccountCredentials = serde_json::from_str(&kept)?;
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let account = builder.from_credentials(credentials).await;
        account.map_err(|source| self.failed(source))
    }

    async fn new_account(&self) -> Result<Account, AcmeError> {
        let email = self
            .settings
            .email
            .as_ref()
            .map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = email.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = &self.settings.directory;
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let (account, credentials) = builder
            .create(&new, directory.clone(), None)
            .await
            .map_err(|source| self.failed(source))?;
        let change = system_change("an account at the certificate authority was made");
        let credentials = serde_json::to_string(&credentials)?;
        self.platform
            .store
            .save_acme_account(&change, directory, &credentials)
            .await?;
        Ok(account)
    }

    async fn begin(&self, account: &Account, hostname: &str) -> Result<Order, AcmeError> {
        let host = [Identifier::Dns(hostname.to_owned())];
        let begun = account.new_order(&NewOrder::new(&host)).await;
        begun.map_err(|source| self.failed(source))
    }

    /// From a new order to its certificate; `given` are the answers to take back afterwards.
    async fn carry_out(
        &self,
        order: &mut Order,
        hostname: &str,
        given: &mut Vec<Answer>,
    ) -> Result<CertificatePair, AcmeError> {
        let failed = |source| self.failed(source);
        let polls = RetryPolicy::new().timeout(POLL_TIMEOUT);
        self.answer_all(order, hostname, given).await?;
        let status = match order.state().status {
            OrderStatus::Pending => order.poll_ready(&polls).await,
            status => Ok(status),
        };
        if !matches!(status, Ok(OrderStatus::Ready)) {
            let refusal = refusal(order).await;
            return Err(match (refusal, status) {
                (Some(reason), _) => AcmeError::Invalid(reason),
                (None, Err(source)) => failed(source),
                (None, Ok(status)) => AcmeError::Invalid(format!("the order became {status:?}")),
            });
        }
        let key = KeyPair::generate()?;
        let mut wanted = CertificateParams::new(vec![hostname.to_owned()])?;
        wanted.distinguished_name = DistinguishedName::new();
        let request = wanted.serialize_request(&key)?;
        order.finalize_csr(request.der()).await.map_err(failed)?;
        let chain = order.poll_certificate(&polls).await.map_err(failed)?;
        let now = self.platform.clock.now();
        Ok(certificates::check(&chain, &key.serialize_pem(), now)?)
    }

    async fn answer_all(
        &self,
        order: &mut Order,
        hostname: &str,
        given: &mut Vec<Answer>,
    ) -> Result<(), AcmeError> {
        let kind = self.settings.challenge.for_host(hostname);
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|source| self.failed(source))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let mut challenge = authorization
                .challenge(answers::word(kind))
                .ok_or(AcmeError::NoChallenge(kind))?;
            let proof = challenge.key_authorization();
            let answer = answers::make(kind, hostname, (&challenge.token, &proof))?;
            let stands = answer.give(self.platform, self.settings).await;
            given.push(answer);
            stands?;
            let ready = challenge.set_ready().await;
            ready.map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    fn failed(&self, source: Error) -> AcmeError {
        let mut noted = self
            .retry_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        AcmeError::Protocol {
            source,
            retry_after: noted.take(),
        }
    }
}

/// What the authority found when it looked at the answers.
async fn refusal(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        let problem = state
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.as_ref());
        if let Some(detail) = problem.and_then(|problem| problem.detail.clone()) {
            return Some(format!(
                "the certificate authority looked and found: {detail}"
            ));
        }
    }
    None
}
