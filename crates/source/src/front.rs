//! The front door itself, and what every request and every hook shares: [`Front`].

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::Arc,
};

use api::client::Transport;
use axum::Router;
use tokio::net::{TcpListener, UnixListener};

use crate::{
    config::SourceConfig,
    error::{DiskContext, SourceError},
    git::Git,
    http_git,
    locks::AppLocks,
    push,
    pushes::Pushes,
    repository,
    ssh::{self, SshDoor},
    turns::Turns,
};

/// The git front door, open. Cloning shares it.
#[derive(Clone)]
pub struct GitDoor {
    front: Arc<Front>,
}

impl GitDoor {
    /// Opens it: sweeps what interrupted pushes left and listens on the hook's socket. Must be
    /// called within a Tokio runtime, once per git directory. `transport` carries what is asked
    /// with tokens.
    ///
    /// # Errors
    /// `Disk`.
    pub fn open(config: SourceConfig, transport: Arc<dyn Transport>) -> Result<Self, SourceError> {
        let front = Front::open(config, transport)?;
        Ok(Self { front })
    }

    /// The routes of `https://HOST/APP.git`, to be merged into the server's own.
    pub fn routes(&self) -> Router {
        http_git::routes(Arc::clone(&self.front))
    }

    /// Serves `ssh://git@HOST/APP.git` for ever. Dropping it takes no new connections.
    pub async fn serve_ssh(&self, listener: TcpListener, door: SshDoor) {
        ssh::serve(Arc::clone(&self.front), listener, door).await;
    }
}

impl std::fmt::Debug for GitDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitDoor").finish_non_exhaustive()
    }
}

/// What every request and every hook shares.
pub(crate) struct Front {
    pub(crate) config: SourceConfig,
    pub(crate) git: Git,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) pushes: Arc<Pushes>,
    pub(crate) locks: AppLocks,
    pub(crate) receiving: Turns,
    pub(crate) fetching: Turns,
}

impl Front {
    /// Sweeps what a crash left, puts the hook in place and listens for it.
    pub(crate) fn open(
        mut config: SourceConfig,
        transport: Arc<dyn Transport>,
    ) -> Result<Arc<Self>, SourceError> {
        // git runs inside the repositories, where a relative path means something else.
        for path in config.paths() {
            *path = std::path::absolute(&path).on("find", path)?;
        }
        for directory in [&config.git_dir, &config.hooks_dir] {
            fs::create_dir_all(directory).on("create", directory)?;
        }
        repository::sweep(&config.git_dir)?;
        link_hook(&config)?;
        let listener = listen(&config.hook_socket)?;
        let front = Arc::new(Self {
            git: Git::new(&config),
            transport,
            pushes: Arc::default(),
            locks: AppLocks::default(),
            receiving: Turns::new(config.max_pushes),
            fetching: Turns::new(config.max_fetches),
            config,
        });
        tokio::spawn(push::serve(listener, Arc::downgrade(&front)));
        Ok(front)
    }
}

/// The hook is a link, so that a server that was updated finds its own hook after a restart.
fn link_hook(config: &SourceConfig) -> Result<(), SourceError> {
    let hook = config.hooks_dir.join("pre-receive");
    let unfinished = config.hooks_dir.join("pre-receive.new");
    remove_if_there(&unfinished)?;
    symlink(&config.hook_program, &unfinished).on("create", &unfinished)?;
    fs::rename(&unfinished, &hook).on("rename", &unfinished)
}

/// Only this process's user may speak to the socket.
fn listen(socket: &Path) -> Result<UnixListener, SourceError> {
    if let Some(directory) = socket.parent() {
        fs::create_dir_all(directory).on("create", directory)?;
    }
    remove_if_there(socket)?;
    let listener = UnixListener::bind(socket).on("listen on", socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600)).on("protect", socket)?;
    Ok(listener)
}

fn remove_if_there(path: &Path) -> Result<(), SourceError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.on("remove", path),
    }
}
