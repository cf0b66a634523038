//! Files straight from the slug: what is shown, what never is, and that no dyno is needed.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use api::edge::{Edge, Immutable, StaticFiles};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use router::{
    feed::Wait,
    wire::{AppExtras, AppState},
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::{
    edge::header,
    https::connect,
    support::{Bench, Dyno, HOST, body, exchange, file, get, read_response, status, within},
};

const LOWER: &str = "0a1b";
const UPPER: &str = "2c3d";

fn layer(bench: &Bench, name: &str) -> PathBuf {
    file(bench, "layers").join(name)
}

fn write(bench: &Bench, name: &str, path: &str, text: impl AsRef<[u8]>) {
    let path = layer(bench, name).join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn extras(rules: Vec<StaticFiles>) -> AppExtras {
    AppExtras {
        edge: Edge {
            static_files: rules,
            ..Edge::default()
        },
        layers: vec![LOWER.to_owned(), UPPER.to_owned()],
        ..AppExtras::default()
    }
}

fn rule(prefix: &str, folder: &str) -> StaticFiles {
    StaticFiles {
        prefix: prefix.to_owned(),
        folder: folder.to_owned(),
        max_age_seconds: None,
        immutable: Immutable::default(),
        fallback: None,
    }
}

async fn publish(bench: &mut Bench, state: AppState, dynos: &[&Dyno], extras: AppExtras) {
    let mut table = bench.table(state, dynos);
    table.apps[0].extras = extras.or_none();
    let version = table.version;
    bench.feed.publish(table);
    assert_eq!(within(bench.feed.wait_applied(version)).await, Wait::Done);
}

/// A router with two layers, and a dyno that answers with its name.
async fn bench() -> (Bench, Dyno) {
    let mut bench = Bench::new().await;
    for name in [LOWER, UPPER] {
        fs::create_dir_all(layer(&bench, name)).unwrap();
    }
    write(&bench, LOWER, "public/index.html", "<h1>home</h1>");
    write(&bench, LOWER, "public/docs/index.html", "docs");
    write(&bench, LOWER, "public/site.css", "body {}");
    write(&bench, LOWER, "public/app.3f2a9c1b.js", "hashed()");
    write(&bench, LOWER, "public/old.txt", "old");
    write(&bench, UPPER, "public/old.txt", "new");
    write(&bench, LOWER, "secret.txt", "secret");
    write(&bench, LOWER, "public/.env", "secret");
    write(&bench, LOWER, "public/Procfile", "secret");
    let dyno = Dyno::named("web.1").await;
    let rules = extras(vec![rule("/", "public")]);
    publish(&mut bench, AppState::Serving, &[&dyno], rules).await;
    (bench, dyno)
}

/// A request with more headers.
async fn ask(bench: &Bench, method: &str, path: &str, more: &str) -> String {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n");
    exchange(bench.http(), &format!("{head}{more}\r\n")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_and_the_rest_goes_to_the_dyno() {
    let (mut bench, _dyno) = bench().await;
    for (path, kind, cache, expected) in [
        ("/", "text/html; charset=utf-8", "no-cache", "<h1>home</h1>"),
        ("/docs/?x=1", "text/html; charset=utf-8", "no-cache", "docs"),
        (
            "/site.css?v=2",
            "text/css; charset=utf-8",
            "no-cache",
            "body {}",
        ),
        (
            "/site%2Ecss",
            "text/css; charset=utf-8",
            "no-cache",
            "body {}",
        ),
        (
            "/app.3f2a9c1b.js",
            "text/javascript; charset=utf-8",
            "public, max-age=31536000, immutable",
            "hashed()",
        ),
        ("/old.txt", "text/plain; charset=utf-8", "no-cache", "new"),
    ] {
        let response = get(bench.http(), path).await;
        assert_eq!(status(&response), "200", "{path} {response}");
        assert_eq!(header(&response, "content-type"), Some(kind));
        assert_eq!(header(&response, "cache-control"), Some(cache));
        assert_eq!(header(&response, "accept-ranges"), Some("bytes"));
        assert!(header(&response, "last-modified").is_some());
        let length = expected.len().to_string();
        assert_eq!(header(&response, "content-length"), Some(&*length));
        assert_eq!(body(&response), expected);
        let line = bench.line().await;
        let told = format!("dyno= connect= service= status=200 bytes={length} protocol=http");
        assert!(line.ends_with(&told), "{line}");
    }
    let response = get(bench.http(), "/docs?x=1").await;
    assert_eq!(status(&response), "301");
    assert_eq!(header(&response, "location"), Some("/docs/?x=1"));
    bench.line().await;
    for path in ["/missing.css", "/site.css/", "/api", "/docs/missing"] {
        assert_eq!(body(&get(bench.http(), path).await), "web.1", "{path}");
        assert!(bench.line().await.contains(" dyno=web.1 "));
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        let response = ask(&bench, method, "/site.css", "").await;
        assert_eq!(body(&response), "web.1", "{method}");
        bench.line().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_paths_find_nothing() {
    let (bench, _dyno) = bench().await;
    symlink(
        "../secret.txt",
        layer(&bench, UPPER).join("public/link.txt"),
    )
    .unwrap();
    symlink("/", layer(&bench, UPPER).join("public/root")).unwrap();
    for path in [
        "/../secret.txt",
        "/docs/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/..;/secret.txt",
        "/%252e%252e/secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "//secret.txt",
        "//etc/passwd",
        "/site.css%00",
        "/site.css%00.html",
        "/.env",
        "/%2eenv",
        "/Procfile",
        "/procfile",
        "/link.txt",
        "/root/etc/passwd",
        "/./site.css",
        "//site.css",
        "/docs//index.html",
        "http://example.localhost/../secret.txt",
    ] {
        let response = get(bench.http(), path).await;
        assert!(
            !response.contains("secret") && !response.contains("root:"),
            "{path} {response}"
        );
        assert!(response.ends_with("web.1"), "{path} {response}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_has_is_not_sent_again() {
    let (mut bench, _dyno) = bench().await;
    let response = get(bench.http(), "/site.css").await;
    let tag = header(&response, "etag").unwrap().to_owned();
    let date = header(&response, "last-modified").unwrap().to_owned();
    bench.line().await;
    for condition in [
        format!("If-None-Match: {tag}"),
        format!("If-Modified-Since: {date}"),
    ] {
        let response = ask(&bench, "GET", "/site.css", &format!("{condition}\r\n")).await;
        assert_eq!(status(&response), "304", "{response}");
        assert_eq!(header(&response, "etag"), Some(&*tag));
        assert_eq!(header(&response, "vary"), Some("accept-encoding"));
        assert!(header(&response, "content-length").is_none() && body(&response).is_empty());
        assert!(bench.line().await.contains("status=304 bytes= "));
    }
    let range = |more: &str| format!("Range: bytes=1-3\r\n{more}");
    let response = ask(&bench, "GET", "/site.css", &range("")).await;
    assert_eq!((status(&response), body(&response)), ("206", "ody"));
    assert_eq!(header(&response, "content-range"), Some("bytes 1-3/7"));
    let response = ask(
        &bench,
        "GET",
        "/site.css",
        &range(&format!("If-Range: {tag}\r\n")),
    )
    .await;
    assert_eq!(status(&response), "206");
    let response = ask(
        &bench,
        "GET",
        "/site.css",
        &range("If-Range: \"other\"\r\n"),
    )
    .await;
    assert_eq!((status(&response), body(&response)), ("200", "body {}"));
    let response = ask(&bench, "GET", "/site.css", "Range: bytes=7-\r\n").await;
    assert_eq!(status(&response), "416");
    assert_eq!(header(&response, "content-range"), Some("bytes */7"));
    let response = ask(&bench, "HEAD", "/site.css", &range("")).await;
    assert_eq!((status(&response), body(&response)), ("200", ""));
    assert_eq!(header(&response, "content-length"), Some("7"));
    // A connection goes on behind any of these.
    let mut stream = TcpStream::connect(bench.http()).await.unwrap();
    for _ in 0..3 {
        let asked = format!("GET /old.txt HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        assert!(
            within(read_response(&mut stream))
                .await
                .ends_with("\r\n\r\nnew")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_there_when_no_dyno_is() {
    let (mut bench, dyno) = bench().await;
    let rules = || extras(vec![rule("/", "public")]);
    for state in [
        AppState::Booting,
        AppState::Asleep,
        AppState::Crashed,
        AppState::NoWebDynos,
    ] {
        publish(&mut bench, state, &[], rules()).await;
        assert_eq!(
            body(&get(bench.http(), "/old.txt").await),
            "new",
            "{state:?}"
        );
    }
    publish(&mut bench, AppState::Maintenance, &[&dyno], rules()).await;
    assert_eq!(status(&get(bench.http(), "/old.txt").await), "503");
    // The next release has its own layers, and none of the former's files.
    let mut next = rules();
    next.layers = vec!["4e5f".to_owned()];
    write(&bench, "4e5f", "public/old.txt", "next");
    publish(&mut bench, AppState::Serving, &[&dyno], next).await;
    assert_eq!(body(&get(bench.http(), "/old.txt").await), "next");
    assert_eq!(body(&get(bench.http(), "/site.css").await), "web.1");
    // Layers are names, not places.
    let mut wild = rules();
    wild.layers = vec!["../layers/4e5f".to_owned()];
    publish(&mut bench, AppState::Serving, &[&dyno], wild).await;
    assert_eq!(body(&get(bench.http(), "/old.txt").await), "web.1");
    // Nor does a layer that is gone fail anything.
    let mut gone = rules();
    gone.layers = vec!["6071".to_owned()];
    publish(&mut bench, AppState::Serving, &[&dyno], gone).await;
    assert_eq!(body(&get(bench.http(), "/old.txt").await), "web.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_by_prefix_with_fallback_and_times() {
    let (mut bench, dyno) = bench().await;
    write(&bench, LOWER, "public/app.html", "the app");
    write(&bench, LOWER, "assets/deep/a.txt", "asset");
    let rules = vec![
        StaticFiles {
            fallback: Some("app.html".to_owned()),
            ..rule("/app", "public")
        },
        StaticFiles {
            max_age_seconds: Some(60),
            immutable: Immutable::None,
            ..rule("/assets/", "/assets/")
        },
        StaticFiles {
            immutable: Immutable::All,
            ..rule("/forever", "assets")
        },
    ];
    publish(&mut bench, AppState::Serving, &[&dyno], extras(rules)).await;
    let page = "Accept: text/html,*/*\r\n";
    for (path, more, expected, cache) in [
        ("/app/some/page", page, "the app", "no-cache"),
        ("/app/site.css", page, "body {}", "no-cache"),
        ("/assets/deep/a.txt", "", "asset", "public, max-age=60"),
        (
            "/forever/deep/a.txt",
            "",
            "asset",
            "public, max-age=31536000, immutable",
        ),
    ] {
        let response = ask(&bench, "GET", path, more).await;
        assert_eq!(body(&response), expected, "{path}");
        assert_eq!(header(&response, "cache-control"), Some(cache), "{path}");
    }
    for (path, more) in [
        ("/app/missing.png", "Accept: image/*\r\n"),
        ("/apps", page),
        ("/site.css", ""),
        ("/assets", ""),
    ] {
        assert_eq!(
            body(&ask(&bench, "GET", path, more).await),
            "web.1",
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_neighbours_and_large_files() {
    let (mut bench, dyno) = bench().await;
    write(&bench, LOWER, "public/site.css.br", "brotli bytes");
    write(&bench, UPPER, "public/site.css.gz", "gzip bytes");
    let large = "a line of a large file\n".repeat(30_000);
    write(&bench, LOWER, "public/large.txt", &large);
    write(&bench, LOWER, "public/large.bin", &large);
    for (accepted, expected) in [
        ("gzip, br", "brotli bytes"),
        ("gzip", "gzip bytes"),
        ("zstd, identity", "body {}"),
        ("br;q=0", "body {}"),
    ] {
        let more = format!("Accept-Encoding: {accepted}\r\n");
        let response = ask(&bench, "GET", "/site.css", &more).await;
        assert_eq!(body(&response), expected, "{accepted}");
        assert_eq!(header(&response, "vary"), Some("accept-encoding"));
        assert_eq!(
            header(&response, "content-type"),
            Some("text/css; charset=utf-8")
        );
    }
    let response = get(bench.http(), "/large.txt").await;
    assert_eq!(body(&response), large);
    let mut rules = extras(vec![rule("/", "public")]);
    rules.edge.compress = true;
    publish(&mut bench, AppState::Serving, &[&dyno], rules).await;
    let io = TokioIo::new(connect(&bench, b"h2").await);
    let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    tokio::spawn(connection);
    for (path, is_packed) in [("/large.txt", true), ("/large.bin", false)] {
        let request = Request::builder()
            .uri(format!("https://{HOST}{path}"))
            .header("accept-encoding", "zstd")
            .body(Full::<Bytes>::default())
            .unwrap();
        let (head, got) = within(sender.send_request(request))
            .await
            .unwrap()
            .into_parts();
        let got = within(got.collect()).await.unwrap().to_bytes();
        assert_eq!(
            head.headers.contains_key("content-encoding"),
            is_packed,
            "{path}"
        );
        assert_eq!(
            head.headers["etag"].to_str().unwrap().starts_with("W/"),
            is_packed
        );
        let plain = if is_packed {
            zstd::decode_all(&got[..]).unwrap()
        } else {
            got.to_vec()
        };
        assert!(plain == large.as_bytes(), "{path}");
    }
}
