//! Requests through a real router, and what its metrics say of them.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, time::Duration};

use api::ids::SniEndpointId;
use hyper::{Response, StatusCode};
use router::{
    feed::Wait,
    wire::{AppState, Certificate, PrivateKey},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    Bench, Dyno, HOST, body, exchange, get, read_head, read_response, start, status, text, within,
};

/// Samples by name and labels as they stand on the page.
#[derive(Debug, Default)]
struct Page(BTreeMap<String, String>);

impl Page {
    /// Reads the page as strictly as it is specified.
    fn parse(page: &str) -> Self {
        let mut samples = BTreeMap::new();
        let mut family = ("", "");
        for line in page.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').unwrap();
                assert!(words.ends_with('.'), "{line}");
                family = (name, "");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, family.0, "its help comes first");
                assert!(["counter", "gauge", "histogram"].contains(&kind));
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                family = (name, kind);
            } else {
                let (key, value) = line.rsplit_once(' ').unwrap();
                let name = key.split('{').next().unwrap();
                let rest = name.strip_prefix(family.0).expect(line);
                let is_part = ["_bucket", "_sum", "_count"].contains(&rest);
                assert_eq!(is_part, family.1 == "histogram", "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let former = samples.insert(key.to_owned(), value.to_owned());
                assert_eq!(former, None, "{key} is there twice");
            }
        }
        Self(samples)
    }

    async fn read(address: SocketAddr) -> Self {
        let response = scrape(address, "/metrics").await;
        assert_eq!(status(&response), "200");
        assert!(response.contains("content-type: text/plain; version=0.0.4"));
        Self::parse(body(&response))
    }

    fn get(&self, key: &str) -> Option<u64> {
        self.0.get(key).and_then(|value| value.parse().ok())
    }

    fn seconds(&self, key: &str) -> Option<f64> {
        self.0.get(key).and_then(|value| value.parse().ok())
    }

    /// A number that must be there.
    fn count(&self, key: &str) -> u64 {
        let number = self.get(key);
        number.unwrap_or_else(|| panic!("no {key} in {self:#?}"))
    }

    fn has(&self, part: &str) -> bool {
        self.0.keys().any(|key| key.contains(part))
    }
}

async fn scrape(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n");
    exchange(address, &request).await
}

/// A router with metrics, which forgets what is gone at once.
async fn bench() -> (Bench, SocketAddr) {
    let mut bench = Bench::with(|timeouts| {
        timeouts.forget = Duration::from_millis(20);
        timeouts.activity = Duration::from_millis(10);
    })
    .await;
    bench.stop().await;
    bench.config.metrics = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    bench.router = Some(start(bench.config.clone()).await);
    within(bench.feed.wait_addresses()).await;
    let address = bench.router.as_ref().unwrap().metrics_address().unwrap();
    (bench, address)
}

/// Reads until it says so.
async fn read_until(address: SocketAddr, is_so: impl Fn(&Page) -> bool) -> Page {
    within(async {
        loop {
            let page = Page::read(address).await;
            if is_so(&page) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

fn by_path(path: &str) -> Response<crate::support::DynoBody> {
    let mut response = Response::new(text("twelve bytes"));
    *response.status_mut() = match path {
        "/missing" => StatusCode::NOT_FOUND,
        "/broken" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_app_class_code_and_dyno() {
    let (mut bench, metrics) = bench().await;
    let dyno = Dyno::answering(
        "web.1",
        |request| async move { by_path(request.uri().path()) },
    )
    .await;
    bench.serve(&[&dyno]).await;
    for path in ["/", "/", "/", "/missing", "/broken"] {
        get(bench.http(), path).await;
    }
    let post = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
    );
    assert_eq!(status(&exchange(bench.http(), &post).await), "200");
    exchange(
        bench.http(),
        "GET / HTTP/1.1\r\nHost: nobody\r\nConnection: close\r\n\r\n",
    )
    .await;
    exchange(bench.http(), "nonsense\r\n\r\n").await;
    bench.route(AppState::Crashed, &[]).await;
    assert_eq!(status(&get(bench.http(), "/").await), "503");
    let page = Page::read(metrics).await;
    let requests = |class| {
        page.count(&format!(
            "landfall_router_requests_total{{app=\"example\",class=\"{class}\"}}"
        ))
    };
    assert_eq!(
        ["1xx", "2xx", "3xx", "4xx", "5xx"].map(requests),
        [0, 4, 0, 1, 2]
    );
    let name = "landfall_router_errors_total{app=\"example\",code=\"H10\"}";
    assert_eq!(page.count(name), 1);
    assert!(
        !page.has("code=\"H12\""),
        "what never happened is not there"
    );
    let bytes = "landfall_router_response_bytes_total{app=\"example\"}";
    assert_eq!(page.count(bytes), 6 * 12);
    let bytes = "landfall_router_request_bytes_total{app=\"example\"}";
    assert_eq!(page.count(bytes), 5);
    let dyno = "app=\"example\",process_type=\"web\",dyno=\"web.1\"";
    let served = format!("landfall_router_service_seconds_count{{{dyno}}}");
    assert_eq!(page.count(&served), 6);
    let sum = page.seconds(&format!("landfall_router_service_seconds_sum{{{dyno}}}"));
    assert!(sum.is_some_and(|sum| sum > 0.0 && sum < 60.0), "{sum:?}");
    let bucket = |le: &str| {
        page.count(&format!(
            "landfall_router_service_seconds_bucket{{{dyno},le=\"{le}\"}}"
        ))
    };
    assert_eq!((bucket("65.536"), bucket("+Inf")), (6, 6));
    let connected = page.count(&format!("landfall_router_connect_seconds_count{{{dyno}}}"));
    assert!((1..=6).contains(&connected), "{connected}");
    let unrouted = |reason| {
        page.count(&format!(
            "landfall_router_unrouted_requests_total{{reason=\"{reason}\"}}"
        ))
    };
    assert_eq!(
        ["malformed", "no_app", "no_routes"].map(unrouted),
        [1, 1, 0]
    );
    assert_eq!(page.count("landfall_router_connections_total"), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_router_tells_of_itself() {
    let (mut bench, metrics) = bench().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    let page = Page::read(metrics).await;
    assert_eq!(page.count("landfall_router_apps"), 1);
    assert_eq!(page.count("landfall_router_routes_version"), 1);
    assert_eq!(page.count("landfall_router_server_connected"), 1);
    assert_eq!(page.count("landfall_router_access_lines_dropped_total"), 0);
    let at = |name: &str| page.seconds(name).unwrap();
    let started = at("process_start_time_seconds");
    assert!(started > 1.7e9, "{started}");
    assert!(at("landfall_router_server_heard_timestamp_seconds") >= started);
    assert!(at("landfall_router_routes_changed_timestamp_seconds") >= started);
    assert!(at("process_resident_memory_bytes") > 1e6);
    assert!(at("process_open_fds") < at("process_max_fds"));
    assert!(page.seconds("process_cpu_seconds_total").is_some());
    assert!(!page.has("app=\"example\""), "nobody asked for it yet");
    for (path, expected) in [("/", "200"), ("/elsewhere", "404")] {
        assert_eq!(status(&scrape(metrics, path).await), expected);
    }
    let post =
        "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&exchange(metrics, post).await), "405");
    assert_eq!(status(&get(bench.http(), "/metrics").await), "200");
    assert_eq!(
        body(&get(bench.http(), "/metrics").await),
        "web.1",
        "the app's own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counts_of_two_lanes_add_up_and_a_gone_dyno_is_forgotten() {
    let (mut bench, metrics) = bench().await;
    assert_eq!(bench.config.threads, NonZeroUsize::new(2));
    let (one, two) = (Dyno::named("web.1").await, Dyno::named("web.2").await);
    bench.serve(&[&one, &two]).await;
    // The kernel spreads new connections over both lanes.
    for _ in 0..100 {
        assert_eq!(status(&get(bench.http(), "/").await), "200");
    }
    let served = |page: &Page, dyno: &str| {
        page.get(&format!("landfall_router_service_seconds_count{{app=\"example\",process_type=\"web\",dyno=\"{dyno}\"}}"))
    };
    let page = Page::read(metrics).await;
    let ok = "landfall_router_requests_total{app=\"example\",class=\"2xx\"}";
    assert_eq!(page.count(ok), 100);
    let (first, second) = (served(&page, "web.1"), served(&page, "web.2"));
    assert_eq!(first.unwrap() + second.unwrap(), 100);
    // Another dyno takes over the name, and goes on counting.
    let next = Dyno::named("web.1").await;
    bench.serve(&[&next]).await;
    assert_eq!(status(&get(bench.http(), "/").await), "200");
    let page = read_until(metrics, |page| served(page, "web.2").is_none()).await;
    assert!(!page.has("web.2"));
    assert_eq!(page.count(ok), 101, "of the app nothing is forgotten");
    assert_eq!(served(&page, "web.1"), first.map(|first| first + 1));
    // The app goes, too.
    let mut table = bench.table(AppState::Serving, &[]);
    table.apps.clear();
    let version = table.version;
    bench.feed.publish(table);
    assert_eq!(within(bench.feed.wait_applied(version)).await, Wait::Done);
    read_until(metrics, |page| !page.has("app=\"example\"")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_and_who_is_in_flight_is_seen_while_it_lasts() {
    let (mut bench, metrics) = bench().await;
    let dyno = Dyno::raw("web.1", |mut stream| async move {
        read_head(&mut stream).await;
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        drop(tokio::io::copy(&mut reader, &mut writer).await);
    })
    .await;
    bench.route(AppState::Booting, &[]).await;
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    let head =
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let waiting = "landfall_router_requests_waiting{app=\"example\"}";
    read_until(metrics, |page| page.get(waiting) == Some(1)).await;
    bench.serve(&[&dyno]).await;
    assert_eq!(status(&read_head(&mut stream).await), "101");
    let in_flight =
        "landfall_router_requests_in_flight{app=\"example\",process_type=\"web\",dyno=\"web.1\"}";
    let page = Page::read(metrics).await;
    assert_eq!((page.count(in_flight), page.count(waiting)), (1, 0));
    assert_eq!(page.count("landfall_router_connections"), 1);
    drop(stream);
    let page = read_until(metrics, |page| page.get(in_flight) == Some(0)).await;
    let upgraded = "landfall_router_requests_total{app=\"example\",class=\"1xx\"}";
    assert_eq!(page.count(upgraded), 1);
    assert_eq!(
        page.count("landfall_router_queue_seconds_count{app=\"example\"}"),
        1
    );
    let waited = page.seconds("landfall_router_queue_seconds_sum{app=\"example\"}");
    assert!(waited > Some(0.0), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_a_dyno_refuses_are_counted_though_the_request_succeeds() {
    let (mut bench, metrics) = bench().await;
    let (absent, there) = (Dyno::absent("web.1").await, Dyno::named("web.2").await);
    bench.serve(&[&absent, &there]).await;
    let failures = "landfall_router_connect_failures_total{app=\"example\",process_type=\"web\",dyno=\"web.1\"}";
    // Each lane tries the dyno until it is in quarantine.
    read_until_asked(&bench, metrics, failures).await;
    let page = Page::read(metrics).await;
    assert!(!page.has("landfall_router_errors_total{"), "nobody noticed");
}

async fn read_until_asked(bench: &Bench, metrics: SocketAddr, key: &str) {
    within(async {
        while Page::read(metrics)
            .await
            .get(key)
            .is_none_or(|count| count == 0)
        {
            assert_eq!(status(&get(bench.http(), "/").await), "200");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_takes_over_shows_its_metrics_at_the_same_address() {
    let (mut bench, metrics) = bench().await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    bench.config.metrics = Some(metrics);
    let ok = "landfall_router_requests_total{app=\"example\",class=\"2xx\"}";
    let mut kept = TcpStream::connect(bench.http()).await.unwrap();
    for _ in 0..3 {
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        kept.write_all(request.as_bytes()).await.unwrap();
        read_response(&mut kept).await;
    }
    assert_eq!(Page::read(metrics).await.count(ok), 3);
    let next = start(bench.config.clone()).await;
    assert_eq!(next.metrics_address(), Some(metrics));
    let mut former = bench.router.replace(next).unwrap();
    drop(kept);
    within(former.wait_ended()).await.unwrap();
    assert_eq!(status(&get(bench.http(), "/").await), "200");
    assert_eq!(
        Page::read(metrics).await.count(ok),
        1,
        "it counts from zero"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_seen_when_the_certificate_of_a_host_expires() {
    let (mut bench, metrics) = bench().await;
    let hosts = ["shop.example", "*.shop.example"].map(str::to_owned);
    let mut wanted = rcgen::CertificateParams::new(hosts.to_vec()).unwrap();
    wanted.not_after = rcgen::date_time_ymd(2031, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let made = wanted.self_signed(&key).unwrap();
    let mut table = bench.table(AppState::Serving, &[]);
    table.certificates = vec![Certificate {
        id: SniEndpointId::new(),
        app: bench.app,
        hosts: hosts.to_vec(),
        chain: made.pem(),
        key: PrivateKey(key.serialize_pem()),
        ocsp: None,
    }];
    let version = table.version;
    bench.feed.publish(table);
    assert_eq!(within(bench.feed.wait_applied(version)).await, Wait::Done);
    let page = Page::read(metrics).await;
    for host in hosts {
        let name = "landfall_router_certificate_expiry_timestamp_seconds";
        let expiry = page.count(&format!("{name}{{host=\"{host}\"}}"));
        assert_eq!(expiry, 1_924_992_000, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_stops_no_request_and_is_tried_again() {
    let (mut bench, _) = bench().await;
    let dyno = Dyno::named("web.1").await;
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    bench.stop().await;
    bench.config.metrics = Some(address);
    bench.router = Some(start(bench.config.clone()).await);
    bench.serve(&[&dyno]).await;
    assert_eq!(status(&get(bench.http(), "/").await), "200");
    drop(other);
    within(async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(Page::read(address).await.count("landfall_router_apps"), 1);
}
