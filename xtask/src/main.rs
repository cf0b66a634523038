//! `cargo xtask`: the project's own commands, one file each.
//!
//! It must stay quick to compile, so it knows none of the rooms: it drives cargo, git and the
//! `landfall` program from outside. Read [`COMMANDS`] first.

mod bench;
mod check;
mod conformance;
mod demo;
mod e2e;
mod host;
mod http;
mod out;
mod platform;
mod process;
mod push;
mod pushes;
mod shim;
mod stack;
mod test;
mod tidy;
mod torture;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// One entry of the menu.
struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

/// The menu.
const COMMANDS: &[Command] = &[
    Command {
        name: "demo",
        arguments: "[--once] [--data DIR]",
        about: "install what is missing, build, start, push the sample apps, show their URLs",
        run: demo::run,
    },
    Command {
        name: "test",
        arguments: "[FILTER]",
        about: "everything CI runs: check, unit and integration tests, e2e",
        run: test::run,
    },
    Command {
        name: "check",
        arguments: "",
        about: "fmt, clippy, doc, tidy; deny, machete and typos where installed",
        run: check::run,
    },
    Command {
        name: "tidy",
        arguments: "",
        about: "the project's own rules: layers, names, sizes, documents",
        run: tidy::run,
    },
    Command {
        name: "conformance",
        arguments: "",
        about: "call every link of the published API schema; a table and how many conform",
        run: conformance::run,
    },
    Command {
        name: "e2e",
        arguments: "[FILTER]",
        about: "real pushes and the official CLI against a real server",
        run: e2e::run,
    },
    Command {
        name: "torture",
        arguments: "[--kills N] [--seed S]",
        about: "1,000 kill -9 of server, router, shims and apps under deploys, scalings, requests",
        run: torture::run,
    },
    Command {
        name: "pushes",
        arguments: "",
        about: "two hundred pushes to fifty apps at once",
        run: pushes::run,
    },
    Command {
        name: "bench",
        arguments: "[NAME]",
        about: "one benchmark: a table, `figure NAME VALUE UNIT` lines, samples in target/bench/",
        run: bench::run,
    },
    Command {
        name: "shim",
        arguments: "[debug|release]",
        about: "build the static landfall-shim into target/<profile>/",
        run: shim::run,
    },
    Command {
        name: "stack",
        arguments: "",
        about: "build the stack landfall-13 if this machine has none",
        run: stack::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::complain(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        menu();
        return Ok(());
    };
    if ["help", "--help", "-h"].contains(&name.as_str()) {
        menu();
        return Ok(());
    }
    if name == bench::DRIVE_CRUN {
        return bench::drive_crun(rest);
    }
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(rest),
        None => bail!("there is no `{name}`\n  hint: `cargo xtask` lists the commands"),
    }
}

fn menu() {
    for command in COMMANDS {
        let call = format!("{} {}", command.name, command.arguments);
        out::say(format_args!("cargo xtask {call:<28} {}", command.about));
    }
}
