//! Builds: a source becomes a slug and the slug a live release, told line by line.
//!
//! A build belongs to the platform, not to who asked for it: a client that goes away stops
//! nothing. The output ends when the release is live or has failed. Whose build is next: [`queue`].

mod queue;
mod release;
mod turns;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use api::{
    build_records::Phase,
    clock::Time,
    ids::{AppId, BuildId},
    names::ProcessType,
};
use builder::{BuildOrder, BuildRequest, Built, Journal};
use futures_util::stream::BoxStream;
use logs::LogSource;
use store::{App, Build, BuildCause, BuildOutcome, NewBuild, Release, StoreError};
use tokio::sync::{RwLock, mpsc};
use tokio_util::sync::CancellationToken;

use self::{
    queue::Full,
    turns::{Turn, Turns},
};
use crate::{
    Caller, Platform,
    build_settings::Watched,
    caller::system_change,
    error::{Error, Result},
    fetches::{SourceOf, checksum_told},
    outputs::OutputWriter,
    reconcile::perform::chain,
    registry::release::container_stack,
};

/// Output lines on their way from the builder; a slow disk holds the builder back.
const LINE_BUFFER: usize = 256;

/// Said when nothing of an app will receive requests.
const NO_WEB: [&str; 3] = [
    " !     No web process type: nothing will answer at the app's URL.",
    "       hint: add a line such as `web: COMMAND` to the file `Procfile` in the app's root",
    "       (mind the spelling and the capital P), commit it and push again.",
];

/// Said of an app that runs from images, when its source is pushed.
const NO_IMAGE_BUILDS: &str = "The app's stack is container, and images are not built here. hint: \
    build the image where Docker is, push it to the registry and release it (docs/guide/images.md); \
    or choose a stack to build on, with `heroku stack:set`.";

/// What to build.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The URL of a source made with `POST /sources`, of an archive elsewhere, or `git+` and that of
    /// a repository, with `#` and a branch behind it or not.
    pub source_url: String,
    /// A commit or any other name for the source.
    pub version: Option<String>,
    /// `SHA256:…` that the archive must have.
    pub checksum: Option<String>,
    /// Buildpacks for this build only; empty means the app's own, or detection.
    pub buildpacks: Vec<String>,
    /// What it is asked for by.
    pub cause: BuildCause,
    /// Where the time went before: `receive` and `checkout`; others are not looked at.
    pub phases: Vec<Phase>,
}

/// Builds under way. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Builds {
    cancels: Arc<Mutex<HashMap<BuildId, CancellationToken>>>,
    turns: Turns,
    /// Held for reading while a build is between its row and its entry in `cancels`.
    beginning: Arc<RwLock<()>>,
}

impl Builds {
    /// None yet; so many at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            cancels: Arc::default(),
            turns: Turns::new(at_once),
            beginning: Arc::default(),
        }
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

    /// Whether any build waits or runs.
    pub(crate) fn is_building(&self) -> bool {
        !self.cancels().is_empty()
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
    source: SourceOf,
    /// What fetching told.
    fetched_commit: OnceLock<String>,
    cancel: CancellationToken,
    turn: Turn,
    entered_at: Time,
    journal: Journal,
}

impl Work {
    /// Which version of the source it is. Clients that know none may say so by an empty name.
    fn commit(&self) -> Option<&String> {
        let told = self.build.commit.as_ref();
        self.fetched_commit
            .get()
            .or(told.filter(|version| !version.is_empty()))
    }
}

impl Platform {
    /// Starts a build and returns at once; [`Platform::build_output`] tells how it goes.
    ///
    /// # Errors
    /// `NotFound` for the app or a source that was not uploaded.
    pub async fn create_build(&self, caller: &Caller, app: AppId, wish: Wish) -> Result<Build> {
        let app = self.store.app(app).await?;
        let checksum = checksum_told(wish.checksum)?;
        let source = self.source_of(&app, &wish.source_url, checksum).await?;
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
            cause: wish.cause,
            rebuild_of: None,
        };
        let journal = self.journal(app.id);
        for phase in wish.phases {
            let known = ["receive", "checkout"].into_iter();
            if let Some(name) = known.into_iter().find(|name| *name == phase.name) {
                journal.spend(name, Duration::from_micros(phase.duration_us));
            }
        }
        self.begin_build(caller, app, (new, source, journal)).await
    }

    /// Builds the source of an earlier build again, on the same stack and with the same
    /// buildpacks.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when its source is no longer kept.
    pub async fn rebuild(&self, caller: &Caller, app: AppId, which: &str) -> Result<Build> {
        let former = self.find_build(app, which).await?;
        let layer = self.kept_source(&former).await?;
        let layer = layer.ok_or_else(|| Error::Invalid {
            message: format!(
                "The source of build {} is no longer kept. hint: push it again.",
                former.number
            ),
        })?;
        let app = self.store.app(app).await?;
        let new = NewBuild {
            app: app.id,
            account: caller.account,
            stack: former.stack,
            source: None,
            source_url: None,
            commit: former.commit,
            buildpacks: former.buildpacks,
            cause: BuildCause::Rebuild,
            rebuild_of: Some(former.number),
        };
        let journal = self.journal(app.id);
        self.begin_build(caller, app, (new, SourceOf::Layer(layer), journal))
            .await
    }

    async fn begin_build(
        &self,
        caller: &Caller,
        app: App,
        (new, source, journal): (NewBuild, SourceOf, Journal),
    ) -> Result<Build> {
        if new.stack == container_stack() {
            return Err(Error::Invalid {
                message: NO_IMAGE_BUILDS.to_owned(),
            });
        }
        self.check_room()?;
        self.check_disk_quota(app.id).await?;
        let turn = self.running_builds.turns.enter(app.id, app.owner);
        let turn = turn.map_err(|full| Error::Unavailable {
            message: match full {
                Full::App(count) => format!("{count} builds of this app wait already."),
                Full::All(count) => format!("{count} builds wait already. Try again later."),
            },
        })?;
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
            source,
            fetched_commit: OnceLock::new(),
            cancel,
            turn,
            entered_at: self.clock.now(),
            journal,
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

    /// One build, by number or id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find_build(&self, app: AppId, number_or_id: &str) -> Result<Build> {
        if let Ok(id) = number_or_id.parse() {
            return self.build(app, id).await;
        }
        let number = number_or_id.parse().map_err(|_| Error::NotFound {
            resource: "build",
            name: number_or_id.to_owned(),
        })?;
        Ok(self.store.build_by_number(app, number).await?)
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
    pub async fn cancel_build(&self, app: AppId, number_or_id: &str) -> Result<Build> {
        let build = self.find_build(app, number_or_id).await?;
        self.running_builds.cancel(build.id);
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
            self.remove_fetched(build.id).await;
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
        self.remove_fetched(work.build.id).await;
        self.running_builds.end(work.build.id);
        self.keep_build_record(&work.build, &work.journal).await;
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
        let building = async {
            self.await_turn(work, output).await?;
            self.make_slug(work, output).await
        };
        let (built, watched) = tokio::select! {
            built = building => built?,
            () = work.cancel.cancelled() => {
                return Err(Error::Invalid { message: "Build canceled.".to_owned() });
            }
        };
        // Other apps need not wait until this one's release is live, but its next build does.
        work.turn.release();
        let built = match (built, watched) {
            (Built::Slug(built), _) => *built,
            (Built::Unchanged, watched) => return self.keep_release(work, watched, output).await,
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

    /// Waits for a place in the queue, and says for what.
    async fn await_turn(&self, work: &Work, output: &mut OutputWriter) -> Result<()> {
        let mut known = None;
        while let Some(ahead) = work.turn.news(known).await {
            output
                .line(&format!("-----> {}", turns::told(ahead)))
                .await?;
            known = Some(ahead);
        }
        let waited = self.clock.now().since(work.entered_at);
        work.journal.spend("queue", waited);
        Ok(())
    }

    /// Runs the builder while its lines go to the output.
    async fn make_slug(
        &self,
        work: &Work,
        output: &mut OutputWriter,
    ) -> Result<(Built, Option<Release>)> {
        let (sender, mut lines) = mpsc::channel::<String>(LINE_BUFFER);
        let config_vars = self.store.config_vars(work.app.id).await?;
        let settings = self.store.build_settings(work.app.id).await?;
        let (live, release) = match self.watched(work.app.id).await? {
            Some(Watched { release, digest }) => (Some(digest), Some(release)),
            None => (None, None),
        };
        let building = async {
            let which = (&work.app, &work.build);
            let brought = self.bring_source(which, &work.source, &sender).await?;
            if let Some(commit) = brought.commit {
                work.fetched_commit.get_or_init(|| commit);
            }
            let request = BuildRequest {
                build: work.build.id,
                app: work.app.id,
                stack: work.build.stack.clone(),
                archive: brought.archive,
                buildpacks: work.build.buildpacks.clone(),
                config_vars,
                commit: work.commit().cloned(),
            };
            let order = BuildOrder {
                request,
                source_layer: brought.layer,
                settings,
                live,
                journal: work.journal.clone(),
            };
            Ok::<_, Error>(self.builder.carry_out(order, sender).await?)
        };
        // Owns the receiving end, so that a full disk does not leave the builder waiting for ever.
        let copying = async move {
            while let Some(line) = lines.recv().await {
                output.line(&line).await?;
            }
            Ok::<(), Error>(())
        };
        let (built, copied) = tokio::join!(building, copying);
        copied?;
        Ok((built?, release))
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
