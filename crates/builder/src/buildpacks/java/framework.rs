//! What an app is made with, as far as it matters how it is told its port.

use crate::{buildpacks::Line, procfile, source_tree::SourceTree};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::buildpacks) enum Framework {
    SpringBoot,
    Quarkus,
    Micronaut,
    WildflySwarm,
    None,
}

impl Framework {
    /// By what a build file names.
    pub(in crate::buildpacks) fn of(build_file: &str) -> Self {
        let marks = [
            ("org.springframework.boot", Self::SpringBoot),
            ("io.quarkus", Self::Quarkus),
            ("io.micronaut", Self::Micronaut),
            ("org.wildfly.swarm", Self::WildflySwarm),
        ];
        let found = marks
            .into_iter()
            .find(|(mark, _)| build_file.contains(mark));
        found.map_or(Self::None, |(_, framework)| framework)
    }

    /// How its port is set on the command line.
    pub(super) fn port_option(self) -> Option<&'static str> {
        match self {
            Self::SpringBoot => Some("-Dserver.port=$PORT"),
            Self::Quarkus => Some("-Dquarkus.http.port=$PORT"),
            Self::Micronaut => Some("-Dmicronaut.server.port=$PORT"),
            Self::WildflySwarm => Some("-Dswarm.http.port=$PORT"),
            Self::None => None,
        }
    }

    /// Warns of a Spring Boot app that would listen on a port of its own.
    pub(in crate::buildpacks) fn port_warning(self, tree: &SourceTree) -> Option<Line> {
        const FILES: [&str; 3] = [
            "src/main/resources/application.properties",
            "src/main/resources/application.yml",
            "src/main/resources/application.yaml",
        ];
        if self != Self::SpringBoot {
            return None;
        }
        // Without a Procfile the port is part of the command, and on the command line it wins.
        let types = procfile::parse(&tree.read_text("Procfile")?).ok()?;
        let (_, web) = types.iter().find(|(name, _)| name.as_str() == "web")?;
        if web.contains("server.port") {
            return None;
        }
        let (file, port) = FILES.iter().find_map(|file| {
            let port = fixed_port(&tree.read_text(file)?)?;
            Some((file, port))
        })?;
        Some(Line::Warning(format!(
            "{file} says server.port={port}: the app will not be reached there. Write ${{PORT:{port}}}."
        )))
    }
}

/// A number as `server.port`, in a properties or YAML file.
fn fixed_port(text: &str) -> Option<u16> {
    let mut section = "";
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let trimmed = line.trim();
        let Some((name, value)) = trimmed.split_once(['=', ':']) else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        if name == "server.port" || (section == "server" && indent > 0 && name == "port") {
            return value.parse().ok();
        }
        if indent == 0 {
            section = name;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    #[test]
    fn frameworks_are_known_by_their_groups() {
        let pom = "<groupId>org.springframework.boot</groupId>";
        assert_eq!(Framework::of(pom), Framework::SpringBoot);
        assert_eq!(Framework::of("id(\"io.quarkus\")"), Framework::Quarkus);
        assert_eq!(Framework::of("<artifactId>x"), Framework::None);
    }

    #[test]
    fn a_port_of_its_own_is_warned_of() {
        let check = |procfile: &str, name: &str, text: &str, warns: bool| {
            let path = format!("src/main/resources/{name}");
            let files = [("Procfile", procfile), (path.as_str(), text)];
            let warning = Framework::SpringBoot.port_warning(&source_of(&files).1);
            assert_eq!(warning.is_some(), warns, "{procfile} {text}");
        };
        let web = "web: java -jar target/x.jar";
        check(
            web,
            "application.properties",
            "a=b\nserver.port=9000\n",
            true,
        );
        check(
            web,
            "application.properties",
            "server.port=${PORT:9000}",
            false,
        );
        check(web, "application.yml", "server:\n  port: 9000\n", true);
        check(web, "application.yml", "other:\n  port: 9000\n", false);
        check(
            "web: java -Dserver.port=$PORT -jar x.jar",
            "application.properties",
            "server.port=9000",
            false,
        );
    }
}
