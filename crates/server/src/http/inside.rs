//! Inside access: `POST /apps/{app}/dynos/{dyno}` (`heroku run:inside`), and Landfall's own
//! `…/copies` and `…/forwards`. Each is answered with the dyno and where to meet the session.

use api::dynos::{Dyno, NewCopy, NewForward, NewInside};
use axum::{Json, extract::State};
use http::StatusCode;
use platform::{
    Platform,
    authorize::Action,
    inside::{Copy, Direction, Inside},
    rendezvous::Manner,
};
use store::App;

use super::{
    dynos::{self, DynoPath},
    error::Refusal,
    extract::{Body, By, Of, Path},
    route::Route,
};

type Opened = Result<(StatusCode, Json<Dyno>), Refusal>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(dynos::ONE, Action::RunDyno, run),
        Route::post("/apps/{app}/dynos/{dyno}/copies", Action::RunDyno, copy),
        Route::post(
            "/apps/{app}/dynos/{dyno}/forwards",
            Action::RunDyno,
            forward,
        ),
    ]
}

async fn run(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<DynoPath>,
    Body(new): Body<NewInside>,
) -> Opened {
    let is_without_terminal = new.force_no_tty.unwrap_or(false);
    let inside = Inside {
        command: new.command,
        env: dynos::environment(new.env.unwrap_or_default()),
        manner: match new.binary {
            Some(true) => Manner::Raw,
            _ if is_without_terminal => Manner::Pipes,
            _ => Manner::Terminal,
        },
        tells_status: new.exit_code.unwrap_or(false),
    };
    let opened = platform
        .run_inside(&caller, &app, &path.dyno, inside)
        .await?;
    Ok(answer(&platform, &app, opened))
}

async fn copy(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<DynoPath>,
    Body(new): Body<NewCopy>,
) -> Opened {
    let copy = Copy {
        path: new.path,
        direction: new
            .name
            .map_or(Direction::From, |name| Direction::To { name }),
    };
    let opened = platform.copy(&caller, &app, &path.dyno, &copy).await?;
    Ok(answer(&platform, &app, opened))
}

async fn forward(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<DynoPath>,
    Body(new): Body<NewForward>,
) -> Opened {
    let opened = platform
        .forward(&caller, &app, &path.dyno, new.port)
        .await?;
    Ok(answer(&platform, &app, opened))
}

fn answer(
    platform: &Platform,
    app: &App,
    (dyno, secret): (store::Dyno, String),
) -> (StatusCode, Json<Dyno>) {
    let rendezvous = &platform.settings().rendezvous;
    let attach_url = format!("rendezvous://{rendezvous}/{secret}");
    let body = dynos::body(platform, app, dyno, Some(attach_url));
    (StatusCode::CREATED, Json(body))
}
