//! Static sites: files, served by a small program of ours on the stack's Python.

use std::collections::BTreeMap;

use crate::{
    buildpacks::{Buildpack, Extended},
    error::BuildError,
    plan::{BuildPlan, Step},
    source_tree::SourceTree,
};

const SERVE: &str = include_str!("scripts/static_serve.py");
const SERVE_PATH: &str = ".heroku/static/serve.py";

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "heroku/static",
    language: "Static site",
    looked_for: "an index.html or a static.json",
    detects,
    plan: |_, execution, plan| Box::pin(async move { extend(&execution.tree, plan) }),
};

fn detects(tree: &SourceTree) -> bool {
    tree.has_file("static.json")
        || tree.has_file("index.html")
        || tree.has_file("public_html/index.html")
}

/// Adds the server; there is nothing to build.
fn extend(tree: &SourceTree, plan: &mut BuildPlan) -> Result<Extended, BuildError> {
    if let Some(text) = tree.read_text("static.json") {
        let parsed: Result<serde_json::Map<String, serde_json::Value>, _> =
            serde_json::from_str(&text);
        parsed.map_err(|error| BuildError::Source {
            problem: format!("Unable to parse static.json: {error}"),
            advice: vec![
                "hint: it must be a JSON object such as { \"root\": \"dist\" }.".to_owned(),
            ],
        })?;
    }
    plan.keep(server_step());
    plan.keep_source();
    plan.set_env("LANG", "C.UTF-8");
    if !plan.env.contains_key("PATH") {
        plan.set_env("PATH", super::STACK_PATH);
    }
    let web = "web"
        .parse()
        .ok()
        .map(|web| (web, format!("/usr/bin/python3 /app/{SERVE_PATH}")));
    Ok(Extended {
        lines: Vec::new(),
        default_types: web.into_iter().collect(),
    })
}

/// Adds the program that serves files.
pub(super) fn server_step() -> Step {
    let files = BTreeMap::from([(SERVE_PATH.to_owned(), SERVE.to_owned())]);
    let mut step = Step::write("static-server", files);
    step.heading = vec!["Installing the static file server".to_owned()];
    step.cached_heading = vec!["Using cached static file server".to_owned()];
    step
}

/// Serves the files of one directory of the app, unless `static.json` names another.
pub(super) fn command(root: &str, is_single_page: bool) -> String {
    let page = if is_single_page { " --single-page" } else { "" };
    format!("/usr/bin/python3 /app/{SERVE_PATH} {root}{page}")
}
