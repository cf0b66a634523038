//! Ruby: an interpreter, the gems of `Gemfile.lock`, the assets of Rails.
//!
//! The interpreter comes from the machine's mirror directory or the stack's own suite; gems go to
//! `vendor/bundle`, as at Heroku. Read [`plan`] first.

mod lockfile;
mod version;

use std::collections::BTreeMap;

use api::names::ProcessType;
use semver::Version;

use self::{
    lockfile::Bundle,
    version::{Origin, Runtime, Wish},
};
use crate::{
    buildpacks::{
        Buildpack, Context, Extended, Line, app_env, base_env, debian, lines, packages_env, script,
        sees_files_or_source, sources,
    },
    error::BuildError,
    execute::Execution,
    plan::{BuildPlan, Cache, LayerRef, Step},
    source_tree::SourceTree,
};

const HOME: &str = "/app/.heroku/ruby";
/// The step that installs Ruby.
const RUNTIME: &str = "ruby-runtime";
const BUNDLE: &str = "/app/vendor/bundle";
/// The Ruby of the stack's suite, and the version that its directories are named by.
const PACKAGES: [&str; 2] = ["ruby3.3", "ruby3.3-dev"];
const PACKAGES_API: &str = "3.3.0";
/// Config vars that Bundler looks at.
const VARIABLES: [&str; 2] = ["BUNDLE_", "GEM_"];
/// Where Bundler keeps what it may read and write during a build.
const CACHE: &str = "ruby";

const INSTALL_RUBY: &str = include_str!("scripts/ruby_debian.py");
const INSTALL_GEMS: &str = include_str!("scripts/ruby_gems.sh");
const ASSETS: &str = include_str!("scripts/ruby_assets.sh");
const SECRET: &str = include_str!("scripts/ruby_secret.py");

pub(super) static BUILDPACK: Buildpack = Buildpack {
    name: "heroku/ruby",
    language: "Ruby",
    looked_for: "a Gemfile",
    detects: |tree| tree.has_file("Gemfile"),
    plan: |context, execution, written| Box::pin(plan(context, execution, written)),
};

/// Looks up what Rubies there are, and adds the steps.
async fn plan(
    context: &Context<'_>,
    execution: &mut Execution,
    plan: &mut BuildPlan,
) -> Result<Extended, BuildError> {
    let bundle = Bundle::read(&execution.tree)?;
    let wish = version::wanted(&execution.tree, &bundle)?;
    let stack = context.request.stack.as_str();
    let mirror = sources::mirrored_versions(&execution.workshop.runtimes, "ruby", stack);
    let found = debian::find(context, execution, RUNTIME, &PACKAGES).await?;
    let stacks = stacks_version(&found)?;
    let runtime = version::choose(&wish, &mirror, &stacks)?;
    let install = match &runtime.origin {
        Origin::Stack => {
            let list = found.list();
            let mut arguments = vec![HOME, PACKAGES_API, list.as_str()];
            arguments.extend(PACKAGES);
            let program = debian::program(INSTALL_RUBY);
            Step::run(RUNTIME, script("python3", &program, &arguments))
        }
        Origin::Mirror(path) => sources::mirror_step(RUNTIME, (HOME, "bin/ruby"), path)?,
    };
    let app = App {
        context,
        bundle,
        runtime,
    };
    app.extend(&execution.tree, plan, install);
    Ok(app.extended(&wish, &execution.tree))
}

/// `3.3.13-0+deb13u1` → 3.3.13.
fn stacks_version(found: &debian::Found) -> Result<Version, BuildError> {
    let versions = found.versions();
    let version = versions
        .get(PACKAGES[0])
        .and_then(|text| Version::parse(text.split(['-', '+', '~']).next()?).ok());
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    version
        .ok_or_else(missing)
        .map_err(BuildError::host("find Ruby among the stack's packages"))
}

/// All that the steps of one app depend on.
struct App<'a> {
    context: &'a Context<'a>,
    bundle: Bundle,
    runtime: Runtime,
}

impl App<'_> {
    fn extend(&self, tree: &SourceTree, plan: &mut BuildPlan, runtime: Step) {
        plan.keep(self.runtime_step(runtime));
        self.set_env(plan);
        let gems = self.gems_step(tree, plan);
        if gems.sees_source() {
            plan.keep_source();
        }
        plan.keep(gems);
        if self.bundle.has("railties") {
            plan.keep(self.secret_step());
        }
        plan.keep_source();
        if ["Rakefile", "rakefile", "Rakefile.rb", "rakefile.rb"]
            .iter()
            .any(|name| tree.has_file(name))
            && self.bundle.has("rake")
        {
            plan.keep(self.assets_step(plan));
        }
    }

    /// The version that directories of gems are named by: 3.3.0 for all of 3.3.
    fn api(&self) -> String {
        let version = &self.runtime.version;
        format!("{}.{}.0", version.major, version.minor)
    }

    fn set_env(&self, plan: &mut BuildPlan) {
        let gems = format!("{BUNDLE}/ruby/{}", self.api());
        for directory in [
            format!("{HOME}/bin"),
            format!("{gems}/bin"),
            format!("{BUNDLE}/bin"),
            "/app/bin".to_owned(),
        ] {
            plan.add_path(&directory);
        }
        plan.add_search_path("LD_LIBRARY_PATH", &format!("{HOME}/lib"));
        plan.set_env("LANG", "C.UTF-8");
        plan.set_env("GEM_PATH", &gems);
        plan.set_env("BUNDLE_PATH", BUNDLE);
        plan.set_env("BUNDLE_BIN", &format!("{BUNDLE}/bin"));
        plan.set_env("BUNDLE_DEPLOYMENT", "1");
        // The Bundler of the lock file would be fetched at every start where it is not this one.
        plan.set_env("BUNDLE_VERSION", "system");
        plan.set_env("BUNDLE_WITHOUT", "development:test");
        plan.set_env("DISABLE_SPRING", "1");
        plan.set_env("MALLOC_ARENA_MAX", "2");
        plan.set_env("PUMA_PERSISTENT_TIMEOUT", "95");
        if self.bundle.has("rack") {
            plan.set_env("RACK_ENV", "production");
        }
        if self.bundle.has("railties") {
            plan.set_env("RAILS_ENV", "production");
            plan.set_env("RAILS_SERVE_STATIC_FILES", "enabled");
            plan.set_env("RAILS_LOG_TO_STDOUT", "enabled");
        }
    }

    fn runtime_step(&self, mut step: Step) -> Step {
        let version = &self.runtime.version;
        step.heading = vec![format!("Installing Ruby {version}")];
        step.cached_heading = vec![format!("Using cached install of Ruby {version}")];
        step.env = base_env(self.context.request.stack.as_str());
        step.advice = vec![format!(
            "Ruby {version} could not be installed; see the output above."
        )];
        step
    }

    fn gems_step(&self, tree: &SourceTree, plan: &BuildPlan) -> Step {
        let mut step = Step::run("ruby-gems", script("bash", INSTALL_GEMS, &[]));
        let without = self.setting("BUNDLE_WITHOUT").unwrap_or("development:test");
        step.heading = vec![format!(
            "Installing dependencies using bundler, without {without}"
        )];
        step.cached_heading = vec!["Using cached gems (Gemfile.lock is unchanged)".to_owned()];
        sees_files_or_source(
            &mut step,
            self.bundle.files(tree),
            LayerRef::Step(RUNTIME.to_owned()),
            plan,
        );
        step.env = packages_env(self.context, plan, &VARIABLES);
        step.env
            .insert("BUNDLE_WITHOUT".to_owned(), without.replace(' ', ":"));
        step.env
            .insert("BUNDLE_USER_HOME".to_owned(), "/tmp/bundle".to_owned());
        step.env
            .insert("BUNDLE_APP_CONFIG".to_owned(), "/tmp/bundle-app".to_owned());
        step.caches = vec![Cache {
            name: CACHE.to_owned(),
        }];
        step.advice = lines(&[
            "The gems could not be installed; see the output above.",
            "hint: see that `bundle install` works on your machine with the committed Gemfile.lock.",
            "Gems in vendor/cache (`bundle cache --all-platforms`) are used where no gem server can be",
            "reached; a private one is told by config vars such as BUNDLE_MIRROR__ALL or BUNDLE_GEMS__HOST.",
        ]);
        step
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.context
            .request
            .config_vars
            .get(name)
            .map(String::as_str)
    }

    fn secret_step(&self) -> Step {
        let mut step = Step::run("ruby-secret", script("python3", SECRET, &[]));
        step.env = base_env(self.context.request.stack.as_str());
        step.caches = vec![Cache {
            name: "ruby-secret".to_owned(),
        }];
        step
    }

    fn assets_step(&self, plan: &BuildPlan) -> Step {
        let kind = if self.bundle.has("railties") {
            "rails"
        } else {
            "other"
        };
        let mut step = Step::run("ruby-assets", script("bash", ASSETS, &[kind]));
        step.upon.clone_from(&plan.slug);
        step.env = app_env(self.context, plan);
        if let Some(url) = self.placeholder_database() {
            step.env
                .entry("DATABASE_URL".to_owned())
                .or_insert_with(|| url.to_owned());
        }
        step.caches = vec![Cache {
            name: CACHE.to_owned(),
        }];
        step.is_reusable = false;
        step.advice = lines(&[
            "Precompiling assets failed; see the output above.",
            "hint: `RAILS_ENV=production bundle exec rake assets:precompile` fails in the same way on",
            "your machine. The build sees the app's config vars, and no database.",
        ]);
        step
    }

    /// Rails reads its database's settings before it compiles assets, which need none.
    fn placeholder_database(&self) -> Option<&'static str> {
        let adapters = [
            ("pg", "postgres://user:pass@127.0.0.1/dbname"),
            ("mysql2", "mysql2://user:pass@127.0.0.1/dbname"),
            ("sqlite3", "sqlite3::memory:"),
        ];
        adapters
            .into_iter()
            .find_map(|(gem, url)| self.bundle.has(gem).then_some(url))
    }

    fn extended(&self, wish: &Wish, tree: &SourceTree) -> Extended {
        let version = &self.runtime.version;
        let mut lines = vec![Line::Heading(match wish.origin {
            "" => format!("No Ruby version was specified. Using the stack's own: Ruby {version}"),
            origin => format!("Using Ruby {version} for {} in {origin}", wish.text),
        })];
        lines.extend(self.runtime.warning.iter().cloned().map(Line::Warning));
        lines.extend(fixed_port(tree).into_iter().map(Line::Warning));
        if tree.has_file("config.ru") && !tree.has_file("Procfile") && self.web(tree).is_none() {
            lines.push(Line::Warning(
                "There is a config.ru, but no server for it in Gemfile.lock. hint: run `bundle add puma`."
                    .to_owned(),
            ));
        }
        Extended {
            lines,
            default_types: self.default_types(tree),
        }
    }

    fn default_types(&self, tree: &SourceTree) -> BTreeMap<ProcessType, String> {
        let console = if self.bundle.has("railties") {
            "bin/rails console"
        } else {
            "bundle exec irb"
        };
        let rows = [
            ("web", self.web(tree)),
            ("rake", Some("bundle exec rake".to_owned())),
            ("console", Some(console.to_owned())),
        ];
        rows.into_iter()
            .filter_map(|(name, command)| Some((name.parse().ok()?, command?)))
            .collect()
    }

    fn web(&self, tree: &SourceTree) -> Option<String> {
        let bundle = &self.bundle;
        if bundle.has("railties") {
            return Some("bin/rails server -b 0.0.0.0 -p ${PORT:-5000} -e $RAILS_ENV".to_owned());
        }
        if !tree.has_file("config.ru") {
            return None;
        }
        // Rack has its own program to start servers up to version 2, and in a gem apart after it.
        let has_rackup =
            bundle.has("rackup") || bundle.major("rack").is_some_and(|major| major < 3);
        let command = if bundle.has("puma") {
            "bundle exec puma -b tcp://0.0.0.0:${PORT:-5000} config.ru"
        } else if bundle.has("thin") {
            "bundle exec thin start -R config.ru -e $RACK_ENV -p ${PORT:-5000}"
        } else if bundle.has("unicorn") {
            "bundle exec unicorn -E $RACK_ENV -p ${PORT:-5000} config.ru"
        } else if has_rackup {
            "bundle exec rackup config.ru -o 0.0.0.0 -p ${PORT:-5000}"
        } else {
            return None;
        };
        Some(command.to_owned())
    }
}

/// A port in the Procfile or in Puma's configuration that is not the dyno's.
fn fixed_port(tree: &SourceTree) -> Option<String> {
    let digits = |text: &str| {
        let text = text.trim_start_matches(['(', ' ', '=', '"', '\'']);
        let end = text
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(text.len());
        (end > 1).then(|| text[..end].to_owned())
    };
    let say = |file: &str, port: &str| {
        format!(
            "{file} has the web process listen on port {port}; requests come to $PORT. hint: write `-p $PORT`, or `port ENV.fetch(\"PORT\", 3000)`."
        )
    };
    let puma = tree.read_text("config/puma.rb").unwrap_or_default();
    let in_puma = puma
        .lines()
        .filter_map(|line| line.trim().strip_prefix("port"))
        .find_map(|rest| rest.starts_with([' ', '(']).then(|| digits(rest))?);
    if let Some(port) = in_puma {
        return Some(say("config/puma.rb", &port));
    }
    let procfile = tree.read_text("Procfile").unwrap_or_default();
    let web = procfile
        .lines()
        .find_map(|line| line.strip_prefix("web:"))?;
    let port = [" -p", " --port"]
        .iter()
        .find_map(|option| digits(web.split_once(option)?.1))?;
    Some(say("The Procfile", &port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check_port(path: &str, text: &str, expected: Option<&str>) {
        let (_guard, tree) = source_of(&[(path, text)]);
        let port = fixed_port(&tree);
        match expected {
            None => assert_eq!(port, None, "{text:?}"),
            Some(number) => {
                assert!(
                    port.is_some_and(|line| line.contains(&format!("port {number};"))),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn fixed_ports_are_noticed() {
        check_port(
            "config/puma.rb",
            "port ENV.fetch('PORT', 3000)\nthreads 5, 5",
            None,
        );
        check_port("config/puma.rb", "threads 1, 5\nport 3000", Some("3000"));
        check_port("config/puma.rb", "port(\"4567\")", Some("4567"));
        check_port("config/puma.rb", "portable 12", None);
        check_port("Procfile", "web: bundle exec puma -p $PORT", None);
        check_port("Procfile", "web: bundle exec puma -p 3000", Some("3000"));
        check_port("Procfile", "web: rackup --port=9292", Some("9292"));
        check_port("Procfile", "worker: x -p 3000\nweb: puma", None);
    }
}
