//! piku, with as little around it as it can do with: no SSH (a script stands in for it) and no
//! nginx (the app is asked at its own port), both to its advantage.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::Contestant;
use crate::{
    host,
    out::Stopwatch,
    process::{self, Killed},
    push::{self, Repository},
};

/// What takes SSH's place: it is given a host and the command for it.
const SSH: &str = "#!/bin/sh\neval \"exec $PIKU_PYTHON $PIKU_PROGRAM $2\"\n";
/// The web process of the Django sample.
const START: &str =
    "python manage.py collectstatic --noinput >/dev/null\nexec gunicorn site_settings.wsgi\n";
const PROGRAMS: [&str; 2] = ["click", "virtualenv"];

/// A piku with its uWSGI, in a home of its own; both end with this.
pub(super) struct Piku {
    home: PathBuf,
    app: String,
    port: u16,
    _emperor: Killed,
}

impl Piku {
    /// Sets one up from its one file.
    pub(super) fn start(program: &Path, home: &Path, app: &str) -> Result<Self> {
        host::prepare(host::Purpose::CompareWithPiku)?;
        // Its tools stay from round to round: they are not what is measured.
        if home.join(".piku").exists() {
            fs::remove_dir_all(home.join(".piku"))?;
        }
        fs::create_dir_all(home)?;
        fs::copy(program, home.join("piku.py"))
            .with_context(|| format!("could not read {}", program.display()))?;
        if !home.join("tools/bin/virtualenv").exists() {
            process::output(
                Command::new("python3")
                    .args(["-m", "venv"])
                    .arg(home.join("tools")),
            )?;
            let mut install = Command::new(home.join("tools/bin/pip"));
            process::output(install.args(["install", "--quiet"]).args(PROGRAMS))?;
        }
        fs::write(home.join("ssh"), SSH)?;
        process::output(Command::new("chmod").arg("755").arg(home.join("ssh")))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut setup = Command::new(home.join("tools/bin/python3"));
        setup.arg(home.join("piku.py")).arg("setup");
        process::output(environment(&mut setup, home))?;
        let mut emperor = Command::new("uwsgi");
        emperor
            .arg("--ini")
            .arg(home.join(".piku/uwsgi/uwsgi.ini"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let emperor = Killed::spawn(environment(&mut emperor, home))?;
        Ok(Self {
            home: home.to_owned(),
            app: app.to_owned(),
            port,
            _emperor: emperor,
        })
    }

    /// Tells the app its port, in piku's way, and collects its files, which piku leaves to the app.
    pub(super) fn prepare(&self, repository: &Repository) -> Result<()> {
        repository.write("ENV", &format!("PORT={}\n", self.port))?;
        repository.write("start.sh", START)?;
        repository.write(
            "Procfile",
            "web: sh start.sh\nworker: python manage.py work\nrelease: python manage.py check --deploy\n",
        )?;
        repository.commit("for piku")
    }
}

impl Contestant for Piku {
    fn deploy(&mut self, repository: &Repository, words: &str) -> Result<f64> {
        let url = format!("piku@localhost:{}", self.app);
        let address = format!("127.0.0.1:{}", self.port);
        let watch = Stopwatch::start();
        let mut push = repository.push_command(&url);
        push.env("GIT_SSH_COMMAND", self.home.join("ssh"))
            .env("GIT_SSH_VARIANT", "simple");
        let said = environment(&mut push, &self.home).output()?;
        if !said.status.success() {
            bail!("piku: {}", String::from_utf8_lossy(&said.stderr));
        }
        let told = String::from_utf8_lossy(&said.stderr).into_owned();
        push::wait_for(&address, ("localhost", &address), words).context(told)?;
        Ok(watch.seconds())
    }
}

/// What it needs to know, and nothing of who runs this.
fn environment<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    let path = process::variable("PATH").unwrap_or_default();
    let tools = [home.join("tools/bin")];
    let paths = tools.into_iter().chain(std::env::split_paths(&path));
    let path = std::env::join_paths(paths).unwrap_or_default();
    command
        .env("HOME", home)
        .env("USER", "root")
        .env("PATH", path)
        .env("PIKU_PYTHON", home.join("tools/bin/python3"))
        .env("PIKU_PROGRAM", home.join("piku.py"))
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "init.defaultBranch")
        .env("GIT_CONFIG_VALUE_0", "main")
}
