//! Every link of the published hyper-schema, called with real data behind it: status, headers and
//! body must be as published. What has no meaning here must be refused in words, and stands in
//! `docs/compatibility.md`.
//!
//! `cargo xtask conformance` shows the table. Read [`Run`] first; [`walk`] makes the calls.

mod checker;
mod links;
mod negative;
mod run;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use platform::acme::{AcmeSettings, ChallengeKind};

use self::{
    links::Link,
    run::{Outcome, Run},
};
use super::harness::Harness;

/// Links that neither conform nor are refused in words. It may only fall.
const MISSING_AT_MOST: usize = 52;
/// The page that tells people what is refused, and why.
const COMPATIBILITY: &str = include_str!("../../../../../../docs/compatibility.md");

#[tokio::test]
async fn the_published_links_are_answered() {
    let harness = Harness::start_with(|settings| settings.acme = Some(nobodys_authority())).await;
    let mut run = Run::new(&harness, links::published());
    walk::all(&mut run).await;
    run.rest().await;
    let tally = Tally::of(run.outcomes(), &told());
    println!("{tally}");
    let missing = tally.missing.len();
    assert!(missing <= MISSING_AT_MOST, "{missing} links are missing");
    assert!(
        tally.stale.is_empty(),
        "compatibility.md tells of refusals that are none: {:#?}",
        tally.stale
    );
}

/// How often which outcome.
#[derive(Default)]
struct Tally<'a> {
    /// By resource: conforming, refused, missing.
    rows: BTreeMap<&'a str, [usize; 3]>,
    /// Links that are missing, and why.
    missing: Vec<String>,
    /// Links that are said to be refused, and are not.
    stale: Vec<&'a str>,
}

impl<'a> Tally<'a> {
    /// `told` is what people are told: link → words of the refusal.
    fn of(outcomes: Vec<(&'a Link, Outcome)>, told: &BTreeMap<&'a str, &str>) -> Self {
        let mut tally = Self::default();
        let mut refused = BTreeSet::new();
        for (link, outcome) in outcomes {
            let column = match outcome {
                Outcome::Conforms => 0,
                Outcome::Refused(words) if told.get(link.key.as_str()) == Some(&words.as_str()) => {
                    refused.insert(link.key.as_str());
                    1
                }
                Outcome::Refused(words) => {
                    let why = format!("{}: refused, and nobody is told: {words}", link.key);
                    tally.missing.push(why);
                    2
                }
                Outcome::Missing(why) => {
                    tally.missing.push(format!("{}: {why}", link.key));
                    2
                }
            };
            tally.rows.entry(&link.resource).or_default()[column] += 1;
        }
        tally.stale = told
            .keys()
            .filter(|key| !refused.contains(*key))
            .copied()
            .collect();
        tally
    }
}

impl fmt::Display for Tally<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<34} links conforms refused missing", "resource")?;
        let mut sums = [0; 3];
        for (resource, row) in &self.rows {
            let [conforms, refused, missing] = row;
            let links: usize = row.iter().sum();
            writeln!(
                f,
                "{resource:<34} {links:>5} {conforms:>8} {refused:>7} {missing:>7}"
            )?;
            for (sum, count) in sums.iter_mut().zip(row) {
                *sum += count;
            }
        }
        for missing in &self.missing {
            writeln!(f, "{missing}")?;
        }
        for (name, sum) in ["conforming", "refused", "missing"].into_iter().zip(sums) {
            writeln!(f, "figure conformance_links_{name} {sum} count")?;
        }
        Ok(())
    }
}

/// Certificates can be asked for; nobody answers.
fn nobodys_authority() -> AcmeSettings {
    AcmeSettings {
        directory: "https://127.0.0.1:1/directory".to_owned(),
        email: None,
        challenge: ChallengeKind::Http,
        root: None,
        dns: None,
    }
}

/// What the page says is refused, and how: `` | `app POST /apps/{app}/acm` | There is … | ``.
fn told() -> BTreeMap<&'static str, &'static str> {
    let row = |line: &'static str| {
        line.strip_prefix("| `")?
            .strip_suffix(" |")?
            .split_once("` | ")
    };
    COMPATIBILITY.lines().filter_map(row).collect()
}
