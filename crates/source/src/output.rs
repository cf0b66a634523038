//! What whoever pushes gets to see, line by line, through git's hook.

use tokio::{io::AsyncWriteExt, net::unix::OwnedWriteHalf};

use crate::wire::Reply;

/// The way to the hook. A hook that has gone does not stop what is being told to it.
pub(crate) struct Output {
    hook: Option<OwnedWriteHalf>,
}

impl Output {
    pub(crate) fn new(hook: OwnedWriteHalf) -> Self {
        Self { hook: Some(hook) }
    }

    /// Shows a line.
    pub(crate) async fn line(&mut self, text: impl Into<String>) {
        self.send(&Reply::Line(text.into())).await;
    }

    /// Shows what went wrong, each line of it in Heroku's look.
    pub(crate) async fn error(&mut self, text: &str) {
        for line in text.lines() {
            self.line(format!(" !     {line}")).await;
        }
    }

    /// Ends the hook.
    pub(crate) async fn exit(mut self, status: u8) {
        self.send(&Reply::Exit(status)).await;
    }

    async fn send(&mut self, reply: &Reply) {
        let Some(hook) = &mut self.hook else { return };
        let mut message = serde_json::to_vec(reply).expect("text and numbers are JSON");
        message.push(b'\n');
        if hook.write_all(&message).await.is_err() {
            tracing::info!("the hook of a push is gone");
            self.hook = None;
        }
    }
}
