//! Spans in OTLP's JSON (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>), with the names of the
//! semantic conventions for HTTP servers; what they have no name for is `landfall.…`. Pure.

use std::time::Duration;

use api::clock::Time;
use serde_json::{Value, json};

use super::Span;

/// `SPAN_KIND_SERVER`
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`
const ERROR: u8 = 2;

/// The body of a request to a collector.
pub(super) fn body(spans: &[Span]) -> Value {
    let spans: Vec<_> = spans.iter().map(span).collect();
    let resource = [
        text("service.name", "landfall-router"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        number("process.pid", u64::from(std::process::id())),
    ];
    json!({
        "resourceSpans": [{
            "resource": { "attributes": resource },
            "scopeSpans": [{
                "scope": { "name": "landfall.router", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans,
            }],
        }],
    })
}

fn span(span: &Span) -> Value {
    let mut value = json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.context.span),
        "flags": span.context.flags(),
        "name": known_method(&span.method).unwrap_or("HTTP"),
        "kind": SERVER,
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.end),
        "attributes": attributes(span),
    });
    if let Some(fields) = value.as_object_mut() {
        if let Some(parent) = span.parent {
            fields.insert("parentSpanId".to_owned(), json!(format!("{parent:016x}")));
        }
        if span.status >= 500 {
            let message = span.code.map_or("", |code| code.meaning().description);
            let status = json!({ "code": ERROR, "message": message });
            fields.insert("status".to_owned(), status);
        }
    }
    value
}

fn attributes(span: &Span) -> Vec<Value> {
    let scheme = if span.is_secure { "https" } else { "http" };
    let mut all = vec![
        text(
            "http.request.method",
            known_method(&span.method).unwrap_or("_OTHER"),
        ),
        text("url.scheme", scheme),
        text("url.path", &span.path),
        text("server.address", &span.host),
        text("network.peer.address", &span.peer),
        number("http.response.status_code", u64::from(span.status)),
        number("http.request.body.size", span.bytes_in),
        number("http.response.body.size", span.bytes_out),
        text("landfall.app", &span.app),
        text("landfall.request_id", &span.request_id),
    ];
    if known_method(&span.method).is_none() {
        all.push(text("http.request.method_original", &span.method));
    }
    if let Some(dyno) = &span.dyno {
        all.push(text("landfall.dyno", dyno));
    }
    if let Some(code) = span.code {
        all.push(text("landfall.code", code.as_str()));
        all.push(text("error.type", code.as_str()));
    } else if span.status >= 500 {
        all.push(text("error.type", &span.status.to_string()));
    }
    let times = &span.times;
    all.extend(
        times
            .queue
            .map(|time| seconds("landfall.queue.duration", time)),
    );
    all.extend(
        times
            .connect
            .map(|time| seconds("landfall.connect.duration", time)),
    );
    all.extend(
        times
            .service
            .map(|time| seconds("landfall.service.duration", time)),
    );
    all
}

/// The methods that the conventions know; a span's name must be one of few.
fn known_method(method: &str) -> Option<&str> {
    const KNOWN: [&str; 9] = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    KNOWN.contains(&method).then_some(method)
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Whole numbers are strings in Protobuf's JSON.
fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn seconds(key: &str, value: Duration) -> Value {
    json!({ "key": key, "value": { "doubleValue": value.as_secs_f64() } })
}

fn nanos(at: Time) -> String {
    at.as_micros().saturating_mul(1000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codes::Code,
        traces::{Times, context::Context},
    };

    #[test]
    fn a_failed_request() {
        let span = Span {
            context: Context::new(0x4bf9_2f35, 7),
            parent: Some(9),
            start: Time::from_micros(1_000_000),
            end: Time::from_micros(1_002_500),
            method: "BREW".to_owned(),
            path: "/pot".to_owned(),
            host: "a.localhost".to_owned(),
            request_id: "0192-a".to_owned(),
            peer: "1.2.3.4".to_owned(),
            is_secure: true,
            app: "a".to_owned(),
            dyno: Some("web.1".to_owned()),
            code: Some(Code::H12),
            status: 503,
            times: Times {
                connect: Some(Duration::from_millis(2)),
                ..Times::default()
            },
            bytes_in: 3,
            bytes_out: 0,
        };
        let body = body(&[span]);
        let told = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        let mut expected = json!({
            "traceId": "0000000000000000000000004bf92f35",
            "spanId": "0000000000000007",
            "parentSpanId": "0000000000000009",
            "flags": 1,
            "name": "HTTP",
            "kind": 2,
            "startTimeUnixNano": "1000000000",
            "endTimeUnixNano": "1002500000",
            "status": { "code": 2, "message": "Request timeout" },
        });
        expected["attributes"] = [
            text("http.request.method", "_OTHER"),
            text("url.scheme", "https"),
            text("url.path", "/pot"),
            text("server.address", "a.localhost"),
            text("network.peer.address", "1.2.3.4"),
            number("http.response.status_code", 503),
            number("http.request.body.size", 3),
            number("http.response.body.size", 0),
            text("landfall.app", "a"),
            text("landfall.request_id", "0192-a"),
            text("http.request.method_original", "BREW"),
            text("landfall.dyno", "web.1"),
            text("landfall.code", "H12"),
            text("error.type", "H12"),
            json!({ "key": "landfall.connect.duration", "value": { "doubleValue": 0.002 } }),
        ]
        .into();
        assert_eq!(told, &expected);
        let status = &told["attributes"][5];
        assert_eq!(
            status["value"]["intValue"], "503",
            "whole numbers are strings"
        );
    }
}
