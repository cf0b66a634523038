//! Waking a dyno before its request: one line to a unix socket, one line back. Nobody else is asked,
//! so it works without the server.

use std::{io, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    task::spawn_local,
    time::timeout,
};

use crate::{
    codes::Code,
    lane::Lane,
    subject::Subject,
    table::{Duty, Lease, Wake},
    wire::SleepTicket,
};

/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Makes sure that the leased dyno is awake. Errors: H19 when the wake takes too long, H21 when it
/// fails; all requests that share a wake share its end, too.
pub(crate) async fn wake(
    lane: &Rc<Lane>,
    lease: &Lease,
    subject: &impl Subject,
) -> Result<(), Code> {
    let mut outcome = match lease.wake(|| subject.described().cause()) {
        Wake::NotNeeded => return Ok(()),
        Wake::Shared(outcome) => outcome,
        Wake::Due(duty, outcome) => {
            // On its own: the others must not lose their wake when this request is dropped.
            spawn_local(perform(duty, lane.timeouts.wake));
            outcome
        }
    };
    match outcome.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.unwrap_or(Err(Code::H21)),
        Err(_) => Err(Code::H21),
    }
}

async fn perform(duty: Duty, limit: Duration) {
    let socket = duty.ticket.socket.display();
    let outcome = match timeout(limit, ask(&duty.ticket)).await {
        Ok(Ok(())) => {
            tracing::info!(%socket, ticket = duty.ticket.ticket, "woke a dyno");
            Ok(())
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, %socket, "cannot wake a dyno");
            Err(Code::H21)
        }
        Err(_) => {
            tracing::warn!(%socket, "a dyno takes too long to wake");
            Err(Code::H19)
        }
    };
    duty.done(outcome);
}

async fn ask(ticket: &SleepTicket) -> io::Result<()> {
    let mut stream = UnixStream::connect(&ticket.socket).await?;
    stream.write_all(ticket.wake_line.as_bytes()).await?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER_BYTES))
        .read_until(b'\n', &mut answer)
        .await?;
    if answer.ends_with(b"\n") {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
