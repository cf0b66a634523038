//! Sleep: policy, steps, and what woke an app.

use store::{AppSleep, SleepChange, SleepPolicyUpdate, SleepState, StoreError};

use crate::fixture::{Fixture, change};

async fn step(
    f: &Fixture,
    app: &store::App,
    from: (SleepState, u64),
    to: (SleepState, u64),
) -> Result<AppSleep, StoreError> {
    let cause = format!("it is to be {}", to.0);
    let step = SleepChange { from, to, cause };
    f.store.change_sleep(&change(), app, step).await
}

case! {
    async fn an_app_falls_asleep_and_wakes(f: Fixture) {
        use SleepState::{Awake, Frozen, Resting, Stopped};
        let app = f.app("example").await;
        let first = f.store.app_sleep(&app).await.unwrap();
        assert_eq!((first.state, first.since, first.ticket), (Awake, app.created_at, 0));
        f.pass(3);
        step(&f, &app, (Awake, 0), (Resting, 7)).await.unwrap();
        let late = step(&f, &app, (Awake, 0), (Resting, 8)).await.unwrap_err();
        assert!(matches!(late, StoreError::Stale { resource: "app sleep", .. }));
        let refused = step(&f, &app, (Resting, 7), (Awake, 7)).await.unwrap();
        assert_eq!((refused.woken_at, refused.wake_cause), (None, None), "it never slept");
        step(&f, &app, (Awake, 7), (Resting, 9)).await.unwrap();
        step(&f, &app, (Resting, 9), (Frozen, 9)).await.unwrap();
        f.pass(3);
        let stopped = step(&f, &app, (Frozen, 9), (Stopped, 9)).await.unwrap();
        assert_eq!(stopped.since, f.clock.now());
        let woken = step(&f, &app, (Stopped, 9), (Awake, 9)).await.unwrap();
        assert_eq!(woken.woken_at, Some(f.clock.now()));
        let since = f.clock.now();
        f.pass(3);
        let step = SleepChange { from: (Awake, 9), to: (Awake, 9), cause: "GET /".to_owned() };
        let told = f.store.change_sleep(&change(), &app, step).await.unwrap();
        assert_eq!((told.since, told.woken_at), (since, Some(since)), "only the cause is new");
        assert_eq!(told.wake_cause.as_deref(), Some("GET /"));
        assert_eq!(f.store.app_sleep(&app).await.unwrap(), told);
        let kinds = f.kinds(app.id).await;
        assert_eq!(kinds[kinds.len() - 2..], ["app.wake", "app.wake"]);
    }
}

case! {
    async fn a_policy_changes_in_parts_and_goes_with_its_app(f: Fixture) {
        let app = f.app("example").await;
        let update = SleepPolicyUpdate { idle_seconds: Some(Some(60)), stop_after_seconds: None };
        f.store.update_sleep_policy(&change(), &app, update).await.unwrap();
        let update = SleepPolicyUpdate { idle_seconds: None, stop_after_seconds: Some(Some(0)) };
        let sleep = f.store.update_sleep_policy(&change(), &app, update).await.unwrap();
        assert_eq!((sleep.idle_seconds, sleep.stop_after_seconds), (Some(60), Some(0)));
        let update = SleepPolicyUpdate { idle_seconds: Some(None), stop_after_seconds: None };
        let sleep = f.store.update_sleep_policy(&change(), &app, update).await.unwrap();
        assert_eq!((sleep.idle_seconds, sleep.stop_after_seconds), (None, Some(0)));
        f.store.delete_app(&change(), app.id).await.unwrap();
        let gone = f.store.update_sleep_policy(&change(), &app, update).await.unwrap_err();
        assert!(gone.is_not_found());
    }
}
