//! The process that shims come out of: kept ready by the engine, it ends with it.
//!
//! Nothing of a dyno is in it, so one that was killed is replaced by the next start. Read
//! [`Nest::reach`] first.

use std::{
    fs,
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::Signal;
use shim::start::{GO_ON, NEST, NEST_NAME, Place, StartAnswer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
    sync::Mutex,
};

/// The socket's name in the engine's own directory.
const SOCKET: &str = "nest";

/// See the module.
#[derive(Debug)]
pub(crate) struct Nest {
    program: PathBuf,
    directory: PathBuf,
    /// Where shims live.
    place: Place,
    kept: Mutex<Option<Child>>,
}

impl Nest {
    /// One in `directory`, which nobody else may enter.
    pub(crate) fn new(program: PathBuf, directory: PathBuf, place: Place) -> Self {
        Self {
            program,
            directory,
            place,
            kept: Mutex::default(),
        }
    }

    /// Sees to it that there is one.
    pub(crate) async fn prepare(&self) -> io::Result<()> {
        self.reach().await.map(drop)
    }

    /// Ends it. The shims live on.
    pub(crate) async fn end(&self) -> io::Result<()> {
        if let Some(mut child) = self.kept.lock().await.take() {
            // It ends when nobody reads there any more, after what waits in it.
            drop(child.stdout.take());
            child.wait().await?;
        }
        self.end_others();
        match fs::remove_file(self.directory.join(SOCKET)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends what another engine keeps among the same shims: that of a server which is being replaced,
    /// and has not ended yet.
    fn end_others(&self) {
        let unified = self
            .place
            .into
            .iter()
            .map(|group| group.join("cgroup.procs"));
        let list = unified.chain(self.place.tasks.iter().cloned()).next();
        let processes = list.and_then(|list| fs::read_to_string(list).ok());
        for process in processes.iter().flat_map(|list| list.lines()) {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            let process = process
                .parse()
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(process) = process
                && name.trim() == NEST_NAME
                && let Err(error) = rustix::process::kill_process(process, Signal::KILL)
            {
                tracing::debug!(%error, "another engine's nest has just ended");
            }
        }
    }

    /// A new shim, which waits to be asked. It ends if nobody does.
    pub(crate) async fn reach(&self) -> io::Result<Newborn> {
        let mut kept = self.kept.lock().await;
        if kept.is_some() {
            match self.connect().await {
                Err(error) if is_gone(&error) => {}
                other => return other.map(Newborn),
            }
        }
        *kept = Some(self.hatch()?);
        self.connect().await.map(Newborn)
    }

    async fn connect(&self) -> io::Result<UnixStream> {
        // The address of a socket is short, the path of a directory may not be.
        let short = fs::File::open(&self.directory)?;
        UnixStream::connect(address(&short)).await
    }

    fn hatch(&self) -> io::Result<Child> {
        self.end_others();
        let short = fs::File::open(&self.directory)?;
        match fs::remove_file(self.directory.join(SOCKET)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(address(&short))?;
        let child = Command::new(&self.program)
            .arg(NEST)
            .env_clear()
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(process) = child.id() {
            self.move_to_shims(process)?;
        }
        Ok(child)
    }

    /// Before there is anything for it to do, so that whatever it does is the shims'.
    fn move_to_shims(&self, process: u32) -> io::Result<()> {
        let unified = self
            .place
            .into
            .iter()
            .map(|group| group.join("cgroup.procs"));
        for file in unified.chain(self.place.tasks.iter().cloned()) {
            let mut file = fs::File::options().write(true).open(file)?;
            file.write_all(process.to_string().as_bytes())?;
        }
        Ok(())
    }
}

/// A new shim, which ends if nothing is asked of it.
#[derive(Debug)]
pub(crate) struct Newborn(UnixStream);

impl Newborn {
    /// Gives it a start request. It begins, but does not touch the dyno's cgroup yet.
    pub(crate) async fn ask(&mut self, request: &[u8]) {
        // A shim that refuses early closes the connection; its answer says why.
        drop(self.0.write_all(request).await);
    }

    /// Has it go on, if the dyno has a cgroup now, or end. Waits for its answer.
    pub(crate) async fn conclude(mut self, has_cgroup: bool) -> io::Result<StartAnswer> {
        if has_cgroup {
            drop(self.0.write_all(&[GO_ON]).await);
        }
        drop(self.0.shutdown().await);
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).await?;
        let no_answer = |_| io::Error::other("it ended without an answer");
        serde_json::from_slice(&answer).map_err(no_answer)
    }
}

fn address(directory: &fs::File) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(SOCKET)
}

/// Whether nobody listens there any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
    )
}
