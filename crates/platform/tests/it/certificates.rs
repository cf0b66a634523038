//! Automatic certificates end to end: a real authority, a real router, a real TLS client.

use std::{net::SocketAddr, num::NonZeroUsize, path::Path, time::Duration};

use api::{clock::Clock, domains::NewDomain, sni_endpoints::NewSniEndpoint};
use platform::acme::{
    AcmeSettings, ChallengeKind,
    dns_updates::{DnsUpdates, TsigKey},
};
use router::{Router, RouterConfig};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use store::{AcmDomain, AcmStatus, App};

use crate::{
    pebble::{Limited, NameServer, Pebble, Surroundings, connect, mock_dns},
    world::{Options, World},
};

/// Five years: longer than a test.
const LONG_LIFE: u64 = 157_680_000;

/// A real router, whose control socket is where the world connects to.
struct Front {
    router: Router,
    _directory: tempfile::TempDir,
}

impl Front {
    fn start(socket: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = RouterConfig::new(directory.path());
        socket.clone_into(&mut config.socket);
        config.http = SocketAddr::from(([127, 0, 0, 1], 0));
        config.https = config.http;
        config.threads = NonZeroUsize::new(1);
        std::fs::create_dir_all(config.certificate.parent().unwrap()).unwrap();
        let own = rcgen::generate_simple_self_signed(vec!["own.localhost".to_owned()]).unwrap();
        std::fs::write(&config.certificate, own.cert.pem()).unwrap();
        std::fs::write(&config.key, own.signing_key.serialize_pem()).unwrap();
        Self {
            router: Router::start(config).unwrap(),
            _directory: directory,
        }
    }

    fn surroundings(&self, dns: SocketAddr, life_seconds: u64) -> Surroundings {
        let at = self.router.addresses();
        Surroundings {
            http: at.http.port(),
            https: at.https.port(),
            dns,
            life_seconds,
        }
    }
}

fn settings(pebble: &Pebble, challenge: ChallengeKind) -> AcmeSettings {
    AcmeSettings {
        directory: pebble.url(),
        email: Some("operator@example.com".to_owned()),
        challenge,
        root: Some(pebble.root.clone()),
        dns: None,
    }
}

fn world(front: &mut Option<Front>, acme: impl FnOnce(&Front) -> AcmeSettings) -> World {
    let options = Options {
        acme: None,
        ..Options::default()
    };
    World::behind(options, |socket, options| {
        let started = Front::start(socket);
        options.acme = Some(acme(&started));
        *front = Some(started);
    })
}

fn add(world: &World, app: &App, hostname: &str) {
    let new = NewDomain {
        hostname: hostname.to_owned(),
        sni_endpoint: None,
    };
    let caller = world.caller();
    let added = world.platform().add_domain(&caller, app, new);
    world.wait(added).unwrap();
}

fn enable(world: &World, app: &App) {
    let caller = world.caller();
    let enabled = world.platform().enable_acm(&caller, app);
    assert!(world.wait(enabled).unwrap().acm);
}

fn row(world: &World, app: &App) -> Option<AcmDomain> {
    world.wait(world.store().acm_domains(app.id)).unwrap().pop()
}

fn issued(world: &World, app: &App) {
    world.until("the certificate is issued", || {
        let row = row(world, app)?;
        assert_ne!(row.status, AcmStatus::Failing, "{:?}", row.reason);
        (row.status == AcmStatus::Issued).then_some(())
    });
}

/// The certificate that a client is shown who trusts the root.
fn shown(
    world: &World,
    front: &Front,
    (host, root): (&str, &CertificateDer<'static>),
) -> Option<CertificateDer<'static>> {
    let to = front.router.addresses().https;
    let stream = world.wait(connect(to, host, root)).ok()?;
    let chain = stream.get_ref().1.peer_certificates()?;
    chain.first().cloned()
}

fn issue_and_serve(challenge: ChallengeKind) {
    let files = tempfile::tempdir().unwrap();
    let (_dns, dns) = mock_dns();
    let (mut front, mut pebble) = (None, None);
    let world = world(&mut front, |front| {
        let started = Pebble::start(files.path(), front.surroundings(dns, LONG_LIFE));
        let settings = settings(&started, challenge);
        pebble = Some(started);
        settings
    });
    let (front, pebble) = (front.unwrap(), pebble.unwrap());
    let app = world.app("example");
    add(&world, &app, "www.example.test");
    enable(&world, &app);
    issued(&world, &app);
    let root = world.wait(pebble.issuing_root());
    world.until("the certificate is served", || {
        shown(&world, &front, ("www.example.test", &root))
    });
    let endpoints = world.wait(world.platform().sni_endpoints(&app)).unwrap();
    assert_eq!(endpoints[0].contents.domains, ["www.example.test"]);
    assert!(endpoints[0].row.is_acm);
    assert!(!endpoints[0].is_ca_signed, "this machine does not trust it");
}

#[test]
fn a_certificate_is_issued_by_http_and_served() {
    issue_and_serve(ChallengeKind::Http);
}

#[test]
fn a_certificate_is_issued_by_tls_and_served() {
    issue_and_serve(ChallengeKind::TlsAlpn);
}

#[test]
fn a_wildcard_is_issued_by_updating_a_real_name_server() {
    let files = tempfile::tempdir().unwrap();
    let names = NameServer::start(files.path());
    let (mut front, mut pebble) = (None, None);
    let world = world(&mut front, |front| {
        let started = Pebble::start(files.path(), front.surroundings(names.address, LONG_LIFE));
        let settings = AcmeSettings {
            dns: Some(DnsUpdates {
                server: names.address,
                zones: vec!["example.test".to_owned()],
                key: TsigKey::read(&names.key).unwrap(),
            }),
            ..settings(&started, ChallengeKind::Http)
        };
        pebble = Some(started);
        settings
    });
    let (front, pebble) = (front.unwrap(), pebble.unwrap());
    let app = world.app("example");
    add(&world, &app, "*.example.test");
    enable(&world, &app);
    issued(&world, &app);
    let root = world.wait(pebble.issuing_root());
    world.until("the certificate is served", || {
        shown(&world, &front, ("any.example.test", &root))
    });
    assert!(shown(&world, &front, ("a.b.example.test", &root)).is_none());
}

#[test]
fn a_short_certificate_is_renewed_and_an_account_that_is_gone_replaced() {
    let files = tempfile::tempdir().unwrap();
    let (_dns, dns) = mock_dns();
    let (mut front, mut pebble) = (None, None);
    let world = world(&mut front, |front| {
        let started = Pebble::start(files.path(), front.surroundings(dns, 12));
        let settings = settings(&started, ChallengeKind::Http);
        pebble = Some(started);
        settings
    });
    let (front, mut pebble) = (front.unwrap(), pebble.unwrap());
    let app = world.app("example");
    add(&world, &app, "www.example.test");
    enable(&world, &app);
    issued(&world, &app);
    let account = || {
        let kept = world.wait(world.store().acme_account(&pebble.url()));
        kept.unwrap().unwrap()
    };
    let first_account = account();
    let root = world.wait(pebble.issuing_root());
    let host = "www.example.test";
    let first = world.until("it is served", || shown(&world, &front, (host, &root)));
    world.until("another one is served", || {
        shown(&world, &front, (host, &root)).filter(|leaf| *leaf != first)
    });
    assert_eq!(account(), first_account);
    // A pebble that starts again knows nobody.
    pebble.restart();
    let root = world.wait(pebble.issuing_root());
    world.until("one by the new root is served", || {
        shown(&world, &front, (host, &root))
    });
    let kept = world.wait(world.store().acme_account(&pebble.url()));
    assert_ne!(kept.unwrap().unwrap(), first_account);
}

#[test]
fn an_account_that_was_deactivated_is_replaced_and_its_certificate_served_meanwhile() {
    let files = tempfile::tempdir().unwrap();
    let (_dns, dns) = mock_dns();
    let (mut front, mut pebble) = (None, None);
    let world = world(&mut front, |front| {
        let started = Pebble::start(files.path(), front.surroundings(dns, 20));
        let settings = settings(&started, ChallengeKind::Http);
        pebble = Some(started);
        settings
    });
    let (front, pebble) = (front.unwrap(), pebble.unwrap());
    let app = world.app("example");
    add(&world, &app, "www.example.test");
    enable(&world, &app);
    issued(&world, &app);
    let account = || {
        let kept = world.wait(world.store().acme_account(&pebble.url()));
        kept.unwrap().unwrap()
    };
    let root = world.wait(pebble.issuing_root());
    let host = "www.example.test";
    let first = world.until("it is served", || shown(&world, &front, (host, &root)));
    let revoked = account();
    world.wait(pebble.deactivate(&revoked));
    let second = world.until("another one is served", || {
        let leaf = shown(&world, &front, (host, &root)).expect("never none");
        (leaf != first).then_some(leaf)
    });
    assert_ne!(second, first);
    assert_ne!(account(), revoked);
}

#[test]
fn while_the_authority_is_away_the_old_certificate_is_served_even_expired() {
    let files = tempfile::tempdir().unwrap();
    let (_dns, dns) = mock_dns();
    let (mut front, mut pebble) = (None, None);
    let world = world(&mut front, |front| {
        let started = Pebble::start(files.path(), front.surroundings(dns, 9));
        let settings = settings(&started, ChallengeKind::Http);
        pebble = Some(started);
        settings
    });
    let (front, mut pebble) = (front.unwrap(), pebble.unwrap());
    let app = world.app("example");
    add(&world, &app, "www.example.test");
    enable(&world, &app);
    issued(&world, &app);
    pebble.stop();
    let failing = world.until("renewal fails", || {
        row(&world, &app).filter(|row| row.status == AcmStatus::Failing)
    });
    let reason = failing.reason.unwrap();
    assert!(reason.contains("cannot be reached"), "{reason}");
    let endpoint = world.until("the alarm of its end", || {
        let endpoints = world.wait(world.store().sni_endpoints(app.id)).unwrap();
        endpoints.into_iter().find(|at| at.alarmed_days == Some(0))
    });
    let subject = endpoint.id.to_string();
    let events = world.wait(world.store().events_about(app.id, &subject, 1000));
    let alarms = events.unwrap().into_iter();
    let alarms = alarms.filter(|event| event.kind == "sni-endpoint.expiring");
    assert_eq!(alarms.count(), 1);
    let own = CertificateDer::from_pem_slice(endpoint.certificate_chain.as_bytes()).unwrap();
    let served = world.wait(served_to_anybody(front.router.addresses().https));
    assert_eq!(served, own, "it is served though it has expired");
}

/// The certificate that a client is shown who does not look at it.
async fn served_to_anybody(to: SocketAddr) -> CertificateDer<'static> {
    let output = tokio::process::Command::new("openssl")
        .args(["s_client", "-showcerts", "-servername", "www.example.test"])
        .args(["-connect", &to.to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap();
    CertificateDer::from_pem_slice(&output.stdout).unwrap()
}

#[test]
fn an_authority_that_limits_us_is_left_alone_for_as_long_as_it_says() {
    let mut front = None;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let limited = runtime.block_on(Limited::start(7200));
    let world = world(&mut front, |_| AcmeSettings {
        directory: limited.url.clone(),
        email: None,
        challenge: ChallengeKind::Http,
        root: Some(limited.root.clone()),
        dns: None,
    });
    let app = world.app("example");
    add(&world, &app, "www.example.test");
    enable(&world, &app);
    let failing = world.until("it fails", || {
        row(&world, &app).filter(|row| row.status == AcmStatus::Failing)
    });
    let wait = failing.next_try_at.since(failing.updated_at);
    assert!(wait > Duration::from_secs(7000), "{wait:?}");
    assert_eq!(
        failing.reason.as_deref(),
        Some("the certificate authority refused: too many accounts")
    );
    let front = front.unwrap();
    drop(front);
}

#[test]
fn an_order_that_was_cut_off_is_begun_anew() {
    let files = tempfile::tempdir().unwrap();
    let (_dns, dns) = mock_dns();
    let (mut front, mut pebble) = (None, None);
    let clock = Clock::simulated(Clock::system().now());
    let options = Options {
        clock: clock.clone(),
        ..Options::default()
    };
    let mut world = World::behind(options, |socket, options| {
        let started = Front::start(socket);
        let made = Pebble::start(files.path(), started.surroundings(dns, LONG_LIFE));
        options.acme = Some(settings(&made, ChallengeKind::Http));
        (front, pebble) = (Some(started), Some(made));
    });
    let (front, pebble) = (front.unwrap(), pebble.unwrap());
    let app = world.app("example");
    add(&world, &app, "www.example.test");
    enable(&world, &app);
    world.until("the order has begun", || row(&world, &app));
    world.kill();
    clock.advance(Duration::from_mins(6));
    world.start();
    issued(&world, &app);
    let root = world.wait(pebble.issuing_root());
    world.until("the certificate is served", || {
        shown(&world, &front, ("www.example.test", &root))
    });
}

#[test]
fn a_certificate_that_was_brought_is_served_and_no_other_is_asked_for() {
    let mut front = None;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let limited = runtime.block_on(Limited::start(1));
    let world = world(&mut front, |_| AcmeSettings {
        directory: limited.url.clone(),
        email: None,
        challenge: ChallengeKind::Http,
        root: Some(limited.root.clone()),
        dns: None,
    });
    let front = front.unwrap();
    let app = world.app("example");
    add(&world, &app, "www.example.test");
    let host = "www.example.test";
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    let new = NewSniEndpoint {
        certificate_chain: made.cert.pem(),
        private_key: made.signing_key.serialize_pem(),
    };
    let caller = world.caller();
    let added = world.platform().add_sni_endpoint(&caller, &app, new);
    let name = world.wait(added).unwrap().row.name;
    enable(&world, &app);
    let own = made.cert.der().clone();
    let served = world.until("it is served", || shown(&world, &front, (host, &own)));
    assert_eq!(served, own);
    assert_eq!(row(&world, &app), None);
    let removed = world.platform().remove_sni_endpoint(&caller, &app, &name);
    world.wait(removed).unwrap();
    world.until("it is served no longer", || {
        shown(&world, &front, (host, &own)).is_none().then_some(())
    });
}
