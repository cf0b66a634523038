//! Apps fall asleep and wake: the platform on a simulated engine, the story in the router's place.

use std::time::Duration;

use api::{clock::Time, ids::DynoId, sleep::SleepUpdate};
use engine::Engine;
use platform::{dynos::Which, runs::Run};
use router::wire::{AppActivity, AppState, FromRouter};
use store::{App, AppSleep, DynoState, SleepState};

use crate::world::World;

const REQUEST: &str = "GET /path request_id=1";

fn slept(world: &World, app: &App) -> AppSleep {
    world.wait(world.store().app_sleep(app)).unwrap()
}

/// Waits until the app is in this state.
fn state(world: &World, app: &App, state: SleepState) -> AppSleep {
    world.until(&format!("it is {state}"), || {
        Some(slept(world, app)).filter(|sleep| sleep.state == state)
    })
}

fn set(world: &World, app: &App, update: SleepUpdate) {
    let caller = world.caller();
    let updated = world.platform().update_sleep(&caller, app, update);
    world.wait(updated).unwrap();
}

/// Web dynos and the tickets that the router has for them.
fn tickets(world: &World, app: &App) -> Vec<(DynoId, u64)> {
    let routes = world.router.newest(app.id).1;
    let backends = routes.map(|routes| routes.backends).unwrap_or_default();
    let ticket = |backend: &router::wire::Backend| {
        let ticket = backend.sleep.as_ref()?.ticket;
        Some((backend.dyno, ticket))
    };
    backends.iter().filter_map(ticket).collect()
}

/// Says for every web dyno that it rests, as often as there is a new ticket, until they sleep.
fn rest(world: &World, app: &App) {
    let mut told = Vec::new();
    world.until("it falls asleep", || {
        for (dyno, ticket) in tickets(world, app) {
            if !told.contains(&(dyno, ticket)) {
                told.push((dyno, ticket));
                world.router.say(FromRouter::Resting { dyno, ticket });
            }
        }
        (slept(world, app).state == SleepState::Frozen).then_some(())
    });
}

/// An app with two web dynos and a worker that sleeps.
fn sleeping_app(world: &World) -> App {
    let app = world.live_app(&[("web", "serve"), ("worker", "hang")]);
    world.scale(&app, "web", 2);
    world.scale(&app, "worker", 1);
    world.settle(&app);
    put_to_sleep(world, &app);
    app
}

fn put_to_sleep(world: &World, app: &App) {
    let update = SleepUpdate {
        idle_seconds: Some(Some(1)),
        ..SleepUpdate::default()
    };
    set(world, app, update);
    rest(world, app);
    let update = SleepUpdate {
        idle_seconds: Some(Some(3600)),
        ..SleepUpdate::default()
    };
    set(world, app, update);
}

fn are_frozen(world: &World, app: &App) -> Vec<bool> {
    let reports = world.reports(app);
    reports
        .iter()
        .map(|report| report.sleep.is_frozen)
        .collect()
}

/// A request as the real router treats it: the dyno is thawed with the ticket, then the server told.
fn request(world: &World, app: &App) {
    let (dyno, ticket) = tickets(world, app)[0];
    world.wait(world.engine.thaw(dyno, ticket)).unwrap();
    let cause = REQUEST.to_owned();
    world.router.say(FromRouter::Woken {
        dyno,
        ticket,
        cause,
    });
}

/// A pass may see that a dyno was thawed before the router's word comes.
fn learns_which(world: &World, app: &App) {
    world.until("it learns which request it was", || {
        let cause = slept(world, app).wake_cause?;
        (cause == format!("woken by {REQUEST}")).then_some(())
    });
}

#[test]
fn an_app_without_requests_sleeps_and_a_request_wakes_all_of_it() {
    let world = World::new();
    let app = sleeping_app(&world);
    let sleep = slept(&world, &app);
    assert_eq!(sleep.cause, "no request for 1 second");
    assert_eq!(are_frozen(&world, &app), [true; 3]);
    let rows = world.rows(&app);
    assert!(rows.iter().all(|row| row.state == DynoState::Idle));
    world.logged(&app, "heroku[worker.1]: Idling");
    world.logged(&app, "heroku[web.2]: State changed from up to down");
    assert_eq!(tickets(&world, &app).len(), 2);
    request(&world, &app);
    let woken = state(&world, &app, SleepState::Awake);
    assert!(woken.woken_at.is_some());
    learns_which(&world, &app);
    world.settle(&app);
    assert_eq!(are_frozen(&world, &app), [false; 3]);
    let unidling = "heroku[web.2]: Unidling: woken by";
    let log = world.log(&app);
    assert!(log.iter().any(|line| line.starts_with(unidling)), "{log:?}");
    world.logged(&app, "heroku[web.1]: State changed from down to up");
    world.until("the router has no tickets", || {
        tickets(&world, &app).is_empty().then_some(())
    });
    let ids = |rows: &[store::Dyno]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(&world.rows(&app)), ids(&rows), "no dyno was replaced");
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_request_that_comes_before_the_freeze_keeps_the_app_awake() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let caller = world.caller();
    let engine = world.engine.clone();
    let put = world.platform().put_to_sleep(&caller, &app);
    // The router uses the ticket before its word that the dyno rests has come to the server.
    let answer = world.wait(async {
        let race = async {
            loop {
                let newest = world.router.newest(app.id).1;
                let backend = newest.and_then(|routes| routes.backends.into_iter().next());
                if let Some(ticket) = backend.as_ref().and_then(|backend| backend.sleep.as_ref()) {
                    let (dyno, ticket) = (backend.as_ref().unwrap().dyno, ticket.ticket);
                    engine.thaw(dyno, ticket).await.unwrap();
                    world.router.say(FromRouter::Resting { dyno, ticket });
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::join!(put, race).0
    });
    let refused = answer.unwrap_err().to_string();
    assert!(
        refused.contains("stays awake: woken by a request"),
        "{refused}"
    );
    assert_eq!(are_frozen(&world, &app), [false]);
    world.settle(&app);
}

#[test]
fn a_request_in_flight_keeps_an_app_awake() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let activity = |in_flight| FromRouter::Activity {
        apps: vec![AppActivity {
            app: app.id,
            last_request_at: Time::default(),
            in_flight,
        }],
    };
    world.router.say(activity(1));
    let update = SleepUpdate {
        idle_seconds: Some(Some(1)),
        ..SleepUpdate::default()
    };
    set(&world, &app, update);
    for _ in 0..5 {
        world.wait(async { tokio::time::sleep(Duration::from_millis(300)).await });
        world.nudge(&app);
        assert_eq!(slept(&world, &app).state, SleepState::Awake);
    }
    world.router.say(activity(0));
    rest(&world, &app);
}

#[test]
fn a_restarted_server_goes_on_from_what_is_true() {
    let mut world = World::new();
    let app = sleeping_app(&world);
    world.restart();
    world.nudge(&app);
    world.until("the routes are known", || {
        (tickets(&world, &app).len() == 2).then_some(())
    });
    assert_eq!(slept(&world, &app).state, SleepState::Frozen);
    assert_eq!(are_frozen(&world, &app), [true; 3]);
    // Now a request comes while the server is away, and nobody tells it which.
    world.kill();
    let (dyno, ticket) = {
        let routes = world.router.newest(app.id).1.unwrap();
        let backend = &routes.backends[0];
        (backend.dyno, backend.sleep.as_ref().unwrap().ticket)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(world.engine.thaw(dyno, ticket)).unwrap();
    world.start();
    let woken = state(&world, &app, SleepState::Awake);
    assert_eq!(woken.wake_cause.as_deref(), Some("woken by a request"));
    world.router.say(FromRouter::Woken {
        dyno,
        ticket,
        cause: REQUEST.to_owned(),
    });
    learns_which(&world, &app);
    world.settle(&app);
    assert_eq!(are_frozen(&world, &app), [false; 3]);
}

#[test]
fn an_app_that_sleeps_for_long_is_stopped_and_starts_on_a_request() {
    let world = World::new();
    let app = sleeping_app(&world);
    let update = SleepUpdate {
        stop_after_seconds: Some(Some(1)),
        ..SleepUpdate::default()
    };
    set(&world, &app, update);
    state(&world, &app, SleepState::Stopped);
    world.until("nothing runs", || {
        world.reports(&app).is_empty().then_some(())
    });
    world.until("no row is left", || {
        world.rows(&app).is_empty().then_some(())
    });
    let routes = world.router.newest(app.id).1.unwrap();
    assert_eq!((routes.state, routes.backends.len()), (AppState::Asleep, 0));
    let shown = world.wait(world.platform().dynos(app.id)).unwrap();
    let names: Vec<_> = shown.iter().map(|dyno| dyno.name.to_string()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(shown.iter().all(|dyno| dyno.state == DynoState::Idle));
    let (app_id, cause) = (app.id, REQUEST.to_owned());
    world.router.say(FromRouter::WakeApp { app: app_id, cause });
    world.settle(&app);
    assert_eq!(world.running(&app).len(), 3);
    world.logged(
        &app,
        &format!("heroku[web.1]: Unidling: woken by {REQUEST}"),
    );
    world.logged(&app, "heroku[web.1]: State changed from down to starting");
}

#[test]
fn what_people_do_to_a_sleeping_app_works() {
    let world = World::new();
    let app = sleeping_app(&world);
    let run = Run {
        command: "print once; exit 0".to_owned(),
        ..Run::default()
    };
    let caller = world.caller();
    world
        .wait(world.platform().run_dyno(&caller, app.id, run))
        .unwrap();
    world.logged(&app, "once");
    assert_eq!(slept(&world, &app).state, SleepState::Frozen);
    let first = Which::Dyno("web.1".to_owned());
    let restarted = world.platform().restart_dynos(&caller, app.id, &first);
    world.wait(restarted).unwrap();
    state(&world, &app, SleepState::Awake);
    world.settle(&app);
    put_to_sleep(&world, &app);
    world.deploy(&app, &[("web", "serve"), ("worker", "hang")]);
    world.settle(&app);
    assert_eq!(slept(&world, &app).state, SleepState::Awake);
    put_to_sleep(&world, &app);
    world.scale(&app, "web", 1);
    world.settle(&app);
    put_to_sleep(&world, &app);
    let never = SleepUpdate {
        idle_seconds: Some(Some(0)),
        ..SleepUpdate::default()
    };
    set(&world, &app, never);
    let woken = state(&world, &app, SleepState::Awake);
    assert_eq!(
        woken.wake_cause.as_deref(),
        Some("owner@example.com let it sleep no more")
    );
    world.settle(&app);
    assert!(!world.router.had_gap(app.id));
}

#[test]
fn a_stopped_app_is_restarted_and_deployed_like_any_other() {
    let world = World::new();
    let app = sleeping_app(&world);
    let update = SleepUpdate {
        stop_after_seconds: Some(Some(1)),
        ..SleepUpdate::default()
    };
    set(&world, &app, update);
    state(&world, &app, SleepState::Stopped);
    world.until("nothing runs", || world.rows(&app).is_empty().then_some(()));
    let caller = world.caller();
    let restarted = world.platform().restart_dynos(&caller, app.id, &Which::All);
    world.wait(restarted).unwrap();
    state(&world, &app, SleepState::Awake);
    world.settle(&app);
    put_to_sleep(&world, &app);
    state(&world, &app, SleepState::Stopped);
    let release = world.set(&app, "KEY", "value");
    let release = world.finished(&release);
    assert_eq!(release.status, store::ReleaseStatus::Succeeded);
    world.settle(&app);
}

#[test]
fn an_app_without_web_dynos_cannot_be_put_to_sleep() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve"), ("worker", "hang")]);
    world.scale(&app, "worker", 1);
    world.scale(&app, "web", 0);
    world.settle(&app);
    let caller = world.caller();
    let refused = world.wait(world.platform().put_to_sleep(&caller, &app));
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("it has no web dynos"), "{refused}");
}
