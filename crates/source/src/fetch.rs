//! Reading a repository: what it advertises, and clone and fetch. A client that goes away ends it.

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::process::Child;
use tokio_util::io::ReaderStream;

use crate::{
    error::SourceError,
    front::Front,
    git::read_stderr,
    http_git::{answer, protocol},
    refusal::Refusal,
    request_body::RequestBody,
    target::{Service, Target},
};

/// The references that a repository offers: the start of every push and fetch.
pub(crate) async fn advertise(
    front: &Front,
    target: &Target,
    service: Service,
    protocol: Option<String>,
) -> Result<Response, Refusal> {
    let turn = front.fetching.take(target.owner).await;
    let _turn = turn.ok_or_else(Refusal::busy)?;
    let mut command = front.git.command(&target.repository, service.command());
    command.args(["--stateless-rpc", "--http-backend-info-refs", "."]);
    // Version 2 has no preamble, and only fetching knows it.
    let has_preamble = service == Service::ReceivePack
        || !protocol
            .as_ref()
            .is_some_and(|protocol| protocol.contains("version=2"));
    if let Some(protocol) = protocol.filter(|_| service == Service::UploadPack) {
        command.env("GIT_PROTOCOL", protocol);
    }
    let references = front.git.output(command, service.command()).await?;
    let mut body = Vec::new();
    if has_preamble {
        let preamble = format!("# service=git-{}\n", service.command());
        body.extend_from_slice(format!("{:04x}{preamble}0000", preamble.len() + 4).as_bytes());
    }
    body.extend_from_slice(&references);
    Ok(answer(service, "advertisement", Body::from(body)))
}

/// One exchange of a clone or fetch.
pub(crate) async fn upload_pack(
    front: &Front,
    target: &Target,
    request: Request,
) -> Result<Response, Refusal> {
    let turn = front.fetching.take(target.owner).await;
    let turn = turn.ok_or_else(Refusal::busy)?;
    let mut command = front.git.command(&target.repository, "upload-pack");
    command
        .args(["--stateless-rpc", "."])
        .stdin(std::process::Stdio::piped())
        .kill_on_drop(true);
    if let Some(protocol) = protocol(request.headers()) {
        command.env("GIT_PROTOCOL", protocol);
    }
    let mut child = command.spawn().map_err(|source| SourceError::GitStart {
        command: "upload-pack",
        source,
    })?;
    let body = RequestBody::new(request, front.config.max_push_bytes);
    if let Some(stdin) = child.stdin.take() {
        tokio::spawn(body.feed(stdin));
    }
    let output = child.stdout.take().map(ReaderStream::new);
    let end = stream::once(reap(child, turn)).filter_map(|nothing| async move { nothing });
    let chunks = stream::iter(output).flatten().chain(end);
    Ok(answer(
        Service::UploadPack,
        "result",
        Body::from_stream(chunks),
    ))
}

/// Waits for the process and gives its place away; part of the answer's stream, so that dropping
/// the answer kills the process.
async fn reap<T>(mut child: Child, turn: T) -> Option<std::io::Result<Bytes>> {
    let complaint = read_stderr(child.stderr.take()).await;
    let status = child.wait().await;
    if !matches!(status, Ok(status) if status.success()) {
        tracing::debug!(?status, complaint, "git upload-pack failed");
    }
    drop(turn);
    None
}
