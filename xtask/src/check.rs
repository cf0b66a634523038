//! `xtask check`: everything a machine can say about the code without running it.

use std::process::Command;

use anyhow::Result;

use crate::{out, process, tidy, workspace};

/// Programs that look at the code where they are installed: name, arguments.
const OPTIONAL: &[(&str, &[&str])] = &[
    (
        "cargo-deny",
        &[
            "deny",
            "--all-features",
            "check",
            "bans",
            "licenses",
            "sources",
        ],
    ),
    ("cargo-machete", &["machete"]),
    ("typos", &[]),
];

/// `xtask check`.
pub(crate) fn run(_: &[String]) -> Result<()> {
    let root = workspace::root();
    process::run(
        "fmt",
        process::cargo(&root).args(["fmt", "--all", "--", "--check"]),
    )?;
    tidy::run(&[])?;
    process::run(
        "clippy",
        process::cargo(&root).args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    // Only the fuzz targets, which need another compiler, build it.
    process::run(
        "fuzzing",
        process::cargo(&root).args([
            "check",
            "--quiet",
            "--package",
            "router",
            "--features",
            "fuzzing",
        ]),
    )?;
    process::run(
        "doc",
        process::cargo(&root)
            .args([
                "doc",
                "--quiet",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ])
            // Our readers are developers: what is private is documented, and may be linked to.
            .env(
                "RUSTDOCFLAGS",
                "-D warnings -A rustdoc::private_intra_doc_links",
            ),
    )?;
    let mut skipped = Vec::new();
    for (program, arguments) in OPTIONAL {
        if process::find(program).is_none() {
            skipped.push(*program);
            continue;
        }
        let mut command = if arguments.is_empty() {
            let mut command = Command::new(program);
            command.current_dir(&root);
            command
        } else {
            process::cargo(&root)
        };
        process::run(program, command.args(*arguments))?;
    }
    if !skipped.is_empty() {
        out::say(format_args!(
            "skipped, not installed: {}",
            skipped.join(", ")
        ));
    }
    Ok(())
}
