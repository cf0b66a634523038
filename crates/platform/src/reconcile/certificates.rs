//! Keeps certificates: gathers, has it planned, asks for them, and alarms.
//!
//! Nothing but rows is kept between passes. Before an attempt its row says when the next may begin,
//! so that a server that is killed again and again does not ask again and again.

use std::{collections::HashMap, time::Duration};

use api::{clock::Time, ids::DomainId};
use futures_util::{StreamExt, stream};
use logs::LogSource;
use store::{AcmDomain, AcmStatus, Domain, DomainKind};

use crate::{
    Platform,
    acme::{AcmeError, AcmeSettings, order::order},
    apps::made_up_name,
    caller::system_change,
    error::Result,
    plan::certificates::{CertificateView, DomainView, Failure, Step, after_failure, lease, plan},
};

/// However little seems to be due.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// However much is due.
const LEAST_PAUSE: Duration = Duration::from_millis(200);
/// Orders at once: authorities limit them, and one that hangs must not hold up all others.
const CONCURRENT_ORDERS: usize = 4;

/// What a pass looks at.
struct Gathered {
    domains: Vec<DomainView>,
    certificates: Vec<CertificateView>,
    rows: HashMap<DomainId, (Domain, Option<AcmDomain>)>,
}

/// Looks for ever, whenever something is due or was changed.
#[expect(clippy::infinite_loop, reason = "runs as long as the platform")]
pub(super) async fn keep(platform: Platform) {
    loop {
        let pause = match pass(&platform).await {
            Ok(Some(at)) => at
                .since(platform.clock.now())
                .clamp(LEAST_PAUSE, LOOK_EVERY),
            Ok(None) => LOOK_EVERY,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot look after the certificates"
                );
                LOOK_EVERY
            }
        };
        let due = platform.certificates_due.notified();
        drop(tokio::time::timeout(pause, due).await);
    }
}

/// One look; returns when the next is due.
async fn pass(platform: &Platform) -> Result<Option<Time>> {
    let gathered = gather(platform).await?;
    let now = platform.clock.now();
    let plan = plan(&gathered.domains, &gathered.certificates, now);
    let has_steps = !plan.steps.is_empty();
    let gathered = &gathered;
    stream::iter(plan.steps)
        .for_each_concurrent(CONCURRENT_ORDERS, |step| async move {
            if let Err(error) = perform(platform, gathered, step).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot record how a certificate stands"
                );
            }
        })
        .await;
    Ok(if has_steps {
        Some(now)
    } else {
        plan.look_again_at
    })
}

async fn gather(platform: &Platform) -> Result<Gathered> {
    let domains = platform.store.all_domains().await?;
    let mut gathered = Gathered {
        domains: Vec::new(),
        certificates: Vec::new(),
        rows: HashMap::new(),
    };
    for row in platform.store.all_sni_endpoints().await? {
        gathered.certificates.push(CertificateView {
            id: row.id,
            app: row.app,
            is_shown: domains.iter().any(|at| at.sni_endpoint == Some(row.id)),
            name: row.name,
            is_acm: row.is_acm,
            starts_at: row.starts_at,
            expires_at: row.expires_at,
            alarmed_days: row.alarmed_days,
        });
    }
    if platform.settings.acme.is_none() {
        return Ok(gathered);
    }
    for app in platform.store.apps().await? {
        if !app.acm {
            continue;
        }
        let mut progress = platform.store.acm_domains(app.id).await?;
        let own = |domain: &&Domain| domain.app == app.id && domain.kind == DomainKind::Custom;
        for domain in domains.iter().filter(own) {
            let at = progress.iter().position(|row| row.domain == domain.id);
            let row = at.map(|at| progress.swap_remove(at));
            gathered.domains.push(DomainView {
                id: domain.id,
                app: app.id,
                hostname: domain.hostname.clone(),
                certificate: domain.sni_endpoint,
                failures: row.as_ref().map_or(0, |row| row.failures),
                next_try_at: row.as_ref().map(|row| row.next_try_at),
            });
            gathered.rows.insert(domain.id, (domain.clone(), row));
        }
    }
    Ok(gathered)
}

async fn perform(platform: &Platform, gathered: &Gathered, step: Step) -> Result<()> {
    match step {
        Step::Issue { domain } => {
            let (Some((domain, row)), Some(settings)) =
                (gathered.rows.get(&domain), &platform.settings.acme)
            else {
                return Ok(());
            };
            issue(platform, settings, (domain, row.as_ref())).await
        }
        Step::Alarm { certificate, days } => {
            let found = gathered.certificates.iter().find(|at| at.id == certificate);
            match found {
                Some(view) => alarm(platform, view, days).await,
                None => Ok(()),
            }
        }
    }
}

async fn issue(
    platform: &Platform,
    settings: &AcmeSettings,
    (domain, before): (&Domain, Option<&AcmDomain>),
) -> Result<()> {
    let now = platform.clock.now();
    let mut row = AcmDomain {
        domain: domain.id,
        app: domain.app,
        status: before.map_or(AcmStatus::Pending, |row| row.status),
        reason: before.and_then(|row| row.reason.clone()),
        failures: before.map_or(0, |row| row.failures),
        next_try_at: lease(now),
        updated_at: now,
    };
    let change = system_change(format!("a certificate for {} is due", domain.hostname));
    platform.store.save_acm_domain(&change, &row).await?;
    let pair = match order(platform, settings, &domain.hostname).await {
        Ok(pair) => pair,
        Err(error) => return failed(platform, domain, row, error).await,
    };
    row.status = AcmStatus::Issued;
    row.reason = None;
    row.failures = 0;
    row.next_try_at = Time::from_micros(0);
    let name = made_up_name();
    let issued = platform
        .store
        .issue_certificate(&change, (&row, name.as_str()), &pair)
        .await;
    match issued {
        // Its domain was removed, or automatic certificates were switched off, in the meantime.
        Err(store::StoreError::NotFound { .. } | store::StoreError::Stale { .. }) => return Ok(()),
        issued => issued?,
    };
    platform.nudges.nudge(domain.app);
    tracing::info!(hostname = domain.hostname, expires_at = %pair.expires_at, "certificate issued");
    let text = format!(
        "Certificate issued for {}, good until {}",
        domain.hostname, pair.expires_at
    );
    platform
        .say(domain.app, LogSource::Heroku, "acm", text)
        .await;
    Ok(())
}

async fn failed(
    platform: &Platform,
    domain: &Domain,
    mut row: AcmDomain,
    error: AcmeError,
) -> Result<()> {
    let failure = Failure {
        failures_before: row.failures,
        retry_after: error.retry_after(),
        is_rate_limit: error.is_rate_limit(),
    };
    (row.status, row.next_try_at) = after_failure(failure, platform.clock.now());
    row.failures += 1;
    row.reason = Some(error.to_string());
    tracing::warn!(
        hostname = domain.hostname,
        error = &error as &dyn std::error::Error,
        next_try_at = %row.next_try_at,
        "no certificate was issued"
    );
    let text = format!(
        "No certificate for {}: {error}; trying again at {}",
        domain.hostname, row.next_try_at
    );
    platform
        .say(domain.app, LogSource::Heroku, "acm", text)
        .await;
    let change = system_change(format!("no certificate for {}", domain.hostname));
    match platform.store.save_acm_domain(&change, &row).await {
        // The domain was removed in the meantime.
        Err(error) if error.is_not_found() => Ok(()),
        saved => Ok(saved?),
    }
}

async fn alarm(platform: &Platform, certificate: &CertificateView, days: u64) -> Result<()> {
    let change = system_change(format!("certificate {} ends", certificate.name));
    let id = (certificate.app, certificate.id);
    platform.store.alarm_of_expiry(&change, id, days).await?;
    let text = match days {
        0 => format!("Certificate {} has expired", certificate.name),
        _ => format!(
            "Certificate {} expires at {}, in less than {days} days",
            certificate.name, certificate.expires_at
        ),
    };
    tracing::warn!(app = %certificate.app, days, "{text}");
    platform
        .say(certificate.app, LogSource::Heroku, "acm", text)
        .await;
    Ok(())
}
