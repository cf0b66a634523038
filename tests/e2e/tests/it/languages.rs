//! The sample of each built-in buildpack is pushed twice: what it serves, that a changed file is
//! served after the second push, and that this one installed nothing.

use std::fs;

use e2e::{
    App, Platform,
    http::{self, Answer},
};

/// A file of a sample, a part of it, and what takes that part's place.
type Change<'a> = (&'a str, &'a str, &'a str);

/// An app that was pushed, and what is known of its first push.
struct Twice {
    app: App<'static>,
}

impl Twice {
    /// Pushes the sample, which then serves `expected` on its front page.
    fn first(sample: &str, expected: &str) -> Self {
        let app = App::create(Platform::shared(), sample);
        app.push().ok();
        let this = Self { app };
        this.serves(expected);
        this
    }

    /// Has the output of the first push say each of these.
    fn said(self, texts: &[&str]) -> Self {
        let output = self.landfall("builds:output", &["1"]);
        for text in texts {
            assert!(output.contains(text), "`{text}` was not said:\n{output}");
        }
        self
    }

    /// Pushes a change, which is served. No other step than those of `builds` runs; the rest, and so
    /// all that installs, is taken from the first push.
    fn again(&self, change: Change<'_>, expected: &str, builds: &[&str]) -> String {
        self.change(change);
        self.push(expected, builds)
    }

    /// Commits a change.
    fn change(&self, (path, from, to): Change<'_>) {
        let full = self.app.tree.join(path);
        let text = fs::read_to_string(full).expect("the sample has the file");
        assert!(text.contains(from), "{path} does not say `{from}`");
        self.app.change(path, &text.replace(from, to));
    }

    /// Pushes what was committed; gives the output.
    fn push(&self, expected: &str, builds: &[&str]) -> String {
        let output = self.app.push().ok().stderr;
        self.serves(expected);
        let record = self.landfall("builds:info", &["--json"]);
        let record: serde_json::Value = serde_json::from_str(&record).expect("a JSON record");
        let steps = record["steps"].as_array().expect("a list of steps");
        let ran: Vec<_> = steps
            .iter()
            .filter(|step| step["outcome"] != "cached")
            .filter_map(|step| step["name"].as_str())
            .collect();
        assert_eq!(ran, builds, "{output}");
        output
    }

    fn serves(&self, expected: &str) {
        let page = self.app.get("/");
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(page.body.contains(expected), "{}", page.body);
    }

    fn landfall(&self, command: &str, arguments: &[&str]) -> String {
        let mut whole = vec![command, "--app", &self.app.name];
        whole.extend(arguments);
        self.app.platform.landfall(&whole).ok().stdout
    }
}

/// A request with a password, as a client sends it that has asked before.
fn get_signed_in(app: &App<'_>, path: &str) -> Answer {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Basic bWU6c2VjcmV0\r\n\r\n",
        app.host()
    );
    http::send(app.platform.http_addr(), &head).expect("the router answers")
}

#[test]
fn django() {
    let shop = Twice::first("django", "Welcome to the shop").said(&[
        "Python app detected",
        "Installing requirements",
        "static file copied to '/app/staticfiles'",
        "Running release command",
    ]);
    let change = ("shop/templates/front.html", "Welcome to", "Back in");
    let output = shop.again(change, "Back in the shop", &["collectstatic"]);
    assert!(
        output.contains("-----> Using cached dependencies"),
        "{output}"
    );
}

#[test]
fn express() {
    let shop = Twice::first("express", "Hello from Express").said(&["Node.js app detected"]);
    let version = shop.app.get("/version").body;
    assert!(
        version.contains("\"v22.") && version.contains("production"),
        "{version}"
    );
    assert!(shop.app.get("/page.js").body.contains("Hello from"));
    // The script that the page loads is built anew, with modules that the slug does not have.
    shop.change(("src/greeting.js", "Hello from", "Hello again from"));
    shop.again(
        ("src/server.js", "Hello from", "Hello again from"),
        "Hello again from Express",
        &["npm-build"],
    );
    assert!(shop.app.get("/page.js").body.contains("Hello again from"));
}

#[test]
fn static_site() {
    let site = Twice::first("static", "A static site");
    let head = site.app.get("/").head.to_ascii_lowercase();
    assert!(head.contains("content-type: text/html"), "{head}");
    let change = ("index.html", "A static site", "A changed site");
    site.again(change, "A changed site", &[]);
}

#[test]
fn procfile() {
    let app = Twice::first("procfile", "Hello from Perl").said(&["No language was recognised"]);
    let change = ("server.pl", "Hello from", "Hello again from");
    app.again(change, "Hello again from Perl", &[]);
}

#[test]
fn go() {
    let shop =
        Twice::first("go", "Hello from Go").said(&["Using Go 1.25.", "example.com/shop/go-hello"]);
    let first = shop.landfall("builds:output", &["1"]);
    // Its own package and its module's are compiled, and none of Go's.
    let is_gos = |line: &str| line.trim() == "net/http";
    assert!(!first.lines().any(is_gos), "{first}");
    let change = ("main.go", "Hello from", "Hello again from");
    let output = shop.again(change, "Hello again from Go", &["go-build"]);
    assert!(!output.contains("go: downloading"), "{output}");
}

#[test]
fn rust() {
    let shop = Twice::first("rust", "Hello from Rust").said(&[
        "Using Rust 1.85.1 for 1.85 in rust-toolchain.toml",
        "Compiling greeting",
    ]);
    let change = ("greeting/src/lib.rs", "Hello from", "Hello again from");
    let output = shop.again(change, "Hello again from Rust", &["cargo-build"]);
    assert!(output.contains("Compiling rust-hello"), "{output}");
}

#[test]
fn java() {
    let shop = Twice::first("java", "Grüße from Java").said(&["Using Java 21."]);
    // What a dyno of 512 MB is told of its memory.
    shop.serves(r#""heapMegabytes":300"#);
    // Without a network Maven finds all it needs in what the first push left.
    let offline = shop.app.tree.join(".mvn");
    fs::create_dir(&offline).expect("the sample has no .mvn");
    fs::write(offline.join("maven.config"), "--offline\n").expect("the tree is writable");
    let change = ("src/main/resources/shop.properties", "Grüße", "Hello");
    let output = shop.again(change, "Hello from Java", &["maven-build"]);
    assert!(!output.contains("Installing Maven"), "{output}");
}

#[test]
fn gradle() {
    // There is no wrapper, so the stack's own Gradle builds it, by the task that the app names.
    let shop = Twice::first("gradle", "Hello from Gradle").said(&[
        "Using Gradle 4.4.1 of the stack, since there is no wrapper",
        "for 17 in build.gradle",
        "$ gradle stage",
    ]);
    shop.app
        .heroku(&["config:set", "GRADLE_TASK=assemble --offline"])
        .ok();
    let change = ("src/main/resources/shop.properties", "Hello", "Hello again");
    let output = shop.again(change, "Hello again from Gradle", &["gradle-build"]);
    assert!(output.contains("$ gradle assemble --offline"), "{output}");
}

#[test]
fn elixir() {
    let shop = Twice::first("elixir", "Hello from Elixir").said(&[
        "Elixir 1.18.1 is not available on this platform; 1.18.3 is used instead.",
        "==> greeting",
        "Compiling 1 file (.ex)",
    ]);
    let change = (
        "lib/shop/server.ex",
        "    body = ",
        "    body = \"Again: \" <> ",
    );
    let output = shop.again(change, "Again: Hello from Elixir", &["elixir-compile"]);
    assert!(!output.contains("Compiling 1 file"), "{output}");
    assert!(
        output.contains("-----> Using cached dependencies (mix.lock is unchanged)"),
        "{output}"
    );
}

#[test]
fn ruby() {
    // A gem in C shouts; one of the source greets; one of development is not there.
    let shop = Twice::first("ruby", "HELLO LANDFALL (Ruby 3.3.").said(&[
        "Ruby 3.3.4 is not available on this platform; 3.3.",
        "without development:test",
    ]);
    let change = ("server.rb", "Landfall", "everybody");
    let output = shop.again(change, "HELLO EVERYBODY (Ruby", &[]);
    assert!(
        output.contains("-----> Using cached gems (Gemfile.lock is unchanged)"),
        "{output}"
    );
}

#[test]
fn php() {
    let nginx = Twice::first("php", "HELLO LANDFALL")
        .said(&["Using PHP 8.4.", "for ^8.2 in composer.lock"]);
    let page = "HELLO LANDFALL\n/a/b 0.3 42 production compiled Basic bWU6c2VjcmV0 17M\n";
    let served = get_signed_in(&nginx.app, "/a/b").body;
    assert!(served.contains(page), "{served}");
    assert_eq!(nginx.app.get("/.htaccess").status, 403);
    // The second push is served by the other web server.
    nginx.change(("Procfile", "web:", "nginx:"));
    nginx.change(("Procfile", "apache:", "web:"));
    let change = ("public/index.php", "'Landfall'", "'everybody'");
    let output = nginx.again(change, "HELLO EVERYBODY", &["php-autoloader"]);
    assert!(
        output.contains("-----> Using cached dependencies (composer.lock is unchanged)"),
        "{output}"
    );
    let page = page.replace("LANDFALL", "EVERYBODY");
    let served = get_signed_in(&nginx.app, "/a/b").body;
    assert!(served.contains(&page), "{served}");
    assert_eq!(nginx.app.get("/.htaccess").status, 403);
    let logs = nginx.app.heroku(&["logs", "--num", "500"]).ok().stdout;
    assert!(logs.contains("asked for /a/b"), "{logs}");
}

#[test]
fn deno() {
    let shop = Twice::first("deno", "Hello from Deno").said(&["Installing imports (locked)"]);
    let change = ("main.ts", "Hello from", "Hello again from");
    shop.again(change, "Hello again from Deno", &["deno-install"]);
    shop.change(("deno.jsonc", "nanoid@5.1.5", "nanoid@5.1.4"));
    shop.app.push().refused().says("deno.lock");
    shop.serves("Hello again from Deno");
}

#[test]
fn bun() {
    let shop =
        Twice::first("bun", "Hello from Bun").said(&["bun install --frozen-lockfile --production"]);
    let change = ("index.ts", "Hello from", "Hello again from");
    shop.again(change, "Hello again from Bun", &[]);
}

#[test]
fn aptfile() {
    // The program by the name that its installation script would have given it, and the library
    // beside the program that was linked to it.
    let page = "awk is GNU Awk 5\na code is 21 modules wide\nits library is below /app/.apt\n\
        links to nowhere: 0\n";
    let app = Twice::first("aptfile", page).said(&["Part of the stack already: curl"]);
    let change = ("app.py", "a code is", "a QR code is");
    let page = page.replace("a code is", "a QR code is");
    let output = app.again(change, &page, &["bin-post_compile"]);
    assert!(!output.contains("Looking up packages"), "{output}");
}
