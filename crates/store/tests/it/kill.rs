//! Kill safety: what was acknowledged is there, what was not is there as a whole or not at all.

use std::{
    future::Future,
    io::{BufRead, BufReader, Write},
    pin::pin,
    process::{Command, Stdio},
    task::{Context, Waker},
};

use store::{Account, NewApp, Store, StoreConfig};

use crate::fixture::{Fixture, ROOT_KEY, change, vars};

/// Acknowledged writes to wait for before the writer is killed.
const ENOUGH: usize = 25;

case! {
    async fn a_store_dropped_without_closing_loses_nothing(f: Fixture) {
        let app = f.app("example").await;
        f.set(app.id, &[("A", Some("1"))]).await;
        let config = f.config();
        let Fixture { store, .. } = &f;
        let again = Store::open(config.clone()).await.unwrap();
        assert_eq!(again.app(app.id).await.unwrap(), store.app(app.id).await.unwrap());
        drop(again);
        let again = Store::open(config).await.unwrap();
        assert_eq!(again.config_vars(app.id).await.unwrap(), vars(&[("A", "1")]));
    }
}

case! {
    async fn a_killed_writer_has_written_all_it_acknowledged(f: Fixture) {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::writer", "--nocapture", "--", &f.url])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut acknowledged: Vec<String> = Vec::new();
        for line in lines {
            if let Some((_, name)) = line.unwrap().split_once("acknowledged ") {
                acknowledged.push(name.to_owned());
            }
            if acknowledged.len() == ENOUGH {
                writer.kill().unwrap();
            }
        }
        writer.wait().unwrap();
        assert!(acknowledged.len() >= ENOUGH, "the writer ended by itself: {acknowledged:?}");
        let store = Store::open(f.config()).await.unwrap();
        for name in &acknowledged {
            store.app_by_name(&name.parse().unwrap()).await.unwrap();
        }
        assert!(store.apps().await.unwrap().len() <= acknowledged.len() + 1);
        assert_apps_are_whole(&store).await;
        f.app("after-the-kill").await;
    }
}

/// Not a test of its own: the process that the test above kills. Does nothing without its URL.
#[tokio::test]
async fn writer() {
    let mut arguments = std::env::args();
    if !arguments.any(|argument| argument == "--") {
        return;
    }
    let url = arguments.next().unwrap();
    let config = StoreConfig {
        url,
        root_key: ROOT_KEY,
        clock: api::clock::Clock::system(),
    };
    let store = Store::open(config).await.unwrap();
    let owner = store.accounts().await.unwrap().remove(0);
    for number in 0..100_000 {
        let new = new_app(&owner, number);
        store.create_app(&change(), &new).await.unwrap();
        println!("acknowledged {}", new.name);
        std::io::stdout().flush().unwrap();
    }
}

case! {
    async fn a_cancelled_change_happens_wholly_or_not_at_all(f: Fixture) {
        for number in 0..120 {
            let new = new_app(&f.owner, number);
            let change = change();
            cancel_after(number % 40, f.store.create_app(&change, &new)).await;
        }
        assert_apps_are_whole(&f.store).await;
        f.app("afterwards").await;
    }
}

/// Polls a future that often, giving its waiters time in between, then drops it.
async fn cancel_after<T>(polls: u32, future: impl Future<Output = T>) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if future.as_mut().poll(&mut context).is_ready() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_micros(200)).await;
    }
}

/// Every app has its domain, its owner and exactly one event.
async fn assert_apps_are_whole(store: &Store) {
    for app in store.apps().await.unwrap() {
        assert_eq!(store.domains(app.id).await.unwrap().len(), 1);
        assert_eq!(store.collaborators(app.id).await.unwrap().len(), 1);
        assert_eq!(store.events(app.id, 10).await.unwrap().len(), 1);
        assert_eq!(store.config_vars(app.id).await.unwrap(), vars(&[]));
    }
    let events = store.events_after(0, 100_000).await.unwrap();
    let created = events
        .iter()
        .filter(|event| event.kind == "app.create")
        .count();
    assert_eq!(created, store.apps().await.unwrap().len());
}

fn new_app(owner: &Account, number: u32) -> NewApp {
    NewApp {
        name: format!("app-{number}x").parse().unwrap(),
        owner: owner.id,
        team: None,
        locked: false,
        stack: "landfall-13".parse().unwrap(),
        hostname: format!("app-{number}x.localhost"),
    }
}
