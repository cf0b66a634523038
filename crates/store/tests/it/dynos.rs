//! Dynos: their states, crashes and end.

use api::clock::Time;
use api::ids::{DynoId, ReleaseId};
use store::{Crash, DynoKind, DynoState, NewDyno, StoreError, UnattendedRestart};

use crate::fixture::change;

case! {
    async fn a_dyno_goes_through_its_life(f: Fixture) {
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        let release = f.live(app.id, slug.id).await;
        let dyno = f.dyno(&release, "web").await;
        assert_eq!((dyno.name.as_str(), dyno.state, dyno.release_version), ("web.1", DynoState::Starting, 1));
        assert_eq!(f.store.dyno(dyno.id).await.unwrap(), dyno);
        f.pass(3);
        let dyno = f.store.set_dyno_state(&change(), dyno.id, DynoState::Up, None).await.unwrap();
        assert_eq!((dyno.state, dyno.state_changed_at), (DynoState::Up, f.clock.now()));
        f.pass(3);
        let same = f.store.set_dyno_state(&change(), dyno.id, DynoState::Up, None).await.unwrap();
        assert_eq!(same, dyno, "the same state again changes nothing");
        let crashed = f.store.crash_dyno(&change(), dyno.id, crash(137, 4)).await.unwrap();
        assert_eq!((crashed.state, crashed.exit_status, crashed.crash_count), (DynoState::Crashed, Some(137), 4));
        let again = f.store.crash_dyno(&change(), dyno.id, crash(1, 5)).await.unwrap();
        assert_eq!(again, crashed, "the same crash again changes nothing");
        let late = f.store.set_dyno_state(&change(), dyno.id, DynoState::Up, None).await.unwrap_err();
        assert!(matches!(late, StoreError::Stale { resource: "dyno", .. }), "an ended dyno does not get up");
        for _ in 0..2 {
            assert!(f.store.retire_dyno(&change(), dyno.id).await.unwrap().is_retired);
        }
        let expected = f.store.dyno(dyno.id).await.unwrap();
        assert_eq!(f.store.dynos(app.id).await.unwrap(), std::slice::from_ref(&expected));
        assert_eq!(f.store.all_dynos().await.unwrap(), [expected]);
        f.store.delete_dyno(&change(), dyno.id).await.unwrap();
        assert!(f.store.dynos(app.id).await.unwrap().is_empty());
        let kinds = f.kinds(app.id).await;
        assert_eq!(kinds[4..], ["dyno.start", "dyno.update", "dyno.update", "dyno.stop", "dyno.destroy"]);
    }
}

fn crash(exit_status: i32, crash_count: u32) -> Crash {
    Crash {
        exit_status,
        crash_count,
        error: Some("R15".to_owned()),
    }
}

fn restart(number: u64) -> UnattendedRestart {
    UnattendedRestart {
        number,
        crash: crash(1, u32::try_from(number).unwrap()),
        ended_at: Time::default(),
        started_at: Time::default(),
    }
}

case! {
    async fn crashes_that_only_the_keeper_saw_are_recorded_once(f: Fixture) {
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        let release = f.live(app.id, slug.id).await;
        let dyno = f.dyno(&release, "web").await;
        let first = [restart(1), restart(2)];
        assert_eq!(f.store.record_restarts(&change(), dyno.id, &first).await.unwrap(), first);
        let more = [restart(2), restart(3)];
        assert_eq!(f.store.record_restarts(&change(), dyno.id, &more).await.unwrap(), more[1..]);
        assert_eq!(f.store.record_restarts(&change(), dyno.id, &more).await.unwrap(), []);
        let dyno = f.store.dyno(dyno.id).await.unwrap();
        assert_eq!((dyno.restart_count, dyno.crash_count), (3, 3));
        let events = f.store.events_about(app.id, &dyno.id.to_string(), 10).await.unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["dyno.restart", "dyno.restart", "dyno.restart", "dyno.start"]);
        assert_eq!(events[0].details["number"], 3);
    }
}

case! {
    async fn a_dyno_needs_a_release_of_its_app(f: Fixture) {
        let app = f.app("example").await;
        let new = NewDyno {
            app: app.id, release: ReleaseId::new(), process_type: "run".parse().unwrap(),
            number: 4821, kind: DynoKind::OneOff, size: "standard-1x".to_owned(),
            command: "bash".to_owned(), attach: true, crash_count: 0,
        };
        let refused = f.store.create_dyno(&change(), &new).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotFound { resource: "release", .. }));
        let missing = f.store.set_dyno_state(&change(), DynoId::new(), DynoState::Up, None).await;
        assert!(matches!(missing.unwrap_err(), StoreError::NotFound { resource: "dyno", .. }));
        let release = f.release(&f.new_release(app.id)).await;
        let dyno = f.store.create_dyno(&change(), &NewDyno { release: release.id, ..new }).await.unwrap();
        assert_eq!((dyno.name.as_str(), dyno.kind, dyno.attach), ("run.4821", DynoKind::OneOff, true));
    }
}

#[test]
fn words_are_the_same_in_text_and_json() {
    for kind in [DynoKind::Formation, DynoKind::OneOff, DynoKind::Release] {
        assert_eq!(kind.as_str().parse::<DynoKind>().unwrap(), kind);
        assert_eq!(serde_json::json!(kind), kind.as_str());
    }
    assert_eq!(DynoKind::OneOff.as_str(), "one_off");
    assert!("sideways".parse::<DynoState>().is_err());
}
