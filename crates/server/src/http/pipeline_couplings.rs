//! `/pipeline-couplings`: which app is in which stage of which pipeline.

use api::{
    builds::BuildApp,
    pipeline_couplings::{NewPipelineCoupling, PipelineCoupling, PipelineCouplingUpdate},
    pipelines::PipelineReference,
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action};
use store::team_account;

use super::{
    error::Refusal,
    extract::{Body, By, Of, OfPipeline, OfTeam, Path, Wanted, With},
    range,
    route::Route,
};

const PATH: &str = "/pipeline-couplings";
const ONE: &str = "/pipeline-couplings/{coupling}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ListPipelines, list),
        Route::get("/users/~/pipeline-couplings", Action::ListPipelines, list),
        Route::post(PATH, Action::CreatePipeline, create),
        Route::get(ONE, Action::ListPipelines, show),
        Route::patch(ONE, Action::CreatePipeline, update),
        Route::delete(ONE, Action::CreatePipeline, delete),
        Route::get(
            "/pipelines/{pipeline}/pipeline-couplings",
            Action::ReadPipeline,
            list_of_pipeline,
        ),
        Route::get(
            "/apps/{app}/pipeline-couplings",
            Action::ReadApp,
            show_of_app,
        ),
        Route::get(
            "/teams/{team}/pipeline-couplings",
            Action::ReadTeam,
            list_of_team,
        ),
    ]
}

async fn list(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    Ok(shown(
        &platform.pipeline_couplings(caller.account).await?,
        &range,
    ))
}

async fn list_of_pipeline(
    State(platform): State<Platform>,
    OfPipeline(pipeline): OfPipeline,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    Ok(shown(&platform.couplings_of(pipeline.id).await?, &range))
}

async fn list_of_team(
    State(platform): State<Platform>,
    OfTeam(team): OfTeam,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let owner = team_account(team.id);
    Ok(shown(&platform.couplings_owned_by(owner).await?, &range))
}

async fn create(
    State(platform): State<Platform>,
    With(bearer): With,
    Body(new): Body<NewPipelineCoupling>,
) -> Result<(StatusCode, Json<PipelineCoupling>), Refusal> {
    let row = platform.couple(&bearer, new).await?;
    Ok((StatusCode::CREATED, Json(body(&row))))
}

async fn show(
    State(platform): State<Platform>,
    With(bearer): With,
    Path(coupling): Path<String>,
) -> Result<Json<PipelineCoupling>, Refusal> {
    Ok(Json(body(&platform.coupling(&bearer, &coupling).await?)))
}

async fn show_of_app(
    State(platform): State<Platform>,
    Of(app): Of,
) -> Result<Json<PipelineCoupling>, Refusal> {
    Ok(Json(body(&platform.coupling_of_app(&app).await?)))
}

async fn update(
    State(platform): State<Platform>,
    With(bearer): With,
    Path(coupling): Path<String>,
    Body(update): Body<PipelineCouplingUpdate>,
) -> Result<Json<PipelineCoupling>, Refusal> {
    let row = match update.stage {
        Some(stage) => platform.move_coupling(&bearer, &coupling, stage).await?,
        None => platform.coupling(&bearer, &coupling).await?,
    };
    Ok(Json(body(&row)))
}

async fn delete(
    State(platform): State<Platform>,
    With(bearer): With,
    Path(coupling): Path<String>,
) -> Result<Json<PipelineCoupling>, Refusal> {
    Ok(Json(body(&platform.uncouple(&bearer, &coupling).await?)))
}

fn shown(rows: &[store::PipelineCoupling], range: &api::range::Range) -> Response {
    let bodies: Vec<PipelineCoupling> = rows.iter().map(body).collect();
    range::list(&bodies, range, &["id", "created_at", "updated_at"])
}

fn body(row: &store::PipelineCoupling) -> PipelineCoupling {
    PipelineCoupling {
        app: BuildApp { id: row.app },
        created_at: row.created_at,
        id: row.id,
        pipeline: PipelineReference { id: row.pipeline },
        stage: row.stage,
        updated_at: row.updated_at,
    }
}
