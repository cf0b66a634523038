//! How an app is served that does not say it: what each framework's build leaves, and what serves
//! that in production.
//!
//! Pure. Read [`FRAMEWORKS`] first, then [`Web::of`].

use super::package::Package;
use crate::{buildpacks::lines, error::BuildError, source_tree::SourceTree};

/// What answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// A command of Bash's.
    Command(&'static str),
    /// Files below a directory of the app.
    Site {
        root: &'static str,
        /// Whether paths without a file are the front page's to show.
        is_single_page: bool,
    },
    /// The build leaves nothing that can serve; how that is mended.
    Nothing(&'static str),
}

/// A framework, known by the packages it needs.
struct Framework {
    name: &'static str,
    packages: &'static [&'static str],
    serving: Serving,
}

const fn server(
    name: &'static str,
    packages: &'static [&'static str],
    command: &'static str,
) -> Framework {
    Framework {
        name,
        packages,
        serving: Serving::Command(command),
    }
}

const fn site(
    name: &'static str,
    packages: &'static [&'static str],
    root: &'static str,
) -> Framework {
    Framework {
        name,
        packages,
        serving: Serving::Site {
            root,
            is_single_page: false,
        },
    }
}

const fn single_page(
    name: &'static str,
    packages: &'static [&'static str],
    root: &'static str,
) -> Framework {
    Framework {
        serving: Serving::Site {
            root,
            is_single_page: true,
        },
        ..site(name, packages, root)
    }
}

/// The first whose packages an app all has. Adapters go before what stands without one, bundlers
/// come last.
///
/// Source: each framework's own page on deployment to a Node.js server.
const FRAMEWORKS: &[Framework] = &[
    server("Next.js", &["next"], "next start -p $PORT"),
    server("Nuxt", &["nuxt"], "node .output/server/index.mjs"),
    server("Nuxt", &["nuxt3"], "node .output/server/index.mjs"),
    server(
        "SvelteKit",
        &["@sveltejs/kit", "@sveltejs/adapter-node"],
        "node build",
    ),
    site(
        "SvelteKit",
        &["@sveltejs/kit", "@sveltejs/adapter-static"],
        "build",
    ),
    Framework {
        name: "SvelteKit",
        packages: &["@sveltejs/kit"],
        serving: Serving::Nothing(
            "hint: run `npm install -D @sveltejs/adapter-node`, use it in svelte.config.js and commit.",
        ),
    },
    server(
        "React Router",
        &["@react-router/serve"],
        "react-router-serve ./build/server/index.js",
    ),
    server(
        "Remix",
        &["@remix-run/serve", "vite"],
        "remix-serve ./build/server/index.js",
    ),
    server("Remix", &["@remix-run/serve"], "remix-serve build"),
    server(
        "Astro",
        &["astro", "@astrojs/node"],
        "HOST=0.0.0.0 node ./dist/server/entry.mjs",
    ),
    site("Astro", &["astro"], "dist"),
    server(
        "SolidStart",
        &["@solidjs/start"],
        "node .output/server/index.mjs",
    ),
    server("NestJS", &["@nestjs/core"], "node dist/main"),
    site("Gatsby", &["gatsby"], "public"),
    site("Docusaurus", &["@docusaurus/core"], "build"),
    site("Eleventy", &["@11ty/eleventy"], "_site"),
    single_page("Create React App", &["react-scripts"], "build"),
    single_page("Vue CLI", &["@vue/cli-service"], "dist"),
    single_page("Vite", &["vite"], "dist"),
];

/// Programs that serve the source while it is written, and listen where no router comes.
const DEVELOPMENT_SERVERS: [&[&str]; 16] = [
    &["vite"],
    &["vite", "dev"],
    &["vite", "serve"],
    &["next", "dev"],
    &["nuxt", "dev"],
    &["nuxi", "dev"],
    &["astro", "dev"],
    &["remix", "dev"],
    &["remix", "vite:dev"],
    &["react-router", "dev"],
    &["react-scripts", "start"],
    &["vue-cli-service", "serve"],
    &["gatsby", "develop"],
    &["ng", "serve"],
    &["webpack", "serve"],
    &["webpack-dev-server"],
];

/// What `web` is where no Procfile says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Web {
    pub(super) serving: Serving,
    /// What there is to say about the choice.
    pub(super) notice: Option<String>,
}

impl Web {
    const START: Self = Self {
        serving: Serving::Command("npm start"),
        notice: None,
    };

    /// The app's own `start` script, unless that serves a developer; else what its framework
    /// needs. `None`: nothing is known that could serve.
    ///
    /// # Errors
    /// When the framework's build would leave nothing that serves.
    pub(super) fn of(package: &Package, tree: &SourceTree) -> Result<Option<Self>, BuildError> {
        let start = package.script("start");
        let framework = FRAMEWORKS
            .iter()
            .filter(|_| package.script("build").is_some())
            .find(|framework| {
                let mut packages = framework.packages.iter();
                packages.all(|name| package.depends_on(name))
            });
        let Some(framework) = framework else {
            let is_served = start.is_some() || tree.has_file("server.js");
            return Ok(is_served.then_some(Self::START));
        };
        match (start, framework.serving) {
            (Some(start), _) if !is_development_server(start) => Ok(Some(Self::START)),
            // A Procfile knows better; one without `web` has been written on purpose.
            (_, Serving::Nothing(_)) if tree.has_file("Procfile") => Ok(None),
            (_, Serving::Nothing(hint)) => Err(BuildError::Source {
                problem: format!("This {} app has no server in it", framework.name),
                advice: lines(&["It has no Procfile, no start script and no adapter.", hint]),
            }),
            (start, serving) => Ok(Some(Self {
                serving,
                notice: Some(notice(framework.name, serving, start)),
            })),
        }
    }
}

/// What to say of an app that nothing would serve: it has neither a Procfile nor a start script.
pub(super) fn unserved(web: Option<&Web>, package: &Package, tree: &SourceTree) -> Option<String> {
    /// Files that are likely to be the server, first one first.
    const ENTRIES: [&str; 8] = [
        "index.js",
        "app.js",
        "main.js",
        "index.mjs",
        "src/index.js",
        "src/server.js",
        "src/app.js",
        "bin/www",
    ];
    /// Libraries that make an app a server.
    const SERVERS: [&str; 6] = ["express", "fastify", "koa", "hono", "@hapi/hapi", "restify"];
    if web.is_some() || tree.has_file("Procfile") {
        return None;
    }
    let server = SERVERS.iter().find(|name| package.depends_on(name));
    let what = server.map_or_else(|| "This app".to_owned(), |name| format!("This {name} app"));
    let entry = ENTRIES.iter().find(|path| tree.has_file(path));
    let entry = entry.copied().unwrap_or("index.js");
    Some(format!(
        "{what} has no start script in package.json, and there is no Procfile: nothing will serve. hint: add `\"start\": \"node {entry}\"` to its scripts."
    ))
}

fn notice(framework: &str, serving: Serving, start: Option<&str>) -> String {
    let what = match serving {
        Serving::Site { root, .. } => format!("the files of `{root}` are served"),
        Serving::Command(command) => format!("web is `{command}`"),
        Serving::Nothing(_) => String::new(),
    };
    let why = start.map_or_else(String::new, |start| {
        format!(" instead of the development server of `{start}`")
    });
    format!("{framework} without a Procfile: {what}{why}")
}

/// Whether a script does nothing but start one of [`DEVELOPMENT_SERVERS`].
fn is_development_server(script: &str) -> bool {
    let is_setting = |word: &&str| *word == "cross-env" || *word == "npx" || word.contains('=');
    let mut words = script.split_whitespace().skip_while(is_setting);
    let called: Vec<&str> = words
        .by_ref()
        .take_while(|word| !word.starts_with('-'))
        .collect();
    DEVELOPMENT_SERVERS.contains(&called.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn web(scripts: &str, packages: &str, files: &[&str]) -> Result<Option<Web>, BuildError> {
        let listed: Vec<String> = packages
            .split_whitespace()
            .map(|name| format!("\"{name}\": \"*\""))
            .collect();
        let json = format!(
            r#"{{"scripts": {{{scripts}}}, "devDependencies": {{{}}}}}"#,
            listed.join(",")
        );
        let mut all = vec![("package.json", json.as_str())];
        all.extend(files.iter().map(|name| (*name, "")));
        let (_folder, tree) = source_of(&all);
        Web::of(&Package::read(&tree).unwrap(), &tree)
    }

    fn check(scripts: &str, packages: &str, expected: &str) {
        let shown = match web(scripts, packages, &[]).unwrap().map(|web| web.serving) {
            None => "none".to_owned(),
            Some(Serving::Command(command)) => command.to_owned(),
            Some(Serving::Site {
                root,
                is_single_page,
            }) => format!("{root}{}", if is_single_page { " (one page)" } else { "" }),
            Some(Serving::Nothing(_)) => "nothing".to_owned(),
        };
        assert_eq!(shown, expected, "{scripts} {packages}");
    }

    const BUILD: &str = r#""build": "x""#;

    #[test]
    fn an_app_that_nothing_would_serve_is_told_what_to_add() {
        let check = |json: &str, files: &[&str], expected: Option<&str>| {
            let mut all = vec![("package.json", json)];
            all.extend(files.iter().map(|name| (*name, "")));
            let (_folder, tree) = source_of(&all);
            let package = Package::read(&tree).unwrap();
            let web = Web::of(&package, &tree).unwrap();
            assert_eq!(unserved(web.as_ref(), &package, &tree).as_deref(), expected);
        };
        let express = r#"{"dependencies": {"express": "5"}}"#;
        check(
            express,
            &["app.js"],
            Some(
                "This express app has no start script in package.json, and there is no Procfile: nothing will serve. hint: add `\"start\": \"node app.js\"` to its scripts.",
            ),
        );
        check(express, &["app.js", "Procfile"], None);
        check(express, &["server.js"], None);
        check(r#"{"scripts": {"start": "node ."}}"#, &[], None);
    }

    #[test]
    fn each_framework_is_served_as_its_build_is_made_to_be() {
        check(BUILD, "next react", "next start -p $PORT");
        check(BUILD, "nuxt vite", "node .output/server/index.mjs");
        check(
            BUILD,
            "vite @sveltejs/kit @sveltejs/adapter-node",
            "node build",
        );
        check(
            BUILD,
            "vite @sveltejs/kit @sveltejs/adapter-static",
            "build",
        );
        check(
            BUILD,
            "vite react-router @react-router/serve",
            "react-router-serve ./build/server/index.js",
        );
        check(
            BUILD,
            "vite @remix-run/serve",
            "remix-serve ./build/server/index.js",
        );
        check(BUILD, "@remix-run/serve", "remix-serve build");
        check(
            BUILD,
            "astro @astrojs/node",
            "HOST=0.0.0.0 node ./dist/server/entry.mjs",
        );
        check(BUILD, "astro", "dist");
        check(BUILD, "vite react", "dist (one page)");
        check(BUILD, "react-scripts", "build (one page)");
        check(BUILD, "@11ty/eleventy", "_site");
        check("", "vite", "none");
        check(BUILD, "typescript", "none");
    }

    #[test]
    fn an_apps_own_start_script_goes_before() {
        check(
            r#""build": "x", "start": "node server.mjs""#,
            "vite",
            "npm start",
        );
        check(
            r#""build": "x", "start": "next start""#,
            "next",
            "npm start",
        );
        check(r#""start": "vite""#, "vite", "npm start");
        check(
            r#""build": "x", "start": "vite""#,
            "vite",
            "dist (one page)",
        );
        check(
            r#""build": "x", "start": "cross-env A=1 react-scripts start""#,
            "react-scripts",
            "build (one page)",
        );
        check(
            r#""build": "x", "start": "vite --port 3000""#,
            "vite",
            "dist (one page)",
        );
        check(
            r#""build": "x", "start": "vite preview --port $PORT""#,
            "vite",
            "npm start",
        );
    }

    #[test]
    fn a_build_that_leaves_no_server_is_refused_with_what_to_do() {
        let error = web(BUILD, "@sveltejs/kit @sveltejs/adapter-auto", &[]).unwrap_err();
        assert_eq!(error.to_string(), "This SvelteKit app has no server in it");
        let told = web(BUILD, "@sveltejs/kit @sveltejs/adapter-auto", &["Procfile"]);
        assert_eq!(told.unwrap(), None);
    }

    #[test]
    fn the_choice_is_told() {
        let scripts = r#""build": "x", "start": "vite""#;
        let notice = web(scripts, "vite", &[]).unwrap().unwrap().notice;
        assert_eq!(
            notice.as_deref(),
            Some(
                "Vite without a Procfile: the files of `dist` are served instead of the development server of `vite`"
            )
        );
    }
}
