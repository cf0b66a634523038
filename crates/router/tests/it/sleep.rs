//! Sleeping dynos and apps: woken once, by the first request, and never asleep under one.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use api::clock::Clock;
use hyper::Response;
use router::{
    Feed,
    feed::Wait,
    wire::{
        AppActivity, AppState, FromRouter, MessageReader, RouteTable, SleepTicket, ToRouter,
        write_message,
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Notify, broadcast, watch},
    task::{AbortHandle, JoinSet},
};

use crate::support::{Bench, Dyno, body, eventually, file, get, start, text, within};

/// What keeps a dyno: it freezes and thaws as a shim does.
#[derive(Debug)]
struct Keeper {
    socket: PathBuf,
    state: Arc<Mutex<Kept>>,
    /// While this is `true`, no wake is answered.
    hold: watch::Sender<bool>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Kept {
    woken_with: u64,
    is_frozen: bool,
    wakes: u32,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    fn new(bench: &Bench, name: &str) -> Self {
        let socket = file(bench, name);
        let listener = UnixListener::bind(&socket).unwrap();
        let state = Arc::new(Mutex::new(Kept::default()));
        let hold = watch::Sender::new(false);
        let (kept, held) = (Arc::clone(&state), hold.subscribe());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, Arc::clone(&kept), held.clone()));
            }
        });
        Self {
            socket,
            state,
            hold,
            task: task.abort_handle(),
        }
    }

    fn ticket(&self, ticket: u64) -> SleepTicket {
        SleepTicket {
            ticket,
            socket: self.socket.clone(),
            wake_line: format!("wake {ticket}\n"),
        }
    }

    fn wakes(&self) -> u32 {
        self.state.lock().unwrap().wakes
    }

    /// Unless it was woken with this ticket before.
    fn freeze(&self, ticket: u64) -> bool {
        let mut kept = self.state.lock().unwrap();
        kept.is_frozen |= ticket > kept.woken_with;
        kept.is_frozen
    }
}

async fn answer(stream: UnixStream, kept: Arc<Mutex<Kept>>, mut hold: watch::Receiver<bool>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let ticket = line.trim().strip_prefix("wake ").unwrap().parse().unwrap();
    kept.lock().unwrap().wakes += 1;
    hold.wait_for(|hold| !hold).await.unwrap();
    {
        let mut kept = kept.lock().unwrap();
        kept.woken_with = kept.woken_with.max(ticket);
        kept.is_frozen = false;
    }
    stream.write_all(b"\"done\"\n").await.unwrap();
}

/// A table whose backends have these tickets.
fn ticketed(bench: &mut Bench, dynos: &[(&Dyno, Option<SleepTicket>)]) -> RouteTable {
    let named: Vec<_> = dynos.iter().map(|(dyno, _)| *dyno).collect();
    let mut table = bench.table(AppState::Serving, &named);
    for (backend, (_, ticket)) in table.apps[0].backends.iter_mut().zip(dynos) {
        backend.sleep.clone_from(ticket);
    }
    table
}

async fn publish(bench: &Bench, table: RouteTable) {
    let version = table.version;
    bench.feed.publish(table);
    assert_eq!(within(bench.feed.wait_applied(version)).await, Wait::Done);
}

async fn put_to_rest(bench: &mut Bench, dyno: &Dyno, keeper: &Keeper, ticket: u64) {
    let table = ticketed(bench, &[(dyno, Some(keeper.ticket(ticket)))]);
    publish(bench, table).await;
}

/// The next notice but activity.
async fn next(notices: &mut broadcast::Receiver<FromRouter>) -> FromRouter {
    loop {
        let notice = within(notices.recv()).await.unwrap();
        if !matches!(notice, FromRouter::Activity { .. }) {
            return notice;
        }
    }
}

/// Waits for the app to be this busy.
async fn busy(notices: &mut broadcast::Receiver<FromRouter>, in_flight: u64) -> AppActivity {
    loop {
        if let FromRouter::Activity { apps } = within(notices.recv()).await.unwrap()
            && apps[0].in_flight == in_flight
        {
            return apps[0].clone();
        }
    }
}

fn resting(dyno: &Dyno, ticket: u64) -> FromRouter {
    FromRouter::Resting {
        dyno: dyno.id,
        ticket,
    }
}

#[track_caller]
fn assert_woken(notice: &FromRouter, dyno: &Dyno, ticket: u64, cause: &str) {
    let FromRouter::Woken {
        dyno: id,
        ticket: at,
        cause: why,
    } = notice
    else {
        panic!("{notice:?}")
    };
    assert_eq!((*id, *at), (dyno.id, ticket));
    assert!(why.starts_with(cause), "{why}");
}

/// A dyno that answers when told to, and tells when it was asked.
async fn patient_dyno() -> (Dyno, Arc<Notify>, Arc<Notify>) {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, waits) = (Arc::clone(&asked), Arc::clone(&go));
    let dyno = Dyno::answering("web.1", move |_| {
        let (told, waits) = (Arc::clone(&told), Arc::clone(&waits));
        async move {
            told.notify_one();
            waits.notified().await;
            Response::new(text("web.1"))
        }
    })
    .await;
    (dyno, asked, go)
}

async fn lively_bench() -> Bench {
    Bench::with(|timeouts| timeouts.activity = Duration::from_millis(5)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_share_one_wake() {
    let mut bench = lively_bench().await;
    let (mut notices, mut activity) = (bench.feed.notices(), bench.feed.notices());
    let dynos = [Dyno::named("web.1").await, Dyno::named("web.2").await];
    let keeper = Keeper::new(&bench, "keeper.sock");
    keeper.hold.send_replace(true);
    let tickets: Vec<_> = dynos
        .iter()
        .map(|dyno| (dyno, Some(keeper.ticket(7))))
        .collect();
    let table = ticketed(&mut bench, &tickets);
    publish(&bench, table).await;
    let address = bench.http();
    let mut requests: JoinSet<_> = (0..1_000).map(|_| get(address, "/path?secret")).collect();
    // The wake itself is in flight, too.
    busy(&mut activity, 1_001).await;
    keeper.hold.send_replace(false);
    while let Some(response) = requests.join_next().await {
        assert_eq!(body(&response.unwrap()), "web.1");
    }
    assert_eq!(keeper.wakes(), 1);
    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(next(&mut notices).await);
    }
    let is_rest = |notice: &FromRouter| *notice == resting(&dynos[0], 7);
    assert!(said.iter().any(is_rest), "{said:?}");
    assert!(said.contains(&resting(&dynos[1], 7)), "{said:?}");
    assert_woken(&said[2], &dynos[0], 7, "GET /path request_id=");
    assert!(!format!("{said:?}").contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_goes_on_when_its_request_is_dropped() {
    let mut bench = lively_bench().await;
    let (mut notices, mut activity) = (bench.feed.notices(), bench.feed.notices());
    let (dyno, keeper) = (
        Dyno::named("web.1").await,
        Keeper::new(&bench, "keeper.sock"),
    );
    keeper.hold.send_replace(true);
    put_to_rest(&mut bench, &dyno, &keeper, 1).await;
    assert_eq!(next(&mut notices).await, resting(&dyno, 1));
    let first = tokio::spawn(get(bench.http(), "/first"));
    eventually("a wake", || keeper.wakes() == 1).await;
    let second = tokio::spawn(get(bench.http(), "/second"));
    busy(&mut activity, 3).await;
    first.abort();
    busy(&mut activity, 2).await;
    keeper.hold.send_replace(false);
    assert_eq!(body(&second.await.unwrap()), "web.1");
    assert_woken(&next(&mut notices).await, &dyno, 1, "GET /first ");
    assert_eq!(keeper.wakes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_that_fails_is_a_refused_connection() {
    let mut bench = Bench::with(|timeouts| timeouts.wake = Duration::from_millis(100)).await;
    let (gone, there) = (Dyno::named("web.1").await, Dyno::named("web.2").await);
    let keeper = Keeper::new(&bench, "keeper.sock");
    let nobody = SleepTicket {
        socket: file(&bench, "nobody.sock"),
        ..keeper.ticket(1)
    };
    let tickets = [
        (&gone, Some(nobody.clone())),
        (&there, Some(keeper.ticket(1))),
    ];
    let table = ticketed(&mut bench, &tickets);
    publish(&bench, table).await;
    for _ in 0..10 {
        assert_eq!(body(&get(bench.http(), "/").await), "web.2");
    }
    assert_eq!(keeper.wakes(), 1);
    let table = ticketed(&mut bench, &[(&gone, Some(nobody))]);
    publish(&bench, table).await;
    assert!(get(bench.http(), "/").await.contains("Code H21 "));
    // A keeper that says nothing is no better, and one that comes back is asked again.
    keeper.hold.send_replace(true);
    let table = ticketed(&mut bench, &[(&gone, Some(keeper.ticket(2)))]);
    publish(&bench, table).await;
    assert!(get(bench.http(), "/").await.contains("Code H19 "));
    keeper.hold.send_replace(false);
    assert_eq!(body(&get(bench.http(), "/").await), "web.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_are_awake_come_first() {
    let mut bench = Bench::new().await;
    let (asleep, awake) = (Dyno::named("web.1").await, Dyno::named("web.2").await);
    let keeper = Keeper::new(&bench, "keeper.sock");
    let table = ticketed(
        &mut bench,
        &[(&asleep, Some(keeper.ticket(1))), (&awake, None)],
    );
    publish(&bench, table).await;
    for _ in 0..50 {
        assert_eq!(body(&get(bench.http(), "/").await), "web.2");
    }
    assert_eq!(keeper.wakes(), 0);
    drop(awake);
    assert_eq!(body(&get(bench.http(), "/").await), "web.1");
    assert_eq!(keeper.wakes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_ticket_stays_used_until_a_higher_one_comes() {
    let mut bench = Bench::new().await;
    let mut notices = bench.feed.notices();
    let (dyno, keeper) = (
        Dyno::named("web.1").await,
        Keeper::new(&bench, "keeper.sock"),
    );
    put_to_rest(&mut bench, &dyno, &keeper, 5).await;
    assert_eq!(next(&mut notices).await, resting(&dyno, 5));
    for _ in 0..2 {
        assert_eq!(body(&get(bench.http(), "/").await), "web.1");
    }
    assert_woken(&next(&mut notices).await, &dyno, 5, "GET / ");
    bench.serve(&[&dyno]).await;
    for ticket in [5, 4] {
        put_to_rest(&mut bench, &dyno, &keeper, ticket).await;
        get(bench.http(), "/").await;
    }
    assert_eq!(keeper.wakes(), 1);
    // A ticket that is taken back is not used.
    put_to_rest(&mut bench, &dyno, &keeper, 6).await;
    bench.serve(&[&dyno]).await;
    get(bench.http(), "/").await;
    assert_eq!(keeper.wakes(), 1);
    put_to_rest(&mut bench, &dyno, &keeper, 7).await;
    get(bench.http(), "/").await;
    assert_eq!(keeper.wakes(), 2);
    // A router that starts knows nothing of it, and wakes it to be sure.
    bench.restart().await;
    get(bench.http(), "/").await;
    get(bench.http(), "/").await;
    assert_eq!(keeper.wakes(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_rests_only_when_its_last_request_has_ended() {
    let mut bench = lively_bench().await;
    let (mut notices, mut activity) = (bench.feed.notices(), bench.feed.notices());
    let (dyno, asked, go) = patient_dyno().await;
    let keeper = Keeper::new(&bench, "keeper.sock");
    bench.serve(&[&dyno]).await;
    let request = tokio::spawn(get(bench.http(), "/"));
    within(asked.notified()).await;
    let before = busy(&mut activity, 1).await;
    for ticket in 1..=3 {
        put_to_rest(&mut bench, &dyno, &keeper, ticket).await;
    }
    // Out of the table and in again: the request is still the dyno's.
    bench.route(AppState::Maintenance, &[]).await;
    put_to_rest(&mut bench, &dyno, &keeper, 4).await;
    bench.route(AppState::Serving, &[&dyno]).await;
    put_to_rest(&mut bench, &dyno, &keeper, 5).await;
    go.notify_one();
    assert_eq!(body(&request.await.unwrap()), "web.1");
    assert_eq!(next(&mut notices).await, resting(&dyno, 5));
    assert_eq!(keeper.wakes(), 0);
    let after = busy(&mut activity, 0).await;
    assert!(after.last_request_at >= before.last_request_at);
    assert!(Clock::system().now() >= after.last_request_at);
}

/// Dynos are put to sleep as fast as it goes while requests come. What must never be: a request
/// that reaches a frozen dyno.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_reaches_a_frozen_dyno() {
    const ROUNDS: u64 = 300;
    let mut bench = Bench::new().await;
    let mut notices = bench.feed.notices();
    let keeper = Keeper::new(&bench, "keeper.sock");
    let (state, met) = (Arc::clone(&keeper.state), Arc::new(AtomicU32::new(0)));
    let meets = Arc::clone(&met);
    let dyno = Dyno::answering("web.1", move |_| {
        let (state, meets) = (Arc::clone(&state), Arc::clone(&meets));
        async move {
            for _ in 0..2 {
                let is_frozen = state.lock().unwrap().is_frozen;
                meets.fetch_add(u32::from(is_frozen), Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
            Response::new(text("web.1"))
        }
    })
    .await;
    bench.serve(&[&dyno]).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..2 {
        let (address, is_over) = (bench.http(), Arc::clone(&is_over));
        clients.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                let response = get(address, "/").await;
                assert_eq!(body(&response), "web.1", "{response}");
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
        });
    }
    let mut frozen = 0;
    for ticket in 1..=ROUNDS {
        put_to_rest(&mut bench, &dyno, &keeper, ticket).await;
        // Resting if nothing was in flight, Woken for the next request in any case.
        loop {
            match next(&mut notices).await {
                FromRouter::Resting { ticket: at, .. } if at == ticket => {
                    frozen += u32::from(keeper.freeze(ticket));
                }
                FromRouter::Woken { ticket: at, .. } if at == ticket => break,
                _ => {}
            }
        }
    }
    is_over.store(true, Ordering::SeqCst);
    clients.join_all().await;
    assert_eq!(met.load(Ordering::SeqCst), 0);
    assert_eq!(u64::from(keeper.wakes()), ROUNDS);
    assert!(frozen > 0, "not once was there time to freeze it");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_for_an_app_that_is_asleep() {
    let mut bench = lively_bench().await;
    let (mut notices, mut activity) = (bench.feed.notices(), bench.feed.notices());
    bench.route(AppState::Asleep, &[]).await;
    let address = bench.http();
    let mut requests: JoinSet<_> = (0..1_000).map(|_| get(address, "/path?secret")).collect();
    busy(&mut activity, 1_000).await;
    let FromRouter::WakeApp { app, cause } = next(&mut notices).await else {
        panic!("no call")
    };
    assert_eq!(app, bench.app);
    assert!(cause.starts_with("GET /path request_id="), "{cause}");
    // Being told so twice is the same sleep; to a server that comes it is said again.
    bench.route(AppState::Asleep, &[]).await;
    bench.feed = Feed::connect(bench.config.socket.clone());
    let mut anew = bench.feed.notices();
    bench.route(AppState::Asleep, &[]).await;
    assert!(matches!(next(&mut anew).await, FromRouter::WakeApp { .. }));
    bench.route(AppState::Booting, &[]).await;
    // Asleep once more, before any request was served: that is another call.
    bench.route(AppState::Asleep, &[]).await;
    assert!(matches!(next(&mut anew).await, FromRouter::WakeApp { .. }));
    bench.route(AppState::Booting, &[]).await;
    let dyno = Dyno::named("web.1").await;
    bench.serve(&[&dyno]).await;
    while let Some(response) = requests.join_next().await {
        assert_eq!(body(&response.unwrap()), "web.1");
    }
    assert!(!matches!(
        notices.try_recv(),
        Ok(FromRouter::WakeApp { .. })
    ));
    assert!(!matches!(anew.try_recv(), Ok(FromRouter::WakeApp { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_not_woken_fails_as_one_that_does_not_boot() {
    let mut bench = Bench::with(|timeouts| timeouts.boot = Duration::from_millis(50)).await;
    let mut notices = bench.feed.notices();
    bench.route(AppState::Asleep, &[]).await;
    for _ in 0..2 {
        assert!(get(bench.http(), "/").await.contains("Code H20 "));
        // The server may have lost the first call.
        assert!(matches!(
            next(&mut notices).await,
            FromRouter::WakeApp { .. }
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_learns_what_it_missed() {
    let mut bench = lively_bench().await;
    let (dyno, keeper) = (
        Dyno::named("web.1").await,
        Keeper::new(&bench, "keeper.sock"),
    );
    put_to_rest(&mut bench, &dyno, &keeper, 3).await;
    bench.feed = Feed::connect(file(&bench, "nowhere.sock"));
    assert_eq!(body(&get(bench.http(), "/").await), "web.1");
    bench.feed = Feed::connect(bench.config.socket.clone());
    let mut notices = bench.feed.notices();
    put_to_rest(&mut bench, &dyno, &keeper, 3).await;
    assert_woken(&next(&mut notices).await, &dyno, 3, "GET / ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_protocol_1_hears_nothing_of_sleep() {
    let mut bench = lively_bench().await;
    let (dyno, keeper) = (
        Dyno::named("web.1").await,
        Keeper::new(&bench, "keeper.sock"),
    );
    bench.feed = Feed::connect(file(&bench, "nowhere.sock"));
    let stream = UnixStream::connect(&bench.config.socket).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut messages = MessageReader::new(BufReader::new(reader));
    let hello: Option<FromRouter> = within(messages.next()).await.unwrap();
    assert!(matches!(hello, Some(FromRouter::Hello { .. })));
    for _ in 0..5 {
        let table = ticketed(&mut bench, &[(&dyno, Some(keeper.ticket(1)))]);
        let version = table.version;
        write_message(&mut writer, &ToRouter::Routes(table))
            .await
            .unwrap();
        let answer: Option<FromRouter> = within(messages.next()).await.unwrap();
        assert_eq!(answer, Some(FromRouter::Applied { version }));
        assert_eq!(body(&get(bench.http(), "/").await), "web.1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_that_an_older_router_kept_are_read() {
    let mut bench = Bench::new().await;
    let dyno = Dyno::named("web.1").await;
    bench.stop().await;
    let kept = format!(
        r#"{{"version":4,"apps":[{{"app":"{}","name":"example","hosts":["example.localhost"],
        "state":"serving","backends":[{{"dyno":"{}","name":"web.1","address":"{}"}}]}}]}}"#,
        bench.app, dyno.id, dyno.address
    );
    std::fs::create_dir_all(bench.config.routes.parent().unwrap()).unwrap();
    std::fs::write(&bench.config.routes, kept).unwrap();
    bench.router = Some(start(bench.config.clone()).await);
    assert_eq!(body(&get(bench.http(), "/").await), "web.1");
}
