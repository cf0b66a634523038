//! `xtask bench deploy [--piku FILE] [--rounds N]`: push to live, against a plain `git push` with a
//! restart of the process, and against piku.
//!
//! A push counts until the app's front page shows what was pushed. Everybody takes a turn in each
//! round: a first push, which installs what the app depends on, then pushes that change the code
//! alone. Read [`Contestant`] first.

mod limit;
mod phases;
mod piku;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub(super) use self::limit::bare_start;
use self::{phases::Phases, piku::Piku};
use super::samples::{Series, ratio, report};
use crate::{
    out::{self, Stopwatch},
    platform::Platform,
    push::{self, Repository, SAMPLES, Sample},
    workspace,
};

const ROUNDS: usize = 5;
/// Pushes of changed code after a first push.
const CHANGES: usize = 3;

/// What a sample's front page shows, and where that is written.
const SHOWN: &[(&str, &str, &str)] = &[
    ("django", "shop/templates/front.html", "Welcome to the shop"),
    ("express", "src/server.js", "Hello from Express"),
];

/// What is measured of one way to deploy.
#[derive(Default)]
struct Times {
    first: Vec<f64>,
    changed: Vec<f64>,
}

/// A way to deploy.
trait Contestant {
    /// Pushes the repository and waits until the page shows `words`; in seconds.
    fn deploy(&mut self, repository: &Repository, words: &str) -> Result<f64>;
}

/// Runs it.
pub(super) fn run(profile: &str, arguments: &[String]) -> Result<()> {
    let value_of = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1)
    };
    let rounds = match value_of("--rounds") {
        Some(text) => text.parse().context("--rounds takes a number")?,
        None => ROUNDS,
    };
    let program = value_of("--piku").map(PathBuf::from);
    if program.is_none() {
        out::say("piku is left out: it is in no package registry; hint: --piku FILE, its piku.py");
    }
    let place = workspace::target().join("bench").join("deploy");
    let mut all = Vec::new();
    for sample in SAMPLES {
        // It has its own Node of another version, or none.
        let program = program.as_deref().filter(|_| sample.folder == "django");
        all.push((sample, measure(profile, sample, (&place, program), rounds)?));
    }
    let every: Vec<&Series> = all
        .iter()
        .flat_map(|(_, measured)| measured.all())
        .collect();
    report("deploy", &every)?;
    for (sample, measured) in &all {
        measured.tell(sample.folder);
    }
    for (sample, measured) in all {
        let [first, changed] = measured.phases;
        first.tell(&format!("{} first", sample.folder));
        changed.tell(&format!("{} changed", sample.folder));
    }
    Ok(())
}

/// The times of one sample.
struct Measured {
    ours: [Series; 2],
    limit: Series,
    piku: Option<[Series; 2]>,
    /// Of our first pushes, and of those of changed code.
    phases: [Phases; 2],
}

impl Measured {
    fn all(&self) -> impl Iterator<Item = &Series> {
        let ours = self.ours.iter().chain([&self.limit]);
        ours.chain(self.piku.iter().flatten())
    }

    fn tell(&self, folder: &str) {
        let language = match folder {
            "django" => "python",
            "express" => "node",
            other => other,
        };
        let [first, changed] = &self.ours;
        ratio(
            &format!("deploy_{language}_code_only_vs_limit"),
            changed,
            &self.limit,
        );
        ratio(
            &format!("deploy_{language}_first_vs_limit"),
            first,
            &self.limit,
        );
        if let Some([piku_first, piku_changed]) = &self.piku {
            ratio(
                &format!("deploy_{language}_code_only_vs_piku"),
                changed,
                piku_changed,
            );
            ratio(
                &format!("deploy_{language}_first_vs_piku"),
                first,
                piku_first,
            );
        }
    }
}

fn measure(
    profile: &str,
    sample: &Sample,
    (place, program): (&Path, Option<&Path>),
    rounds: usize,
) -> Result<Measured> {
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    let (mut limit, mut phases) = (Vec::new(), [Phases::default(), Phases::default()]);
    for round in 1..=rounds {
        out::step(format_args!("{} round {round} of {rounds}", sample.title));
        // A platform of its own: layers of an earlier round would make a first push a second.
        let platform = Platform::start(profile, &place.join("platform"))?;
        platform.ready.ensure_app(sample.app)?;
        let repository = Repository::make(sample, &place.join("repository"))?;
        ours.take(sample, &repository, &mut Ours(&platform, sample.app))?;
        for number in 1..=1 + CHANGES {
            phases[usize::from(number > 1)].add(&platform, sample.app, number)?;
        }
        for _ in 0..CHANGES {
            limit.push(limit::push_and_restart(
                &platform,
                sample.app,
                &repository,
                &place.join("bare.git"),
            )?);
        }
        drop(platform);
        if let Some(program) = program {
            let repository = Repository::make(sample, &place.join("repository"))?;
            let mut piku = Piku::start(program, &place.join("piku"), sample.app)?;
            piku.prepare(&repository)?;
            theirs.take(sample, &repository, &mut piku)?;
        }
    }
    let named = |who: &str, times: Times| {
        let name = |what: &str| format!("{} {who} {what}", sample.folder);
        [
            Series::new(name("first"), times.first),
            Series::new(name("changed"), times.changed),
        ]
    };
    Ok(Measured {
        ours: named("landfall", ours),
        limit: Series::new(format!("{} limit", sample.folder), limit),
        piku: program.map(|_| named("piku", theirs)),
        phases,
    })
}

impl Times {
    /// One first push and some of changed code.
    fn take(
        &mut self,
        sample: &Sample,
        repository: &Repository,
        contestant: &mut impl Contestant,
    ) -> Result<()> {
        let (_, file, words) = SHOWN
            .iter()
            .find(|(folder, ..)| *folder == sample.folder)
            .context("it is known what the sample shows")?;
        let source = workspace::root().join("tests/apps").join(sample.folder);
        let text = std::fs::read_to_string(source.join(file))?;
        self.first.push(contestant.deploy(repository, words)?);
        for number in 1..=CHANGES {
            let shown = format!("{words}, change {number}");
            repository.write(file, &text.replace(words, &shown))?;
            repository.commit(&shown)?;
            self.changed.push(contestant.deploy(repository, &shown)?);
        }
        Ok(())
    }
}

/// An app on a platform.
struct Ours<'a>(&'a Platform, &'a str);

impl Contestant for Ours<'_> {
    fn deploy(&mut self, repository: &Repository, words: &str) -> Result<f64> {
        let Self(platform, app) = self;
        let (host, url) = platform.ready.url(app);
        let watch = Stopwatch::start();
        repository.push(&platform.ready, app, false)?;
        push::wait_for(&platform.ready.http_addr, (&host, &url), words)?;
        Ok(watch.seconds())
    }
}
