//! What a person sees of a build, in Heroku's look.
//!
//! Lines go out as they come; a reader that went away stops nothing. It must not know what is
//! being built. Read [`Output`] first.

use std::collections::VecDeque;

use tokio::sync::mpsc;

/// Most lines that one build may put out; what follows is left out, and that is said.
pub(crate) const MAX_LINES: usize = 20_000;
/// How many of the last lines an error carries.
const TAIL_LINES: usize = 30;

/// What stands for a secret.
const HIDDEN: &str = "***";

/// Where a build's lines go.
#[derive(Debug)]
pub(crate) struct Output {
    sender: mpsc::Sender<String>,
    /// Texts that are not shown.
    secrets: Vec<String>,
    lines: usize,
    tail: VecDeque<String>,
}

impl Output {
    pub(crate) fn new(sender: mpsc::Sender<String>) -> Self {
        Self {
            sender,
            secrets: Vec::new(),
            lines: 0,
            tail: VecDeque::new(),
        }
    }

    /// The same, which puts [`HIDDEN`] in the place of secrets. Of two that overlap the first counts.
    pub(crate) fn hiding(mut self, secrets: Vec<String>) -> Self {
        self.secrets = secrets;
        self
    }

    /// `-----> Python app detected`.
    pub(crate) async fn heading(&mut self, text: &str) {
        self.send(format!("-----> {text}")).await;
    }

    /// Text below a heading, indented.
    pub(crate) async fn text(&mut self, text: &str) {
        self.send(if text.is_empty() {
            String::new()
        } else {
            format!("       {text}")
        })
        .await;
    }

    /// ` !     text`; always goes out, even past [`MAX_LINES`].
    pub(crate) async fn notice(&mut self, text: &str) {
        let line = if text.is_empty() {
            " !".to_owned()
        } else {
            format!(" !     {text}")
        };
        let line = self.hidden(line);
        // The reader may be gone; the build goes on.
        self.sender.send(line).await.ok();
    }

    /// A line that a tool wrote. Lines in the look of this module, as buildpack scripts write
    /// them, are left as they are.
    pub(crate) async fn tool(&mut self, line: &str) {
        let line = self.remember(line);
        if line.starts_with("-----> ") || line.starts_with(" !     ") {
            self.send(line.to_owned()).await;
        } else {
            self.text(line).await;
        }
    }

    /// A line of a program that writes in Heroku's look itself.
    pub(crate) async fn verbatim(&mut self, line: &str) {
        let line = self.remember(line).to_owned();
        self.send(line).await;
    }

    /// The last lines of the tool that ran last.
    pub(crate) fn take_tail(&mut self) -> Vec<String> {
        std::mem::take(&mut self.tail).into()
    }

    fn hidden(&self, line: String) -> String {
        let mut line = line;
        for secret in &self.secrets {
            if line.contains(secret) {
                line = line.replace(secret, HIDDEN);
            }
        }
        line
    }

    /// What is left of a line on a screen; kept for an error to show.
    fn remember<'a>(&mut self, line: &'a str) -> &'a str {
        let line = line.trim_end();
        // Progress bars write one line again and again; the last state is what counts.
        let line = line.rsplit('\r').next().unwrap_or(line);
        let shown = self.hidden(line.to_owned());
        self.tail.push_back(shown);
        if self.tail.len() > TAIL_LINES {
            self.tail.pop_front();
        }
        line
    }

    async fn send(&mut self, line: String) {
        self.lines += 1;
        if self.lines > MAX_LINES + 1 {
            return;
        }
        let line = if self.lines > MAX_LINES {
            format!(" !     Output is left out from here on: more than {MAX_LINES} lines")
        } else {
            self.hidden(line)
        };
        // The reader may be gone; the build goes on.
        self.sender.send(line).await.ok();
    }
}

/// A size as Heroku writes it: `512.0K`, `12.3M`, `1.2G`.
pub(crate) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = bytes.saturating_mul(10) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..1_048_576 => format!("{}K", tenths(1024)),
        1_048_576..1_073_741_824 => format!("{}M", tenths(1_048_576)),
        _ => format!("{}G", tenths(1_073_741_824)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of(
        count: usize,
        write: impl AsyncFnOnce(&mut Output),
    ) -> (Vec<String>, Vec<String>) {
        let (sender, mut receiver) = mpsc::channel(count);
        let mut output = Output::new(sender);
        write(&mut output).await;
        let tail = output.take_tail();
        drop(output);
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
        }
        (lines, tail)
    }

    #[tokio::test]
    async fn lines_look_like_herokus() {
        let (lines, tail) = lines_of(20, async |output| {
            output.heading("Python app detected").await;
            output.text("Procfile declares types -> web").await;
            output.notice("Push rejected").await;
            output.tool("Collecting 10%\rCollecting 100%\r\n").await;
            output.tool("-----> By a script").await;
        })
        .await;
        let expected = [
            "-----> Python app detected",
            "       Procfile declares types -> web",
            " !     Push rejected",
            "       Collecting 100%",
            "-----> By a script",
        ];
        assert_eq!(lines, expected);
        assert_eq!(tail, ["Collecting 100%", "-----> By a script"]);
    }

    #[tokio::test]
    async fn output_ends_somewhere_but_errors_do_not() {
        let (lines, tail) = lines_of(MAX_LINES + 10, async |output| {
            for number in 0..MAX_LINES + 5 {
                output.tool(&number.to_string()).await;
            }
            output.notice("failed").await;
        })
        .await;
        assert_eq!(lines.len(), MAX_LINES + 2);
        assert_eq!(lines[MAX_LINES + 1], " !     failed");
        assert_eq!(tail.len(), TAIL_LINES);
    }

    #[tokio::test]
    async fn secrets_are_hidden_wherever_they_come_from() {
        let (lines, tail) = lines_of(20, async |output| {
            let (sender, _) = mpsc::channel(1);
            let own = std::mem::replace(output, Output::new(sender));
            *output = own.hiding(vec!["s3cret-longer".to_owned(), "s3cret-l".to_owned()]);
            output.tool("token s3cret-longer, s3cret-l").await;
            output.verbatim("s3cret-l").await;
            output.notice("failed with s3cret-longer").await;
        })
        .await;
        let expected = ["       token ***, ***", "***", " !     failed with ***"];
        assert_eq!(lines, expected);
        assert_eq!(tail, ["token ***, ***", "***"]);
    }

    #[test]
    fn sizes() {
        let check = |bytes, expected: &str| assert_eq!(size(bytes), expected);
        check(0, "0.0K");
        check(1536, "1.5K");
        check(12_900_000, "12.3M");
        check(2 * 1_073_741_824, "2.0G");
    }
}
