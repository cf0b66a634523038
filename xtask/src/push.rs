//! Real `git push`es of the sample apps, from repositories made for the purpose.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    http,
    out::{self, Stopwatch},
    platform::Ready,
    process, workspace,
};

/// A sample app under `tests/apps`.
pub(crate) struct Sample {
    /// Its folder there.
    pub(crate) folder: &'static str,
    /// The app it is pushed to.
    pub(crate) app: &'static str,
    /// What it is, for people.
    pub(crate) title: &'static str,
}

/// The samples that the demo and the benchmarks push.
pub(crate) const SAMPLES: &[Sample] = &[
    Sample {
        folder: "django",
        app: "sample-django",
        title: "Django",
    },
    Sample {
        folder: "express",
        app: "sample-express",
        title: "Express",
    },
];

/// A repository with a sample's files and one commit.
pub(crate) struct Repository(PathBuf);

impl Repository {
    /// Makes it at `directory`, which must not matter to anyone.
    pub(crate) fn make(sample: &Sample, directory: &Path) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
        let source = workspace::root().join("tests/apps").join(sample.folder);
        workspace::copy_tree(&source, directory)?;
        let repository = Self(directory.to_owned());
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        repository.commit("first")?;
        Ok(repository)
    }

    /// Writes one of its files.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.0.join(name), text)?)
    }

    /// Commits everything, with something new in it.
    pub(crate) fn commit(&self, message: &str) -> Result<()> {
        self.write("CHANGE.txt", message)?;
        self.git(&["add", "--all"])?;
        let author = [
            "-c",
            "user.name=Sample",
            "-c",
            "user.email=sample@localhost",
        ];
        let commit = ["commit", "--quiet", "--no-gpg-sign", "--message", message];
        self.git(&[&author[..], &commit[..]].concat())
    }

    /// Pushes `main` to an app, with the output shown or swallowed; gives the seconds it took.
    ///
    /// # Errors
    /// A push that is rejected, with its output.
    pub(crate) fn push(&self, ready: &Ready, app: &str, show: bool) -> Result<f64> {
        let url = format!("{}/{app}.git", ready.git_url);
        self.push_to(&url, Some(ready), show)
    }

    /// Pushes `main` to any remote.
    pub(crate) fn push_to(&self, url: &str, ready: Option<&Ready>, show: bool) -> Result<f64> {
        let mut git = self.push_command(url);
        if let Some(ready) = ready {
            Self::sign_in(&mut git, ready);
        }
        let watch = Stopwatch::start();
        if show {
            let status = git.status().context("could not start git")?;
            if !status.success() {
                bail!("git push ended with {status}");
            }
        } else {
            process::output(&mut git)?;
        }
        Ok(watch.seconds())
    }

    /// Has git show the platform its token.
    pub(crate) fn sign_in(git: &mut Command, ready: &Ready) {
        // The token goes through the environment: arguments can be read by anyone.
        git.env("GIT_SSL_CAINFO", &ready.ca_pem_path)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "credential.helper")
            .env(
                "GIT_CONFIG_VALUE_0",
                "!f() { echo username=x; echo password=$PUSH_TOKEN; }; f",
            )
            .env("PUSH_TOKEN", &ready.admin_token)
            .env("no_proxy", "localhost,127.0.0.1")
            .env("NO_PROXY", "localhost,127.0.0.1");
    }

    /// The push of `main` to a remote, not yet run.
    pub(crate) fn push_command(&self, url: &str) -> Command {
        let mut git = Command::new("git");
        git.current_dir(&self.0)
            .args(["push", "--force", url, "main"])
            .stdin(Stdio::null());
        git
    }

    fn git(&self, arguments: &[&str]) -> Result<()> {
        process::output(Command::new("git").current_dir(&self.0).args(arguments)).map(drop)
    }
}

/// Waits until an app answers 200 through the router; gives the body.
///
/// # Errors
/// After 30 s, with the last answer.
pub(crate) fn wait_for_200(ready: &Ready, app: &str) -> Result<String> {
    let (host, url) = ready.url(app);
    wait_for(&ready.http_addr, (&host, &url), "")
}

/// Waits until the front page of a host at an address shows `words`; gives its body.
///
/// # Errors
/// After 30 s, with the last answer.
pub(crate) fn wait_for(address: &str, (host, url): (&str, &str), words: &str) -> Result<String> {
    let mut last = String::new();
    let limits = (Duration::from_secs(30), Duration::from_millis(5));
    let answered = out::wait_until(url, limits, || {
        match http::get(address, host, "/") {
            Ok(answer) if answer.status == 200 && answer.body.contains(words) => {
                return Ok(Some(answer.body));
            }
            Ok(answer) => last = format!("{} {}", answer.status, answer.body.trim()),
            Err(error) => last = format!("{error:#}"),
        }
        Ok(None)
    });
    answered.with_context(|| format!("the last answer was: {last}"))
}
