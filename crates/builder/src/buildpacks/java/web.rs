//! Which command serves an app whose owner wrote no Procfile: Heroku's defaults, and any program
//! that `java -jar` runs.
//!
//! Pure, of what a build left behind. Read [`command`] first.

use super::framework::Framework;
use crate::source_tree::SourceTree;

/// Where the build scripts list the programs: `SIZE PATH` a line, largest first.
const PROGRAMS: &str = ".heroku/java/programs";
/// Where they list the start scripts that Gradle's `installDist` writes.
const SCRIPTS: &str = ".heroku/java/scripts";

/// The web command for what a build left; `None` when nothing there can be started.
pub(in crate::buildpacks) fn command(built: &SourceTree, framework: Framework) -> Option<String> {
    if framework == Framework::Quarkus
        && let Some(jar) = QUARKUS.iter().find(|path| built.has_file(path))
    {
        return Some(format!(
            "java -Dquarkus.http.port=$PORT $JAVA_OPTS -jar {jar}"
        ));
    }
    let programs = built.read_text(PROGRAMS).unwrap_or_default();
    let program = programs
        .lines()
        .find_map(|line| line.split_once(' ').map(|(_, path)| path))
        .filter(|path| is_plain(path));
    if let Some(program) = program {
        let port = framework
            .port_option()
            .map_or_else(String::new, |option| format!("{option} "));
        return Some(format!("java {port}$JAVA_OPTS -jar {program}"));
    }
    if let Some(runner) = RUNNERS.iter().find(|(runner, _)| built.has_file(runner)) {
        return Some(format!(
            "java $JAVA_OPTS -jar {} --port $PORT {}/*.war",
            runner.0, runner.1
        ));
    }
    // It heeds JAVA_OPTS itself.
    let scripts = built.read_text(SCRIPTS).unwrap_or_default();
    let script = scripts.lines().next()?;
    is_plain(script).then(|| script.to_owned())
}

const QUARKUS: [&str; 2] = [
    "target/quarkus-app/quarkus-run.jar",
    "build/quarkus-app/quarkus-run.jar",
];
/// Servers for web archives, where Heroku's guide has the build put them.
const RUNNERS: [(&str, &str); 2] = [
    ("target/dependency/webapp-runner.jar", "target"),
    ("build/server/webapp-runner.jar", "build/libs"),
];

/// Whether a path means itself in a command line.
fn is_plain(path: &str) -> bool {
    path.chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check(files: &[(&str, &str)], framework: Framework, expected: Option<&str>) {
        let found = command(&source_of(files).1, framework);
        assert_eq!(found.as_deref(), expected, "{files:?}");
    }

    #[test]
    fn the_largest_program_serves() {
        let programs = [(PROGRAMS, "900 target/shop-1.0.jar\n20 target/tool.jar\n")];
        check(
            &programs,
            Framework::SpringBoot,
            Some("java -Dserver.port=$PORT $JAVA_OPTS -jar target/shop-1.0.jar"),
        );
        check(
            &programs,
            Framework::None,
            Some("java $JAVA_OPTS -jar target/shop-1.0.jar"),
        );
        check(&[(PROGRAMS, "9 target/a b;c.jar\n")], Framework::None, None);
        check(&[(PROGRAMS, "")], Framework::None, None);
        let script = "build/install/shop/bin/shop";
        check(
            &[(PROGRAMS, ""), (SCRIPTS, script)],
            Framework::None,
            Some(script),
        );
    }

    #[test]
    fn other_ways_to_serve() {
        check(
            &[("target/quarkus-app/quarkus-run.jar", "")],
            Framework::Quarkus,
            Some(
                "java -Dquarkus.http.port=$PORT $JAVA_OPTS -jar target/quarkus-app/quarkus-run.jar",
            ),
        );
        check(
            &[("target/dependency/webapp-runner.jar", "")],
            Framework::None,
            Some(
                "java $JAVA_OPTS -jar target/dependency/webapp-runner.jar --port $PORT target/*.war",
            ),
        );
    }
}
