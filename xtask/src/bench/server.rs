//! The tiny web server that is started in every way there is to start a program: static, so that it
//! runs on any root filesystem and its own start costs next to nothing.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{process, workspace};

const SOURCE: &str = include_str!("server/hello.rs");

/// Builds it, unless it is there; gives its path.
pub(crate) fn build() -> Result<PathBuf> {
    let directory = workspace::target().join("bench").join("server");
    let (source, program) = (directory.join("hello.rs"), directory.join("hello"));
    let is_current = fs::read_to_string(&source).is_ok_and(|built| built == SOURCE);
    if is_current && program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&directory)?;
    let fresh = directory.join("fresh.rs");
    fs::write(&fresh, SOURCE)?;
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--edition", "2024", "--crate-name", "hello", "-o"])
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
