//! Trying out what the kernel lets dynos have, through the program that would do it.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

pub use shim::trials::{Trial, Trials};

/// Has the shim try things, with these directories as places of files that dynos are shown.
///
/// # Errors
/// When the shim cannot be run or does not know how to.
pub fn run(shim: &Path, directories: &[&Path]) -> io::Result<Trials> {
    let output = Command::new(shim)
        .arg(shim::trials::ARGUMENT)
        .args(directories)
        .stdin(Stdio::null())
        .output()?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| io::Error::other("the landfall-shim there cannot try it out"))
}
