//! Front door: the command's own side, which talks to a running platform.
//!
//! It must know only `api` and the ready file; everything else it learns by asking the platform.
//! Read [`Ready`] first: it is how a command finds the platform.

mod build_settings;
mod builds;
mod config;
mod deploy;
mod edge;
mod heroku;
mod heroku_env;
mod inside;
mod own;
mod push;
mod ready;
mod sleep;
mod slugs;
mod status;

pub use crate::{
    build_settings::BuildSettingsArguments,
    builds::{BuildArguments, BuildInfoArguments, BuildsArguments},
    deploy::{DeployArguments, RepositoryArguments},
    edge::EdgeArguments,
    heroku::HerokuArguments,
    heroku_env::HerokuEnvArguments,
    inside::{CopyArguments, ExecArguments, ForwardArguments},
    push::PushArguments,
    ready::Ready,
    sleep::{SleepArguments, WakeArguments},
    slugs::SlugsExportArguments,
    status::StatusArguments,
};

use std::{path::Path, process::ExitCode};

use anyhow::Result;

/// `landfall heroku-env`: prints the exports that point the official CLI at a platform.
///
/// # Errors
/// When no platform runs on the data directory that `ready_file` is in.
pub fn print_heroku_env(ready_file: &Path, arguments: &HerokuEnvArguments) -> Result<()> {
    heroku_env::print(ready_file, arguments)
}

/// `landfall heroku -- ARGUMENTS`: runs the official CLI against a platform and passes its
/// status on.
///
/// # Errors
/// When no platform runs, or there is no `heroku` in `PATH`.
pub fn run_heroku(ready_file: &Path, arguments: &HerokuArguments) -> Result<ExitCode> {
    heroku::run(ready_file, arguments)
}

/// `landfall ps:exec`: runs a command inside a dyno and passes its status on.
///
/// # Errors
/// When no platform runs, the platform refuses, or the session breaks off.
pub fn exec(ready_file: &Path, arguments: &ExecArguments) -> Result<ExitCode> {
    inside::exec(ready_file, arguments)
}

/// `landfall ps:copy`: copies a file or directory from or to a dyno.
///
/// # Errors
/// As [`exec`], and when a file cannot be read or written.
pub fn copy(ready_file: &Path, arguments: &CopyArguments) -> Result<ExitCode> {
    inside::copy(ready_file, arguments)
}

/// `landfall ps:forward`: makes ports of a dyno reachable on this machine, until Ctrl-C.
///
/// # Errors
/// As [`exec`], and when a local port is taken.
pub fn forward(ready_file: &Path, arguments: &ForwardArguments) -> Result<ExitCode> {
    inside::forward(ready_file, arguments)
}

/// `landfall status`: prints what the status page shows, or has the operator say something there.
///
/// # Errors
/// When no platform runs, the router or the platform does not answer, or refuses.
pub fn run_status(ready_file: &Path, arguments: &StatusArguments) -> Result<()> {
    status::status(ready_file, arguments)
}

/// `landfall edge`: shows and changes what the router does for an app beyond routing.
///
/// # Errors
/// When no platform runs, or it refuses.
pub fn run_edge(ready_file: &Path, arguments: &EdgeArguments) -> Result<()> {
    edge::edge(ready_file, arguments)
}

/// `landfall push`: deploys a directory and shows the build.
///
/// # Errors
/// When no platform runs, it refuses, or the build or release fails.
pub fn run_push(ready_file: &Path, arguments: &PushArguments) -> Result<()> {
    push::push(ready_file, arguments)
}

/// `landfall builds`: lists an app's builds.
///
/// # Errors
/// When no platform runs, or it refuses.
pub fn list_builds(ready_file: &Path, arguments: &BuildsArguments) -> Result<()> {
    builds::list(ready_file, arguments)
}

/// `landfall builds:info`: shows how a build went.
///
/// # Errors
/// As [`list_builds`].
pub fn show_build(ready_file: &Path, arguments: &BuildInfoArguments) -> Result<()> {
    builds::info(ready_file, arguments)
}

/// `landfall builds:output`: prints what a build printed, live while it goes on.
///
/// # Errors
/// As [`list_builds`], and when the build failed.
pub fn print_build_output(ready_file: &Path, arguments: &BuildArguments) -> Result<()> {
    builds::output(ready_file, arguments)
}

/// `landfall builds:cancel`: stops a build that waits or runs.
///
/// # Errors
/// As [`list_builds`], and when it has ended already.
pub fn cancel_build(ready_file: &Path, arguments: &BuildArguments) -> Result<()> {
    builds::cancel(ready_file, arguments)
}

/// `landfall builds:rebuild`: builds the source of an earlier build again.
///
/// # Errors
/// As [`list_builds`], and when the new build fails.
pub fn rebuild(ready_file: &Path, arguments: &BuildArguments) -> Result<()> {
    builds::rebuild(ready_file, arguments)
}

/// `landfall build-settings`: shows and sets what of an app's source is built, and when.
///
/// # Errors
/// When no platform runs, or it refuses.
pub fn run_build_settings(ready_file: &Path, arguments: &BuildSettingsArguments) -> Result<()> {
    build_settings::build_settings(ready_file, arguments)
}

/// `landfall deploy`: has the platform fetch a repository and build it.
///
/// # Errors
/// As [`run_push`].
pub fn run_deploy(ready_file: &Path, arguments: &DeployArguments) -> Result<()> {
    deploy::deploy(ready_file, arguments)
}

/// `landfall repository`: shows and sets where an app's source is kept.
///
/// # Errors
/// When no platform runs, or it refuses.
pub fn run_repository(ready_file: &Path, arguments: &RepositoryArguments) -> Result<()> {
    deploy::repository(ready_file, arguments)
}

/// `landfall sleep`: shows and sets when an app sleeps, or puts it to sleep.
///
/// # Errors
/// When no platform runs, or it refuses.
pub fn run_sleep(ready_file: &Path, arguments: &SleepArguments) -> Result<()> {
    sleep::sleep(ready_file, arguments)
}

/// `landfall wake`: wakes an app.
///
/// # Errors
/// When no platform runs, or it refuses.
pub fn run_wake(ready_file: &Path, arguments: &WakeArguments) -> Result<()> {
    sleep::wake(ready_file, arguments)
}

/// `landfall slugs:export`: writes an app as an OCI image into a file.
///
/// # Errors
/// When no platform runs, it refuses, or the file cannot be written.
pub fn export_slug(ready_file: &Path, arguments: &SlugsExportArguments) -> Result<()> {
    slugs::export(ready_file, arguments)
}
