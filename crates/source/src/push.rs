//! What happens to a push between its upload and the moving of the branch, told to git's hook.
//!
//! The app is locked before the build and stays locked until git has ended, so that a second push
//! sees where the first one left the branch.

use std::{
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedReadHalf},
    time::{Instant, interval_at, sleep, timeout},
};

use crate::{
    deploy::{Deploy, DeployError},
    front::Front,
    git::Quarantine,
    locks::AppLock,
    output::Output,
    plan::{Plan, plan},
    pushes::Push,
    repository,
    wire::{Hello, MAX_MESSAGE_BYTES, Update},
};

/// A hook that connects says what it wants within this time.
const HELLO_WAIT: Duration = Duration::from_secs(30);
/// How often a waiting push says that it waits.
const WAITING_NOTICE: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves hooks until the front door is closed.
pub(crate) async fn serve(listener: UnixListener, front: Weak<Front>) {
    loop {
        let accepted = listener.accept().await;
        let Some(front) = front.upgrade() else { return };
        match accepted {
            Ok((hook, _)) => drop(tokio::spawn(answer(hook, front))),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a hook's connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(hook: UnixStream, front: Arc<Front>) {
    let (reader, writer) = hook.into_split();
    let mut output = Output::new(writer);
    let hello = timeout(HELLO_WAIT, read_hello(reader)).await;
    let status = if let Ok(Some(hello)) = hello {
        decide(&front, hello, &mut output).await
    } else {
        output
            .error("The push cannot be understood. Are there very many branches in it?")
            .await;
        1
    };
    output.exit(status).await;
}

async fn read_hello(reader: OwnedReadHalf) -> Option<Hello> {
    let mut message = Vec::new();
    let mut reader = BufReader::new(reader).take(MAX_MESSAGE_BYTES);
    reader.read_until(b'\n', &mut message).await.ok()?;
    serde_json::from_slice(&message).ok()
}

/// The hook's exit status: 0 lets git move the references.
async fn decide(front: &Front, hello: Hello, output: &mut Output) -> u8 {
    let Some(push) = front.pushes.find(&hello.push) else {
        output
            .error("The server was restarted during this push. Push again.")
            .await;
        return 1;
    };
    let received = push.began.elapsed();
    let (notices, deploy) = match plan(&hello.updates) {
        Plan::Refuse(reason) => {
            output.error(&reason).await;
            return 1;
        }
        Plan::Accept { notices, deploy } => (notices, deploy),
    };
    for notice in notices {
        output.line(notice).await;
    }
    let Some(update) = deploy else { return 0 };
    let Ok(quarantine) = quarantine(&push.repository, &hello) else {
        output.error("The pushed objects cannot be found.").await;
        return 1;
    };
    let lock = app_lock(front, &push, output).await;
    match build(front, &push, (&update, quarantine), received, output).await {
        Ok(()) => {
            push.keep(lock, update);
            0
        }
        Err(error) => {
            tracing::info!(app = %push.name, error = &error as &dyn std::error::Error, "a push was rejected");
            output.error(&error.shown()).await;
            1
        }
    }
}

async fn build(
    front: &Front,
    push: &Push,
    (update, quarantine): (&Update, Option<Quarantine>),
    received: Duration,
    output: &mut Output,
) -> Result<(), DeployError> {
    let current = repository::reference(&front.git, &push.repository, &update.name).await?;
    let is_unmoved = current.map_or(update.is_create(), |current| current == update.old);
    if !is_unmoved {
        return Err(DeployError::Moved {
            branch: update.short().to_owned(),
        });
    }
    let deploy = Deploy {
        git: &front.git,
        repository: &push.repository,
        quarantine,
        commit: &update.new,
        client: &push.client,
        app: push.name.as_str(),
        received,
    };
    deploy.run(output).await
}

/// Waits for other pushes to the app, and says so.
async fn app_lock(front: &Front, push: &Push, output: &mut Output) -> AppLock {
    let lock = front.locks.of(push.app);
    if let Ok(lock) = Arc::clone(&lock).try_lock_owned() {
        return lock;
    }
    output
        .line("-----> Waiting for another push to this app to finish...")
        .await;
    let began = Instant::now();
    let mut notices = interval_at(began + WAITING_NOTICE, WAITING_NOTICE);
    let mut locking = std::pin::pin!(lock.lock_owned());
    loop {
        tokio::select! {
            lock = &mut locking => return lock,
            _ = notices.tick() => {
                let seconds = began.elapsed().as_secs();
                output.line(format!("       Still waiting ({seconds} s)")).await;
            }
        }
    }
}

/// Where the pushed objects wait, if there are any; an error for a place outside the repository.
fn quarantine(repository: &Path, hello: &Hello) -> std::io::Result<Option<Quarantine>> {
    let Some(objects) = &hello.objects else {
        return Ok(None);
    };
    let place = Path::new(objects).canonicalize()?;
    if !place.starts_with(repository.canonicalize()?.join("objects")) {
        return Err(std::io::Error::other("outside the repository"));
    }
    let alternates = hello.alternates.clone().unwrap_or_default();
    Ok(Some(Quarantine {
        objects: objects.clone(),
        alternates,
    }))
}
