//! Apps of no language: a Procfile whose commands the stack's own programs run.

use crate::{
    buildpacks::{Buildpack, Extended, Line, STACK_PATH},
    source_tree::SourceTree,
};

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "landfall/procfile",
    language: "Procfile",
    looked_for: "a Procfile",
    detects,
    plan: |_, _, plan| {
        Box::pin(async move {
            plan.keep_source();
            plan.set_env("LANG", "C.UTF-8");
            if !plan.env.contains_key("PATH") {
                plan.set_env("PATH", STACK_PATH);
            }
            let note = "No language was recognised: the app is run as it is, by the commands of its Procfile.";
            Ok(Extended {
                lines: vec![Line::Text(note.to_owned())],
                ..Extended::default()
            })
        })
    },
};

fn detects(tree: &SourceTree) -> bool {
    tree.has_file("Procfile")
}
