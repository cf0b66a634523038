//! A platform to ask, and the asking.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _, sync::Arc, time::Duration};

use api::{clock::Clock, ids::AccountId};
use axum::{Router, body::Body};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use builder::{Builder, BuilderConfig};
use engine::sim::{SimConfig, SimEngine};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use logs::{Logs, LogsConfig};
use platform::{Caller, Platform, Rooms, Settings};
use router::Feed;
use serde_json::{Value, json};
use server::http::{HttpState, routes};
use store::{NewSlug, Slug, Store, StoreConfig};
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "test-token-of-the-admin-0123456789";
pub(crate) const EMAIL: &str = "admin@example.com";
/// Waiting for the platform gives up after this.
const PATIENCE: Duration = Duration::from_secs(20);

/// A platform that runs, until dropped.
pub(crate) struct Harness {
    pub(crate) router: Router,
    pub(crate) platform: Platform,
    pub(crate) store: Store,
    pub(crate) logs: Logs,
    pub(crate) account: AccountId,
    directory: tempfile::TempDir,
    _running: Running,
}

struct Running(tokio::task::JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// Somebody who asks with a token of their own.
pub(crate) struct Person<'h> {
    harness: &'h Harness,
    pub(crate) token: String,
}

impl Person<'_> {
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let method = method.parse().unwrap();
        let request = Harness::request(method, path, &self.token);
        let request = request.body(Body::from(body.to_string())).unwrap();
        self.harness.send(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, json!({})).await
    }
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other settings than most tests need.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["sources", "layers", "git", "spool"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        let clock = Clock::system();
        let store = Store::open(StoreConfig {
            url: "sqlite::memory:".to_owned(),
            root_key: [7; 32],
            clock: clock.clone(),
        });
        let store = store.await.unwrap();
        let sim = SimConfig {
            clock: clock.clone(),
            ..SimConfig::default()
        };
        let engine: Arc<dyn engine::Engine> = Arc::new(SimEngine::new(sim));
        let builder = Builder::new(
            Arc::clone(&engine),
            BuilderConfig {
                layers: path("layers"),
                work: path("work"),
                cache: path("cache"),
                layer_owner: std::fs::metadata(directory.path()).unwrap().uid(),
                clock: clock.clone(),
            },
        );
        let logs = Logs::open(LogsConfig::new(path("logs"), clock.clone())).unwrap();
        let rooms = Rooms {
            store: store.clone(),
            engine,
            builder: Arc::new(builder),
            logs: logs.clone(),
            feed: Feed::connect(path("router.sock")),
            clock,
        };
        let mut settings = settings(directory.path());
        change(&mut settings);
        let platform = Platform::open(rooms, settings).unwrap();
        let account = platform.ensure_account(EMAIL, TOKEN).await.unwrap().id;
        let running = platform.clone();
        let running = tokio::spawn(async move { running.run().await.unwrap() });
        Self {
            router: routes(HttpState::new(platform.clone())),
            platform,
            store,
            logs,
            account,
            directory,
            _running: Running(running),
        }
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller {
            account: self.account,
            email: EMAIL.to_owned(),
            origin: "test".to_owned(),
            request_id: "test".to_owned(),
            cause: "test".to_owned(),
        }
    }

    /// Puts a stack of next to nothing into the machine's cache.
    pub(crate) fn stack(&self) {
        let folder = self.directory.path().join("cache/stacks/landfall-13/etc");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("landfall-stack.json"), "{}").unwrap();
    }

    /// An app made over the API.
    pub(crate) async fn app(&self, name: &str) -> Value {
        let answer = self.post("/apps", json!({ "name": name })).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()
    }

    /// A slug of the app, as a build would leave it.
    pub(crate) async fn slug(&self, app: &str, process_types: &[(&str, &str)]) -> Slug {
        let app = self.platform.app(app).await.unwrap();
        let new = NewSlug {
            app: app.id,
            stack: app.stack,
            commit: Some("3f2a1b9c0d".to_owned()),
            language: "Python".to_owned(),
            layers: Vec::new(),
            process_types: process_types
                .iter()
                .map(|(name, command)| (name.parse().unwrap(), (*command).to_owned()))
                .collect(),
            images: BTreeMap::new(),
            env: BTreeMap::new(),
            size_bytes: 1234,
            checksum: "SHA256:00".to_owned(),
        };
        self.store
            .create_slug(&self.caller().change(), &new)
            .await
            .unwrap()
    }

    /// Releases a slug over the API and waits until it is live or has failed.
    pub(crate) async fn deploy(&self, app: &str, process_types: &[(&str, &str)]) -> Value {
        let slug = self.slug(app, process_types).await;
        let path = format!("/apps/{app}/releases");
        let answer = self.post(&path, json!({ "slug": slug.id })).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let path = format!("{path}/{}", answer.json()["version"]);
        self.until(&path, |release| release["status"] != "pending")
            .await
    }

    /// The JSON at `path` once `is_due` holds of it.
    pub(crate) async fn until(&self, path: &str, is_due: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let json = self.get(path).await.json();
            if is_due(&json) {
                return json;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{path} stays {json}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Somebody else's account, and a token of theirs.
    pub(crate) async fn person(&self, email: &str) -> Person<'_> {
        let token = format!("token-of-{email}-0123456789");
        let made = self.platform.ensure_account(email, &token).await;
        made.unwrap();
        Person {
            harness: self,
            token,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(
            Self::request(Method::GET, path, TOKEN)
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn get_range(&self, path: &str, range: &str) -> Answer {
        let request = Self::request(Method::GET, path, TOKEN).header("range", range);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, &body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, &body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, &body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(
            Self::request(Method::DELETE, path, TOKEN)
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = Self::request(method, path, TOKEN);
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    pub(crate) fn request(method: Method, path: &str, token: &str) -> http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "application/vnd.heroku+json; version=3.sdk")
            .header("content-type", "application/json");
        if token.is_empty() {
            request
        } else {
            request.header("authorization", bearer(token))
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The path of a URL that an answer gave.
pub(crate) fn path_of(url: &Value) -> String {
    let url: http::Uri = url.as_str().unwrap().parse().unwrap();
    url.path().to_owned()
}

fn settings(directory: &std::path::Path) -> Settings {
    Settings {
        app_domain: "localhost".to_owned(),
        http_addr: ([127, 0, 0, 1], 8080).into(),
        https_addr: ([127, 0, 0, 1], 8443).into(),
        api_url: "http://localhost:5000".to_owned(),
        git_url: "https://localhost:5000".to_owned(),
        rendezvous: "localhost:5000".to_owned(),
        default_stack: "landfall-13".parse().unwrap(),
        stacks: vec!["landfall-13".parse().unwrap()],
        layers_dir: directory.join("layers"),
        outputs_dir: directory.join("outputs"),
        sources_dir: directory.join("sources"),
        git_dir: directory.join("git"),
        router_spool_dir: directory.join("spool"),
        boot_timeout: Duration::from_secs(5),
        disk_reserve_bytes: 0,
        app_disk_bytes: 0,
        stop_grace: Duration::from_secs(1),
        attach_within: platform::rendezvous::PATIENCE,
        concurrent_builds: 1,
        sizes: platform::sizes::Sizes::default(),
        cycle_every: None,
        processors: 2,
        private_targets: vec![([127, 0, 0, 0].into(), 8)],
        acme: None,
        url_secret: [9; 32],
    }
}
