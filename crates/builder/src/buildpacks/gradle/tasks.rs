//! What a Gradle build is asked to do, and what its files say of the app.
//!
//! Pure; that an app has a task `stage` only its build knows. Read [`default_tasks`] first.

use crate::{buildpacks::java::Framework, source_tree::SourceTree};

/// Build files of an app whose root says what it is made with, or whose one part does.
const FILES: [&str; 4] = [
    "build.gradle.kts",
    "build.gradle",
    "app/build.gradle.kts",
    "app/build.gradle",
];

/// The build files' text, one after the other.
pub(super) fn build_text(tree: &SourceTree) -> String {
    let mut texts: Vec<String> = FILES
        .iter()
        .filter_map(|path| tree.read_text(path))
        .collect();
    // Versions of plugins may be in a catalogue, which names them outright.
    texts.extend(tree.read_text("gradle/libs.versions.toml"));
    texts.join("\n")
}

/// What makes the app's program where there is no task `stage`, as Heroku's buildpack has it.
pub(super) fn default_tasks(text: &str, framework: Framework) -> &'static str {
    let is_application = ["application", "'application'", "\"application\""]
        .iter()
        .any(|plugin| {
            text.lines().any(|line| {
                let line = line.trim();
                line == *plugin
                    || line == format!("id {plugin}")
                    || line == format!("id({plugin})")
                    || line == format!("apply plugin: {plugin}")
            })
        });
    match framework {
        Framework::SpringBoot | Framework::Quarkus => "build -x check",
        Framework::Micronaut if has_shadow(text) => "shadowJar -x check",
        _ if text.contains("io.ratpack") => "installDist -x check",
        // The shadow plugin makes one program of all; the application plugin a script and a folder.
        _ if has_shadow(text) => "shadowJar -x check",
        _ if is_application => "installDist -x check",
        _ => "build -x check",
    }
}

fn has_shadow(text: &str) -> bool {
    ["com.gradleup.shadow", "com.github.johnrengelman.shadow"]
        .iter()
        .any(|plugin| text.contains(plugin))
        || text.contains("io.micronaut.application")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let framework = Framework::of(text);
        assert_eq!(default_tasks(text, framework), expected, "{text}");
    }

    #[test]
    fn programs_are_made_as_the_plugins_have_it() {
        check("id 'org.springframework.boot'", "build -x check");
        check("id(\"io.quarkus\")", "build -x check");
        check("id('io.micronaut.application')", "shadowJar -x check");
        check(
            "apply plugin: 'io.ratpack.ratpack-java'",
            "installDist -x check",
        );
        check("plugins {\n  id 'application'\n}", "installDist -x check");
        check("plugins {\n  application\n}", "installDist -x check");
        check(
            "id 'application'\nid 'com.gradleup.shadow' version '9'",
            "shadowJar -x check",
        );
        check("apply plugin: 'java'\n// an application", "build -x check");
    }
}
