//! Takes in what the router says about sleep, and nudges the apps it is about.

use api::ids::DynoId;
use router::wire::FromRouter;
use store::StoreError;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::Platform;

/// Listens for as long as there is a feed.
pub(crate) async fn listen(platform: Platform, mut notices: Receiver<FromRouter>) {
    loop {
        match notices.recv().await {
            Ok(notice) => {
                let now = platform.clock.now();
                platform.sleep_book.notice(&platform.feed, now);
                take_in(&platform, notice).await;
            }
            Err(RecvError::Lagged(count)) => {
                tracing::warn!(count, "missed what the router said about sleep");
                platform.sleep_book.lose(platform.clock.now());
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn take_in(platform: &Platform, notice: FromRouter) {
    let book = &platform.sleep_book;
    match notice {
        FromRouter::Resting { dyno, ticket } => {
            if let Some(app) = app_of(platform, dyno).await {
                book.rests(app, dyno, ticket);
                platform.nudges.nudge(app);
            }
        }
        FromRouter::Woken {
            dyno,
            ticket,
            cause,
        } => {
            if let Some(app) = app_of(platform, dyno).await {
                book.woke(app, ticket, by(&cause));
                platform.nudges.nudge(app);
            }
        }
        FromRouter::WakeApp { app, cause } => {
            book.wish(app, by(&cause));
            platform.nudges.nudge(app);
        }
        FromRouter::Activity { apps } => {
            for activity in &apps {
                if book.activity(activity) {
                    platform.nudges.nudge(activity.app);
                }
            }
        }
        _ => {}
    }
}

fn by(request: &str) -> String {
    format!("woken by {request}")
}

async fn app_of(platform: &Platform, dyno: DynoId) -> Option<api::ids::AppId> {
    match platform.store.dyno(dyno).await {
        Ok(row) => Some(row.app),
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => {
            tracing::warn!(%dyno, error = &error as &dyn std::error::Error, "cannot tell whose dyno the router means");
            None
        }
    }
}
