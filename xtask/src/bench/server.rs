//! Tiny web servers: static, so that they run on any root filesystem and their own start costs next
//! to nothing. [`build`] gives the one that is started in every way there is to start a program,
//! [`build_kept`] the one that is asked over kept connections.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{process, workspace};

const HELLO: &str = include_str!("server/hello.rs");
const KEPT: &str = include_str!("server/kept.rs");

/// Builds the one that answers once a connection, unless it is there; gives its path.
pub(crate) fn build() -> Result<PathBuf> {
    compile("hello", HELLO)
}

/// The one that keeps connections.
pub(crate) fn build_kept() -> Result<PathBuf> {
    compile("kept", KEPT)
}

fn compile(name: &str, text: &str) -> Result<PathBuf> {
    let directory = workspace::target().join("bench").join("server");
    let program = directory.join(name);
    let source = program.with_extension("rs");
    let is_current = fs::read_to_string(&source).is_ok_and(|built| built == text);
    if is_current && program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&directory)?;
    let fresh = directory.join("fresh.rs");
    fs::write(&fresh, text)?;
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--edition", "2024", "--crate-name", name, "-o"])
        .arg(&program)
        .args([
            "-C",
            "opt-level=2",
            "-C",
            "panic=abort",
            "-C",
            "strip=symbols",
        ])
        .args(["-C", "target-feature=+crt-static"])
        .args(["-C", "relocation-model=static"])
        .arg(&fresh);
    process::run("build the static server", &mut rustc)?;
    fs::rename(&fresh, &source).context("the source can be kept beside the program")?;
    Ok(program)
}
