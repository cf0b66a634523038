//! The status page of a real router: what it says of itself, the control plane and the apps that
//! want to be on it, and what it remembers.

use std::time::Duration;

use api::{
    clock::{Clock, Time},
    edge::Edge,
    ids::{AppId, StatusNoteId},
    status::{Component, Standing, Status},
    status_notes::{PostedNote, Severity},
};
use router::{
    Feed, Stop,
    feed::Wait,
    wire::{AppExtras, AppRoutes, AppState, AppTls, Entry, EntryKey},
};

use crate::support::{Bench, Dyno, body, exchange, start, status as code, within};

const STATUS_HOST: &str = "status.localhost";
/// Thursday, at noon.
const NOON: Time = Time::from_micros(1_771_502_400_000_000);
const MINUTE: Duration = Duration::from_mins(1);

/// A router whose clock goes only when told.
struct Watch {
    bench: Bench,
    clock: Clock,
    version: u64,
}

impl Watch {
    async fn new() -> Self {
        let clock = Clock::simulated(NOON);
        let mut bench = Bench::with(|timeouts| {
            timeouts.look = Duration::from_millis(10);
            timeouts.word = Duration::from_millis(500);
        })
        .await;
        // The same router again, by our clock and nobody else's.
        bench.stop().await;
        bench.config.clock = clock.clone();
        std::fs::remove_file(&bench.config.status.history).unwrap();
        bench.router = Some(start(bench.config.clone()).await);
        within(bench.feed.wait_addresses()).await;
        Self {
            bench,
            clock,
            version: 0,
        }
    }

    async fn tell(&mut self, set: Vec<Entry>, unset: Vec<EntryKey>) {
        self.version += 1;
        if self.version == 1 {
            self.bench.feed.replace(1, set);
        } else {
            assert!(self.bench.feed.change(self.version, set, unset));
        }
        let applied =
            async { while self.bench.feed.wait_applied(self.version).await != Wait::Done {} };
        within(applied).await;
    }

    /// An app `NAME` at `NAME.localhost`.
    async fn route(
        &mut self,
        (id, name): (AppId, &str),
        state: AppState,
        dyno: &Dyno,
        shown: bool,
    ) {
        let extras = AppExtras {
            edge: Edge {
                is_on_status_page: shown,
                ..Edge::default()
            },
            ..AppExtras::default()
        };
        let routes = AppRoutes {
            app: id,
            name: name.parse().unwrap(),
            hosts: vec![format!("{name}.localhost")],
            state,
            backends: vec![dyno.backend()],
            tls: AppTls::default(),
            extras: extras.or_none(),
        };
        self.tell(vec![Entry::App(routes)], Vec::new()).await;
    }

    async fn page(&self, accept: &str, path: &str) -> String {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {STATUS_HOST}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        exchange(self.bench.http(), &request).await
    }

    async fn status(&self) -> Status {
        let answer = self.page("*/*", "/status.json").await;
        assert_eq!(code(&answer), "200", "{answer}");
        serde_json::from_str(body(&answer)).unwrap()
    }

    /// The status as soon as it is so.
    async fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        let wait = async {
            loop {
                let status = self.status().await;
                if is_so(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), wait).await;
        if let Ok(status) = found {
            return status;
        }
        panic!("never: {what}: {:#?}", self.status().await)
    }

    /// So much time passes, and the router sees it.
    async fn pass(&self, duration: Duration) -> Status {
        self.clock.advance(duration);
        let now = self.clock.now();
        let whole = Time::from_micros(now.as_micros() / 1_000_000 * 1_000_000);
        self.until("it looks around", |status| status.observed_at >= whole)
            .await
    }

    async fn ask(&self, name: &str, count: usize) -> String {
        let mut last = String::new();
        for _ in 0..count {
            let request =
                format!("GET / HTTP/1.1\r\nHost: {name}.localhost\r\nConnection: close\r\n\r\n");
            last = exchange(self.bench.http(), &request).await;
        }
        code(&last).to_owned()
    }

    /// Ends the router and starts another on the same files.
    async fn restart(&mut self) {
        self.bench.restart().await;
    }
}

fn component<'a>(status: &'a Status, name: &str) -> &'a Component {
    let mut components = status.components.iter();
    components.find(|at| at.name == name).expect(name)
}

fn app_is(name: &'static str, standing: Standing) -> impl Fn(&Status) -> bool {
    move |status| {
        let mut components = status.components.iter();
        components.any(|at| at.name == name && at.state == standing)
    }
}

fn server_is(standing: Standing) -> impl Fn(&Status) -> bool {
    app_is("Control plane", standing)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_there_before_anything_else_and_never_says_that_nobody_told_it_of_trouble() {
    let watch = Watch::new().await;
    // No route at all, no word of a server but its hello.
    let status = watch
        .until("it looks", |at| !at.components.is_empty())
        .await;
    assert_eq!(component(&status, "Router").state, Standing::Down);
    let page = watch.page("text/html", "/").await;
    assert_eq!(code(&page), "200");
    assert!(page.contains("content-type: text/html"), "{page}");
    assert!(page.contains("cache-control: public, max-age=5"), "{page}");
    assert!(page.contains("It knows no routes yet"), "{page}");
    for (accept, path, kind) in [
        ("application/json", "/", "application/json"),
        ("*/*", "/incidents.atom", "application/atom+xml"),
        ("*/*", "/api/v4/current-status", "application/json"),
    ] {
        let answer = watch.page(accept, path).await;
        assert!(answer.contains(kind), "{answer}");
    }
    assert_eq!(code(&watch.page("*/*", "/elsewhere").await), "404");
    let post = format!(
        "POST / HTTP/1.1\r\nHost: {STATUS_HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(code(&exchange(watch.bench.http(), &post).await), "405");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_it_says_since_when_there_is_no_word() {
    let mut watch = Watch::new().await;
    let (app, dyno) = ((AppId::new(), "shop"), Dyno::named("web.1").await);
    watch.route(app, AppState::Serving, &dyno, true).await;
    let fine = watch.until("all is well", |at| at.state == Standing::Operational);
    assert_eq!(
        fine.await.summary,
        ["Everything that the router watches works."]
    );
    // The server dies; requests go on, and so does the page.
    watch.bench.feed = Feed::connect(watch.bench.directory.path().join("nowhere.sock"));
    let silent = watch.until("silence", server_is(Standing::NoWord)).await;
    assert_eq!(silent.state, Standing::NoWord);
    for _ in 0..12 {
        watch.pass(MINUTE).await;
    }
    let status = watch.status().await;
    let words = "No word from the control plane since 12:00 UTC on 19 February (12 minutes).";
    assert_eq!(status.summary, [words]);
    assert_eq!(watch.ask("shop", 1).await, "200");
    let page = watch.page("text/html", "/").await;
    assert!(
        page.contains(words) && page.contains("There may be more"),
        "{page}"
    );
    assert!(!page.contains("None in the time"), "{page}");
    let [incident] = &status.incidents[..] else {
        panic!("{:?}", status.incidents)
    };
    assert_eq!(incident.component, "Control plane");
    assert_eq!(incident.ended_at, None);
    let heroku = watch.page("*/*", "/api/v4/current-status").await;
    assert!(heroku.contains("\"system\": \"Tools\""), "{heroku}");
    assert!(heroku.contains("\"status\": \"red\""), "{heroku}");
    // A router that starts meanwhile knows since when.
    watch.restart().await;
    let again = watch.until("silence", server_is(Standing::NoWord)).await;
    assert_eq!(again.summary, [words]);
    // It speaks again, and stays.
    watch.bench.feed = Feed::connect(watch.bench.config.socket.clone());
    watch
        .until("a word", server_is(Standing::Operational))
        .await;
    let recovering = watch.status().await;
    assert_eq!(recovering.state, Standing::Degraded, "{recovering:?}");
    watch.pass(MINUTE).await;
    watch.pass(MINUTE).await;
    let over = watch.until("the end", |at| at.state == Standing::Operational);
    let over = over.await;
    let ended = over.incidents[0].ended_at.unwrap();
    assert_eq!(ended, NOON.after(MINUTE * 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_turns_red_by_itself_and_its_incident_ends_when_it_answers() {
    let mut watch = Watch::new().await;
    let app = (AppId::new(), "shop");
    let (gone, there) = (Dyno::absent("web.1").await, Dyno::named("web.1").await);
    watch.route(app, AppState::Serving, &gone, true).await;
    watch
        .until("it is shown", app_is("shop", Standing::Operational))
        .await;
    assert_eq!(watch.ask("shop", 3).await, "503");
    let down = watch
        .until("it is down", app_is("shop", Standing::Down))
        .await;
    assert_eq!(down.summary, ["shop is down."]);
    let detail = "No web dyno answered any of 3 requests in 2 minutes.";
    assert_eq!(component(&down, "shop").detail, detail);
    assert!(
        down.incidents.is_empty(),
        "a moment is no incident: {down:?}"
    );
    let down = watch.pass(MINUTE).await;
    assert_eq!(down.incidents.len(), 1);
    assert_eq!(down.incidents[0].what, detail);
    assert_eq!(down.incidents[0].began_at, NOON);
    assert!(watch.page("text/html", "/").await.contains("banner down"));
    watch.route(app, AppState::Serving, &there, true).await;
    assert_eq!(watch.ask("shop", 1).await, "200");
    watch
        .until("it answers", app_is("shop", Standing::Operational))
        .await;
    for _ in 0..2 {
        watch.pass(MINUTE).await;
    }
    let over = watch
        .until("the end", |at| at.state == Standing::Operational)
        .await;
    assert_eq!(over.incidents[0].ended_at, Some(NOON.after(MINUTE)));
    let feed = watch.page("*/*", "/incidents.atom").await;
    assert!(feed.contains("<title>shop: Down</title>"), "{feed}");
    let day = component(&over, "shop").days.last().unwrap().clone();
    assert_eq!(
        (day.state, day.seconds.down),
        (Standing::Down, 60),
        "{day:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_failures_is_degraded() {
    let mut watch = Watch::new().await;
    let app = (AppId::new(), "shop");
    let answer =
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (good, bad) = (
        Dyno::named("web.1").await,
        Dyno::saying("web.1", answer).await,
    );
    watch.route(app, AppState::Serving, &good, true).await;
    watch
        .until("it is shown", app_is("shop", Standing::Operational))
        .await;
    assert_eq!(watch.ask("shop", 18).await, "200");
    watch.route(app, AppState::Serving, &bad, true).await;
    assert_eq!(watch.ask("shop", 2).await, "500");
    let degraded = watch
        .until("it is degraded", app_is("shop", Standing::Degraded))
        .await;
    let detail = "10 % of 20 requests in 2 minutes failed.";
    assert_eq!(component(&degraded, "shop").detail, detail);
    assert_eq!(watch.ask("shop", 20).await, "500");
    watch
        .until("it is down", app_is("shop", Standing::Down))
        .await;
    // What its routes say goes before what its requests say.
    for (state, expected) in [
        (AppState::Maintenance, Standing::Maintenance),
        (AppState::Asleep, Standing::Asleep),
        (AppState::Crashed, Standing::Down),
    ] {
        watch.route(app, state, &bad, true).await;
        watch
            .until("its routes say so", app_is("shop", expected))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_an_app_that_does_not_want_to_be_seen() {
    let mut watch = Watch::new().await;
    let (shy, open) = ((AppId::new(), "shy-app"), (AppId::new(), "open-app"));
    let dyno = Dyno::absent("web.1").await;
    watch.route(shy, AppState::Crashed, &dyno, false).await;
    watch.route(open, AppState::Crashed, &dyno, true).await;
    watch
        .until("it is shown", app_is("open-app", Standing::Down))
        .await;
    watch.pass(MINUTE).await;
    let nowhere = |text: String| assert!(!text.contains("shy-app"), "{text}");
    for path in [
        "/",
        "/status.json",
        "/incidents.atom",
        "/api/v4/current-status",
    ] {
        nowhere(watch.page("*/*", path).await);
    }
    // Also when it was there before, with all that was kept of it.
    watch.route(open, AppState::Crashed, &dyno, false).await;
    let gone = watch
        .until("it is gone", |at| at.components.len() == 2)
        .await;
    assert_eq!(gone.state, Standing::Operational, "{gone:?}");
    for path in [
        "/",
        "/status.json",
        "/incidents.atom",
        "/api/v4/current-status",
    ] {
        let text = watch.page("*/*", path).await;
        assert!(!text.contains("open-app"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_survives_a_restart_and_the_gap_is_no_good_time() {
    let mut watch = Watch::new().await;
    let app = (AppId::new(), "shop");
    let dyno = Dyno::named("web.1").await;
    watch.route(app, AppState::Crashed, &dyno, true).await;
    watch
        .until("it is down", app_is("shop", Standing::Down))
        .await;
    for _ in 0..3 {
        watch.pass(MINUTE).await;
    }
    watch.bench.stop().await;
    // Ten minutes nobody watches; half a line of a router that was killed is in the file.
    watch.clock.advance(MINUTE * 10);
    let path = &watch.bench.config.status.history;
    let mut text = std::fs::read_to_string(path).unwrap();
    text.push_str("0123456789abcdef {\"day\":[\"router\"");
    std::fs::write(path, text).unwrap();
    watch.bench.router = Some(start(watch.bench.config.clone()).await);
    let again = watch
        .until("it is down", app_is("shop", Standing::Down))
        .await;
    let day = component(&again, "shop").days.last().unwrap();
    assert_eq!(
        (day.seconds.down, day.seconds.operational),
        (180, 0),
        "{day:?}"
    );
    assert!(day.has_gap);
    assert_eq!(again.incidents.len(), 1, "the same one: {again:?}");
    assert_eq!(again.incidents[0].began_at, NOON);
    assert_eq!(again.incidents[0].ended_at, None);
    // Nobody watched for as long as it was off, by the clock as well.
    watch.clock.advance(Duration::from_hours(3));
    let later = watch.pass(MINUTE).await;
    let day = component(&later, "shop").days.last().unwrap();
    assert!(
        day.seconds.down <= 240 && day.seconds.unknown > 50_000,
        "{day:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_takes_over_knows_what_the_former_saw() {
    let mut watch = Watch::new().await;
    let app = (AppId::new(), "shop");
    let dyno = Dyno::named("web.1").await;
    watch.route(app, AppState::Crashed, &dyno, true).await;
    watch
        .until("it is down", app_is("shop", Standing::Down))
        .await;
    // Less than a minute: it is in memory alone.
    watch.pass(MINUTE / 2).await;
    let mut config = watch.bench.config.clone();
    config.sockets = None;
    let next = start(config).await;
    let mut former = watch.bench.router.replace(next).unwrap();
    former.stop(Stop::AtOnce);
    within(former.wait_ended()).await.unwrap();
    let again = watch
        .until("it is down", app_is("shop", Standing::Down))
        .await;
    let day = component(&again, "shop").days.last().unwrap();
    assert_eq!(day.seconds.down, 30, "{day:?}");
    watch.pass(MINUTE).await;
    watch.restart().await;
    let again = watch
        .until("it is down", app_is("shop", Standing::Down))
        .await;
    let day = component(&again, "shop").days.last().unwrap();
    assert_eq!(day.seconds.down, 90, "{day:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_are_shown_as_text_and_without_the_server() {
    let mut watch = Watch::new().await;
    let (app, dyno) = ((AppId::new(), "shop"), Dyno::named("web.1").await);
    watch.route(app, AppState::Serving, &dyno, true).await;
    let note = PostedNote {
        id: StatusNoteId::new(),
        text: "<b>Disks</b> & more".to_owned(),
        severity: Severity::Degraded,
        app: Some(app.0),
        until: Some(NOON.after(MINUTE * 2)),
        created_at: NOON,
        updated_at: NOON,
    };
    let other = PostedNote {
        id: StatusNoteId::new(),
        app: Some(AppId::new()),
        ..note.clone()
    };
    let entries = [note.clone(), other].map(Entry::Note).to_vec();
    watch.tell(entries, Vec::new()).await;
    let said = watch.until("it is said", |at| !at.notes.is_empty()).await;
    assert_eq!((said.state, said.notes.len()), (Standing::Degraded, 1));
    assert_eq!(said.notes[0].app.as_deref(), Some("shop"));
    let page = watch.page("text/html", "/").await;
    assert!(
        page.contains("&lt;b&gt;Disks&lt;/b&gt; &amp; more"),
        "{page}"
    );
    watch.bench.feed = Feed::connect(watch.bench.directory.path().join("nowhere.sock"));
    watch.restart().await;
    let said = watch.until("it is said", |at| !at.notes.is_empty()).await;
    assert_eq!(said.notes[0].text, note.text);
    watch.pass(MINUTE).await;
    let over = watch.pass(MINUTE).await;
    assert!(over.notes.is_empty(), "{over:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_app_answers_at_its_host() {
    let mut watch = Watch::new().await;
    let dyno = Dyno::named("web.1").await;
    watch
        .route((AppId::new(), "status"), AppState::Serving, &dyno, false)
        .await;
    assert_eq!(watch.ask("status", 1).await, "200");
    let page = watch.page("*/*", "/").await;
    assert!(page.contains("Status of status.localhost"), "{page}");
    // An answer that the client has already is not sent again.
    let tag = page
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let request = format!(
        "HEAD / HTTP/1.1\r\nHost: STATUS.localhost:8080\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n"
    );
    let again = exchange(watch.bench.http(), &request).await;
    assert!(["200", "304"].contains(&code(&again)), "{again}");
    assert_eq!(body(&again), "");
}
