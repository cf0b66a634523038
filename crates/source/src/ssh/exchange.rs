//! One git command on an SSH channel: the same processes as over HTTP, fed and read until they end.

use std::{process::Stdio, sync::Arc};

use api::client::Client;
use bytes::{Bytes, BytesMut};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, server::Msg};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::ChildStdin,
    sync::mpsc,
    time::timeout,
};

use super::command::Command;
use crate::{
    error::SourceError,
    front::Front,
    git::read_stderr,
    receive::{OUTPUT_PIECES, Receiving, STALLED_CLIENT},
    refusal::Refusal,
    target::{Service, Target},
};

/// Bytes of git's output read at once.
const OUTPUT_BYTES: usize = 32 * 1024;
/// The stream that people see (RFC 4254 §5.2).
const STDERR: u32 = 1;
const FAILED: u32 = 1;

type Writer = ChannelWriteHalf<Msg>;

/// Runs a command to its end.
pub(super) async fn run(
    front: Arc<Front>,
    client: Client,
    channel: Channel<Msg>,
    (command, protocol): (Command, Option<String>),
) {
    let (reader, writer) = channel.split();
    let outcome = match Target::find(&front, client, &command.app).await {
        Ok(target) if command.service == Service::ReceivePack => {
            receive(front, target, reader, &writer).await
        }
        Ok(target) => send(&front, target, protocol, (reader, &writer)).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(status) => end(&writer, status).await,
        Err(refusal) => say(&writer, &refusal.text).await,
    }
}

/// Says why nothing is run.
pub(super) async fn refuse(channel: Channel<Msg>, words: String) {
    let (_reader, writer) = channel.split();
    say(&writer, &words).await;
}

/// A push: once git has all of it, it goes on whether or not somebody listens.
async fn receive(
    front: Arc<Front>,
    target: Target,
    reader: ChannelReadHalf,
    writer: &Writer,
) -> Result<u32, Refusal> {
    let mut receiving = Receiving::start(&front, target, &[]).await?;
    let limit = front
        .config
        .max_push_bytes
        .saturating_add(BESIDES_PACK_BYTES);
    if let Some(stdin) = receiving.stdin() {
        tokio::spawn(feed(reader, stdin, limit));
    }
    let (sender, mut output) = mpsc::channel::<Bytes>(OUTPUT_PIECES);
    let running = tokio::spawn(receiving.run(front, sender));
    while let Some(piece) = output.recv().await {
        if !write(writer, piece).await {
            break;
        }
    }
    // Else git's output would wait for somebody to take it.
    drop(output);
    let status = running.await.ok().flatten();
    Ok(status.and_then(code).unwrap_or(FAILED))
}

/// A clone or fetch: ends with its client.
async fn send(
    front: &Front,
    target: Target,
    protocol: Option<String>,
    (reader, writer): (ChannelReadHalf, &Writer),
) -> Result<u32, Refusal> {
    let turn = front.fetching.take(target.owner).await;
    let _turn = turn.ok_or_else(Refusal::busy)?;
    let mut command = front.git.command(&target.repository, "upload-pack");
    command.arg(".").stdin(Stdio::piped()).kill_on_drop(true);
    if let Some(protocol) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    let mut child = command.spawn().map_err(|source| SourceError::GitStart {
        command: "upload-pack",
        source,
    })?;
    if let Some(stdin) = child.stdin.take() {
        tokio::spawn(feed(reader, stdin, front.config.max_push_bytes));
    }
    let complaint = tokio::spawn(read_stderr(child.stderr.take()));
    if let Some(mut stdout) = child.stdout.take() {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(OUTPUT_BYTES);
            if !matches!(stdout.read_buf(&mut buffer).await, Ok(read) if read > 0) {
                break;
            }
            if !write(writer, buffer.split().freeze()).await {
                return Ok(FAILED);
            }
        }
    }
    let status = child.wait().await.ok();
    let complaint = complaint.await.unwrap_or_default();
    if !status.is_some_and(|status| status.success()) {
        tracing::debug!(?status, complaint, "git upload-pack failed");
    }
    Ok(status.and_then(code).unwrap_or(FAILED))
}

/// Room for what surrounds a pack: git itself refuses too large a pack in better words.
const BESIDES_PACK_BYTES: u64 = 16 * 1024 * 1024;

/// Gives git what the client sends, and reads on when git no longer listens: a client that cannot
/// send would not see git's answer.
async fn feed(mut reader: ChannelReadHalf, stdin: ChildStdin, mut left: u64) {
    let mut stdin = Some(stdin);
    while let Some(message) = reader.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                left = left.saturating_sub(data.len() as u64);
                if left == 0 {
                    stdin = None;
                }
                if let Some(git) = &mut stdin
                    && git.write_all(&data).await.is_err()
                {
                    stdin = None;
                }
            }
            ChannelMsg::Eof => stdin = None,
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}

/// Whether the client took it.
async fn write(writer: &Writer, piece: Bytes) -> bool {
    let written = timeout(STALLED_CLIENT, writer.data_bytes(piece)).await;
    matches!(written, Ok(Ok(())))
}

async fn say(writer: &Writer, words: &str) {
    let lines: Vec<String> = words
        .lines()
        .map(|line| format!(" !     {line}\r\n"))
        .collect();
    let lines = lines.concat();
    drop(timeout(STALLED_CLIENT, writer.extended_data_bytes(STDERR, lines)).await);
    end(writer, FAILED).await;
}

/// A client that has gone does not care.
async fn end(writer: &Writer, status: u32) {
    let ending = async {
        writer.exit_status(status).await?;
        writer.eof().await?;
        writer.close().await
    };
    drop(timeout(STALLED_CLIENT, ending).await);
}

fn code(status: std::process::ExitStatus) -> Option<u32> {
    u32::try_from(status.code()?).ok()
}
