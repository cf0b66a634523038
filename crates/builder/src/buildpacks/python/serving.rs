//! How a Python app is served that has no Procfile, and what is said when it cannot be.
//!
//! Pure: frameworks, servers and apps are looked for in the text of a few files, nothing is run. Read
//! [`web`] first.

use crate::{buildpacks::Line, source_tree::SourceTree};

/// Files that name an app's packages.
const LISTS: [&str; 7] = [
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
    "poetry.lock",
    "Pipfile",
    "Pipfile.lock",
    "setup.py",
];
/// Files that are likely to hold the app, first one first.
const MODULES: [&str; 9] = [
    "wsgi.py",
    "asgi.py",
    "app.py",
    "main.py",
    "server.py",
    "application.py",
    "app/main.py",
    "app/__init__.py",
    "src/main.py",
];

/// Which interface of Python's servers an app speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interface {
    Wsgi,
    Asgi,
}

/// An app that a server can be pointed at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Served {
    framework: &'static str,
    interface: Interface,
    /// `shop.wsgi:application`
    target: String,
}

/// The web command of an app without a Procfile, or what is missing for one.
pub(super) fn web(tree: &SourceTree) -> Result<Option<String>, Line> {
    if tree.has_file("Procfile") {
        return Ok(None);
    }
    let packages = Packages::of(tree);
    let Some(served) = django(tree).or_else(|| in_modules(tree)) else {
        return Ok(None);
    };
    let Served {
        framework,
        interface,
        target,
    } = served;
    // The servers of each interface, the usual one first.
    let commands = match interface {
        Interface::Wsgi => [
            ("gunicorn", format!("gunicorn {target}")),
            ("waitress", format!("waitress-serve --port=$PORT {target}")),
            (
                "uwsgi",
                format!(
                    "uwsgi --http-socket 0.0.0.0:$PORT --master --die-on-term --module {target}"
                ),
            ),
        ],
        Interface::Asgi => [
            (
                "uvicorn",
                format!("uvicorn {target} --host 0.0.0.0 --port $PORT"),
            ),
            (
                "hypercorn",
                format!("hypercorn {target} --bind 0.0.0.0:$PORT"),
            ),
            ("daphne", format!("daphne -b 0.0.0.0 -p $PORT {target}")),
        ],
    };
    let usual = commands[0].clone();
    let found = commands.into_iter().find(|(name, _)| packages.has(name));
    match found {
        Some((_, command)) => Ok(Some(command)),
        None => Err(Line::Warning(format!(
            "This {framework} app has no server for production among its packages: nothing will serve. hint: add `{}` to its requirements; the command is then `web: {}`.",
            usual.0, usual.1
        ))),
    }
}

/// The names of an app's packages, as far as its files list them.
struct Packages(Vec<String>);

impl Packages {
    fn of(tree: &SourceTree) -> Self {
        Self(
            LISTS
                .iter()
                .filter_map(|path| tree.read_text(path))
                .collect(),
        )
    }

    /// Whether a line lists the package: `name`, `name==1`, `"name>=1",`, `name = "1"`.
    fn has(&self, name: &str) -> bool {
        let begins = |text: &str| {
            let text = text.trim_start_matches([' ', '\t', '"', '\'', '[', '-']);
            let text = text.strip_prefix("name = \"").unwrap_or(text);
            let rest = text
                .get(..name.len())
                .filter(|start| start.eq_ignore_ascii_case(name))
                .and(text.get(name.len()..));
            rest.is_some_and(|rest| {
                !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || "-_.".contains(c))
            })
        };
        let mut texts = self.0.iter().flat_map(|text| text.lines());
        texts.any(|line| line.split([',', '[']).any(begins))
    }
}

/// The module that Django's own `startproject` writes.
fn django(tree: &SourceTree) -> Option<Served> {
    if !tree.has_file("manage.py") {
        return None;
    }
    let manage = tree.read_text("manage.py")?;
    let (_, rest) = manage.split_once("DJANGO_SETTINGS_MODULE")?;
    let settings = rest.split(['"', '\'']).nth(2)?;
    let package = settings.split('.').next()?;
    let has = |file: &str| tree.has_file(&format!("{package}/{file}.py"));
    let packages = Packages::of(tree);
    let speaks_asgi = ["uvicorn", "hypercorn", "daphne"]
        .iter()
        .any(|server| packages.has(server));
    let (interface, module) = if has("asgi") && speaks_asgi && !packages.has("gunicorn") {
        (Interface::Asgi, "asgi")
    } else {
        (Interface::Wsgi, "wsgi")
    };
    has(module).then(|| Served {
        framework: "Django",
        interface,
        target: format!("{package}.{module}:application"),
    })
}

/// An app of another framework: `app = Flask(__name__)` in one of the usual files.
fn in_modules(tree: &SourceTree) -> Option<Served> {
    const MAKERS: [(&str, &str, Interface); 6] = [
        ("Flask(", "Flask", Interface::Wsgi),
        ("FastAPI(", "FastAPI", Interface::Asgi),
        ("Starlette(", "Starlette", Interface::Asgi),
        ("Litestar(", "Litestar", Interface::Asgi),
        ("Quart(", "Quart", Interface::Asgi),
        ("Bottle(", "Bottle", Interface::Wsgi),
    ];
    MODULES.iter().find_map(|path| {
        let text = tree.read_text(path)?;
        text.lines().find_map(|line| {
            // At the top of the module only: what a function makes is no name of it.
            let (name, value) = line.split_once('=')?;
            let name = name.split(':').next()?.trim_end();
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let value = value.trim_start();
            let value = ["flask.", "fastapi.", "bottle."]
                .iter()
                .find_map(|module| value.strip_prefix(module))
                .unwrap_or(value);
            let maker = MAKERS.iter().find(|(call, ..)| value.starts_with(call))?;
            let module = path.trim_end_matches(".py").replace('/', ".");
            let module = module.trim_end_matches(".__init__");
            is_name.then(|| Served {
                framework: maker.1,
                interface: maker.2,
                target: format!("{module}:{name}"),
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    fn check(files: &[(&str, &str)], expected: Option<&str>) {
        let found = web(&source_of(files).1);
        assert_eq!(found.ok().flatten().as_deref(), expected, "{files:?}");
    }

    const MANAGE: &str = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')";

    #[test]
    fn servers_are_pointed_at_the_app() {
        let django = [
            ("manage.py", MANAGE),
            ("shop/wsgi.py", ""),
            ("shop/asgi.py", ""),
        ];
        let with = |packages: &'static str| {
            let mut files = django.to_vec();
            files.push(("requirements.txt", packages));
            files
        };
        check(
            &with("django\ngunicorn==23\n"),
            Some("gunicorn shop.wsgi:application"),
        );
        check(
            &with("django\nuvicorn[standard]\n"),
            Some("uvicorn shop.asgi:application --host 0.0.0.0 --port $PORT"),
        );
        check(
            &with("django\nwaitress>=3"),
            Some("waitress-serve --port=$PORT shop.wsgi:application"),
        );
        let flask = ("app.py", "from flask import Flask\napp = Flask(__name__)\n");
        check(
            &[
                flask,
                (
                    "pyproject.toml",
                    "dependencies = [\"flask\", \"Gunicorn>=1\"]",
                ),
            ],
            Some("gunicorn app:app"),
        );
        let api = ("app/main.py", "api: FastAPI = fastapi.FastAPI()\n");
        check(
            &[api, ("uv.lock", "[[package]]\nname = \"uvicorn\"\n")],
            Some("uvicorn app.main:api --host 0.0.0.0 --port $PORT"),
        );
        check(
            &[flask, ("requirements.txt", "gunicorn"), ("Procfile", "")],
            None,
        );
        check(
            &[
                ("app.py", "def make():\n    app = Flask(__name__)"),
                ("requirements.txt", "gunicorn"),
            ],
            None,
        );
    }

    #[test]
    fn an_app_without_a_server_is_told_what_to_add() {
        let check = |files: &[(&str, &str)], expected: &str| {
            let said = web(&source_of(files).1).unwrap_err();
            assert_eq!(said.text(), expected, "{files:?}");
        };
        check(
            &[
                ("app.py", "app = Flask(__name__)"),
                ("requirements.txt", "flask\ngunicorn-extras\n"),
            ],
            "This Flask app has no server for production among its packages: nothing will serve. hint: add `gunicorn` to its requirements; the command is then `web: gunicorn app:app`.",
        );
        check(
            &[
                ("manage.py", MANAGE),
                ("shop/wsgi.py", ""),
                ("requirements.txt", "django"),
            ],
            "This Django app has no server for production among its packages: nothing will serve. hint: add `gunicorn` to its requirements; the command is then `web: gunicorn shop.wsgi:application`.",
        );
        check(
            &[
                ("main.py", "app = FastAPI()"),
                ("requirements.txt", "fastapi"),
            ],
            "This FastAPI app has no server for production among its packages: nothing will serve. hint: add `uvicorn` to its requirements; the command is then `web: uvicorn main:app --host 0.0.0.0 --port $PORT`.",
        );
    }
}
