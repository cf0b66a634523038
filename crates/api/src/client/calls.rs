//! The client's typed calls, one method each, in the order of the resources' names.
//!
//! A call that is missing here can be made with [`Client::call`].

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{Method, Uri, header};
use http_body_util::{BodyStream, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;

use super::{Body, BodyError, Client, ClientError};
use crate::{
    accounts::Account,
    apps::{App, AppUpdate, NewApp},
    build_records::BuildRecord,
    build_settings::BuildSettings,
    builds::{Build, NewBuild},
    config_vars::{ConfigVarUpdates, ConfigVars},
    domains::Domain,
    dynos::{Dyno, NewCopy, NewDyno, NewForward, NewInside},
    edge::Edge,
    formations::{Formation, FormationUpdates},
    images::{Compression, Image},
    log_sessions::{LogSession, NewLogSession},
    paths,
    releases::{NewRelease, Release},
    sleep::{Sleep, SleepUpdate},
    source_hooks::{NewSourceHook, SourceHook},
    source_repositories::{NewSourceRepository, SourceRepository},
    sources::Source,
    status::Status,
    status_notes::{NewStatusNote, StatusNote},
};

const NO_BODY: Option<&()> = None;

impl Client {
    /// The account that the token belongs to.
    pub async fn account(&self) -> Result<Account, ClientError> {
        self.call(Method::GET, paths::ACCOUNT, NO_BODY).await
    }

    /// Every app the account may see, at most a page.
    pub async fn apps(&self) -> Result<Vec<App>, ClientError> {
        self.call(Method::GET, paths::APPS, NO_BODY).await
    }

    /// An app by name or id.
    pub async fn app(&self, app: &str) -> Result<App, ClientError> {
        self.call(Method::GET, &paths::app(app), NO_BODY).await
    }

    /// The same app, for whoever may see its code, and nobody else.
    pub async fn app_code(&self, app: &str) -> Result<App, ClientError> {
        self.call(Method::GET, &paths::app_code(app), NO_BODY).await
    }

    /// Makes an app.
    pub async fn create_app(&self, app: &NewApp) -> Result<App, ClientError> {
        self.call(Method::POST, paths::APPS, Some(app)).await
    }

    /// Changes an app.
    pub async fn update_app(&self, app: &str, update: &AppUpdate) -> Result<App, ClientError> {
        self.call(Method::PATCH, &paths::app(app), Some(update))
            .await
    }

    /// Removes an app and everything of it.
    pub async fn delete_app(&self, app: &str) -> Result<App, ClientError> {
        self.call(Method::DELETE, &paths::app(app), NO_BODY).await
    }

    /// Every config var of an app.
    pub async fn config_vars(&self, app: &str) -> Result<ConfigVars, ClientError> {
        self.call(Method::GET, &paths::config_vars(app), NO_BODY)
            .await
    }

    /// Sets and removes config vars, which makes a release; answers with all that are left.
    pub async fn set_config_vars(
        &self,
        app: &str,
        updates: &ConfigVarUpdates,
    ) -> Result<ConfigVars, ClientError> {
        self.call(Method::PATCH, &paths::config_vars(app), Some(updates))
            .await
    }

    /// Makes a place to upload a source archive to.
    pub async fn create_source(&self) -> Result<Source, ClientError> {
        self.call(Method::POST, paths::SOURCES, NO_BODY).await
    }

    /// Uploads a source archive to its `put_url`, chunk by chunk.
    ///
    /// # Errors
    /// As every call; a stream that fails ends the upload as `Unreachable`.
    pub async fn put_source<E>(
        &self,
        put_url: &str,
        archive: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<(), ClientError>
    where
        E: Into<BodyError> + 'static,
    {
        let frames = archive.map(|chunk| chunk.map(Frame::data).map_err(Into::into));
        let body: Body = UnsyncBoxBody::new(StreamBody::new(frames));
        let path = path_of(put_url)?;
        let request = self.request(&Method::PUT, &path)?.body(body);
        let request = request.map_err(|_| ClientError::InvalidUrl {
            url: put_url.to_owned(),
        })?;
        self.send(request).await.map(drop)
    }

    /// Where an app's source is kept, if elsewhere.
    pub async fn source_repository(&self, app: &str) -> Result<SourceRepository, ClientError> {
        self.call(Method::GET, &paths::source_repository(app), NO_BODY)
            .await
    }

    /// Gives an app a source repository.
    pub async fn set_source_repository(
        &self,
        app: &str,
        new: &NewSourceRepository,
    ) -> Result<SourceRepository, ClientError> {
        self.call(Method::PUT, &paths::source_repository(app), Some(new))
            .await
    }

    /// Forgets an app's source repository.
    pub async fn delete_source_repository(
        &self,
        app: &str,
    ) -> Result<SourceRepository, ClientError> {
        self.call(Method::DELETE, &paths::source_repository(app), NO_BODY)
            .await
    }

    /// Makes a webhook; its secret is in no other answer.
    pub async fn create_source_hook(
        &self,
        app: &str,
        new: &NewSourceHook,
    ) -> Result<SourceHook, ClientError> {
        self.call(Method::POST, &paths::source_hooks(app), Some(new))
            .await
    }

    /// Builds a source.
    pub async fn create_build(&self, app: &str, build: &NewBuild) -> Result<Build, ClientError> {
        self.call(Method::POST, &paths::builds(app), Some(build))
            .await
    }

    /// A build by number or id.
    pub async fn build(
        &self,
        app: &str,
        build: impl std::fmt::Display,
    ) -> Result<Build, ClientError> {
        self.call(Method::GET, &paths::build(app, build), NO_BODY)
            .await
    }

    /// The newest builds first, at most `max`.
    pub async fn newest_builds(&self, app: &str, max: u16) -> Result<Vec<Build>, ClientError> {
        let path = paths::builds(app);
        let request = self
            .request(&Method::GET, &path)?
            .header(
                header::RANGE,
                format!("created_at ..; order=desc, max={max}"),
            )
            .body(super::empty_body())
            .map_err(|_| ClientError::InvalidUrl { url: path.clone() })?;
        self.answer(Method::GET, &path, request).await
    }

    /// How a build went; `build` is a number or id.
    pub async fn build_record(
        &self,
        app: &str,
        build: impl std::fmt::Display,
    ) -> Result<BuildRecord, ClientError> {
        let path = paths::build_record(app, build);
        self.call(Method::GET, &path, NO_BODY).await
    }

    /// Builds the source of an earlier build again; `build` is a number or id.
    pub async fn rebuild(
        &self,
        app: &str,
        build: impl std::fmt::Display,
    ) -> Result<Build, ClientError> {
        let path = paths::rebuild(app, build);
        self.call(Method::POST, &path, NO_BODY).await
    }

    /// Stops a build that waits or runs; `build` is a number or id.
    pub async fn cancel_build(
        &self,
        app: &str,
        build: impl std::fmt::Display,
    ) -> Result<Build, ClientError> {
        let path = paths::build(app, build);
        self.call(Method::DELETE, &path, NO_BODY).await
    }

    /// Output of a build or release from its `output_stream_url`, as it comes, until it is done.
    ///
    /// # Errors
    /// As every call; later, items of the stream are errors when the connection breaks.
    pub async fn stream_output(&self, url: &str) -> Result<OutputStream, ClientError> {
        let path = path_of(url)?;
        let request = self.request(&Method::GET, &path)?;
        let request = request
            .header(header::ACCEPT, "text/plain")
            .body(super::empty_body())
            .map_err(|_| ClientError::InvalidUrl {
                url: url.to_owned(),
            })?;
        let body = self.send(request).await?.into_body();
        let frames = BodyStream::new(body).filter_map(|frame| async move {
            match frame {
                Ok(frame) => frame.into_data().ok().map(Ok),
                Err(source) => Some(Err(ClientError::Unreachable {
                    step: "read an answer from",
                    server: "the server".to_owned(),
                    source,
                })),
            }
        });
        Ok(frames.boxed())
    }

    /// The newest releases first, at most `max`.
    pub async fn newest_releases(&self, app: &str, max: u16) -> Result<Vec<Release>, ClientError> {
        let request = self
            .request(&Method::GET, &paths::releases(app))?
            .header(header::RANGE, format!("version ..; order=desc, max={max}"))
            .body(super::empty_body())
            .map_err(|_| ClientError::InvalidUrl {
                url: paths::releases(app),
            })?;
        self.answer(Method::GET, &paths::releases(app), request)
            .await
    }

    /// A release by version or id.
    pub async fn release(&self, app: &str, release: &str) -> Result<Release, ClientError> {
        self.call(Method::GET, &paths::release(app, release), NO_BODY)
            .await
    }

    /// Deploys a slug, or rolls back.
    pub async fn create_release(
        &self,
        app: &str,
        release: &NewRelease,
    ) -> Result<Release, ClientError> {
        self.call(Method::POST, &paths::releases(app), Some(release))
            .await
    }

    /// Every process type's formation.
    pub async fn formation(&self, app: &str) -> Result<Vec<Formation>, ClientError> {
        self.call(Method::GET, &paths::formation(app), NO_BODY)
            .await
    }

    /// Scales; all updates are made, or none.
    pub async fn update_formation(
        &self,
        app: &str,
        updates: &FormationUpdates,
    ) -> Result<Vec<Formation>, ClientError> {
        self.call(Method::PATCH, &paths::formation(app), Some(updates))
            .await
    }

    /// Every dyno of an app.
    pub async fn dynos(&self, app: &str) -> Result<Vec<Dyno>, ClientError> {
        self.call(Method::GET, &paths::dynos(app), NO_BODY).await
    }

    /// Starts a one-off dyno.
    pub async fn create_dyno(&self, app: &str, dyno: &NewDyno) -> Result<Dyno, ClientError> {
        self.call(Method::POST, &paths::dynos(app), Some(dyno))
            .await
    }

    /// Runs a command inside a dyno.
    pub async fn run_inside(
        &self,
        app: &str,
        dyno: &str,
        inside: &NewInside,
    ) -> Result<Dyno, ClientError> {
        self.call(Method::POST, &paths::dyno(app, dyno), Some(inside))
            .await
    }

    /// Copies from or to a dyno.
    pub async fn create_dyno_copy(
        &self,
        app: &str,
        dyno: &str,
        copy: &NewCopy,
    ) -> Result<Dyno, ClientError> {
        self.call(Method::POST, &paths::dyno_copies(app, dyno), Some(copy))
            .await
    }

    /// Opens a way to a port of a dyno.
    pub async fn create_dyno_forward(
        &self,
        app: &str,
        dyno: &str,
        forward: &NewForward,
    ) -> Result<Dyno, ClientError> {
        self.call(
            Method::POST,
            &paths::dyno_forwards(app, dyno),
            Some(forward),
        )
        .await
    }

    /// Restarts every dyno of an app.
    pub async fn restart_dynos(&self, app: &str) -> Result<(), ClientError> {
        let _: serde_json::Value = self
            .call(Method::DELETE, &paths::dynos(app), NO_BODY)
            .await?;
        Ok(())
    }

    /// What the router does for an app beyond routing.
    pub async fn edge(&self, app: &str) -> Result<Edge, ClientError> {
        self.call(Method::GET, &paths::edge(app), NO_BODY).await
    }

    /// What of an app's source is built, when, and with which config vars.
    pub async fn build_settings(&self, app: &str) -> Result<BuildSettings, ClientError> {
        self.call(Method::GET, &paths::build_settings(app), NO_BODY)
            .await
    }

    /// Changes build settings by name; `null` is as if it were never set.
    pub async fn update_build_settings(
        &self,
        app: &str,
        update: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<BuildSettings, ClientError> {
        self.call(Method::PATCH, &paths::build_settings(app), Some(update))
            .await
    }

    /// Changes edge settings by name; `null` is off.
    pub async fn update_edge(
        &self,
        app: &str,
        update: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Edge, ClientError> {
        self.call(Method::PATCH, &paths::edge(app), Some(update))
            .await
    }

    /// What the status page shows; the router answers this, without a token.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.call(Method::GET, paths::STATUS, NO_BODY).await
    }

    /// What the operator says on the status page.
    pub async fn status_notes(&self) -> Result<Vec<StatusNote>, ClientError> {
        self.call(Method::GET, paths::STATUS_NOTES, NO_BODY).await
    }

    /// Says something there.
    pub async fn create_status_note(
        &self,
        note: &NewStatusNote,
    ) -> Result<StatusNote, ClientError> {
        self.call(Method::POST, paths::STATUS_NOTES, Some(note))
            .await
    }

    /// Takes it back.
    pub async fn delete_status_note(&self, note: &str) -> Result<StatusNote, ClientError> {
        self.call(Method::DELETE, &paths::status_note(note), NO_BODY)
            .await
    }

    /// When an app sleeps, and whether it does.
    pub async fn sleep(&self, app: &str) -> Result<Sleep, ClientError> {
        self.call(Method::GET, &paths::sleep(app), NO_BODY).await
    }

    /// Changes when an app sleeps.
    pub async fn update_sleep(
        &self,
        app: &str,
        update: &SleepUpdate,
    ) -> Result<Sleep, ClientError> {
        self.call(Method::PATCH, &paths::sleep(app), Some(update))
            .await
    }

    /// Lets an app fall asleep as soon as none of its requests is in flight.
    pub async fn put_to_sleep(&self, app: &str) -> Result<Sleep, ClientError> {
        self.call(Method::POST, &paths::sleep_action(app, "now"), NO_BODY)
            .await
    }

    /// Wakes an app.
    pub async fn wake(&self, app: &str) -> Result<Sleep, ClientError> {
        self.call(Method::POST, &paths::sleep_action(app, "wake"), NO_BODY)
            .await
    }

    /// How a slug's image stands.
    pub async fn image(
        &self,
        app: &str,
        slug: &str,
        compression: Compression,
    ) -> Result<Image, ClientError> {
        let path = paths::image(app, slug, compression);
        self.call(Method::GET, &path, NO_BODY).await
    }

    /// Has a slug's image written.
    pub async fn create_image(
        &self,
        app: &str,
        slug: &str,
        compression: Compression,
    ) -> Result<Image, ClientError> {
        let path = paths::image(app, slug, compression);
        self.call(Method::POST, &path, NO_BODY).await
    }

    /// A slug's image as one file, when it is ready.
    pub async fn image_archive(
        &self,
        app: &str,
        slug: &str,
        compression: Compression,
    ) -> Result<OutputStream, ClientError> {
        self.stream_output(&paths::image_archive(app, slug, compression))
            .await
    }

    /// Every domain of an app.
    pub async fn domains(&self, app: &str) -> Result<Vec<Domain>, ClientError> {
        self.call(Method::GET, &paths::domains(app), NO_BODY).await
    }

    /// Makes a secret URL to read the log from, with [`Client::stream_output`].
    pub async fn create_log_session(
        &self,
        app: &str,
        session: &NewLogSession,
    ) -> Result<LogSession, ClientError> {
        self.call(Method::POST, &paths::log_sessions(app), Some(session))
            .await
    }
}

/// Output as it comes.
pub type OutputStream = futures_util::stream::BoxStream<'static, Result<Bytes, ClientError>>;

/// The path and query of a URL that the server handed out; the transport knows the server.
fn path_of(url: &str) -> Result<String, ClientError> {
    let invalid = || ClientError::InvalidUrl {
        url: url.to_owned(),
    };
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    uri.path_and_query()
        .map(ToString::to_string)
        .ok_or_else(invalid)
}
