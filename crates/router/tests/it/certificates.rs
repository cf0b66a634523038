//! Certificates by host, challenges of certificate authorities, redirects and client certificates,
//! with real TLS clients.

use std::{net::SocketAddr, sync::Arc};

use api::ids::SniEndpointId;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use router::wire::{
    AppState, AppTls, Certificate, Challenge, ClientAuthority, Hsts, PrivateKey, RouteTable,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{
    Bench, Dyno, body, exchange, get, read_head, read_response, status, text, within,
};

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(parameters, key).unwrap())
    }

    fn issue(&self, hosts: &[&str], parameters: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut wanted = CertificateParams::new(names).unwrap();
        parameters(&mut wanted);
        let key = KeyPair::generate().unwrap();
        let certificate = wanted.signed_by(&key, &self.0).unwrap();
        Issued {
            chain: certificate.pem(),
            der: certificate.der().clone(),
            key,
        }
    }
}

struct Issued {
    chain: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Issued {
    fn in_table(&self, bench: &Bench, hosts: &[&str]) -> Certificate {
        Certificate {
            id: SniEndpointId::new(),
            app: bench.app,
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            chain: self.chain.clone(),
            key: PrivateKey(self.key.serialize_pem()),
            ocsp: None,
        }
    }
}

/// A client that believes one authority.
struct Client<'a> {
    authority: &'a Authority,
    protocol: &'static [u8],
    identity: Option<&'a Issued>,
}

impl<'a> Client<'a> {
    fn of(authority: &'a Authority) -> Self {
        Self {
            authority,
            protocol: b"http/1.1",
            identity: None,
        }
    }

    async fn connect(&self, to: SocketAddr, host: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.identity {
            Some(identity) => builder
                .with_client_auth_cert(
                    vec![identity.der.clone()],
                    PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap(),
                )
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![self.protocol.to_vec()];
        let stream = TcpStream::connect(to).await.unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    /// The response to a GET, or why there is none.
    async fn get(&self, bench: &Bench, host: &str, headers: &str) -> std::io::Result<String> {
        let mut stream = self.connect(bench.https(), host).await?;
        let request = format!("GET /path HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut first = [0; 1];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first).await?;
        Ok(format!("H{}", within(read_response(&mut stream)).await))
    }
}

fn leaf(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// Answers with the subject that the router vouches for.
async fn subject_dyno() -> Dyno {
    Dyno::answering("web.1", |request| async move {
        let subject = request.headers().get("x-client-certificate-subject");
        let subject = subject.map_or("nobody", |value| value.to_str().unwrap());
        hyper::Response::new(text(subject.to_owned()))
    })
    .await
}

/// A table with the dyno and these hosts and demands.
fn table(bench: &mut Bench, dyno: &Dyno, hosts: &[&str], tls: AppTls) -> RouteTable {
    let mut table = bench.table(AppState::Serving, &[dyno]);
    table.apps[0].hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    table.apps[0].tls = tls;
    table
}

async fn publish(bench: &Bench, table: RouteTable) {
    let version = table.version;
    bench.feed.publish(table);
    assert_eq!(
        within(bench.feed.wait_applied(version)).await,
        router::feed::Wait::Done
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_is_shown_its_own_certificate_also_after_a_restart() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    let authority = Authority::new("Test");
    let exact = authority.issue(&["www.example.com"], |_| {});
    let wildcard = authority.issue(&["*.example.com"], |_| {});
    let hosts = ["www.example.com", "*.example.com"];
    let mut table = table(&mut bench, &dyno, &hosts, AppTls::default());
    table.certificates = vec![
        exact.in_table(&bench, &["www.example.com"]),
        wildcard.in_table(&bench, &["*.example.com"]),
    ];
    publish(&bench, table).await;
    let client = Client::of(&authority);
    for _ in 0..2 {
        for (host, certificate) in [("www.example.com", &exact), ("api.example.com", &wildcard)] {
            let stream = client.connect(bench.https(), host).await.unwrap();
            assert_eq!(leaf(&stream), certificate.der, "{host}");
            let response = client.get(&bench, host, "").await.unwrap();
            assert_eq!(body(&response), "web.1");
        }
        let refused = client.connect(bench.https(), "a.b.example.com").await;
        assert!(refused.is_err(), "the default certificate is another's");
        bench.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_are_answered_before_any_host_is_known() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    let authority = Authority::new("Test");
    let proof = authority.issue(&["new.example.com"], |_| {});
    let tls = AppTls {
        redirect: true,
        ..AppTls::default()
    };
    let mut table = table(&mut bench, &dyno, &["example.localhost"], tls);
    table.challenges = vec![
        Challenge::Http {
            token: "abc".to_owned(),
            answer: "abc.thumb".to_owned(),
        },
        Challenge::TlsAlpn {
            host: "new.example.com".to_owned(),
            chain: proof.chain.clone(),
            key: PrivateKey(proof.key.serialize_pem()),
        },
    ];
    publish(&bench, table).await;
    for host in ["new.example.com", "example.localhost"] {
        let request = format!(
            "GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        let response = exchange(bench.http(), &request).await;
        assert_eq!((status(&response), body(&response)), ("200", "abc.thumb"));
    }
    let prober = Client {
        protocol: b"acme-tls/1",
        ..Client::of(&authority)
    };
    let mut stream = prober
        .connect(bench.https(), "new.example.com")
        .await
        .unwrap();
    assert_eq!(leaf(&stream), proof.der);
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let after = within(read_head(&mut stream)).await;
    assert_eq!(after, "", "nothing but the handshake is offered");
    let other = prober.connect(bench.https(), "other.example.com").await;
    assert!(other.is_err());
    let ordinary = Client::of(&authority);
    let refused = ordinary.connect(bench.https(), "new.example.com").await;
    assert!(refused.is_err(), "the proof is for authorities alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_are_sent_to_https_and_told_to_stay_there() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    let authority = Authority::new("Test");
    let issued = authority.issue(&["www.example.com"], |_| {});
    let tls = AppTls {
        redirect: true,
        hsts: Some(Hsts {
            max_age_seconds: 600,
            include_subdomains: false,
            preload: false,
        }),
        client_authority: None,
    };
    let hosts = ["www.example.com", "example.localhost"];
    let mut table = table(&mut bench, &dyno, &hosts, tls);
    table.certificates = vec![issued.in_table(&bench, &["www.example.com"])];
    publish(&bench, table).await;
    let port = bench.https().port();
    let response = get(bench.http(), "/a?b=c").await;
    assert_eq!(status(&response), "301");
    let location = format!("location: https://example.localhost:{port}/a?b=c\r\n");
    assert!(response.contains(&location), "{response}");
    assert!(!response.contains("strict-transport-security"));
    insta::assert_snapshot!(bench.line().await, @r#"at=info method=GET path="/a?b=c" host=example.localhost request_id=ID fwd="127.0.0.1" dyno= connect= service= status=301 bytes= protocol=http"#);
    let post = "POST /a HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&exchange(bench.http(), post).await), "308");
    // An app may answer challenges of its own.
    let own = get(bench.http(), "/.well-known/acme-challenge/own").await;
    assert_eq!(body(&own), "web.1");
    let response = Client::of(&authority)
        .get(&bench, "www.example.com", "")
        .await
        .unwrap();
    assert_eq!(body(&response), "web.1");
    assert!(response.contains("strict-transport-security: max-age=600\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_let_in_by_certificate_and_named_to_the_app() {
    let mut bench = Bench::new().await;
    let dyno = subject_dyno().await;
    let authority = Authority::new("Hosts");
    let people = Authority::new("People");
    let issued = authority.issue(&["www.example.com", "open.example.com"], |_| {});
    let person = |authority: &Authority| {
        authority.issue(&[], |wanted| {
            wanted
                .distinguished_name
                .push(DnType::CommonName, "Zoë 100%");
            wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    };
    let (known, stranger) = (person(&people), person(&Authority::new("Others")));
    let tls = |is_optional| AppTls {
        client_authority: Some(ClientAuthority {
            certificates: people.0.pem(),
            is_optional,
        }),
        ..AppTls::default()
    };
    let mut closed = table(&mut bench, &dyno, &["www.example.com"], tls(false));
    closed.certificates = vec![issued.in_table(&bench, &["www.example.com", "open.example.com"])];
    let mut open = closed.apps[0].clone();
    open.app = api::ids::AppId::new();
    open.hosts = vec!["open.example.com".to_owned()];
    open.tls = AppTls::default();
    open.backends.clear();
    closed.apps.push(open);
    let optional = {
        let mut table = closed.clone();
        table.version += 1;
        table.apps[0].tls = tls(true);
        table
    };
    publish(&bench, closed).await;
    let client = |identity| Client {
        identity,
        ..Client::of(&authority)
    };
    let spoof =
        "X-Client-Certificate-Subject: CN=root\r\nX_Client_Certificate_Subject: CN=root\r\n";
    let host = "www.example.com";
    let named = client(Some(&known)).get(&bench, host, spoof).await.unwrap();
    assert!(body(&named).ends_with("CN=Zo%C3%AB 100%25"), "{named}");
    assert!(client(None).get(&bench, host, "").await.is_err());
    assert!(client(Some(&stranger)).get(&bench, host, "").await.is_err());
    // A connection to a host that lets everybody in does not lead around the check.
    let mut around = client(None)
        .connect(bench.https(), "open.example.com")
        .await
        .unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    around.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&within(read_response(&mut around)).await), "421");
    let plain = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&exchange(bench.http(), &plain).await), "301");
    publish(&bench, optional).await;
    let anonymous = client(None).get(&bench, host, spoof).await.unwrap();
    assert_eq!(body(&anonymous), "nobody");
    let named = client(Some(&known)).get(&bench, host, "").await.unwrap();
    assert!(body(&named).contains("CN=Zo%C3%AB"), "{named}");
    assert!(client(Some(&stranger)).get(&bench, host, "").await.is_err());
}
