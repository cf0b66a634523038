//! Sessions inside running dynos.

use platform::{
    Error,
    inside::{Copy, Direction, Inside, SESSIONS_PER_DYNO},
    rendezvous::Manner,
};
use store::{App, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::World;

fn inside(command: &str) -> Inside {
    Inside {
        command: command.to_owned(),
        ..Inside::default()
    }
}

fn enter(world: &World, app: &App, dyno: &str, inside: Inside) -> Result<String, Error> {
    let caller = world.caller();
    let entered = world.platform().run_inside(&caller, app, dyno, inside);
    Ok(world.wait(entered)?.1)
}

fn refusal(answer: Result<String, Error>) -> String {
    match answer {
        Err(Error::Invalid { message }) => message,
        other => panic!("{other:?}"),
    }
}

/// The newest event of a kind, once there is one.
fn event(world: &World, app: &App, kind: &str) -> Event {
    world.until(kind, || {
        let events = world.wait(world.store().events(app.id, 50)).unwrap();
        events.into_iter().find(|event| event.kind == kind)
    })
}

#[test]
fn a_command_inside_is_met_once_and_recorded() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let mut wanted = inside("print welcome; cat");
    wanted.env.insert("SECRET".to_owned(), "hush".to_owned());
    let secret = enter(&world, &app, "web.1", wanted).unwrap();
    world.wait(async {
        let mut met = world.platform().meet(&secret).await.unwrap();
        assert_eq!(met.manner, Manner::Terminal);
        let mut text = [0; 9];
        met.stream.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"welcome\r\n");
        let again = world.platform().meet(&secret).await;
        assert!(matches!(again, Err(Error::NotFound { .. })));
    });
    let opened = event(&world, &app, "dyno.exec");
    assert_eq!(opened.details["name"], "web.1");
    assert_eq!(opened.details["command"], "print welcome; cat");
    assert!(!opened.details.to_string().contains("hush"));
    assert_eq!(opened.actor, store::Actor::Account(world.caller().account));
    let left = event(&world, &app, "dyno.leave");
    assert_eq!(left.subject, opened.subject);
    assert_eq!(left.details["of"], "dyno.exec");
    world.settle(&app);
}

#[test]
fn a_port_is_met_again_and_again() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let port = world.reports(&app)[0].port.unwrap();
    let open = |port: u16| {
        let caller = world.caller();
        let opened = world.platform().forward(&caller, &app, "web.1", port);
        world.wait(opened).unwrap().1
    };
    let (served, silent) = (open(port), open(1));
    world.wait(async {
        for _ in 0..3 {
            let mut met = world.platform().meet(&served).await.unwrap();
            assert_eq!(met.manner, Manner::Raw);
            met.stream
                .write_all(b"GET / HTTP/1.0\r\n\r\n")
                .await
                .unwrap();
            let mut text = String::new();
            met.stream.read_to_string(&mut text).await.unwrap();
            assert!(text.starts_with("HTTP/1.0 200"), "{text}");
        }
        let refused = world.platform().meet(&silent).await;
        assert!(matches!(refused, Err(Error::Engine(_))));
    });
    assert_eq!(event(&world, &app, "dyno.forward").details["port"], 1);
    let caller = world.caller();
    let none = world.wait(world.platform().forward(&caller, &app, "web.1", 0));
    assert!(matches!(none, Err(Error::Invalid { .. })));
}

#[test]
fn copies_are_recorded_with_their_path() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let caller = world.caller();
    let copy = |path: &str| Copy {
        path: path.to_owned(),
        direction: Direction::From,
    };
    let wanted = copy("/app/log");
    let (_, secret) = world
        .wait(world.platform().copy(&caller, &app, "web.1", &wanted))
        .unwrap();
    assert!(Manner::is_raw_secret(&secret));
    let copied = event(&world, &app, "dyno.copy");
    assert_eq!(
        (&copied.details["path"], &copied.details["direction"]),
        (&"/app/log".into(), &"from".into())
    );
    let none = copy("");
    let none = world.wait(world.platform().copy(&caller, &app, "web.1", &none));
    assert!(matches!(none, Err(Error::Invalid { .. })));
}

#[test]
fn only_so_many_sessions_are_open_at_once() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let mut streams = Vec::new();
    for _ in 0..SESSIONS_PER_DYNO {
        let secret = enter(&world, &app, "web.1", inside("cat")).unwrap();
        streams.push(world.wait(world.platform().meet(&secret)).unwrap());
    }
    let message = refusal(enter(&world, &app, "web.1", inside("cat")));
    assert!(message.contains("10 open sessions"), "{message}");
    drop(streams.pop());
    enter(&world, &app, "web.1", inside("cat")).unwrap();
}

#[test]
fn what_cannot_be_entered_says_why() {
    let world = World::new();
    let app = world.live_app(&[("web", "serve")]);
    let unknown = enter(&world, &app, "web.2", inside("ls"));
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
    let message = refusal(enter(&world, &app, "web.1", inside(" ")));
    assert!(message.contains("No command"), "{message}");
    let mut large = inside("ls");
    large.env.insert("A".to_owned(), "x".repeat(20_000));
    let message = refusal(enter(&world, &app, "web.1", large));
    assert!(message.contains("environment"), "{message}");
    let feature = world.platform().app_feature(&app, "runtime-heroku-exec");
    let Err(Error::Invalid { message }) = world.wait(feature) else {
        panic!("the official CLI would go on");
    };
    assert!(message.contains("landfall ps:exec"), "{message}");
}
