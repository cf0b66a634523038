//! Builds: a source becomes a slug and the slug a live release, told line by line.
//!
//! A build belongs to the platform, not to who asked for it: a client that goes away stops
//! nothing. The output ends when the release is live or has failed.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    ids::{AppId, BuildId},
    names::ProcessType,
};
use builder::{BuildRequest, BuiltSlug};
use futures_util::{StreamExt, stream::BoxStream};
use logs::LogSource;
use store::{
    App, Build, BuildOutcome, NewBuild, NewRelease, NewSlug, Release, ReleaseStatus, StoreError,
};
use tokio::sync::{RwLock, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    Caller, Platform,
    caller::system_change,
    error::{Error, Result},
    outputs::OutputWriter,
    reconcile::perform::chain,
    releases::has_release_phase,
};

/// Output lines on their way from the builder; a slow disk holds the builder back.
const LINE_BUFFER: usize = 256;

/// A push that waits longer than this for its release is told what for.
const QUIET_WAIT: Duration = Duration::from_secs(5);
/// Said when nothing of an app will receive requests.
const NO_WEB: [&str; 3] = [
    " !     No web process type: nothing will answer at the app's URL.",
    "       hint: add a line such as `web: COMMAND` to the file `Procfile` in the app's root",
    "       (mind the spelling and the capital P), commit it and push again.",
];

/// What to build.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The URL of a source made with `POST /sources`.
    pub source_url: String,
    /// A commit or any other name for the source.
    pub version: Option<String>,
    /// Buildpacks for this build only; empty means the app's own, or detection.
    pub buildpacks: Vec<String>,
}

/// Builds under way. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Builds {
    cancels: Arc<Mutex<HashMap<BuildId, CancellationToken>>>,
    app_locks: Arc<Mutex<HashMap<AppId, Arc<tokio::sync::Mutex<()>>>>>,
    permits: Arc<Mutex<Option<Arc<Semaphore>>>>,
    /// Held for reading while a build is between its row and its entry in `cancels`.
    beginning: Arc<RwLock<()>>,
}

impl Builds {
    fn app_lock(&self, app: AppId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self
            .app_locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(app).or_default())
    }

    fn permits(&self, count: usize) -> Arc<Semaphore> {
        let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(permits.get_or_insert_with(|| Arc::new(Semaphore::new(count))))
    }

    fn begin(&self, build: BuildId) -> CancellationToken {
        let token = CancellationToken::new();
        let mut cancels = self.cancels.lock().unwrap_or_else(PoisonError::into_inner);
        cancels.insert(build, token.clone());
        token
    }

    fn end(&self, build: BuildId) {
        self.cancels().remove(&build);
    }

    fn cancel(&self, build: BuildId) {
        if let Some(cancel) = self.cancels().get(&build) {
            cancel.cancel();
        }
    }

    fn is_running(&self, build: BuildId) -> bool {
        self.cancels().contains_key(&build)
    }

    fn cancels(&self) -> MutexGuard<'_, HashMap<BuildId, CancellationToken>> {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One build on its way.
struct Work {
    app: App,
    build: Build,
    caller: Caller,
    archive: PathBuf,
    cancel: CancellationToken,
}

impl Platform {
    /// Starts a build and returns at once; [`Platform::build_output`] tells how it goes.
    ///
    /// # Errors
    /// `NotFound` for the app or a source that was not uploaded.
    pub async fn create_build(&self, caller: &Caller, app: AppId, wish: Wish) -> Result<Build> {
        let app = self.store.app(app).await?;
        let archive = self.source_archive(&wish.source_url).await?;
        let buildpacks = if wish.buildpacks.is_empty() {
            let chosen = self.store.buildpacks(app.id).await?;
            chosen
                .into_iter()
                .map(|installation| installation.url)
                .collect()
        } else {
            wish.buildpacks
        };
        let new = NewBuild {
            app: app.id,
            account: caller.account,
            stack: app.build_stack.clone(),
            source: None,
            source_url: Some(wish.source_url),
            commit: wish.version,
            buildpacks,
        };
        let beginning = self.running_builds.beginning.read().await;
        let build = self.store.create_build(&caller.change(), &new).await?;
        let cancel = self.running_builds.begin(build.id);
        drop(beginning);
        let output = match self.outputs.write(build.id.as_uuid()).await {
            Ok(output) => output,
            Err(error) => {
                self.end_build(&build, chain(&error)).await;
                return Err(error);
            }
        };
        let work = Work {
            app,
            build: build.clone(),
            caller: caller.clone(),
            archive,
            cancel,
        };
        let platform = self.clone();
        let (carried, begun) = (self.clone(), build.clone());
        tokio::spawn(async move {
            let carrying = tokio::spawn(async move { carried.carry_out(work, output).await });
            if carrying.await.is_err() {
                let message = "The platform broke down while building.".to_owned();
                platform.end_build(&begun, message).await;
            }
            platform.nudges.nudge(begun.app);
        });
        Ok(build)
    }

    /// An app's builds.
    pub async fn builds(&self, app: AppId) -> Result<Vec<Build>> {
        Ok(self.store.builds(app).await?)
    }

    /// One build.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn build(&self, app: AppId, id: BuildId) -> Result<Build> {
        Ok(self.store.build(app, id).await?)
    }

    /// What a build printed from byte `offset` on, live until it has ended.
    pub fn build_output(
        &self,
        build: BuildId,
        offset: u64,
    ) -> BoxStream<'static, std::io::Result<Vec<u8>>> {
        self.outputs.read(build.as_uuid(), offset)
    }

    /// Stops a build that is under way; one that has ended stays as it is.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn cancel_build(&self, app: AppId, id: BuildId) -> Result<Build> {
        let build = self.store.build(app, id).await?;
        self.running_builds.cancel(id);
        Ok(build)
    }

    /// Fails the builds a former server process left unfinished; those of this one go on.
    pub(crate) async fn fail_interrupted_builds(&self) -> Result<()> {
        let interrupted = {
            let _nobody_begins_any = self.running_builds.beginning.write().await;
            let mut pending = self.store.pending_builds().await?;
            pending.retain(|build| !self.running_builds.is_running(build.id));
            pending
        };
        for build in interrupted {
            let message = "The server was restarted during this build. Push again.";
            let told = async {
                let mut output = self.outputs.write(build.id.as_uuid()).await?;
                output.line(&format!(" !     {message}")).await
            };
            if let Err(error) = told.await {
                tracing::warn!(build = %build.id, error = &error as &dyn std::error::Error, "cannot write build output");
            }
            self.end_build(&build, message.to_owned()).await;
        }
        Ok(())
    }

    /// Fails a build, unless it has ended.
    async fn end_build(&self, build: &Build, message: String) {
        self.running_builds.end(build.id);
        let outcome = BuildOutcome::Failed { message };
        let change = system_change("the build failed");
        match self.store.finish_build(&change, build.id, &outcome).await {
            Ok(_) | Err(StoreError::Stale { .. } | StoreError::NotFound { .. }) => {}
            Err(error) => {
                tracing::error!(build = %build.id, error = &error as &dyn std::error::Error, "cannot record that a build failed");
            }
        }
    }

    async fn carry_out(&self, work: Work, mut output: OutputWriter) {
        let user = &work.caller.email;
        self.say(
            work.app.id,
            LogSource::App,
            "api",
            format!("Build started by user {user}"),
        )
        .await;
        let result = self.build_and_release(&work, &mut output).await;
        self.running_builds.end(work.build.id);
        let verdict = match &result {
            Ok(()) => "Build succeeded".to_owned(),
            Err(error) => {
                tracing::info!(app = %work.app.name, error = error as &dyn std::error::Error, "a build failed");
                format!("Build failed -- {}", first_line(&chain(error)))
            }
        };
        self.say(work.app.id, LogSource::App, "api", verdict).await;
        if let Err(error) = result {
            self.record_failure(&work, &error, &mut output).await;
        }
    }

    async fn build_and_release(&self, work: &Work, output: &mut OutputWriter) -> Result<()> {
        let app_lock = self.running_builds.app_lock(work.app.id);
        let building = async {
            let turn = app_lock.lock().await;
            // Other apps need not wait until this one's release is live, but its next build does.
            let permits = self.running_builds.permits(self.settings.concurrent_builds);
            let _permit = permits.acquire().await.map_err(|_| Error::Unavailable {
                message: "The platform is going down.".to_owned(),
            })?;
            Ok::<_, Error>((turn, self.make_slug(work, output).await?))
        };
        let (_turn, built) = tokio::select! {
            built = building => built?,
            () = work.cancel.cancelled() => {
                return Err(Error::Invalid { message: "Build canceled.".to_owned() });
            }
        };
        let has_web = built.process_types.keys().any(ProcessType::is_web);
        let release = self.record_slug(work, built).await?;
        output.line("-----> Launching...").await?;
        if !has_web {
            for line in NO_WEB {
                output.line(line).await?;
            }
        }
        self.tell_release(work, &release, output).await
    }

    /// Runs the builder while its lines go to the output.
    async fn make_slug(&self, work: &Work, output: &mut OutputWriter) -> Result<BuiltSlug> {
        let (sender, mut lines) = mpsc::channel::<String>(LINE_BUFFER);
        let request = BuildRequest {
            build: work.build.id,
            app: work.app.id,
            stack: work.build.stack.clone(),
            archive: work.archive.clone(),
            buildpacks: work.build.buildpacks.clone(),
            config_vars: self.store.config_vars(work.app.id).await?,
            commit: work.build.commit.clone(),
        };
        // Owns the receiving end, so that a full disk does not leave the builder waiting for ever.
        let copying = async move {
            while let Some(line) = lines.recv().await {
                output.line(&line).await?;
            }
            Ok::<(), Error>(())
        };
        let (built, copied) = tokio::join!(self.builder.build(request, sender), copying);
        copied?;
        Ok(built?)
    }

    /// Puts slug and release on record; from here on the reconciler brings the release live.
    async fn record_slug(&self, work: &Work, built: BuiltSlug) -> Result<Release> {
        let change = work.caller.change();
        let slug = NewSlug {
            app: work.app.id,
            stack: work.build.stack.clone(),
            commit: work.build.commit.clone(),
            language: built.language,
            layers: built.layers,
            process_types: built.process_types,
            env: built.env,
            size_bytes: built.size_bytes,
            checksum: built.checksum,
        };
        let slug = self.store.create_slug(&change, &slug).await?;
        let commit = work.build.commit.as_deref().unwrap_or("source");
        let new = NewRelease {
            app: work.app.id,
            account: work.caller.account,
            description: format!("Deploy {}", commit.get(..8).unwrap_or(commit)),
            slug: Some(slug.id),
            config_updates: None,
            config_replacement: None,
            output_stream: has_release_phase(&slug),
        };
        let (_, release) = self
            .store
            .finish_build_with_release(&change, work.build.id, &new)
            .await?;
        self.announce_release(&work.caller, &release).await;
        Ok(release)
    }

    /// Follows a release until it is live or has failed.
    async fn tell_release(
        &self,
        work: &Work,
        release: &Release,
        output: &mut OutputWriter,
    ) -> Result<()> {
        if release.output_stream {
            output.line("-----> Running release command...").await?;
            self.copy_release_output(release, output).await?;
        }
        let finished = self.await_boot(work, release, output).await?;
        if finished.status == ReleaseStatus::Succeeded {
            output
                .line(&format!("       Released v{}", finished.version))
                .await?;
            let url = self.settings.web_url(&work.app.name);
            output
                .line(&format!("       {url} deployed to Landfall"))
                .await?;
            return Ok(());
        }
        let message = finished.failure_message.unwrap_or_default();
        for (index, line) in message.lines().enumerate() {
            let mark = if index == 0 { " !     " } else { "       " };
            output.line(&format!("{mark}{line}")).await?;
        }
        Ok(())
    }

    /// Waits for the release, and says so once if that takes a while.
    async fn await_boot(
        &self,
        work: &Work,
        release: &Release,
        output: &mut OutputWriter,
    ) -> Result<Release> {
        let mut decided = std::pin::pin!(self.await_release(work.app.id, release.id));
        if let Ok(finished) = tokio::time::timeout(QUIET_WAIT, decided.as_mut()).await {
            return finished;
        }
        let seconds = self.settings.boot_timeout.as_secs();
        let text = format!("       Waiting for web to answer on $PORT, at most {seconds} seconds");
        output.line(&text).await?;
        decided.await
    }

    /// Copies what the release phase prints, as it comes.
    async fn copy_release_output(
        &self,
        release: &Release,
        output: &mut OutputWriter,
    ) -> Result<()> {
        let id = release.id.as_uuid();
        let mut changes = self.nudges.changes();
        loop {
            changes.borrow_and_update();
            let now = self.store.release(release.app, release.id).await?;
            if now.status != ReleaseStatus::Pending || self.outputs.is_live(id) {
                break;
            }
            if changes.changed().await.is_err() {
                return Ok(());
            }
        }
        let mut stream = self.outputs.read(id, 0);
        let mut text = Vec::new();
        while let Some(Ok(bytes)) = stream.next().await {
            text.extend_from_slice(&bytes);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                output.line(&format!("       {}", line.trim_end())).await?;
            }
        }
        Ok(())
    }

    async fn record_failure(&self, work: &Work, error: &Error, output: &mut OutputWriter) {
        let message = chain(error);
        if !matches!(error, Error::Build(_)) {
            // The builder has told its own failures already, in the output.
            if let Err(error) = output.line(&format!(" !     {message}")).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot write build output"
                );
            }
        }
        self.end_build(&work.build, message).await;
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
