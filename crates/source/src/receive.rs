//! Taking a push. The git process is detached from the HTTP request: a client that goes away after
//! its upload does not stop the build, and the branch moves when the build succeeds.

use std::{
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{body::Body, extract::Request, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::StatusCode;
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStdout},
    sync::mpsc,
};

use crate::{
    error::SourceError,
    front::Front,
    git::read_stderr,
    http_git::{Refusal, Service, Target, answer},
    pushes::OpenPush,
    repository,
    request_body::RequestBody,
    turns::Turn,
    wire::{PUSH_VARIABLE, SOCKET_VARIABLE},
};

/// Pieces of output that wait for a client to take them.
const OUTPUT_PIECES: usize = 16;
/// Bytes of output read at once.
const OUTPUT_BYTES: usize = 16 * 1024;
/// A client that takes nothing for so long counts as gone.
const STALLED_CLIENT: Duration = Duration::from_mins(1);

/// One push, from its pack to its report.
///
/// *Cancellation*: once git runs, it runs to its end.
pub(crate) async fn receive_pack(
    front: Arc<Front>,
    target: Target,
    request: Request,
) -> Result<Response, Refusal> {
    let turn = front.receiving.take(target.owner).await;
    let turn = turn.ok_or_else(Refusal::busy)?;
    let push = front.pushes.begin(target);
    let mut command = front.git.command(&push.repository, "receive-pack");
    command
        .args(["--stateless-rpc", "."])
        .env(SOCKET_VARIABLE, &front.config.hook_socket)
        .env(PUSH_VARIABLE, push.id())
        .stdin(Stdio::piped());
    let child = command.spawn().map_err(|source| SourceError::GitStart {
        command: "receive-pack",
        source,
    })?;
    let (sender, mut output) = mpsc::channel(OUTPUT_PIECES);
    let body = RequestBody::new(request, front.config.max_push_bytes);
    let running = tokio::spawn(run(
        front,
        Running {
            push,
            child,
            _turn: turn,
        },
        body,
        sender,
    ));
    // git says nothing before it has read the whole request; answering earlier could make a
    // client stop sending.
    let Some(first) = output.recv().await else {
        return match running.await {
            Ok(Some(status)) if status.success() => Ok(result(Body::empty())),
            _ => Err(Refusal::plain(
                StatusCode::BAD_REQUEST,
                "git could not understand the push.",
            )),
        };
    };
    let rest = stream::unfold(output, |mut output| async {
        Some((output.recv().await?, output))
    });
    let pieces = stream::once(async { first })
        .chain(rest)
        .map(Ok::<_, std::io::Error>);
    Ok(result(Body::from_stream(pieces)))
}

fn result(body: Body) -> Response {
    answer(Service::ReceivePack, "result", body)
}

/// What lives as long as the git process.
struct Running {
    push: OpenPush,
    child: Child,
    _turn: Turn,
}

async fn run(
    front: Arc<Front>,
    mut running: Running,
    body: RequestBody,
    sender: mpsc::Sender<Bytes>,
) -> Option<ExitStatus> {
    if let Some(stdin) = running.child.stdin.take() {
        tokio::spawn(body.feed(stdin));
    }
    let complaint = tokio::spawn(read_stderr(running.child.stderr.take()));
    if let Some(stdout) = running.child.stdout.take() {
        forward(stdout, sender).await;
    }
    let status = running.child.wait().await.ok();
    let complaint = complaint.await.unwrap_or_default();
    if !status.is_some_and(|status| status.success()) {
        tracing::info!(app = %running.push.name, ?status, complaint, "a push was not taken");
    }
    if let Some(deployed) = running.push.deployed()
        && let Err(error) =
            repository::settle(&front.git, &running.push.repository, &deployed).await
    {
        tracing::warn!(app = %running.push.name, %error, "the branch of a deployed push may not have moved");
    }
    status
}

/// Hands git's output on for as long as somebody takes it, and reads it to its end in any case.
async fn forward(mut stdout: ChildStdout, sender: mpsc::Sender<Bytes>) {
    let mut sender = Some(sender);
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(OUTPUT_BYTES);
        match stdout.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let piece = buffer.split().freeze();
        if let Some(client) = &sender
            && client.send_timeout(piece, STALLED_CLIENT).await.is_err()
        {
            tracing::info!("the client of a push is gone; the push goes on");
            sender = None;
        }
    }
}
