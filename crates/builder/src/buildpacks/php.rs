//! PHP: an interpreter with the extensions that are asked for, the packages of `composer.lock`, and
//! the web servers by the commands that Procfiles of Heroku's apps use.
//!
//! All but the app's packages comes from the stack's own suite. Read [`plan`] first;
//! `scripts/php_serve.sh` is what runs in dynos.

mod composer;

use api::names::ProcessType;
use semver::Version;

use self::composer::Composer;
use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, app_env, base_env, debian, lines, packages_env, script,
        sees_files_or_source,
    },
    error::BuildError,
    execute::Execution,
    plan::{BuildPlan, Cache, LayerRef, Step},
    source_tree::SourceTree,
};

const HOME: &str = "/app/.heroku/php";
/// The PHP of the stack's suite.
const SERIES: &str = "8.4";
/// Config vars that Composer looks at.
const VARIABLES: [&str; 1] = ["COMPOSER"];
/// Most files of packages inside the source that the install step is shown one by one.
const MAX_FILES: usize = 2000;
const MAX_DEPTH: usize = 12;

const INSTALL: &str = include_str!("scripts/php_debian.py");
const COMPOSER: &str = include_str!("scripts/php_composer.sh");
/// What the servers need: path below [`HOME`] → content.
const SERVER_FILES: [(&str, &str); 8] = [
    ("serve.sh", include_str!("scripts/php_serve.sh")),
    ("fpm.conf", include_str!("scripts/php/fpm.conf")),
    ("httpd.conf", include_str!("scripts/php/httpd.conf")),
    ("apache2.conf", include_str!("scripts/php/apache2.conf")),
    (
        "apache2-default.conf",
        include_str!("scripts/php/apache2-default.conf"),
    ),
    (
        "nginx-main.conf",
        include_str!("scripts/php/nginx-main.conf"),
    ),
    ("nginx.conf", include_str!("scripts/php/nginx.conf")),
    (
        "nginx-default.conf",
        include_str!("scripts/php/nginx-default.conf"),
    ),
];

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "heroku/php",
    language: "PHP",
    looked_for: "a composer.json or index.php",
    detects: |tree| tree.has_file("composer.json") || tree.has_file("index.php"),
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

/// Looks up the packages that PHP is made of here, and adds the steps.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let composer = Composer::read(&execution.tree)?;
    let names = package_names(&execution.tree, &composer)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = debian::find(context, execution, "php-runtime", &names).await?;
    let version = installed_version(&found)?;
    let app = App {
        context,
        composer,
        version,
    };
    let line = app.version_line()?;
    let list = found.list();
    let mut arguments = vec![debian::PREFIX, HOME, list.as_str()];
    arguments.extend(names);
    let install = script("python3", &debian::program(INSTALL), &arguments);
    app.extend(&execution.tree, plan, install);
    let mut lines = vec![line];
    lines.extend(fixed_port(&execution.tree).map(Line::Warning));
    let web = web(&execution.tree);
    let default_types = "web".parse::<ProcessType>().map(|name| (name, web));
    Ok(Extended {
        lines,
        default_types: default_types.into_iter().collect(),
    })
}

/// PHP, its extensions, Composer, and the web server that the Procfile asks for.
fn package_names(tree: &SourceTree, composer: &Composer) -> Result<Vec<String>, BuildError> {
    let mut names = composer.packages(SERIES)?;
    names.extend([format!("php{SERIES}-cli"), format!("php{SERIES}-fpm")]);
    // FPM's package wants a program for temporary files of a system that boots: the small one.
    names.extend([
        "composer".to_owned(),
        "systemd-standalone-tmpfiles".to_owned(),
    ]);
    let procfile = tree.read_text("Procfile").unwrap_or_default();
    let has_web = procfile.lines().any(|line| line.starts_with("web:"));
    if procfile.contains("heroku-php-nginx") {
        names.push("nginx".to_owned());
    }
    if !has_web || procfile.contains("heroku-php-apache2") {
        names.push("apache2-bin".to_owned());
    }
    Ok(names)
}

/// `8.4.28-1~deb13u1` → 8.4.28.
fn installed_version(found: &debian::Found) -> Result<Version, BuildError> {
    let versions = found.versions();
    let version = versions
        .get(&format!("php{SERIES}-cli"))
        .and_then(|text| Version::parse(text.split(['-', '+', '~']).next()?).ok());
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    version
        .ok_or_else(missing)
        .map_err(BuildError::host("find PHP among the stack's packages"))
}

/// All that the steps of one app depend on.
struct App<'a> {
    context: &'a Context<'a>,
    composer: Composer,
    version: Version,
}

impl App<'_> {
    fn version_line(&self) -> Result<Line, BuildError> {
        let version = &self.version;
        let Some((constraint, origin)) = self.composer.php() else {
            return Ok(Line::Heading(format!(
                "No PHP version was specified. Using the stack's own: PHP {version}"
            )));
        };
        // What cannot be read here, Composer itself checks when it installs.
        if composer::takes(constraint, version) == Some(false) {
            return Err(BuildError::Source {
                problem: format!("PHP {constraint} of {origin} is not available on this platform."),
                advice: vec![
                    format!("Available: {version}."),
                    "hint: allow it in composer.json (`\"php\": \"^8.1\"`), run `composer update --lock`,".to_owned(),
                    "and commit both files.".to_owned(),
                ],
            });
        }
        Ok(Line::Heading(format!(
            "Using PHP {version} for {constraint} in {origin}"
        )))
    }

    fn extend(&self, tree: &SourceTree, plan: &mut BuildPlan, install: Vec<String>) {
        let runtime = self.runtime_step(install);
        debian::keep(plan, runtime);
        let files = SERVER_FILES.iter().map(|(name, text)| {
            let path = format!(".heroku/php/{name}");
            (path, (*text).to_owned())
        });
        plan.keep(Step::write("php-servers", files.collect()));
        plan.set_env("PHPRC", HOME);
        plan.set_env("PHP_INI_SCAN_DIR", &format!("{HOME}/conf.d"));
        plan.set_env("LANG", "C.UTF-8");
        plan.add_path(&format!("{HOME}/bin"));
        plan.add_path("/app/vendor/bin");
        if !self.composer.is_used() {
            return plan.keep_source();
        }
        if self.composer.has_packages() {
            let packages = self.packages_step(tree, plan);
            if packages.sees_source() {
                plan.keep_source();
            }
            plan.keep(packages);
        }
        plan.keep_source();
        plan.keep(self.finish_step(plan));
    }

    fn runtime_step(&self, install: Vec<String>) -> Step {
        let version = &self.version;
        let mut step = Step::run("php-runtime", install);
        step.heading = vec![format!(
            "Installing PHP {version}, its extensions and web server"
        )];
        step.cached_heading = vec![format!("Using cached install of PHP {version}")];
        step.env = base_env(self.context.request.stack.as_str());
        step.advice = vec![format!(
            "PHP {version} could not be installed; see the output above."
        )];
        step
    }

    fn packages_step(&self, tree: &SourceTree, plan: &BuildPlan) -> Step {
        let mut step = Step::run("php-packages", script("bash", COMPOSER, &["packages"]));
        step.heading = vec!["Installing dependencies using 'composer install --no-dev'".to_owned()];
        step.cached_heading =
            vec!["Using cached dependencies (composer.lock is unchanged)".to_owned()];
        sees_files_or_source(
            &mut step,
            self.files(tree),
            LayerRef::Step("php-runtime".to_owned()),
            plan,
        );
        step.env = packages_env(self.context, plan, &VARIABLES);
        step.caches = vec![Cache {
            name: "php".to_owned(),
        }];
        step.advice = lines(&[
            "The packages of composer.lock could not be installed; see the output above.",
            "hint: see that `composer install --no-dev` works on your machine with the committed lock.",
            "Private packages: set COMPOSER_AUTH as a config var. Packages may be part of the source,",
            "by a repository of the type `path` or `artifact` in composer.json.",
        ]);
        step
    }

    fn finish_step(&self, plan: &BuildPlan) -> Step {
        let mut step = Step::run("php-autoloader", script("bash", COMPOSER, &["finish"]));
        step.heading =
            vec!["Making the autoloader, and running the scripts of composer.json".to_owned()];
        step.upon.clone_from(&plan.slug);
        step.env = app_env(self.context, plan);
        step.caches = vec![Cache {
            name: "php".to_owned(),
        }];
        step.is_reusable = false;
        step.advice = lines(&[
            "Composer failed after the packages were installed; see the output above.",
            "hint: scripts of composer.json run in the build, with the app's config vars.",
        ]);
        step
    }

    /// The files that installing packages reads, or `None` when it may read any.
    fn files(&self, tree: &SourceTree) -> Option<Vec<String>> {
        let mut files = vec!["composer.json".to_owned(), "composer.lock".to_owned()];
        if tree.has_file("auth.json") {
            files.push("auth.json".to_owned());
        }
        for folder in self.composer.paths()? {
            tree.add_files(&folder, (MAX_DEPTH, MAX_FILES), &mut files)?;
        }
        files.sort();
        Some(files)
    }
}

/// The directory that is shown to the world is where the entry script is.
fn web(tree: &SourceTree) -> String {
    let folders = ["", "public", "web", "webroot", "htdocs"];
    let index = |folder: &&str| match *folder {
        "" => tree.has_file("index.php"),
        folder => tree.has_file(&format!("{folder}/index.php")),
    };
    match folders.into_iter().find(|folder| index(folder)) {
        Some(folder) if !folder.is_empty() => format!("heroku-php-apache2 {folder}/"),
        _ => "heroku-php-apache2".to_owned(),
    }
}

/// PHP's own development server with a port of its own.
fn fixed_port(tree: &SourceTree) -> Option<String> {
    let procfile = tree.read_text("Procfile")?;
    let web = procfile
        .lines()
        .find_map(|line| line.strip_prefix("web:"))?;
    let (_, address) = web.split_once(" -S ")?;
    let port = address.split_whitespace().next()?.rsplit_once(':')?.1;
    port.chars().all(|digit| digit.is_ascii_digit()).then(|| {
        format!("The Procfile has PHP listen on port {port}; requests come to $PORT. hint: `web: heroku-php-apache2`.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check(files: &[(&str, &str)], command: &str, servers: &[&str]) {
        let (_guard, tree) = source_of(files);
        assert_eq!(web(&tree), command, "{files:?}");
        let names = package_names(&tree, &Composer::default()).unwrap();
        let found: Vec<&str> = ["apache2-bin", "nginx"]
            .into_iter()
            .filter(|name| names.iter().any(|other| other == name))
            .collect();
        assert_eq!(found, servers, "{files:?}");
    }

    #[test]
    fn the_server_and_its_document_root() {
        check(&[("index.php", "")], "heroku-php-apache2", &["apache2-bin"]);
        check(
            &[("public/index.php", "")],
            "heroku-php-apache2 public/",
            &["apache2-bin"],
        );
        check(
            &[
                ("web/index.php", ""),
                ("Procfile", "web: vendor/bin/heroku-php-nginx web/"),
            ],
            "heroku-php-apache2 web/",
            &["nginx"],
        );
        check(
            &[("Procfile", "worker: php work.php")],
            "heroku-php-apache2",
            &["apache2-bin"],
        );
        check(
            &[("Procfile", "web: php -S 0.0.0.0:$PORT")],
            "heroku-php-apache2",
            &[],
        );
    }

    #[test]
    fn fixed_ports_are_noticed() {
        let port = |text: &str| fixed_port(&source_of(&[("Procfile", text)]).1);
        assert!(
            port("web: php -S 0.0.0.0:8000 -t public").is_some_and(|line| line.contains("8000"))
        );
        assert_eq!(port("web: php -S 0.0.0.0:$PORT"), None);
        assert_eq!(port("web: heroku-php-apache2 public/"), None);
    }
}
