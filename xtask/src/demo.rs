//! `xtask demo`: from an empty machine to two sample apps answering on their URLs.
//!
//! With `--once` this process is the parent of the platform and ends it after the checks.
//! Without, it becomes the platform (exec), so that Ctrl-C goes to the one that knows how to
//! stop; a child of it, started before, does the pushes and the talking.

use std::{
    fs::File,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    host,
    out::{self, Stopwatch},
    platform::{self, Platform, Ports, Ready},
    process,
    push::{self, Repository, SAMPLES},
    shim, stack, workspace,
};

const PROFILE: &str = "debug";

/// What the second process of the demo is called with.
const DRIVE: &str = "--drive";

/// `xtask demo [--once] [--data DIR]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut once, mut data) = (false, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--once" => once = true,
            "--data" => {
                let directory = rest.next().context("demo: --data needs a directory")?;
                data = Some(PathBuf::from(directory));
            }
            DRIVE => return drive(Path::new(rest.next().context("--drive DIR")?)),
            other => bail!("demo: unknown argument {other}"),
        }
    }
    let is_own = data.is_none();
    let data = data.unwrap_or_else(|| workspace::target().join("demo").join("platform"));
    let data = std::path::absolute(data)?;
    let watch = Stopwatch::start();
    prepare()?;
    out::say(format_args!(
        "ready to start after {:.0} s",
        watch.seconds()
    ));
    if once {
        let platform = Platform::start(PROFILE, &data)?;
        return deploy(&platform.ready, &data);
    }
    stay(&data, is_own)
}

fn prepare() -> Result<()> {
    if !process::is_root() {
        bail!("the demo starts isolated dynos and needs root\n  hint: run it with sudo");
    }
    host::prepare(host::Purpose::Run)?;
    let mut build = process::cargo(&workspace::root());
    process::run(
        "build landfall (some minutes on the first run)",
        build.args(["build", "--package", "server", "--bin", "landfall"]),
    )?;
    shim::build(PROFILE)?;
    stack::ensure(PROFILE)
}

/// Starts the talker and becomes the platform.
fn stay(data: &Path, is_own: bool) -> Result<()> {
    let program = workspace::landfall(PROFILE);
    if is_own {
        platform::clear(&program, data)?;
    }
    drop(std::fs::remove_file(platform::ready_file(data)));
    let ports = if default_ports_are_free() {
        Ports::Default
    } else {
        out::say("the default ports are taken; using free ones");
        Ports::Free
    };
    let log = File::create(platform::log_file(data))?;
    Command::new(std::env::current_exe()?)
        .args(["demo", DRIVE])
        .arg(data)
        .stdin(Stdio::null())
        .spawn()
        .context("could not start the pushes")?;
    let mut up = platform::command(&program, data, &ports);
    let failed = up
        .arg("--stop-dynos")
        .stdout(log.try_clone()?)
        .stderr(log)
        .exec();
    Err(failed).with_context(|| format!("could not start {}", program.display()))
}

fn default_ports_are_free() -> bool {
    [5000, 8080, 8443]
        .iter()
        .all(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
}

/// The talker: waits for the platform, pushes, explains.
fn drive(data: &Path) -> Result<()> {
    let ready = Ready::wait(&platform::ready_file(data))
        .with_context(|| format!("see {}", platform::log_file(data).display()))?;
    deploy(&ready, data)?;
    let program = workspace::landfall(PROFILE);
    out::say(format_args!(
        "\nPoint the official CLI at this platform (npm install -g heroku):\n\n    \
         eval \"$({program} heroku-env --data {data} --api-key)\"\n    \
         heroku apps\n\nor, for one command: {program} heroku --data {data} -- apps\n\n\
         Account {email}, API {api}, log {log}\nCtrl-C stops it all.",
        program = program.display(),
        data = data.display(),
        email = ready.admin_email,
        api = ready.api_url,
        log = platform::log_file(data).display(),
    ));
    Ok(())
}

/// Pushes every sample and looks whether it answers.
fn deploy(ready: &Ready, data: &Path) -> Result<()> {
    let mut table = vec![format!(
        "{:<10} {:>8} {:>12}  URL",
        "app", "push", "first answer"
    )];
    for sample in SAMPLES {
        out::step(format_args!(
            "git push of the {} sample to {}",
            sample.title, sample.app
        ));
        ready.ensure_app(sample.app)?;
        let directory = data.with_file_name("repositories").join(sample.folder);
        let repository = Repository::make(sample, &directory)?;
        let watch = Stopwatch::start();
        let pushed = repository.push(ready, sample.app, true)?;
        let body = push::wait_for_200(ready, sample.app)
            .with_context(|| format!("the {} sample does not answer", sample.title))?;
        let answered = watch.seconds();
        let (_, url) = ready.url(sample.app);
        out::say(format_args!("{url} answered 200: {}", excerpt(&body)));
        table.push(format!(
            "{:<10} {pushed:>6.1} s {answered:>10.1} s  {url}",
            sample.title
        ));
    }
    out::say("");
    table.iter().for_each(out::say);
    Ok(())
}

/// The first words of a page, on one line.
fn excerpt(body: &str) -> String {
    let words: Vec<&str> = body.split_whitespace().take(12).collect();
    words.join(" ").chars().take(100).collect()
}
