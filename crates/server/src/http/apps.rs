//! `/apps`, `/users/~/apps` and `/filters/apps`.

use std::collections::BTreeSet;

use api::{
    apps::{App, AppFilter, AppUpdate, FilteredApp, NewApp},
    ids::AppId,
    references::{AppReference, NameReference, UserReference},
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{
    Caller, Platform,
    authorize::{Action, Target},
};

use super::{
    accounts::check_own,
    error::Refusal,
    extract::{Body, By, Of, Path, Wanted, With},
    generations, range,
    route::Route,
};

const FIELDS: &[&str] = &["id", "name", "created_at", "updated_at"];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/apps", Action::ListApps, list),
        Route::post("/apps", Action::CreateApp, create),
        Route::get("/apps/{app}", Action::ReadApp, show),
        Route::patch("/apps/{app}", Action::UpdateApp, update),
        Route::delete("/apps/{app}", Action::DeleteApp, delete),
        Route::get("/apps/{app}/code", Action::ReadCode, show),
        Route::get("/users/{account}/apps", Action::ListApps, list_of_user),
        Route::post("/filters/apps", Action::ListApps, filter),
    ]
}

async fn list(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    Ok(range::list(
        &bodies(&platform, &caller).await?,
        &range,
        FIELDS,
    ))
}

async fn list_of_user(
    State(platform): State<Platform>,
    By(caller): By,
    Path(account): Path<String>,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    check_own(&caller, &account)?;
    let joined = platform.joined(caller.account).await?;
    let mut apps = bodies(&platform, &caller).await?;
    apps.retain(|app| joined.contains(&app.id));
    Ok(range::list(&apps, &range, FIELDS))
}

async fn filter(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
    Body(filter): Body<AppFilter>,
) -> Result<Response, Refusal> {
    let mut apps = bodies(&platform, &caller).await?;
    if let Some(within) = filter.within {
        apps.retain(|app| within.id.contains(&app.id));
    }
    let rows = platform.apps_of(caller.account).await?.into_iter();
    let locked: BTreeSet<AppId> = rows.filter(|app| app.locked).map(|app| app.id).collect();
    let joined = platform.joined(caller.account).await?;
    let found = |app: App| FilteredApp {
        joined: joined.contains(&app.id),
        locked: locked.contains(&app.id),
        app,
    };
    let apps: Vec<FilteredApp> = apps.into_iter().map(found).collect();
    Ok(range::list(&apps, &range, FIELDS))
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Body(new): Body<NewApp>,
) -> Result<(StatusCode, Json<App>), Refusal> {
    let app = platform.create_app(&caller, new).await?;
    Ok((
        StatusCode::CREATED,
        Json(body(&platform, caller.email, app)),
    ))
}

async fn show(State(platform): State<Platform>, Of(app): Of) -> Result<Json<App>, Refusal> {
    with_owner(&platform, app).await
}

async fn update(
    State(platform): State<Platform>,
    With(bearer): With,
    Of(app): Of,
    Body(update): Body<AppUpdate>,
) -> Result<Json<App>, Refusal> {
    if update
        .name
        .as_ref()
        .is_some_and(|name| *name != app.name.as_str())
    {
        let target = Target::App(&app);
        platform
            .authorize(Some(&bearer), Action::ManageApp, target)
            .await?;
    }
    let app = platform.update_app(&bearer.caller, &app, update).await?;
    with_owner(&platform, app).await
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
) -> Result<Json<App>, Refusal> {
    let app = platform.delete_app(&caller, app.id).await?;
    with_owner(&platform, app).await
}

pub(super) async fn with_owner(platform: &Platform, app: store::App) -> Result<Json<App>, Refusal> {
    let owner = platform.account(app.owner).await?;
    Ok(Json(body(platform, owner.email, app)))
}

async fn bodies(platform: &Platform, caller: &Caller) -> Result<Vec<App>, Refusal> {
    let emails = platform.emails().await?;
    let apps = platform.apps_of(caller.account).await?.into_iter();
    let body = |app: store::App| {
        let owner = emails.get(&app.owner).cloned().unwrap_or_default();
        body(platform, owner, app)
    };
    Ok(apps.map(body).collect())
}

/// How other resources name an app.
pub(super) fn reference(app: &store::App) -> AppReference {
    AppReference {
        id: app.id,
        name: app.name.clone(),
    }
}

/// An app, with its owner's address.
pub(super) fn body(platform: &Platform, owner: String, app: store::App) -> App {
    let settings = platform.settings();
    let team = app.team.map(|team| NameReference {
        id: team.as_uuid(),
        name: owner.split('@').next().unwrap_or_default().to_owned(),
    });
    App {
        acm: app.acm,
        archived_at: None,
        buildpack_provided_description: app.buildpack_provided_description,
        build_stack: NameReference::new("stack", app.build_stack.as_str()),
        created_at: app.created_at,
        generation: NameReference::new("generation", generations::NAME),
        git_url: format!("{}/{}.git", settings.git_url, app.name),
        id: app.id,
        internal_routing: Some(false),
        maintenance: app.maintenance,
        owner: UserReference {
            id: app.owner,
            email: owner,
        },
        organization: team.clone(),
        team,
        region: platform::regions::reference(),
        released_at: app.released_at,
        repo_size: app.repo_size,
        slug_size: app.slug_size,
        space: None,
        stack: NameReference::new("stack", app.stack.as_str()),
        updated_at: app.updated_at,
        web_url: Some(settings.web_url(&app.name)),
        name: app.name,
    }
}
