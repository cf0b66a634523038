//! The program's commands: a table, and which function each runs.
//!
//! Exit statuses: 0 done, 1 failed, 2 called wrongly; `heroku` passes the CLI's own on,
//! `ps:exec` that of the command.

mod bench;
mod bench_density;
mod builds;
mod disk;
mod doctor;
mod down;
mod router;
mod runtimes;
mod server;
mod sizes;
mod stacks;
mod up;

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{Choices, Config, Surroundings};

/// Called by this name, the program is git's pre-receive hook.
const HOOK: &str = "pre-receive";

/// A self-hosted Heroku.
#[derive(Debug, Parser)]
#[command(name = "landfall", version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the platform in the foreground: server and router
    Up(up::Arguments),
    /// Run the control plane alone
    Server(server::Arguments),
    /// Run the data plane alone
    Router(router::Arguments),
    /// Stop all dynos of a platform that is not running and give back what they hold
    Down(down::Arguments),
    #[command(flatten)]
    Runtimes(runtimes::Command),
    /// Build a stack into the machine's cache
    #[command(name = "stacks:build")]
    StacksBuild(stacks::Arguments),
    /// Print the exports that point the official CLI at the running platform
    #[command(name = "heroku-env")]
    HerokuEnv(HerokuEnv),
    /// Run the official CLI against the running platform: landfall heroku -- ARGUMENTS
    Heroku(Heroku),
    /// Run a command, or a shell, inside a running dyno: landfall ps:exec web.1 -- COMMAND
    #[command(name = "ps:exec")]
    PsExec(PsExec),
    /// Copy a file or directory from or to a running dyno
    #[command(name = "ps:copy")]
    PsCopy(PsCopy),
    /// Make ports of a running dyno reachable on this machine
    #[command(name = "ps:forward")]
    PsForward(PsForward),
    /// Print what dynos of each size may use
    Sizes(sizes::Arguments),
    #[command(flatten)]
    Builds(builds::Command),
    /// Show or change what the router does for an app beyond routing: landfall edge -a APP
    Edge(Edge),
    /// Deploy a directory without git: landfall push -a APP
    Push(Push),
    /// Deploy from a git repository elsewhere: landfall deploy -a APP URL --ref main
    Deploy(Deploy),
    /// Show or set where an app's source is kept: landfall repository -a APP URL --branch main
    Repository(Repository),
    /// Show or set when an app sleeps, or put it to sleep: landfall sleep -a APP
    Sleep(Sleep),
    /// Wake an app: landfall wake -a APP
    Wake(Wake),
    /// Write an app as an OCI image into a file, to run it elsewhere: landfall slugs:export -a APP
    #[command(name = "slugs:export")]
    SlugsExport(SlugsExport),
    /// Show what the status page shows, or say something there: landfall status note TEXT
    Status(Status),
    /// Show what apps take of the disk and when it will be full
    Disk(disk::Arguments),
    /// Show what this machine offers the platform
    Doctor(doctor::Arguments),
    /// Measure the engine: seconds from starting a dyno to its first answer
    #[command(name = "bench:dyno-start", hide = true)]
    BenchDynoStart(bench::Arguments),
    /// Measure the engine: what many idle dynos cost
    #[command(name = "bench:density", hide = true)]
    BenchDensity(bench_density::Arguments),
    /// Print the rules for system calls as an OCI runtime's configuration has them
    #[command(name = "bench:oci-seccomp", hide = true)]
    BenchOciSeccomp,
}

#[derive(Debug, clap::Args)]
struct HerokuEnv {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::HerokuEnvArguments,
}

#[derive(Debug, clap::Args)]
struct Heroku {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::HerokuArguments,
}

#[derive(Debug, clap::Args)]
struct PsExec {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::ExecArguments,
}

#[derive(Debug, clap::Args)]
struct PsCopy {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::CopyArguments,
}

#[derive(Debug, clap::Args)]
struct PsForward {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::ForwardArguments,
}

#[derive(Debug, clap::Args)]
struct Edge {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::EdgeArguments,
}

#[derive(Debug, clap::Args)]
struct Push {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::PushArguments,
}

#[derive(Debug, clap::Args)]
struct Deploy {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::DeployArguments,
}

#[derive(Debug, clap::Args)]
struct Repository {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::RepositoryArguments,
}

#[derive(Debug, clap::Args)]
struct Sleep {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::SleepArguments,
}

#[derive(Debug, clap::Args)]
struct Wake {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::WakeArguments,
}

#[derive(Debug, clap::Args)]
struct SlugsExport {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::SlugsExportArguments,
}

#[derive(Debug, clap::Args)]
struct Status {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    arguments: cli::StatusArguments,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    if Path::new(&called)
        .file_name()
        .is_some_and(|name| name == HOOK)
    {
        return source::hook::run();
    }
    match run(Program::parse().command) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(arguments) => up::run(arguments),
        Command::Server(arguments) => server::run(arguments),
        Command::Router(arguments) => router::run(arguments),
        Command::Down(arguments) => down::run(arguments),
        Command::Runtimes(command) => runtimes::run(command),
        Command::StacksBuild(arguments) => stacks::run(arguments),
        Command::HerokuEnv(HerokuEnv { choices, arguments }) => {
            let ready = cli::Ready::path_in(&config(choices)?.data);
            cli::print_heroku_env(&ready, &arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Heroku(Heroku { choices, arguments }) => {
            let ready = cli::Ready::path_in(&config(choices)?.data);
            cli::run_heroku(&ready, &arguments)
        }
        Command::PsExec(PsExec { choices, arguments }) => {
            cli::exec(&cli::Ready::path_in(&config(choices)?.data), &arguments)
        }
        Command::PsCopy(PsCopy { choices, arguments }) => {
            cli::copy(&cli::Ready::path_in(&config(choices)?.data), &arguments)
        }
        Command::PsForward(PsForward { choices, arguments }) => {
            cli::forward(&cli::Ready::path_in(&config(choices)?.data), &arguments)
        }
        Command::Sizes(arguments) => sizes::run(arguments),
        Command::Builds(command) => builds::run(command),
        Command::Edge(Edge { choices, arguments }) => {
            let ready = cli::Ready::path_in(&config(choices)?.data);
            cli::run_edge(&ready, &arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Push(Push { choices, arguments }) => {
            let ready = cli::Ready::path_in(&config(choices)?.data);
            cli::run_push(&ready, &arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Deploy(Deploy { choices, arguments }) => {
            let ready = cli::Ready::path_in(&config(choices)?.data);
            cli::run_deploy(&ready, &arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Repository(Repository { choices, arguments }) => {
            let ready = cli::Ready::path_in(&config(choices)?.data);
            cli::run_repository(&ready, &arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Sleep(Sleep { choices, arguments }) => {
            let ready = cli::Ready::path_in(&config(choices)?.data);
            cli::run_sleep(&ready, &arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Wake(Wake { choices, arguments }) => {
            let ready = cli::Ready::path_in(&config(choices)?.data);
            cli::run_wake(&ready, &arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::SlugsExport(SlugsExport { choices, arguments }) => {
            let ready = cli::Ready::path_in(&config(choices)?.data);
            cli::export_slug(&ready, &arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Status(Status { choices, arguments }) => {
            let ready = cli::Ready::path_in(&config(choices)?.data);
            cli::run_status(&ready, &arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Disk(arguments) => disk::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::BenchDynoStart(arguments) => bench::run(&arguments),
        Command::BenchDensity(arguments) => bench_density::run(&arguments),
        Command::BenchOciSeccomp => {
            say(engine_local::oci_seccomp());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The configuration a command runs with.
fn config(choices: Choices) -> Result<Config> {
    Ok(Config::resolve(choices, &Surroundings::of_this_process())?)
}

/// Says what an ordinary user's platform does not do: only root may limit and separate dynos.
fn warn_if_alone(config: &Config) {
    if !engine_local::alone::is_alone() {
        return;
    }
    say("SINGLE-TENANT MODE: you are not root. Only run what you trust:");
    for limitation in engine_local::alone::LIMITATIONS {
        say(format_args!("  - {limitation}"));
    }
    if engine_local::alone::own_stack(&config.cache, &config.stack).is_host {
        say(format_args!(
            "  - there is no stack {}: apps see this machine's own programs, read-only",
            config.stack
        ));
    }
}

/// Log lines go to standard error, for whoever started the process to keep.
fn start_logging(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log)
        .with_context(|| format!("`{}` is no log filter", config.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    Ok(())
}

/// A line of a command's output.
#[expect(clippy::print_stdout, reason = "a command's output")]
fn say(text: impl std::fmt::Display) {
    println!("{text}");
}

/// An error and its causes, each on a line.
#[expect(clippy::print_stderr, reason = "a command's errors")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
