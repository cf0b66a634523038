//! Edge settings: what the router does for an app beyond routing.

use std::time::Duration;

use api::{
    edge::{BasicAuth, Edge, EdgeUser, HeaderRule, PathTimeouts, RateLimit, RateLimits, Redirect},
    ids::AppId,
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::{Response, body::Frame};
use router::{
    edge_password_hash,
    feed::Wait,
    wire::{AppExtras, AppState, PageUrls, PathRoute},
};

use crate::{
    h2c::plain_client,
    support::{Bench, Dyno, HOST, body, exchange, get, status, text, within},
};

/// One that tells path, headers whose name begins with `x-test`, and how long the body was.
async fn telling(name: &'static str) -> Dyno {
    Dyno::answering(name, move |request| async move {
        let path = request.uri().to_string();
        let headers = request.headers().iter();
        let headers = headers.filter(|(name, _)| name.as_str().starts_with("x-test"));
        let mut told = format!("{name} {path}");
        for (name, value) in headers {
            told.extend([" ", name.as_str(), "=", value.to_str().unwrap()]);
        }
        let body = request.into_body().collect().await;
        let body = body.map_or(0, |body| body.to_bytes().len());
        let mut response = Response::new(text(format!("{told} {body}")));
        let server = "secret 1.0".parse().unwrap();
        response.headers_mut().insert("server", server);
        response
    })
    .await
}

pub(crate) async fn serve(bench: &mut Bench, dynos: &[&Dyno], extras: AppExtras) {
    let mut table = bench.table(AppState::Serving, dynos);
    table.apps[0].extras = extras.or_none();
    let version = table.version;
    bench.feed.publish(table);
    assert_eq!(within(bench.feed.wait_applied(version)).await, Wait::Done);
}

async fn with(edge: Edge) -> (Bench, Dyno) {
    let mut bench = Bench::new().await;
    let dyno = telling("web.1").await;
    let extras = AppExtras {
        edge,
        ..AppExtras::default()
    };
    serve(&mut bench, &[&dyno], extras).await;
    (bench, dyno)
}

pub(crate) fn header<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = response.split_once("\r\n\r\n")?;
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(found, value)| (found == name).then_some(value))
}

async fn ask(bench: &Bench, method: &str, path: &str, more: &str) -> String {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{more}");
    exchange(bench.http(), &request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_denied_and_allowed() {
    let deny = |deny: &[&str], allow: &[&str]| Edge {
        deny: deny.iter().map(|text| text.parse().unwrap()).collect(),
        allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
        ..Edge::default()
    };
    let (mut bench, dyno) = with(deny(&["127.0.0.0/8"], &[])).await;
    let refused = get(bench.http(), "/x").await;
    assert_eq!(status(&refused), "403", "{refused}");
    let line = bench.line().await;
    assert!(
        line.contains("path=\"/x\"") && line.contains("status=403"),
        "{line}"
    );
    for (edge, expected) in [
        (deny(&[], &["192.0.2.0/24"]), "403"),
        (deny(&["192.0.2.0/24"], &["127.0.0.1"]), "200"),
    ] {
        let extras = AppExtras {
            edge,
            ..AppExtras::default()
        };
        serve(&mut bench, &[&dyno], extras).await;
        assert_eq!(status(&get(bench.http(), "/").await), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_told_when_to_come_again() {
    let limit = RateLimit {
        per_minute: 1,
        burst: Some(2),
    };
    let edge = Edge {
        rate_limits: RateLimits {
            per_client: Some(limit),
            per_app: None,
        },
        ..Edge::default()
    };
    let (mut bench, dyno) = with(edge.clone()).await;
    assert_eq!(status(&get(bench.http(), "/").await), "200");
    // Another table does not forget what was used up.
    let extras = AppExtras {
        edge,
        ..AppExtras::default()
    };
    let other = telling("web.2").await;
    serve(&mut bench, &[&dyno, &other], extras).await;
    assert_eq!(status(&get(bench.http(), "/").await), "200");
    let refused = get(bench.http(), "/").await;
    assert_eq!(status(&refused), "429");
    let wait: u64 = header(&refused, "retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for() {
    let user = EdgeUser {
        name: "ann".to_owned(),
        password: None,
        password_hash: Some(format!("s${}", edge_password_hash("s", "correct horse"))),
    };
    let auth = BasicAuth {
        realm: None,
        users: vec![user],
        except: vec!["/health".to_owned()],
    };
    let (bench, _dyno) = with(Edge {
        basic_auth: Some(auth),
        ..Edge::default()
    })
    .await;
    let refused = get(bench.http(), "/").await;
    assert_eq!(status(&refused), "401");
    let challenge = header(&refused, "www-authenticate");
    assert_eq!(
        challenge,
        Some("Basic realm=\"example\", charset=\"UTF-8\"")
    );
    let known = "authorization: Basic YW5uOmNvcnJlY3QgaG9yc2U=\r\n\r\n";
    assert_eq!(status(&ask(&bench, "GET", "/", known).await), "200");
    let wrong = "Authorization: Basic YW5uOndyb25n\r\n\r\n";
    assert_eq!(status(&ask(&bench, "GET", "/", wrong).await), "401");
    assert_eq!(status(&get(bench.http(), "/health").await), "200");
    assert_eq!(status(&get(bench.http(), "/health/../x").await), "401");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_and_headers() {
    let rule = |name: &str, value: Option<&str>| HeaderRule {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let (mut bench, _dyno) = with(Edge {
        redirects: vec![Redirect {
            host: None,
            path: "/old/*".to_owned(),
            to: "/new/*".to_owned(),
            status: Some(308),
        }],
        request_headers: vec![rule("x-test-set", Some("1")), rule("x-test-gone", None)],
        response_headers: vec![rule("X-Frame-Options", Some("DENY")), rule("Server", None)],
        ..Edge::default()
    })
    .await;
    let moved = get(bench.http(), "/old/a?b").await;
    assert_eq!(status(&moved), "308");
    assert_eq!(header(&moved, "location"), Some("/new/a?b"));
    assert!(bench.line().await.contains("status=308"));
    let sent = "X-Test-Gone: 1\r\nx-test-set: 0\r\nX-Test-Kept: 2\r\n\r\n";
    let answer = ask(&bench, "GET", "/new/a", sent).await;
    assert_eq!(body(&answer), "web.1 /new/a x-test-kept=2 x-test-set=1 0");
    assert_eq!(header(&answer, "x-frame-options"), Some("DENY"));
    assert_eq!(header(&answer, "server"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_is_refused_however_it_comes() {
    let (bench, _dyno) = with(Edge {
        max_body_bytes: Some(5),
        ..Edge::default()
    })
    .await;
    let told = |length: usize| format!("Content-Length: {length}\r\n\r\n{}", "x".repeat(length));
    let answer = ask(&bench, "POST", "/", &told(5)).await;
    assert_eq!(body(&answer), "web.1 / 5");
    assert_eq!(status(&ask(&bench, "POST", "/", &told(6)).await), "413");
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    assert_eq!(status(&ask(&bench, "POST", "/", chunked).await), "413");
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(body(&ask(&bench, "POST", "/", chunked).await), "web.1 / 5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_by_http2_is_counted_where_it_has_no_length() {
    let (bench, _dyno) = with(Edge {
        max_body_bytes: Some(5),
        ..Edge::default()
    })
    .await;
    let mut sender = plain_client(&bench).await;
    for (rest, expected) in [("de", 200), ("def", 413), ("", 200)] {
        let pieces = ["abc", rest].map(|piece| Ok(Frame::data(Bytes::from(piece))));
        let body = BodyExt::boxed(StreamBody::new(tokio_stream::iter(pieces)));
        let request = Request::post(format!("http://{HOST}/")).body(body);
        let response = within(sender.send_request(request.unwrap())).await.unwrap();
        assert_eq!(response.status(), expected, "{rest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_may_have_more_or_less_time() {
    let mut bench = Bench::with(|timeouts| timeouts.first_byte = Duration::from_mins(5)).await;
    let silent = Dyno::answering("web.1", |_| std::future::pending()).await;
    let timeouts = PathTimeouts {
        prefix: "/quick".to_owned(),
        first_byte_seconds: Some(1),
        idle_seconds: None,
    };
    let edge = Edge {
        timeouts: vec![timeouts],
        ..Edge::default()
    };
    let extras = AppExtras {
        edge,
        ..AppExtras::default()
    };
    serve(&mut bench, &[&silent], extras).await;
    assert_eq!(status(&get(bench.http(), "/quick/x").await), "503");
    assert!(bench.line().await.contains("code=H12"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_app_answers_below_a_path() {
    let mut bench = Bench::new().await;
    let (front, back) = (telling("web.1").await, telling("web.2").await);
    let mut table = bench.table(AppState::Serving, &[&front]);
    let path = |prefix: &str, host: &str| PathRoute {
        prefix: prefix.to_owned(),
        host: host.to_owned(),
        strip: true,
    };
    let mut other = table.apps[0].clone();
    other.app = AppId::new();
    other.hosts = vec!["other.localhost".to_owned()];
    other.backends = vec![back.backend()];
    let paths = vec![
        path("/api", "other.localhost"),
        path("/gone", "x.localhost"),
    ];
    let extras = AppExtras {
        paths,
        ..AppExtras::default()
    };
    table.apps[0].extras = extras.or_none();
    table.apps.push(other);
    let version = table.version;
    bench.feed.publish(table);
    assert_eq!(within(bench.feed.wait_applied(version)).await, Wait::Done);
    for (path, expected) in [
        ("/apis", "web.1 /apis 0"),
        ("/gone/x", "web.1 /gone/x 0"),
        ("/api", "web.2 / 0"),
        ("/api/x?y", "web.2 /x?y 0"),
    ] {
        assert_eq!(body(&get(bench.http(), path).await), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_brings_the_client_to_the_same_dyno() {
    let mut bench = Bench::new().await;
    let (one, two) = (telling("web.1").await, telling("web.2").await);
    let extras = AppExtras {
        has_affinity: true,
        ..AppExtras::default()
    };
    serve(&mut bench, &[&one, &two], extras.clone()).await;
    let first = get(bench.http(), "/").await;
    let (cookie, attributes) = header(&first, "set-cookie")
        .unwrap()
        .split_once(';')
        .unwrap();
    assert_eq!(attributes, " Max-Age=86400; Path=/; HttpOnly");
    let again = format!("Cookie: a=b; {cookie}\r\n\r\n");
    for _ in 0..20 {
        let next = ask(&bench, "GET", "/", &again).await;
        assert_eq!(body(&next), body(&first));
        assert_eq!(header(&next, "set-cookie"), None);
    }
    let (left, left_name) = if body(&first).starts_with("web.1") {
        (&two, "web.2 / 0")
    } else {
        (&one, "web.1 / 0")
    };
    serve(&mut bench, &[left], extras).await;
    let moved = ask(&bench, "GET", "/", &again).await;
    assert_eq!(body(&moved), left_name);
    assert!(header(&moved, "set-cookie").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_its_own() {
    let mut bench = Bench::new().await;
    let absent = Dyno::absent("web.1").await;
    let pages = PageUrls {
        error: Some("https://example.com/error?a&b".to_owned()),
        maintenance: Some("https://example.com/maintenance".to_owned()),
    };
    let extras = AppExtras {
        pages,
        ..AppExtras::default()
    };
    serve(&mut bench, &[&absent], extras.clone()).await;
    let failed = get(bench.http(), "/").await;
    assert_eq!(status(&failed), "503");
    assert!(
        failed.contains("<iframe src=\"https://example.com/error?a&amp;b\""),
        "{failed}"
    );
    let json = ask(&bench, "GET", "/", "Accept: application/json\r\n\r\n").await;
    assert!(body(&json).starts_with('{'), "{json}");
    let mut table = bench.table(AppState::Maintenance, &[]);
    table.apps[0].extras = extras.or_none();
    let version = table.version;
    bench.feed.publish(table);
    assert_eq!(within(bench.feed.wait_applied(version)).await, Wait::Done);
    let closed = get(bench.http(), "/").await;
    assert!(
        closed.contains("<iframe src=\"https://example.com/maintenance\""),
        "{closed}"
    );
}
