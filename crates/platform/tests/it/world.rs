//! One platform with everything around it, and short ways to use it.

use std::{collections::BTreeMap, future::Future, path::Path, sync::Arc, time::Duration};

use api::{
    apps::{AppUpdate, NewApp},
    clock::Clock,
    ids::{AppId, DynoId},
};
use builder::{Builder, BuilderConfig};
use engine::{
    DynoReport, DynoState,
    sim::{SimConfig, SimEngine},
};
use futures_util::StreamExt;
use logs::{Filter, Logs, LogsConfig};
use platform::{Caller, Platform, Rooms, Settings, formations::Scaling};
use store::{
    Account, App, Change, Dyno, Formation, NewSlug, Release, ReleaseStatus, Slug, Store,
    StoreConfig,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::router::RecordingRouter;

/// Nothing takes this long unless it will never happen.
const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(3);

/// How a platform is set up for a story.
pub(crate) struct Options {
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) boot: Duration,
    pub(crate) boot_timeout: Duration,
    pub(crate) cycle_every: Option<Duration>,
    pub(crate) attach_within: Duration,
    pub(crate) acme: Option<platform::acme::AcmeSettings>,
    pub(crate) disk_reserve_bytes: u64,
    pub(crate) app_disk_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            seed: 0,
            boot: Duration::ZERO,
            boot_timeout: Duration::from_mins(1),
            cycle_every: None,
            attach_within: platform::rendezvous::PATIENCE,
            acme: None,
            disk_reserve_bytes: 0,
            app_disk_bytes: 0,
        }
    }
}

/// A machine: its dynos, its disk, its router; and the server process, which may be restarted.
pub(crate) struct World {
    pub(crate) engine: SimEngine,
    pub(crate) router: RecordingRouter,
    pub(crate) options: Options,
    pub(crate) directory: TempDir,
    server: Option<Server>,
}

/// What a server process holds. Its runtime is its process: when that goes, all of it stops.
struct Server {
    runtime: Runtime,
    platform: Platform,
    store: Store,
    logs: Logs,
    account: Account,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let router = RecordingRouter::listen(&directory.path().join("router.sock"));
        Self::made(options, directory, router)
    }

    /// With a real router in the place of the one that records: `front` is given the socket that
    /// it must listen on.
    pub(crate) fn behind(mut options: Options, front: impl FnOnce(&Path, &mut Options)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        front(&directory.path().join("router.sock"), &mut options);
        let nobodys = RecordingRouter::listen(&directory.path().join("nobody.sock"));
        Self::made(options, directory, nobodys)
    }

    fn made(options: Options, directory: TempDir, router: RecordingRouter) -> Self {
        let engine = SimEngine::new(SimConfig {
            clock: options.clock.clone(),
            seed: options.seed,
            boot: options.boot,
            stacks: Vec::new(),
            wakers: Some(directory.path().join("wakers")),
        });
        let mut world = Self {
            engine,
            router,
            options,
            directory,
            server: None,
        };
        world.start();
        world
    }

    /// Ends the server as `kill -9` would, and leaves everything else.
    pub(crate) fn kill(&mut self) {
        let server = self.server.take().expect("the server runs");
        server.runtime.shutdown_timeout(DEADLINE);
    }

    /// Starts the server over what is there.
    pub(crate) fn start(&mut self) {
        self.start_idle();
        let server = self.server();
        let platform = server.platform.clone();
        server
            .runtime
            .spawn(async move { platform.run().await.expect("the reconcilers run") });
    }

    /// Starts a server that looks at nothing yet.
    pub(crate) fn start_idle(&mut self) {
        self.server = Some(self.open());
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        self.start();
    }

    fn open(&self) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let path = self.directory.path();
        let clock = self.options.clock.clone();
        let (platform, store, logs, account) = runtime.block_on(async {
            let config = StoreConfig::sqlite(&path.join("landfall.db"), [7; 32], clock.clone());
            let store = Store::open(config).await.unwrap();
            let logs = Logs::open(LogsConfig::new(path.join("logs"), clock.clone())).unwrap();
            let engine: Arc<dyn engine::Engine> = Arc::new(self.engine.clone());
            let rooms = Rooms {
                store: store.clone(),
                engine: Arc::clone(&engine),
                builder: Arc::new(Builder::new(engine, self.builder_config())),
                logs: logs.clone(),
                feed: router::Feed::connect(path.join("router.sock")),
                clock,
            };
            let platform = Platform::open(rooms, self.settings()).unwrap();
            let account = platform.ensure_account("owner@example.com", "token").await;
            (platform, store, logs, account.unwrap())
        });
        Server {
            runtime,
            platform,
            store,
            logs,
            account,
        }
    }

    fn builder_config(&self) -> BuilderConfig {
        let path = self.directory.path();
        BuilderConfig {
            layers: path.join("layers"),
            work: path.join("build"),
            cache: path.join("cache"),
            layer_owner: 0,
            clock: self.options.clock.clone(),
        }
    }

    fn settings(&self) -> Settings {
        let path = self.directory.path();
        let stack: api::names::StackName = "landfall-13".parse().unwrap();
        Settings {
            app_domain: "localhost".to_owned(),
            http_addr: ([127, 0, 0, 1], 8080).into(),
            https_addr: ([127, 0, 0, 1], 8443).into(),
            api_url: "http://localhost:5000".to_owned(),
            git_url: "http://localhost:5000".to_owned(),
            rendezvous: "localhost:5000".to_owned(),
            default_stack: stack.clone(),
            stacks: vec![stack],
            layers_dir: path.join("layers"),
            outputs_dir: path.join("outputs"),
            sources_dir: path.join("sources"),
            git_dir: path.join("git"),
            router_spool_dir: path.join("spool"),
            boot_timeout: self.options.boot_timeout,
            stop_grace: Duration::from_secs(30),
            attach_within: self.options.attach_within,
            concurrent_builds: 2,
            disk_reserve_bytes: self.options.disk_reserve_bytes,
            app_disk_bytes: self.options.app_disk_bytes,
            sizes: platform::sizes::Sizes::default(),
            cycle_every: self.options.cycle_every,
            processors: 2,
            private_targets: Vec::new(),
            acme: self.options.acme.clone(),
            url_secret: [1; 32],
        }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.server().platform
    }

    pub(crate) fn store(&self) -> &Store {
        &self.server().store
    }

    pub(crate) fn caller(&self) -> Caller {
        let Account { id, email, .. } = self.server().account.clone();
        Caller {
            account: id,
            email,
            origin: "127.0.0.1".to_owned(),
            request_id: "a-request".to_owned(),
            cause: "a story".to_owned(),
        }
    }

    /// Runs to its end, which must come before the deadline.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let bounded = async { tokio::time::timeout(DEADLINE, future).await };
        self.server()
            .runtime
            .block_on(bounded)
            .expect("it ends before the deadline")
    }

    /// Waits until `look` finds what it looks for.
    pub(crate) fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        self.poll(look)
            .unwrap_or_else(|| panic!("never came true: {what}"))
    }

    fn poll<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let polls = DEADLINE.as_millis() / POLL.as_millis();
        (0..polls).find_map(|_| {
            let found = look();
            if found.is_none() {
                self.rest();
            }
            found
        })
    }

    /// Lets the server go on for a moment.
    pub(crate) fn rest(&self) {
        self.wait(async { tokio::time::sleep(POLL).await });
    }

    // Doing.

    pub(crate) fn app(&self, name: &str) -> App {
        let new = NewApp {
            name: Some(name.to_owned()),
            region: None,
            stack: None,
        };
        self.wait(self.platform().create_app(&self.caller(), new))
            .unwrap()
    }

    pub(crate) fn slug(&self, app: &App, process_types: &[(&str, &str)]) -> Slug {
        let process_types = process_types
            .iter()
            .map(|(process_type, command)| (process_type.parse().unwrap(), (*command).to_owned()));
        let new = NewSlug {
            app: app.id,
            stack: "landfall-13".parse().unwrap(),
            commit: Some("1a2b3c4d5e6f".to_owned()),
            language: "Python".to_owned(),
            layers: vec!["layer".to_owned()],
            process_types: process_types.collect(),
            images: BTreeMap::new(),
            env: BTreeMap::new(),
            size_bytes: 1,
            checksum: "SHA256:00".to_owned(),
        };
        let change = Change::by_system("story", "a build");
        self.wait(self.store().create_slug(&change, &new)).unwrap()
    }

    /// Releases process types, and does not wait for what becomes of it.
    pub(crate) fn release(&self, app: &App, process_types: &[(&str, &str)]) -> Release {
        let slug = self.slug(app, process_types);
        let caller = self.caller();
        let release = self
            .platform()
            .create_release(&caller, app.id, slug.id, None);
        self.wait(release).unwrap()
    }

    /// Releases process types and waits until that is live or has failed.
    pub(crate) fn deploy(&self, app: &App, process_types: &[(&str, &str)]) -> Release {
        let release = self.release(app, process_types);
        self.finished(&release)
    }

    pub(crate) fn finished(&self, release: &Release) -> Release {
        self.wait(self.platform().await_release(release.app, release.id))
            .unwrap()
    }

    /// An app whose release of these process types is live.
    pub(crate) fn live_app(&self, process_types: &[(&str, &str)]) -> App {
        let app = self.app("example");
        let release = self.deploy(&app, process_types);
        assert_eq!(release.status, ReleaseStatus::Succeeded, "{release:?}");
        self.settle(&app);
        app
    }

    pub(crate) fn set(&self, app: &App, name: &str, value: &str) -> Release {
        let updates = BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]);
        let caller = self.caller();
        let release = self.platform().set_config_vars(&caller, app.id, updates);
        self.wait(release).unwrap()
    }

    pub(crate) fn scale(&self, app: &App, process_type: &str, quantity: u32) {
        self.try_scale(app, process_type, quantity).unwrap();
    }

    pub(crate) fn try_scale(
        &self,
        app: &App,
        process_type: &str,
        quantity: u32,
    ) -> platform::Result<()> {
        let scalings = [Scaling {
            process_type: process_type.to_owned(),
            quantity: Some(quantity),
            size: None,
        }];
        let caller = self.caller();
        let scaled = self.platform().update_formation(&caller, app.id, &scalings);
        self.wait(async { scaled.await.map(|_| ()) })
    }

    /// Has the app looked at, for stories whose clock stands still.
    pub(crate) fn nudge(&self, app: &App) {
        let caller = self.caller();
        let nudged = self
            .platform()
            .update_app(&caller, app, AppUpdate::default());
        self.wait(async { nudged.await.map(|_| ()) }).unwrap();
    }

    // Looking.

    pub(crate) fn rows(&self, app: &App) -> Vec<Dyno> {
        self.wait(self.store().dynos(app.id)).unwrap()
    }

    /// Dynos that the engine runs for the app, `web.1` and id, by name.
    pub(crate) fn running(&self, app: &App) -> Vec<(String, DynoId)> {
        let mut running: Vec<(String, DynoId)> = self
            .reports(app)
            .into_iter()
            .filter(|report| report.state == DynoState::Running)
            .map(|report| (report.name.to_string(), report.id))
            .collect();
        running.sort();
        running
    }

    pub(crate) fn names(&self, app: &App) -> Vec<String> {
        self.running(app)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    pub(crate) fn reports(&self, app: &App) -> Vec<DynoReport> {
        let mut reports = self.engine.reports();
        reports.retain(|report| report.app == app.id);
        reports
    }

    /// Ids of the dynos that the router sends requests to.
    pub(crate) fn serving(&self, app: &App) -> Vec<DynoId> {
        serving(&self.router, app.id)
    }

    /// Every line of the app's log, as `app[web.1]: text`.
    pub(crate) fn log(&self, app: &App) -> Vec<String> {
        let filter = Filter {
            lines: 1500,
            ..Filter::default()
        };
        self.wait(async {
            let lines = self.server().logs.tail(app.id, filter).await.unwrap();
            let text = lines.map(|line| {
                let line = line.format();
                line.split_once(' ').unwrap().1.to_owned()
            });
            text.collect().await
        })
    }

    /// Waits until a line of the log ends so.
    pub(crate) fn logged(&self, app: &App, end: &str) -> String {
        self.until(&format!("the log says {end}"), || {
            self.log(app).into_iter().find(|line| line.ends_with(end))
        })
    }

    /// Waits until nothing is left to do: no release is pending, every row is a dyno that runs for
    /// the serving release, the engine has no other, and the router sends requests to the web ones.
    pub(crate) fn settle(&self, app: &App) {
        let mut why = None;
        let settled = self.poll(|| {
            why = self.unsettled(app);
            why.is_none().then_some(())
        });
        let (rows, log) = (self.rows(app), self.log(app));
        assert!(
            settled.is_some(),
            "never settles: {why:?}\n{rows:#?}\n{log:#?}"
        );
    }

    /// What is left to do, if anything.
    pub(crate) fn unsettled(&self, app: &App) -> Option<String> {
        let pending = self.wait(self.store().pending_releases()).unwrap();
        if pending.iter().any(|release| release.app == app.id) {
            return Some("a release is pending".to_owned());
        }
        let current = self.wait(self.store().current_release(app.id)).unwrap()?;
        let rows = self.rows(app);
        let odd = rows.iter().find(|row| {
            row.is_retired || row.release != current.id || row.state != store::DynoState::Up
        });
        if let Some(row) = odd {
            return Some(format!("{} {} is {:?}", row.name, row.id, row.state));
        }
        let formations = self.wait(self.store().formation(app.id)).unwrap();
        let is_sized = |row: &Dyno| {
            let of_type = |f: &&Formation| f.process_type == row.process_type;
            formations
                .iter()
                .find(of_type)
                .is_none_or(|f| f.size == row.size)
        };
        if let Some(row) = rows.iter().find(|row| !is_sized(row)) {
            return Some(format!("{} is of size {}", row.name, row.size));
        }
        let mut wanted: Vec<String> = Vec::new();
        for formation in formations {
            wanted.extend(
                (1..=formation.quantity).map(|n| format!("{}.{n}", formation.process_type)),
            );
        }
        wanted.sort();
        let mut ids: Vec<DynoId> = rows.iter().map(|row| row.id).collect();
        let mut reports: Vec<DynoId> = self.reports(app).iter().map(|r| r.id).collect();
        let mut web: Vec<DynoId> = rows
            .iter()
            .filter(|row| row.process_type.is_web())
            .map(|row| row.id)
            .collect();
        let mut serving = self.serving(app);
        for list in [&mut ids, &mut reports, &mut web, &mut serving] {
            list.sort();
        }
        (self.names(app) != wanted || reports != ids || serving != web).then(|| {
            format!(
                "{wanted:?} wanted, {:?} run of {reports:?}, {ids:?} on record, {serving:?} serve",
                self.names(app)
            )
        })
    }

    /// The dynos that take requests now all run, and there is at least one.
    pub(crate) fn assert_serves(&self, app: &App) {
        assert_serves(&self.engine, &self.router, app.id);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.runtime.shutdown_background();
        }
    }
}

fn serving(router: &RecordingRouter, app: AppId) -> Vec<DynoId> {
    let (_, routes) = router.newest(app);
    let backends = routes.map(|routes| routes.backends).unwrap_or_default();
    backends.iter().map(|backend| backend.dyno).collect()
}

fn assert_serves(engine: &SimEngine, router: &RecordingRouter, app: AppId) {
    loop {
        let (version, _) = router.newest(app);
        let serving = serving(router, app);
        let reports = engine.reports();
        if router.newest(app).0 != version {
            continue;
        }
        assert!(!serving.is_empty(), "nothing serves");
        for dyno in serving {
            let report = reports.iter().find(|report| report.id == dyno);
            let state = report.map(|report| &report.state);
            assert_eq!(
                state,
                Some(&DynoState::Running),
                "{dyno} serves and does not run"
            );
        }
        return;
    }
}
