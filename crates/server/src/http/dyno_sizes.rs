//! `/dyno-sizes`: the table of sizes, as this platform's operator has it.

use api::{
    dyno_sizes::{DynoSize, SizeLimits},
    references::{NameReference, lasting_id},
};
use axum::{Json, extract::State, response::Response};
use platform::{Platform, authorize::Action, sizes::Size};

use super::{
    error::Refusal,
    extract::{Path, Wanted},
    generations, range,
    route::Route,
};

/// Share of processor time that counts as one processor.
const WEIGHT_OF_A_PROCESSOR: u16 = 200;
#[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/dyno-sizes", Action::ReadCatalogue, list),
        Route::get("/dyno-sizes/{size}", Action::ReadCatalogue, show),
        Route::get("/apps/{app}/available-dyno-sizes", Action::ReadApp, list),
    ]
}

async fn list(State(platform): State<Platform>, Wanted(range): Wanted) -> Response {
    let sizes: Vec<DynoSize> = platform.settings().sizes.iter().map(body).collect();
    range::list(&sizes, &range, &["id", "name", "memory"])
}

async fn show(
    State(platform): State<Platform>,
    Path(identity): Path<String>,
) -> Result<Json<DynoSize>, Refusal> {
    let sizes = &platform.settings().sizes;
    sizes
        .iter()
        .find(|size| id(size).to_string() == identity)
        .or_else(|| sizes.find(&identity))
        .map(|size| Json(body(size)))
        .ok_or(Refusal::Unknown("dyno_size"))
}

fn id(size: &Size) -> uuid::Uuid {
    lasting_id("dyno-size", &size.name)
}

fn body(size: &Size) -> DynoSize {
    let limits = &size.limits;
    DynoSize {
        architecture: architecture().to_owned(),
        compute: u32::from(limits.cpu_weight / WEIGHT_OF_A_PROCESSOR).max(1),
        cost: None,
        dedicated: size.is_dedicated,
        generation: NameReference::new("generation", generations::NAME),
        id: id(size),
        memory: gib(limits.memory_bytes),
        name: size.name.clone(),
        precise_dyno_units: 0.0,
        private_space_only: false,
        limits: SizeLimits {
            memory_bytes: limits.memory_bytes,
            cpu_weight: limits.cpu_weight,
            cpu_percent: limits.cpu_percent,
            pids: limits.pids,
            open_files: limits.open_files,
            disk_bytes: limits.disk_bytes,
            log_lines_per_second: limits.log_lines_per_second,
            sleeps: size.sleeps,
        },
    }
}

/// In the words that images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
