//! Detection: asks every buildpack that may be part of a group, and takes the first group that fits.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    DETECT, Site,
    plan::{Answer, Member, Plan, Resolved, resolve},
};
use crate::{
    buildpacks::script,
    error::BuildError,
    execute::Execution,
    packs::room_for,
    plan::{BuildPlan, LayerRef, Shown, Step},
    source_tree::SourceTree,
};

const RESULTS: &str = "/opt/results";
const APP: &str = "/opt/app";
/// Lines of a buildpack that did not fit that are shown.
const SHOWN_LINES: usize = 10;

/// Copies the app to where it is built, and finds the group.
pub(super) async fn run(
    site: &Site<'_>,
    execution: &mut Execution,
    plan: &BuildPlan,
    groups: &[Vec<Member>],
) -> Result<Resolved, BuildError> {
    let mut asked: Vec<usize> = groups.iter().flatten().map(|member| member.index).collect();
    asked.sort_unstable();
    asked.dedup();
    let results = site
        .space
        .beside("results")
        .map_err(BuildError::host("make room for a buildpack"))?;
    let mut arguments = vec![APP.to_owned(), RESULTS.to_owned()];
    for index in &asked {
        let component = &site.components[*index];
        let clear = component.descriptor.buildpack.clear_env;
        let folder = component.descriptor.folder();
        arguments.extend([clear.to_string(), folder, component.place.clone()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut step = Step::run("cnb-detect", script("bash", DETECT, &arguments));
    step.upon.clone_from(&plan.slug);
    if !step.sees_source() {
        step.upon.push(LayerRef::Source);
    }
    step.env = super::build::environment(site, execution);
    step.shown.clone_from(&site.shown);
    step.shown.extend([
        Shown {
            source: results.clone(),
            target: PathBuf::from(RESULTS),
            is_writable: true,
        },
        Shown {
            source: site.space.path(),
            target: PathBuf::from(APP),
            is_writable: true,
        },
    ]);
    step.is_reusable = false;
    let scratch = room_for(execution)?;
    execution.run_aside(&step, &scratch).await?;
    let answers = read(&SourceTree::new(results), &asked);
    let found = resolve(
        groups,
        &answers.iter().map(|(i, (a, _))| (*i, a.clone())).collect(),
    );
    found.ok_or_else(|| unfit(site, &answers))
}

/// What each buildpack answered, and the end of what it printed.
fn read(results: &SourceTree, asked: &[usize]) -> BTreeMap<usize, (Answer, Vec<String>)> {
    let read = |number: usize, end: &str| results.read_text(&format!("{number}.{end}"));
    asked
        .iter()
        .enumerate()
        .map(|(number, index)| {
            let plan = read(number, "toml").map(|text| toml::from_str::<Plan>(&text));
            let status = read(number, "status").unwrap_or_default();
            let output = read(number, "output").unwrap_or_default();
            let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
            let passed = match (status.trim(), &plan) {
                ("0", Some(Ok(_))) => true,
                ("0", Some(Err(error))) => {
                    lines.push(format!(
                        "its build plan cannot be read: {}",
                        error.message()
                    ));
                    false
                }
                _ => false,
            };
            let plan = plan.and_then(Result::ok).unwrap_or_default();
            let tail = lines.split_off(lines.len().saturating_sub(SHOWN_LINES));
            (*index, (Answer { passed, plan }, tail))
        })
        .collect()
}

fn unfit(site: &Site<'_>, answers: &BTreeMap<usize, (Answer, Vec<String>)>) -> BuildError {
    let mut advice = Vec::new();
    let mut names = Vec::new();
    for (index, (answer, lines)) in answers {
        let name = site.components[*index].descriptor.shown();
        advice.push(if answer.passed {
            format!("{name} would build it, but not alone, or needs what none provides")
        } else {
            format!("{name} does not find what it builds")
        });
        if !answer.passed {
            advice.extend(lines.iter().map(|line| format!("  {line}")));
        }
        names.push(name);
    }
    advice.push("hint: change the buildpacks with `heroku buildpacks:set` or".to_owned());
    advice.push("`heroku buildpacks:clear`.".to_owned());
    BuildError::NotDetected {
        buildpack: names.join(", "),
        advice,
    }
}
