//! Inside access: `landfall ps:exec`, `ps:copy` and `ps:forward`.
//!
//! Each asks the API for a session and meets it at the rendezvous address. Read [`Link`] first: it
//! leads to the platform.

pub(crate) mod app;
mod copy;
mod exec;
mod forward;
mod link;
mod status;
mod terminal;

use std::{future::Future, path::Path, process::ExitCode};

use anyhow::Result;

pub use self::{copy::CopyArguments, exec::ExecArguments, forward::ForwardArguments};
use crate::config::Surroundings;
use link::Link;

/// The app that is meant: `named`, or as the official CLI finds it.
pub(crate) fn find_app(named: Option<&str>, surroundings: &Surroundings) -> Result<String> {
    app::find(named, surroundings)
}

pub(crate) fn exec(ready_file: &Path, arguments: &ExecArguments) -> Result<ExitCode> {
    let link = open(ready_file, arguments.app.as_deref())?;
    run(exec::run(&link, arguments))
}

pub(crate) fn copy(ready_file: &Path, arguments: &CopyArguments) -> Result<ExitCode> {
    let link = open(ready_file, arguments.app.as_deref())?;
    run(copy::run(&link, arguments))
}

pub(crate) fn forward(ready_file: &Path, arguments: &ForwardArguments) -> Result<ExitCode> {
    let link = open(ready_file, arguments.app.as_deref())?;
    run(forward::run(link, arguments))
}

fn open(ready_file: &Path, app: Option<&str>) -> Result<Link> {
    let surroundings = Surroundings::of_this_process();
    Link::open(ready_file, &surroundings, app::find(app, &surroundings)?)
}

fn run(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(work);
    // Somebody may still wait for a key.
    runtime.shutdown_background();
    ended
}
