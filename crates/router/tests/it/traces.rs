//! Traced requests: what the dyno is told, and what a collector gets.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use router::{Traces, wire::AppState};
use serde_json::Value;

use crate::{
    https::connect,
    support::{Bench, Dyno, HOST, body, eventually, exchange, get, start, status, text, within},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const ALL: u32 = 1_000_000;

/// A collector of OTLP over HTTP.
struct Collector {
    server: Dyno,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    async fn start() -> Self {
        Self::refusing(0).await
    }

    /// One that is not ready for the first requests.
    async fn refusing(count: usize) -> Self {
        let bodies: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (kept, refused) = (Arc::clone(&bodies), Arc::new(Mutex::new(count)));
        let server = Dyno::answering("web.9", move |request| {
            let (kept, refused) = (Arc::clone(&kept), Arc::clone(&refused));
            async move {
                assert_eq!(request.method(), "POST");
                assert_eq!(request.uri().path(), "/v1/traces");
                assert_eq!(request.headers()["content-type"], "application/json");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut response = Response::new(text("{}"));
                let mut refused = refused.lock().unwrap();
                if *refused > 0 {
                    *refused -= 1;
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                } else {
                    kept.lock()
                        .unwrap()
                        .push(serde_json::from_slice(&body).unwrap());
                }
                response
            }
        })
        .await;
        Self { server, bodies }
    }

    /// All spans so far.
    fn spans(&self) -> Vec<Value> {
        let bodies = self.bodies.lock().unwrap();
        let spans = bodies.iter().flat_map(|body| {
            let resource = &body["resourceSpans"][0];
            let service = attribute(&resource["resource"], "service.name");
            assert_eq!(service["stringValue"], "landfall-router");
            resource["scopeSpans"][0]["spans"]
                .as_array()
                .unwrap()
                .clone()
        });
        spans.collect()
    }

    async fn wait(&self, count: usize) -> Vec<Value> {
        eventually("the spans have come", || self.spans().len() >= count).await;
        let spans = self.spans();
        assert_eq!(spans.len(), count);
        spans
    }
}

fn attribute(of: &Value, key: &str) -> Value {
    let mut all = of["attributes"].as_array().unwrap().iter();
    let found = all.find(|attribute| attribute["key"] == key);
    found.map_or(Value::Null, |found| found["value"].clone())
}

/// A dyno that says what it was told of its trace.
async fn dyno() -> Dyno {
    Dyno::answering("web.1", |request| async move {
        let told = |name: &str| {
            let values = request.headers().get_all(name).iter();
            let values = values.map(|value| value.to_str().unwrap());
            values.collect::<Vec<_>>().join("+")
        };
        Response::new(text(format!(
            "{} {}",
            told("traceparent"),
            told("tracestate")
        )))
    })
    .await
}

async fn bench(collector: &Collector, per_million: u32) -> Bench {
    let mut bench = Bench::new().await;
    bench.stop().await;
    let endpoint = format!("http://{}", collector.server.address);
    bench.config.traces = Some(Traces {
        endpoint: endpoint.parse().unwrap(),
        per_million,
    });
    bench.router = Some(start(bench.config.clone()).await);
    bench
}

async fn ask(bench: &Bench, fields: &str) -> String {
    let request =
        format!("GET /a?secret=b HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{fields}\r\n");
    body(&exchange(bench.http(), &request).await).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_trace_goes_through_the_router_to_the_dyno() {
    let collector = Collector::start().await;
    let mut bench = bench(&collector, ALL).await;
    let dyno = dyno().await;
    bench.serve(&[&dyno]).await;
    let fields = format!("Traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=b\r\n");
    let told = ask(&bench, &fields).await;
    let spans = collector.wait(1).await;
    let span = &spans[0];
    let id = span["spanId"].as_str().unwrap();
    assert_eq!(
        told,
        format!("00-{TRACE}-{id}-01 a=b"),
        "the dyno goes on from our span"
    );
    assert_eq!(span["traceId"], TRACE);
    assert_eq!(span["parentSpanId"], PARENT);
    assert_eq!(
        (&span["name"], &span["kind"]),
        (&Value::from("GET"), &Value::from(2))
    );
    let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/a"),
        ("url.scheme", "http"),
        ("server.address", HOST),
        ("network.peer.address", "127.0.0.1"),
        ("landfall.app", "example"),
        ("landfall.dyno", "web.1"),
    ] {
        assert_eq!(attribute(span, key)["stringValue"], value, "{key}");
    }
    assert_eq!(
        attribute(span, "http.response.status_code")["intValue"],
        "200"
    );
    assert_eq!(attribute(span, "http.response.body.size")["intValue"], "59");
    for key in ["landfall.connect.duration", "landfall.service.duration"] {
        assert!(
            attribute(span, key)["doubleValue"].as_f64() >= Some(0.0),
            "{key}"
        );
    }
    assert!(!span.to_string().contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_begins_at_the_router_and_failures_say_why() {
    let collector = Collector::start().await;
    let mut bench = bench(&collector, ALL).await;
    let dyno = dyno().await;
    bench.serve(&[&dyno]).await;
    let told = ask(&bench, "traceparent: nonsense\r\ntracestate: a=b\r\n").await;
    assert!(told.starts_with("00-") && told.ends_with("-01 "), "{told}");
    bench.route(AppState::Crashed, &[]).await;
    assert_eq!(status(&get(bench.http(), "/").await), "503");
    let spans = collector.wait(2).await;
    assert!(told.contains(spans[0]["traceId"].as_str().unwrap()));
    assert_eq!(spans[0]["parentSpanId"], Value::Null);
    let failed = &spans[1];
    assert_eq!(failed["status"]["code"], 2);
    for key in ["landfall.code", "error.type"] {
        assert_eq!(attribute(failed, key)["stringValue"], "H10", "{key}");
    }
    assert_eq!(attribute(failed, "landfall.dyno"), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_requests_are_traced_likewise() {
    let collector = Collector::start().await;
    let mut bench = bench(&collector, ALL).await;
    let dyno = dyno().await;
    bench.serve(&[&dyno]).await;
    let stream = TokioIo::new(connect(&bench, b"h2").await);
    let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .uri(format!("https://{HOST}/"))
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = within(sender.send_request(request)).await.unwrap();
    let told = response.into_body().collect().await.unwrap().to_bytes();
    let spans = collector.wait(1).await;
    let id = spans[0]["spanId"].as_str().unwrap();
    assert_eq!(told, format!("00-{TRACE}-{id}-01 "));
    assert_eq!(spans[0]["parentSpanId"], PARENT);
    assert_eq!(attribute(&spans[0], "url.scheme")["stringValue"], "https");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_goes_through_untouched() {
    let collector = Collector::start().await;
    let dyno = dyno().await;
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    let not_sampled = format!("00-{TRACE}-{PARENT}-00");
    for (per_million, traceparent) in [(0, &sampled), (ALL, &not_sampled)] {
        let mut bench = bench(&collector, per_million).await;
        bench.serve(&[&dyno]).await;
        let fields = format!("traceparent: {traceparent}\r\ntracestate: a=b\r\n");
        assert_eq!(ask(&bench, &fields).await, format!("{traceparent} a=b"));
        bench.stop().await;
    }
    // And without any tracing.
    let mut bench = Bench::new().await;
    bench.serve(&[&dyno]).await;
    let fields = format!("traceparent: {sampled}\r\n");
    assert_eq!(ask(&bench, &fields).await, format!("{sampled} "));
    assert_eq!(ask(&bench, "").await, " ", "nothing is added");
    assert_eq!(collector.spans().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_outlast_a_collector_that_is_not_ready_and_the_routers_end() {
    let collector = Collector::refusing(1).await;
    let mut bench = bench(&collector, ALL).await;
    let dyno = dyno().await;
    bench.serve(&[&dyno]).await;
    for _ in 0..3 {
        ask(&bench, "").await;
    }
    collector.wait(3).await;
    for _ in 0..2 {
        ask(&bench, "").await;
    }
    bench.stop().await;
    assert_eq!(
        collector.spans().len(),
        5,
        "the last ones were told at the end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_stops_no_request() {
    let collector = Collector::start().await;
    let mut bench = bench(&collector, ALL).await;
    let dyno = dyno().await;
    bench.serve(&[&dyno]).await;
    drop(collector);
    for _ in 0..5 {
        assert!(ask(&bench, "").await.starts_with("00-"));
    }
}
