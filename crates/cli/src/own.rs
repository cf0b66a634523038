//! What Landfall's own commands share: a client of the running platform, and a way to wait for it.

use std::{future::Future, path::Path, sync::Arc};

use anyhow::{Context, Result};
use api::client::{Client, ClientError, HttpTransport};

use crate::ready::Ready;

/// A client of the platform whose ready file this is.
pub(crate) fn client(ready_file: &Path) -> Result<Client> {
    let ready = Ready::read(ready_file)?;
    let transport = HttpTransport::new(&ready.api_url)?;
    Ok(Client::new(Arc::new(transport), ready.admin_token))
}

/// Waits for a call's answer.
pub(crate) fn wait<T>(call: impl Future<Output = Result<T, ClientError>>) -> Result<T> {
    run(async { Ok(call.await?) })
}

/// Waits for several calls and what is done between them.
pub(crate) fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the asynchronous runtime")?;
    runtime.block_on(work)
}
