//! A Platform API of the few calls a push makes, whose builds do what the test says.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use api::{
    accounts::Account,
    apps::App,
    builds::{Build, BuildApp, BuildStatus, NewBuild},
    client::{Body, ClientError, Transport},
    clock::Time,
    error::ErrorBody,
    ids::{AccountId, AppId, BuildId, ReleaseId},
    references::{AppReference, NameReference, ReleaseReference, UserReference},
    releases::{Release, ReleaseStatus},
    sources::{Source, SourceUrls},
};
use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::watch;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "a-token";
pub(crate) const APP: &str = "example";

/// What the next builds come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    #[default]
    Live,
    BuildFails,
    ReleaseFails,
    Refused,
}

#[derive(Default)]
pub(crate) struct Platform {
    pub(crate) app: AppId,
    pub(crate) outcome: Mutex<Outcome>,
    /// SSH keys that somebody has, by fingerprint.
    pub(crate) keys: Mutex<HashSet<String>>,
    /// Uploaded archives, in order.
    pub(crate) archives: Mutex<Vec<Bytes>>,
    /// What was asked to be built, in order.
    pub(crate) asked: Mutex<Vec<NewBuild>>,
    builds: Mutex<HashMap<BuildId, Outcome>>,
    /// While true, builds print their first line and go no further.
    held: watch::Sender<bool>,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

impl Platform {
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }

    pub(crate) fn set(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap() = outcome;
    }

    /// Commits built, in order.
    pub(crate) fn versions(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .map(|build| build.source_blob.version.clone().unwrap())
            .collect()
    }

    /// Most builds that ran at once.
    pub(crate) fn most_running(&self) -> usize {
        self.most_running.load(Ordering::SeqCst)
    }

    /// Paths in the newest archive, and its file contents.
    pub(crate) fn newest_archive(&self) -> HashMap<String, String> {
        let archives = self.archives.lock().unwrap();
        let mut archive = tar::Archive::new(archives.last().unwrap().as_ref());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            let path = entry.path().unwrap().display().to_string();
            (path, String::from_utf8_lossy(&bytes).into_owned())
        });
        entries.collect()
    }
}

/// Shows a key to the platform: one that somebody has is as good as the token.
pub(crate) struct ByKey {
    pub(crate) platform: Arc<Platform>,
    pub(crate) fingerprint: String,
}

#[async_trait]
impl Transport for ByKey {
    async fn send(&self, mut request: Request<Body>) -> Result<http::Response<Body>, ClientError> {
        assert!(!request.headers().contains_key(header::AUTHORIZATION));
        if self
            .platform
            .keys
            .lock()
            .unwrap()
            .contains(&self.fingerprint)
        {
            let bearer = format!("Bearer {TOKEN}").parse().unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        InProcess::new(Arc::clone(&self.platform))
            .send(request)
            .await
    }
}

/// Calls the platform without a network.
pub(crate) struct InProcess(pub(crate) Router);

impl InProcess {
    pub(crate) fn new(platform: Arc<Platform>) -> Self {
        let router = Router::new()
            .route("/account", get(account))
            .route("/apps/{app}", get(app))
            .route("/apps/{app}/code", get(app))
            .route("/sources", post(create_source))
            .route("/sources/{source}", put(put_source))
            .route("/apps/{app}/builds", post(create_build))
            .route("/apps/{app}/builds/{build}", get(build))
            .route("/apps/{app}/releases/{release}", get(release))
            .route("/output/{build}", get(output))
            .with_state(platform);
        Self(router)
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: Request<Body>) -> Result<http::Response<Body>, ClientError> {
        let request = request.map(axum::body::Body::new);
        let answer = self.0.clone().oneshot(request).await.unwrap();
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}

type Shared = State<Arc<Platform>>;

fn refuse(status: StatusCode, id: &str, message: &str) -> Response {
    let body = ErrorBody {
        id: id.into(),
        message: message.into(),
        ..ErrorBody::default()
    };
    (status, Json(body)).into_response()
}

/// A refusal for whoever does not show the token.
fn stranger(headers: &HeaderMap) -> Option<Response> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    (bearer != Some(&format!("Bearer {TOKEN}"))).then(|| {
        refuse(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Invalid credentials provided.",
        )
    })
}

async fn account(headers: HeaderMap) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    Json(Account {
        allow_tracking: false,
        beta: false,
        country_of_residence: None,
        created_at: Time::default(),
        default_organization: None,
        default_team: None,
        delinquent_at: None,
        email: user().email,
        federated: false,
        id: AccountId::new(),
        identity_provider: None,
        last_login: None,
        name: None,
        sms_number: None,
        suspended_at: None,
        two_factor_authentication: false,
        updated_at: Time::default(),
        verified: true,
    })
    .into_response()
}

async fn app(State(platform): Shared, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    if name != APP {
        return refuse(
            StatusCode::NOT_FOUND,
            "not_found",
            "Couldn't find that app.",
        );
    }
    let named = |kind: &str, name: &str| NameReference::new(kind, name);
    Json(App {
        acm: false,
        archived_at: None,
        buildpack_provided_description: None,
        build_stack: named("stack", "landfall-13"),
        created_at: Time::default(),
        generation: named("generation", "cedar"),
        git_url: String::new(),
        id: platform.app,
        internal_routing: None,
        maintenance: false,
        name: name.parse().unwrap(),
        owner: user(),
        organization: None,
        team: None,
        region: named("region", "local"),
        released_at: None,
        repo_size: None,
        slug_size: None,
        space: None,
        stack: named("stack", "landfall-13"),
        updated_at: Time::default(),
        web_url: None,
    })
    .into_response()
}

fn user() -> UserReference {
    UserReference {
        id: AccountId::new(),
        email: "someone@example.com".to_owned(),
    }
}

async fn create_source() -> Json<Source> {
    let id = api::ids::SourceId::new();
    let url = format!("http://platform.test:5000/sources/{id}");
    Json(Source {
        source_blob: SourceUrls {
            get_url: url.clone(),
            put_url: url,
        },
    })
}

async fn put_source(State(platform): Shared, body: axum::body::Body) -> StatusCode {
    match body.collect().await {
        Ok(archive) => {
            platform.archives.lock().unwrap().push(archive.to_bytes());
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

async fn create_build(State(platform): Shared, Json(new): Json<NewBuild>) -> Response {
    let outcome = *platform.outcome.lock().unwrap();
    if outcome == Outcome::Refused {
        return refuse(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Deploys are frozen until Monday.",
        );
    }
    platform.asked.lock().unwrap().push(new);
    let id = BuildId::new();
    platform.builds.lock().unwrap().insert(id, outcome);
    let running = platform.running.fetch_add(1, Ordering::SeqCst) + 1;
    platform.most_running.fetch_max(running, Ordering::SeqCst);
    (StatusCode::CREATED, Json(shown(&platform, id))).into_response()
}

async fn build(State(platform): Shared, Path((_, id)): Path<(String, BuildId)>) -> Json<Build> {
    Json(shown(&platform, id))
}

fn shown(platform: &Platform, id: BuildId) -> Build {
    let outcome = platform.builds.lock().unwrap()[&id];
    let status = match outcome {
        _ if *platform.held.borrow() => BuildStatus::Pending,
        Outcome::BuildFails => BuildStatus::Failed,
        _ => BuildStatus::Succeeded,
    };
    // The release's id is the build's, so that its outcome is found again.
    let release = ReleaseReference {
        id: ReleaseId::from(id.as_uuid()),
    };
    Build {
        generation: "cedar".to_owned(),
        number: 1,
        cause: None,
        app: BuildApp { id: platform.app },
        buildpacks: None,
        created_at: Time::default(),
        id,
        output_stream_url: format!("http://platform.test:5000/output/{id}"),
        source_blob: api::builds::SourceBlob::default(),
        release: (status == BuildStatus::Succeeded).then_some(release),
        slug: None,
        stack: "landfall-13".to_owned(),
        status,
        updated_at: Time::default(),
        user: user(),
    }
}

async fn release(
    State(platform): Shared,
    Path((name, id)): Path<(String, ReleaseId)>,
) -> Json<Release> {
    let outcome = platform.builds.lock().unwrap()[&BuildId::from(id.as_uuid())];
    Json(Release {
        addon_plan_names: vec![],
        artifacts: vec![],
        app: AppReference {
            id: platform.app,
            name: name.parse().unwrap(),
        },
        created_at: Time::default(),
        description: "Deploy".to_owned(),
        id,
        updated_at: Time::default(),
        slug: None,
        status: match outcome {
            Outcome::ReleaseFails => ReleaseStatus::Failed,
            _ => ReleaseStatus::Succeeded,
        },
        user: user(),
        version: 3,
        current: true,
        output_stream_url: None,
        eligible_for_rollback: true,
    })
}

async fn output(State(platform): Shared, Path(id): Path<BuildId>) -> Response {
    let outcome = platform.builds.lock().unwrap()[&id];
    let begin = stream::iter([Ok::<_, std::io::Error>(Bytes::from(
        "-----> Python app detected\n",
    ))]);
    let end = stream::once(async move {
        platform
            .held
            .subscribe()
            .wait_for(|held| !held)
            .await
            .unwrap();
        platform.running.fetch_sub(1, Ordering::SeqCst);
        Ok(Bytes::from(match outcome {
            Outcome::BuildFails => " !     No matching distribution found for nope\n",
            _ => {
                "-----> Launching...\n       Released v3\n       http://example.localhost:8080/ deployed to Landfall\n\n"
            }
        }))
    });
    let body = axum::body::Body::from_stream(futures_util::StreamExt::chain(begin, end));
    body.into_response()
}
