//! When to ask for a certificate, when again, and when to alarm somebody.

use std::time::Duration;

use api::{
    clock::Time,
    ids::{AppId, DomainId, SniEndpointId},
};
use store::AcmStatus;

const DAY: Duration = Duration::from_hours(24);
/// Days before a certificate's end at which somebody is alarmed; 0 is when it has ended.
const ALARM_DAYS: [u64; 4] = [0, 7, 14, 30];
/// After the first failure; each further one doubles it.
const FIRST_BACK_OFF: Duration = Duration::from_mins(1);
const LAST_BACK_OFF: Duration = Duration::from_hours(12);
/// Rate limits of authorities are by the hour and more.
const RATE_LIMIT_BACK_OFF: Duration = Duration::from_hours(1);
/// An authority's `Retry-After` is believed up to this.
const MOST_RETRY_AFTER: Duration = Duration::from_hours(7 * 24);
/// A domain fails from this many failures on; before, it is failing.
const FAILURES_TO_FAIL: u32 = 6;
/// While an attempt goes on, and after one that was cut off.
const ATTEMPT_LEASE: Duration = Duration::from_mins(5);

/// A domain of an app whose certificates are automatic.
#[derive(Clone, Debug)]
pub struct DomainView {
    /// The domain.
    pub id: DomainId,
    /// Its app.
    pub app: AppId,
    /// Its host name.
    pub hostname: String,
    /// The certificate that it is shown.
    pub certificate: Option<SniEndpointId>,
    /// Failures since the last success.
    pub failures: u32,
    /// It is not to be asked for before this.
    pub next_try_at: Option<Time>,
}

/// A certificate.
#[derive(Clone, Debug)]
pub struct CertificateView {
    /// Its id.
    pub id: SniEndpointId,
    /// Its app.
    pub app: AppId,
    /// Its name, for messages.
    pub name: String,
    /// Whether the platform renews it.
    pub is_acm: bool,
    /// When it begins.
    pub starts_at: Time,
    /// When it ends.
    pub expires_at: Time,
    /// The least of [`ALARM_DAYS`] that somebody was alarmed at.
    pub alarmed_days: Option<u64>,
    /// Whether any domain is shown it.
    pub is_shown: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for a certificate.
    Issue {
        /// For which domain.
        domain: DomainId,
    },
    /// Tell somebody that a certificate ends.
    Alarm {
        /// Which.
        certificate: SniEndpointId,
        /// One of [`ALARM_DAYS`].
        days: u64,
    },
}

/// What to do now, and when to look again at the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In any order.
    pub steps: Vec<Step>,
    /// None: when something changes.
    pub look_again_at: Option<Time>,
}

/// Decides for all domains with automatic certificates, and for all certificates.
pub fn plan(domains: &[DomainView], certificates: &[CertificateView], now: Time) -> Plan {
    let mut plan = Plan::default();
    for domain in domains {
        let held = certificates
            .iter()
            .find(|certificate| Some(certificate.id) == domain.certificate);
        let wanted_at = match held {
            // Somebody chose it, and knows why.
            Some(held) if !held.is_acm => continue,
            Some(held) => renewal(held),
            None => now,
        };
        let at = domain
            .next_try_at
            .map_or(wanted_at, |next| next.max(wanted_at));
        if at <= now {
            plan.steps.push(Step::Issue { domain: domain.id });
        } else {
            plan.look_at(at);
        }
    }
    for certificate in certificates.iter().filter(|at| at.is_shown) {
        match alarm(certificate, now) {
            Ok(days) => plan.steps.push(Step::Alarm {
                certificate: certificate.id,
                days,
            }),
            Err(Some(at)) => plan.look_at(at),
            Err(None) => {}
        }
    }
    plan
}

impl Plan {
    fn look_at(&mut self, at: Time) {
        self.look_again_at = Some(self.look_again_at.map_or(at, |former| former.min(at)));
    }
}

/// When a third of its life is left.
fn renewal(certificate: &CertificateView) -> Time {
    let life = certificate.expires_at.since(certificate.starts_at);
    certificate.expires_at.before(life / 3)
}

/// The alarm that is due, or when the next one will be.
fn alarm(certificate: &CertificateView, now: Time) -> Result<u64, Option<Time>> {
    let life = certificate.expires_at.since(certificate.starts_at);
    let mut next = None;
    for days in ALARM_DAYS {
        let ahead = DAY * u32::try_from(days).unwrap_or(u32::MAX);
        // Renewal has its own time: before that a certificate of the platform's own is no worry.
        let is_for_it = days == 0 || !certificate.is_acm || ahead < life / 3;
        let is_told = certificate.alarmed_days.is_some_and(|told| told <= days);
        if !is_for_it || is_told {
            continue;
        }
        let at = certificate.expires_at.before(ahead);
        if at <= now {
            return Ok(days);
        }
        next = Some(next.map_or(at, |former: Time| former.min(at)));
    }
    Err(next)
}

/// How an attempt ended without a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Failures before it.
    pub failures_before: u32,
    /// What the authority asked for.
    pub retry_after: Option<Duration>,
    /// Whether the authority wants fewer requests.
    pub is_rate_limit: bool,
}

/// How a domain stands after an attempt failed, and when to try again.
pub fn after_failure(failure: Failure, now: Time) -> (AcmStatus, Time) {
    let doublings = failure.failures_before.min(16);
    let back_off = (FIRST_BACK_OFF * 2_u32.pow(doublings)).min(LAST_BACK_OFF);
    let asked = failure
        .retry_after
        .unwrap_or_default()
        .min(MOST_RETRY_AFTER);
    let least = if failure.is_rate_limit && failure.retry_after.is_none() {
        RATE_LIMIT_BACK_OFF
    } else {
        Duration::ZERO
    };
    let status = if failure.failures_before + 1 >= FAILURES_TO_FAIL {
        AcmStatus::Failed
    } else {
        AcmStatus::Failing
    };
    (status, now.after(back_off.max(asked).max(least)))
}

/// When an attempt that begins now may be begun anew if nothing is heard of it.
pub fn lease(now: Time) -> Time {
    now.after(ATTEMPT_LEASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: u64) -> Time {
        Time::from_micros(0).after(DAY * u32::try_from(days).unwrap())
    }

    fn certificate(is_acm: bool, life: (u64, u64), alarmed_days: Option<u64>) -> CertificateView {
        CertificateView {
            id: SniEndpointId::new(),
            app: AppId::new(),
            name: "name".to_owned(),
            is_acm,
            starts_at: at(life.0),
            expires_at: at(life.1),
            alarmed_days,
            is_shown: true,
        }
    }

    fn domain(certificate: Option<&CertificateView>, next_try_at: Option<u64>) -> DomainView {
        DomainView {
            id: DomainId::new(),
            app: AppId::new(),
            hostname: "www.example.com".to_owned(),
            certificate: certificate.map(|certificate| certificate.id),
            failures: 0,
            next_try_at: next_try_at.map(at),
        }
    }

    #[test]
    fn when_a_certificate_is_asked_for() {
        let automatic = certificate(true, (0, 90), Some(0));
        let brought = certificate(false, (0, 90), Some(0));
        for (held, next_try, today, expected) in [
            (None, None, 0, Ok(())),
            (None, Some(2), 1, Err(Some(2))),
            (None, Some(2), 2, Ok(())),
            (Some(&automatic), None, 1, Err(Some(60))),
            (Some(&automatic), None, 59, Err(Some(60))),
            (Some(&automatic), None, 60, Ok(())),
            (Some(&automatic), Some(61), 60, Err(Some(61))),
            (Some(&automatic), Some(61), 200, Ok(())),
            (Some(&automatic), Some(3), 5, Err(Some(60))),
            (Some(&brought), None, 89, Err(None)),
            (Some(&brought), None, 100, Err(None)),
        ] {
            let domain = domain(held, next_try);
            let held: Vec<_> = held.cloned().into_iter().collect();
            let plan = plan(std::slice::from_ref(&domain), &held, at(today));
            let issue = Step::Issue { domain: domain.id };
            let expected = match expected {
                Ok(()) => (vec![issue], None),
                Err(look_again) => (Vec::new(), look_again.map(at)),
            };
            assert_eq!(
                (plan.steps, plan.look_again_at),
                expected,
                "{next_try:?} {today}"
            );
        }
    }

    #[test]
    fn when_somebody_is_alarmed() {
        for (is_acm, life, told, today, expected) in [
            (false, 365, None, 300, Err(Some(335))),
            (false, 365, None, 335, Ok(30)),
            (false, 365, Some(30), 336, Err(Some(351))),
            (false, 365, Some(30), 351, Ok(14)),
            (false, 365, None, 359, Ok(7)),
            (false, 365, Some(14), 358, Ok(7)),
            (false, 365, Some(7), 359, Err(Some(365))),
            (false, 365, Some(7), 366, Ok(0)),
            (false, 365, Some(0), 400, Err(None)),
            // What the platform renews is alarming only once that should have been done.
            (true, 90, None, 60, Err(Some(76))),
            (true, 90, None, 76, Ok(14)),
            (true, 90, Some(14), 83, Ok(7)),
            (true, 6, None, 5, Err(Some(6))),
            (true, 6, None, 6, Ok(0)),
        ] {
            let view = certificate(is_acm, (0, life), told);
            let plan = plan(&[], std::slice::from_ref(&view), at(today));
            let expected = match expected {
                Ok(days) => (
                    vec![Step::Alarm {
                        certificate: view.id,
                        days,
                    }],
                    None,
                ),
                Err(look_again) => (Vec::new(), look_again.map(at)),
            };
            let found = (plan.steps, plan.look_again_at);
            assert_eq!(found, expected, "{is_acm} {life} {told:?} {today}");
        }
        let unused = CertificateView {
            is_shown: false,
            ..certificate(false, (0, 90), None)
        };
        assert_eq!(plan(&[], &[unused], at(89)), Plan::default());
    }

    #[test]
    fn how_long_to_wait_after_failures() {
        use AcmStatus::{Failed, Failing};
        let minutes = |n: u64| Duration::from_mins(n);
        for (failures_before, retry_after, is_rate_limit, expected) in [
            (0, None, false, (Failing, minutes(1))),
            (1, None, false, (Failing, minutes(2))),
            (4, None, false, (Failing, minutes(16))),
            (5, None, false, (Failed, minutes(32))),
            (40, None, false, (Failed, minutes(720))),
            (0, Some(minutes(3)), true, (Failing, minutes(3))),
            (3, Some(minutes(3)), true, (Failing, minutes(8))),
            (0, None, true, (Failing, minutes(60))),
            (
                0,
                Some(Duration::MAX),
                true,
                (Failing, minutes(7 * 24 * 60)),
            ),
        ] {
            let failure = Failure {
                failures_before,
                retry_after,
                is_rate_limit,
            };
            let (status, next) = after_failure(failure, at(3));
            assert_eq!((status, next.since(at(3))), expected, "{failure:?}");
        }
    }
}
