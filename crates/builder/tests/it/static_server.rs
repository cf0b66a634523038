//! The static file server, run as a dyno runs it but on this machine's own Python.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
};

const SERVE: &str = include_str!("../../src/buildpacks/scripts/static_serve.py");

struct Site {
    folder: tempfile::TempDir,
    server: Child,
    port: u16,
}

impl Site {
    fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let full = folder.path().join("app").join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, content).unwrap();
        }
        fs::write(folder.path().join("secret"), "secret").unwrap();
        symlink("../secret", folder.path().join("app/link")).unwrap();
        let mut server = Command::new("python3")
            .args(["-c", SERVE])
            .env("HOME", folder.path().join("app"))
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Self {
            folder,
            server,
            port,
        }
    }

    /// Status line and headers, then the body.
    fn ask(&self, request: &str, headers: &str) -> (String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    fn check(&self, path: &str, status: &str, body: &str) {
        let (head, found) = self.ask(&format!("GET {path}"), "");
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {head}"
        );
        assert!(found.contains(body), "{path}: {found}");
        assert!(!found.contains("secret"), "{path}: {found}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

#[test]
fn files_are_served_and_nothing_else() {
    let files = [
        ("index.html", "<h1>front</h1>"),
        ("docs/index.html", "docs"),
        ("empty/x.txt", "x"),
        ("a b.txt", "spaced"),
        (".env", "secret"),
        (".git/config", "secret"),
        ("Procfile", "secret"),
    ];
    let site = Site::of(&files);
    site.check("/", "200", "front");
    site.check("/index.html?x=1", "200", "front");
    site.check("/a%20b.txt", "200", "spaced");
    site.check("/docs/", "200", "docs");
    site.check("/docs", "301", "");
    for path in [
        "/none",
        "/empty/",
        "/empty",
        "/.env",
        "/.git/config",
        "/Procfile",
        "/link",
        "/../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        "/docs/../../secret",
        "//../secret",
        "/%00",
    ] {
        site.check(path, "404", "404 Not Found");
    }
    assert!(
        site.folder.path().join("app/link").exists(),
        "the link leads somewhere"
    );
}

#[test]
fn answers_have_types_and_validators() {
    let long = "body { }\n".repeat(400);
    let site = Site::of(&[("index.html", "x"), ("app.mjs", "x"), ("style.css", &long)]);
    let (head, body) = site.ask("GET /app.mjs", "");
    assert!(
        head.contains("Content-Type: text/javascript; charset=utf-8") && body == "x",
        "{head}"
    );
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("ETag: "))
        .unwrap();
    let (again, body) = site.ask("GET /app.mjs", &format!("If-None-Match: {tag}\r\n"));
    assert!(
        again.starts_with("HTTP/1.1 304 ") && body.is_empty(),
        "{again}"
    );
    let (head, body) = site.ask("HEAD /style.css", "");
    assert!(
        head.contains("Content-Length: 3600") && body.is_empty(),
        "{head}"
    );
    let (head, _) = site.ask("GET /style.css", "Accept-Encoding: gzip, br\r\n");
    assert!(head.contains("Content-Encoding: gzip"), "{head}");
    let (head, _) = site.ask("POST /", "Content-Length: 0\r\n");
    assert!(head.starts_with("HTTP/1.1 501 "), "{head}");
}

#[test]
fn static_json_is_followed() {
    let settings = r#"{"root": "dist", "clean_urls": true, "error_page": "oops.html", "https_only": true,
        "routes": {"/app/**": "index.html"}, "redirects": {"/old": {"url": "/new"}}}"#;
    let files = [
        ("static.json", settings),
        ("dist/index.html", "front"),
        ("dist/about.html", "about"),
        ("dist/oops.html", "oops"),
    ];
    let site = Site::of(&files);
    site.check("/about", "200", "about");
    site.check("/app/any/where", "200", "front");
    site.check("/none", "404", "oops");
    site.check("/old", "301", "");
    site.check("/../static.json", "404", "oops");
    let (head, _) = site.ask("GET /about?a=1", "X-Forwarded-Proto: http\r\n");
    assert!(head.contains("Location: https://x/about?a=1"), "{head}");
    assert!(Path::new(site.folder.path()).exists());
}
