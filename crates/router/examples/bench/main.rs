//! The programs beside the proxies in `cargo xtask bench router`: the app, the load, the routes.
//!
//! `bench WHAT name=value …`; answers are JSON lines on standard output. It knows of proxies only
//! their addresses and process ids; of the router, in [`routes`], what a server knows. Read
//! [`load`] first.

mod app;
mod arguments;
mod asked;
mod crowd;
mod load;
mod paced;
mod routes;
mod tally;
mod used;
mod wire;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    runtime::{Builder, LocalOptions},
    task::JoinHandle,
};

use crate::arguments::Arguments;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("{{\"error\": {:?}}}", format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let what = words.next().unwrap_or_default();
    let arguments = Arguments::new(words)?;
    raise_file_limit()?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        match what.as_str() {
            "app" => app::run().await,
            "ask" => asked::run(&arguments).await,
            "crowd" => crowd::run(&arguments).await,
            "load" => load::run(&arguments).await,
            "routes" => routes::run(&arguments).await,
            "change" => routes::change(&arguments).await,
            "weigh" => used::weigh(&arguments),
            _ => bail!("say app, ask, crowd, load, routes, change or weigh"),
        }
    })
}

/// A line for whoever started this.
fn tell(line: &str) {
    // Who has got what was wanted listens no more.
    drop(writeln!(io::stdout(), "{line}"));
}

/// Both ends of ten thousand connections may be here.
fn raise_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    Ok(setrlimit(Resource::Nofile, most)?)
}

/// Starts a task on this thread.
fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    tokio::task::spawn_local(future)
}
