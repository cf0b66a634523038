//! Taking a push. The git process is detached from its client: one that goes away after the
//! upload does not stop the build, and the branch moves when the build succeeds.

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
    process::{Child, ChildStdin, ChildStdout},
    sync::mpsc,
};

use crate::{
    error::SourceError,
    front::Front,
    git::read_stderr,
    http_git::answer,
    pushes::OpenPush,
    refusal::Refusal,
    repository,
    request_body::RequestBody,
    target::{Service, Target},
    turns::Turn,
    wire::{PUSH_VARIABLE, SOCKET_VARIABLE},
};

/// Pieces of output that wait for a client to take them.
pub(crate) const OUTPUT_PIECES: usize = 16;
/// Bytes of output read at once.
const OUTPUT_BYTES: usize = 16 * 1024;
/// A client that takes nothing for so long counts as gone.
pub(crate) const STALLED_CLIENT: Duration = Duration::from_mins(1);

/// One push over HTTP, from its pack to its report.
///
/// *Cancellation*: once git runs, it runs to its end.
pub(crate) async fn receive_pack(
    front: Arc<Front>,
    target: Target,
    request: Request,
) -> Result<Response, Refusal> {
    let mut receiving = Receiving::start(&front, target, &["--stateless-rpc"]).await?;
    let body = RequestBody::new(request, front.config.max_push_bytes);
    if let Some(stdin) = receiving.stdin() {
        tokio::spawn(body.feed(stdin));
    }
    let (sender, mut output) = mpsc::channel(OUTPUT_PIECES);
    let running = tokio::spawn(receiving.run(front, sender));
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

/// A git process that takes a push, and what lives as long as it.
pub(crate) struct Receiving {
    push: OpenPush,
    child: Child,
    _turn: Turn,
}

impl Receiving {
    /// Starts git when it is the push's turn. Its hook will find the push by its id.
    pub(crate) async fn start(
        front: &Front,
        target: Target,
        options: &[&str],
    ) -> Result<Self, Refusal> {
        let turn = front.receiving.take(target.owner).await;
        let turn = turn.ok_or_else(Refusal::busy)?;
        let push = front.pushes.begin(target);
        let mut command = front.git.command(&push.repository, "receive-pack");
        command
            .args(options)
            .arg(".")
            .env(SOCKET_VARIABLE, &front.config.hook_socket)
            .env(PUSH_VARIABLE, push.id())
            .stdin(Stdio::piped());
        let child = command.spawn().map_err(|source| SourceError::GitStart {
            command: "receive-pack",
            source,
        })?;
        Ok(Self {
            push,
            child,
            _turn: turn,
        })
    }

    /// Where the push goes in; once.
    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Goes with the process to its end, whether or not somebody still takes its output.
    pub(crate) async fn run(
        mut self,
        front: Arc<Front>,
        sender: mpsc::Sender<Bytes>,
    ) -> Option<ExitStatus> {
        let complaint = tokio::spawn(read_stderr(self.child.stderr.take()));
        if let Some(stdout) = self.child.stdout.take() {
            forward(stdout, sender).await;
        }
        let status = self.child.wait().await.ok();
        let complaint = complaint.await.unwrap_or_default();
        if !status.is_some_and(|status| status.success()) {
            tracing::info!(app = %self.push.name, ?status, complaint, "a push was not taken");
        }
        if let Some(deployed) = self.push.deployed()
            && let Err(error) =
                repository::settle(&front.git, &self.push.repository, &deployed).await
        {
            tracing::warn!(app = %self.push.name, %error, "the branch of a deployed push may not have moved");
        }
        status
    }
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
