//! Upgraded connections (WebSocket and others): bytes both ways after the dyno's 101, until one
//! side ends, both are silent for too long, or the dyno's drain time is over.

use std::{cell::Cell, io, rc::Rc, time::Duration};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    time::{Instant, sleep_until},
};

use super::head::Head;
use crate::{codes::Code, exchange::Exchange, table::Lease};

const BUFFER_BYTES: usize = 8 * 1024;

/// What both directions share.
struct Activity {
    last: Cell<Instant>,
    bytes_to_client: Cell<u64>,
}

/// Carries bytes until the end, then logs.
pub(crate) async fn run(
    mut exchange: Exchange<Rc<Head>>,
    lease: Lease,
    client: OnUpgrade,
    dyno: OnUpgrade,
) {
    let lane = Rc::clone(exchange.lane());
    let _open = lane.open();
    let cut = lease.backend().wait_cut();
    let activity = Activity {
        last: Cell::new(Instant::now()),
        bytes_to_client: Cell::new(0),
    };
    let code = tokio::select! {
        biased;
        ended = carry(client, dyno, &activity) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "an upgraded connection broke");
            }
            None
        }
        () = silence(&activity, lane.timeouts.rolling) => Some(Code::H15),
        () = cut => None,
    };
    exchange.count(activity.bytes_to_client.get());
    match code {
        Some(code) => exchange.fail(code),
        None => exchange.finish(),
    }
}

async fn carry(client: OnUpgrade, dyno: OnUpgrade, activity: &Activity) -> io::Result<()> {
    let (client, dyno) = tokio::try_join!(client, dyno).map_err(io::Error::other)?;
    let (client_reader, client_writer) = split(TokioIo::new(client));
    let (dyno_reader, dyno_writer) = split(TokioIo::new(dyno));
    let uncounted = Cell::new(0);
    tokio::try_join!(
        pump(client_reader, dyno_writer, &activity.last, &uncounted),
        pump(
            dyno_reader,
            client_writer,
            &activity.last,
            &activity.bytes_to_client
        ),
    )?;
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    last: &Cell<Instant>,
    bytes: &Cell<u64>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(piece).await?;
        to.flush().await?;
        last.set(Instant::now());
        bytes.set(bytes.get() + count as u64);
    }
}

/// Returns when nothing went either way for `limit`.
async fn silence(activity: &Activity, limit: Duration) {
    loop {
        let deadline = activity.last.get() + limit;
        sleep_until(deadline).await;
        if activity.last.get() + limit <= deadline {
            return;
        }
    }
}
