//! What the git front door is told by the program that starts it.

use std::path::PathBuf;

/// Where repositories are and what a push may take.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Holds one bare repository per app, `<app id>.git`. Made if absent.
    pub git_dir: PathBuf,
    /// Unix socket between git's hook and this process; bound here. At most 107 bytes long.
    pub hook_socket: PathBuf,
    /// Directory that git looks for hooks in; only the one hook is put there. Made if absent.
    pub hooks_dir: PathBuf,
    /// A program that calls [`crate::hook::run`] when it is started under the name `pre-receive`.
    pub hook_program: PathBuf,
    /// The largest pack that is taken.
    pub max_push_bytes: u64,
    /// Pushes at once, those that wait for another push to their app included.
    pub max_pushes: usize,
    /// Fetches and advertisements at once.
    pub max_fetches: usize,
}

impl SourceConfig {
    /// The usual places under a data directory `data`; 2 GiB per push, 64 pushes, 16 fetches.
    pub fn new(data: impl Into<PathBuf>, hook_program: impl Into<PathBuf>) -> Self {
        let data = data.into();
        Self {
            git_dir: data.join("git"),
            hook_socket: data.join("run/hook.sock"),
            hooks_dir: data.join("run/hooks"),
            hook_program: hook_program.into(),
            max_push_bytes: 2 << 30,
            max_pushes: 64,
            max_fetches: 16,
        }
    }
    /// Every path in it.
    pub(crate) fn paths(&mut self) -> [&mut PathBuf; 4] {
        [
            &mut self.git_dir,
            &mut self.hook_socket,
            &mut self.hooks_dir,
            &mut self.hook_program,
        ]
    }
}
