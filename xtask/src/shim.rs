//! `xtask shim`: the static `landfall-shim`.
//!
//! Cargo itself puts a dynamic build of the same name into the profile's directory whenever the
//! whole workspace is built; so the static one also goes to `static/` beside it, which is where
//! the server looks first.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{out, process, workspace};

/// `xtask shim [debug|release]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let path = match arguments {
        [] => build("debug")?,
        [profile] if ["debug", "release"].contains(&profile.as_str()) => build(profile)?,
        _ => bail!("shim: there are `debug` and `release`"),
    };
    out::say(path.display());
    Ok(())
}

/// Builds it and copies it beside the `landfall` of a profile; gives the copy's path.
pub(crate) fn build(profile: &str) -> Result<PathBuf> {
    let triple = host_triple()?;
    let directory = workspace::target().join("shim");
    let mut cargo = process::cargo(&workspace::root());
    cargo
        .args([
            "build",
            "--quiet",
            "--package",
            "shim",
            "--bin",
            "landfall-shim",
        ])
        .args(["--profile", "shim", "--target", &triple, "--target-dir"])
        .arg(&directory)
        .env(
            "RUSTFLAGS",
            "-C target-feature=+crt-static -C relocation-model=static",
        );
    process::run("build the static landfall-shim", &mut cargo)?;
    let built = directory.join(&triple).join("shim").join("landfall-shim");
    refuse_dynamic(&built)?;
    let beside = workspace::target().join(profile);
    let kept = beside.join("static").join("landfall-shim");
    for copy in [&kept, &beside.join("landfall-shim")] {
        replace(&built, copy)?;
    }
    Ok(kept)
}

/// Copies by rename, so that a shim that runs from the old file is not disturbed.
fn replace(from: &PathBuf, to: &PathBuf) -> Result<()> {
    let unchanged = fs::read(from)
        .ok()
        .is_some_and(|new| fs::read(to).is_ok_and(|old| old == new));
    if unchanged {
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("the copy has a directory")?)?;
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh).with_context(|| format!("could not copy {}", from.display()))?;
    fs::rename(&fresh, to).with_context(|| format!("could not write {}", to.display()))
}

fn host_triple() -> Result<String> {
    let said = process::output(std::process::Command::new("rustc").arg("-vV"))?;
    said.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc -vV names no host")
}

/// A program interpreter in the ELF header means that the file needs a dynamic loader.
fn refuse_dynamic(program: &PathBuf) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("no {}", program.display()))?;
    if bytes.windows(8).any(|window| window == b"/ld-linu") {
        bail!("{} is not static", program.display());
    }
    Ok(())
}
