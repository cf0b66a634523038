//! Header lines: names, values, and above all the host.

use crate::case::{Asked, Case, HOST, asked, shown};

/// Lines that are no header lines.
const BROKEN: &[&[u8]] = &[
    b"X : y",
    b"X\t: y",
    b" X: y",
    b"\tX: y",
    b"X: a\r\n b",
    b"X: a\r\n\tb",
    b"X:\r\n y",
    b"X",
    b"X y: z",
    b": y",
    b":",
    b" ",
    b"X\x00: y",
    b"\x00: y",
    b"X: \x00",
    b"X: a\x00b",
    b"X: a\rb",
    b"X: a\nY: b",
    b"X: a\r",
    b"X: \x01",
    b"X: \x08",
    b"X: \x0b",
    b"X: \x0c",
    b"X: \x1b",
    b"X: \x1f",
    b"X(: y",
    b"X): y",
    b"X,: y",
    b"X/: y",
    b"X[: y",
    b"X]: y",
    b"X{: y",
    b"X}: y",
    b"X@: y",
    b"X\": y",
    b"X;: y",
    b"X=: y",
    b"X?: y",
    b"X<: y",
    b"X>: y",
    b"X\\: y",
    b"X\xe9: y",
    b"X\x7f: y",
    b"X\x1f: y",
    b"\xef\xbb\xbfX: y",
    b"X\r: y",
    b"X\n: y",
];

/// Lines that are fine, or that a recipient may refuse.
const FINE: &[&[u8]] = &[
    b"X:",
    b"X: ",
    b"X:y",
    b"X:\ty\t",
    b"X: a\tb",
    b"X: a: b",
    b"x_y: z",
    b"X.y: z",
    b"9: y",
    b"!#$%&'*+-.^_`|~: y",
    b"X: \"a\\\"b",
    b"X: a,,b",
    b"X: %00",
    b"X: HTTP/1.1",
];

/// Values of `Host` that name no host.
const HOSTS: &[&[u8]] = &[
    b"",
    b" ",
    b"a b",
    b"example.localhost evil",
    b"example.localhost, evil.localhost",
    b"evil@example.localhost",
    b"example.localhost@evil",
    b"example.localhost/x",
    b"example.localhost?x",
    b"example.localhost#x",
    b"example.localhost\\x",
    b"example.localhost:80:80",
    b":80",
    b"example.localhost:x",
    b"example.localhost:-1",
    b"http://example.localhost",
    b"//example.localhost",
    b"[::1",
    b"::1]",
    b"[example.localhost]x",
    b"exam\x00ple.localhost",
    b"example.localhost\x00",
    b"\xe9xample.localhost",
    b"example%2elocalhost",
    b"example.localhost%00",
    b"example.localhost;x",
    b"example.localhost\x0b",
    b"example.localhost\r\n x",
    b"\r\n example.localhost",
    b"'example.localhost'",
    b"*",
    b"<example.localhost>",
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for line in BROKEN {
        let name = shown(line);
        cases.push(Case::refuse(format!("line {name}"), get(line)));
    }
    for line in FINE {
        cases.push(Case::forward(
            format!("line {}", shown(line)),
            get(line),
            [seen()],
        ));
    }
    for line in [&b"X: \xe9"[..], b"X: \x7f", b"X: \xff\xfe"] {
        cases.push(Case::either(
            format!("line {}", shown(line)),
            get(line),
            [seen()],
        ));
    }
    cases.extend(hosts());
    cases.extend(targets());
    cases.extend(sizes());
    cases.extend(forged());
    cases
}

fn seen() -> Asked {
    asked("GET", "/case")
}

/// A GET whose first header line is this one, so that a fold would continue the request line's.
fn get(line: &[u8]) -> Vec<u8> {
    let head = format!("GET /case HTTP/1.1\r\nHost: {HOST}\r\n");
    [head.as_bytes(), line, b"\r\n\r\n"].concat()
}

fn hosts() -> Vec<Case> {
    let with = |lines: &[u8]| [b"GET /case HTTP/1.1\r\n", lines, b"\r\n\r\n"].concat();
    let mut cases: Vec<Case> = HOSTS
        .iter()
        .map(|host| {
            Case::refuse(
                format!("host {}", shown(host)),
                with(&[b"Host: ", *host].concat()),
            )
        })
        .collect();
    for lines in [
        &b"X: y"[..],
        b"Host: example.localhost\r\nHost: example.localhost",
        b"Host: example.localhost\r\nHost: evil.localhost",
        b"Host: evil.localhost\r\nHost: example.localhost",
        b"Host: example.localhost\r\nhost:",
        b"Host:\r\nHost: example.localhost",
        b"Host : example.localhost",
        b" Host: example.localhost",
        b"Host\x00: example.localhost",
        b"Host: example.localhost\nHost: evil.localhost",
        b"Host: example.localhost\rHost: evil.localhost",
        b"Host:\x0bexample.localhost",
        b"X-Forwarded-Host: example.localhost",
        b"Host_: example.localhost",
    ] {
        cases.push(Case::refuse(format!("hosts {}", shown(lines)), with(lines)));
    }
    for lines in [
        "Host:example.localhost",
        "HOST: EXAMPLE.localhost",
        "Host:\texample.localhost \t",
        "Host: example.localhost:80",
    ] {
        let name = format!("hosts {}", shown(lines.as_bytes()));
        cases.push(Case::forward(name, with(lines.as_bytes()), [seen()]));
    }
    for lines in [
        "Host: example.localhost.",
        "Host: example.localhost:",
        "Host: example.localhost:99999",
    ] {
        let name = format!("hosts {}", shown(lines.as_bytes()));
        cases.push(Case::either(name, with(lines.as_bytes()), [seen()]));
    }
    cases
}

/// The host may also be in the request's target.
fn targets() -> Vec<Case> {
    let with = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\n{host}\r\n");
    let host = format!("Host: {HOST}\r\n");
    let mut cases = Vec::new();
    for target in [
        "http://evil.localhost/case",
        "http://example.localhost@evil.localhost/case",
        "http://evil@example.localhost/case",
        "http:///case",
        "http://",
        "http:/case",
        "http://example.localhost:80:80/case",
        "http://example.localhost\\/case",
        "http://exam ple.localhost/case",
        "example.localhost/case",
        "example.localhost:80",
    ] {
        cases.push(Case::refuse(
            format!("target {target}"),
            with(target, &host),
        ));
    }
    for (target, path) in [
        ("http://example.localhost/case", "/case"),
        ("HTTP://EXAMPLE.localhost/case", "/case"),
        (
            "http://example.localhost/case?x=http://evil.localhost/",
            "/case?x=http://evil.localhost/",
        ),
    ] {
        cases.push(Case::forward(
            format!("target {target}"),
            with(target, &host),
            [asked("GET", path)],
        ));
    }
    for (target, path) in [
        ("http://example.localhost", "/"),
        ("http://example.localhost?x", "/?x"),
        ("https://example.localhost/case", "/case"),
        ("ftp://example.localhost/case", "/case"),
    ] {
        cases.push(Case::either(
            format!("target {target}"),
            with(target, &host),
            [asked("GET", path)],
        ));
    }
    cases.push(Case::refuse(
        "a target that names another host than Host",
        with("http://example.localhost/case", "Host: evil.localhost\r\n"),
    ));
    cases.push(Case::either(
        "a target with a host, and no Host",
        with("http://example.localhost/case", ""),
        [seen()],
    ));
    cases.push(Case::refuse(
        "a target with a host, and two Hosts",
        with("http://example.localhost/case", &format!("{host}{host}")),
    ));
    cases
}

fn sizes() -> Vec<Case> {
    let long = |bytes: usize| format!("X: {}", "y".repeat(bytes));
    vec![
        Case::forward("a header of 4 kB", get(long(4_000).as_bytes()), [seen()]),
        Case::refuse("a header of 100 kB", get(long(100_000).as_bytes())),
        Case::refuse(
            "a header name of 100 kB",
            get(format!("{}: x", "y".repeat(100_000)).as_bytes()),
        ),
        Case::refuse(
            "2,000 headers",
            get(["X: y"; 2_000].join("\r\n").as_bytes()),
        ),
        Case::forward(
            "50 headers",
            get(["X: y"; 50].join("\r\n").as_bytes()),
            [seen()],
        ),
    ]
}

/// What only the router may say to a dyno.
fn forged() -> Vec<Case> {
    let seen = |with: &'static str, value: &'static str| seen().with(with, value);
    vec![
        Case::forward(
            "X-Forwarded-Proto from a client",
            get(b"X-Forwarded-Proto: https"),
            [seen("x-forwarded-proto", "http")],
        ),
        Case::forward(
            "X_Forwarded_For from a client",
            get(b"X_Forwarded_For: 6.6.6.6"),
            [seen("x-forwarded-for", "127.0.0.1").without(&["x_forwarded_for"])],
        ),
        Case::forward(
            "X-Forwarded_Proto from a client",
            get(b"X-Forwarded_Proto: https"),
            [seen("x-forwarded-proto", "http").without(&["x-forwarded_proto"])],
        ),
        Case::forward(
            "X_Request_Start from a client",
            get(b"X_Request_Start: 1"),
            [self::seen().without(&["x_request_start"])],
        ),
        Case::forward(
            "X-Forwarded-For from a client is kept before the router's",
            get(b"X-Forwarded-For: 6.6.6.6"),
            [seen("x-forwarded-for", "6.6.6.6, 127.0.0.1")],
        ),
    ]
}
