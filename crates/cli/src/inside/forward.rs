//! `landfall ps:forward`: ports of a running dyno on this machine, until Ctrl-C.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context, Result, bail};
use api::dynos::NewForward;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
};

use super::{
    exec::{DEFAULT_DYNO, dyno_path},
    link::{Link, Met},
};

/// Arguments of `landfall ps:forward`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ForwardArguments {
    /// The app; else that of `HEROKU_APP` or the git remote `heroku`
    #[arg(short, long, value_name = "APP")]
    pub app: Option<String>,
    /// Which dyno, web.1 if left out; then ports as LOCAL:REMOTE, or one number for both. A LOCAL
    /// of 0 is any free port
    #[arg(required = true, value_name = "[DYNO] LOCAL:REMOTE")]
    pub words: Vec<String>,
}

/// A forwarded port.
#[derive(Clone)]
struct Forward {
    link: Link,
    dyno: String,
    port: u16,
    /// Where connections are met; a new one is asked for when it has expired.
    attach_url: Arc<Mutex<Option<String>>>,
}

pub(super) async fn run(link: Link, arguments: &ForwardArguments) -> Result<ExitCode> {
    let (dyno, ports) = parse(&arguments.words)?;
    let mut serving = JoinSet::new();
    for (local, port) in ports {
        let forward = Forward {
            link: link.clone(),
            dyno: dyno.clone(),
            port,
            attach_url: Arc::default(),
        };
        forward.open().await?;
        let listener = TcpListener::bind(("127.0.0.1", local))
            .await
            .with_context(|| format!("could not listen on 127.0.0.1:{local}"))?;
        say(&format!(
            "Forwarding {} to port {port} of {dyno}",
            listener.local_addr()?
        ));
        serving.spawn(forward.serve(listener));
    }
    tokio::select! {
        ended = serving.join_next() => {
            ended.context("nothing is forwarded")???;
        }
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Forward {
    /// Asks for a session.
    async fn open(&self) -> Result<String> {
        let forward = NewForward { port: self.port };
        let client = &self.link.client;
        let opened = client
            .create_dyno_forward(&self.link.app, &self.dyno, &forward)
            .await?;
        let url = opened.attach_url.context("the platform gave no address")?;
        *self.attach_url.lock().await = Some(url.clone());
        Ok(url)
    }

    async fn serve(self, listener: TcpListener) -> Result<()> {
        loop {
            let (mut stream, _) = listener.accept().await?;
            let forward = self.clone();
            tokio::spawn(async move {
                // Said before the connection ends: whoever sees its end may look for the reason.
                if let Err(error) = forward.connect(&mut stream).await {
                    complain(&error);
                }
            });
        }
    }

    async fn connect(&self, near: &mut TcpStream) -> Result<()> {
        let url = self.attach_url.lock().await.clone();
        let mut met = self.link.meet(url.as_deref()).await?;
        if matches!(met, Met::Gone) {
            let fresh = self.open().await?;
            met = self.link.meet(Some(&fresh)).await?;
        }
        match met {
            Met::Stream(mut far) => {
                // Either end may break off as it likes.
                drop(tokio::io::copy_bidirectional(near, &mut far).await);
                Ok(())
            }
            Met::Gone => bail!("{} runs no more", self.dyno),
            Met::Refused(reason) => bail!(reason),
        }
    }
}

/// The dyno, and local and remote ports.
fn parse(words: &[String]) -> Result<(String, Vec<(u16, u16)>)> {
    let (dyno, ports) = match words {
        [first, rest @ ..] if pair(first).is_none() && !rest.is_empty() => (first.as_str(), rest),
        words => (DEFAULT_DYNO, words),
    };
    let ports: Option<Vec<_>> = ports.iter().map(|word| pair(word)).collect();
    let ports = ports
        .context("ports are given as LOCAL:REMOTE\n  hint: landfall ps:forward web.1 9229:9229")?;
    Ok((dyno_path(dyno)?, ports))
}

fn pair(word: &str) -> Option<(u16, u16)> {
    let (local, remote) = word.split_once(':').unwrap_or((word, word));
    let remote: u16 = remote.parse().ok()?;
    (remote > 0).then_some((local.parse().ok()?, remote))
}

#[expect(clippy::print_stdout, reason = "the command's output")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "one of many connections failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: Option<(&str, &[(u16, u16)])>) {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let expected = expected.map(|(dyno, ports)| (dyno.to_owned(), ports.to_vec()));
        assert_eq!(parse(&words).ok(), expected);
    }

    #[test]
    fn ports_and_perhaps_a_dyno_before_them() {
        check(&["9229"], Some(("web.1", &[(9229, 9229)])));
        check(
            &["worker.2", "0:80", "1:2"],
            Some(("worker.2", &[(0, 80), (1, 2)])),
        );
        check(&["web.1"], None);
        check(&["web.1", "x"], None);
        check(&["80:0"], None);
        check(&["../x", "80"], None);
    }
}
