//! What a .NET source says of itself: solution, projects, target frameworks, the SDK that it wants.
//!
//! Pure. Project files are XML programs: they are not evaluated, only looked through for what people
//! write in them. Read [`Wish::of`] first.

use crate::{
    buildpacks::{lines, tool_versions},
    error::BuildError,
    source_tree::SourceTree,
};

/// Where a project is published, below its own directory.
pub(super) const PUBLISHED: &str = "bin/publish";
/// Most projects of a solution that are looked at.
const MOST_PROJECTS: usize = 100;
const SOLUTIONS: [&str; 2] = [".sln", ".slnx"];
const PROJECTS: [&str; 3] = [".csproj", ".fsproj", ".vbproj"];

/// What a project of the source makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assembly {
    path: String,
    /// `net8.0`; empty when it does not say so itself.
    framework: String,
    name: String,
    pub(super) is_web: bool,
    /// Whether it makes a program, not a library.
    pub(super) is_program: bool,
}

/// Which SDK is wanted, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// `[8, 0, 404]`, or `[8, 0]`
    version: Vec<u64>,
    roll_forward: RollForward,
    /// As it was written.
    pub(super) text: String,
    pub(super) origin: String,
}

/// How far from the wanted version one may be, as `global.json` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RollForward {
    Disabled,
    /// A later patch of the same hundred.
    Patch,
    Feature,
    Minor,
    Major,
}

/// The solution or project in the root of the source: a solution first.
pub(super) fn root_file(tree: &SourceTree) -> Option<String> {
    let names = tree.list("");
    let find = |endings: &[&str]| {
        let mut names = names.iter();
        names.find(|name| endings.iter().any(|ending| name.ends_with(ending)))
    };
    find(&SOLUTIONS).or_else(|| find(&PROJECTS)).cloned()
}

/// The projects that the root file stands for.
pub(super) fn all(tree: &SourceTree, root: &str) -> Vec<Assembly> {
    let paths: Vec<String> = if SOLUTIONS.iter().any(|ending| root.ends_with(ending)) {
        let text = tree.read_text(root).unwrap_or_default();
        let quoted = text.split('"').skip(1).step_by(2);
        let is_project = |path: &&str| PROJECTS.iter().any(|ending| path.ends_with(ending));
        let paths = quoted.filter(is_project).take(MOST_PROJECTS);
        paths.map(|path| path.replace('\\', "/")).collect()
    } else {
        vec![root.to_owned()]
    };
    let read = |path: String| {
        let text = tree.read_text(&path)?;
        Some(Assembly::of(path, &text))
    };
    paths.into_iter().filter_map(read).collect()
}

impl Assembly {
    fn of(path: String, text: &str) -> Self {
        let is_web = text.contains("Microsoft.NET.Sdk.Web");
        let stem = path.rsplit('/').next().unwrap_or_default();
        let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
        let name = element(text, "AssemblyName").filter(|name| !name.contains("$("));
        let frameworks =
            element(text, "TargetFramework").or_else(|| element(text, "TargetFrameworks"));
        let newest = frameworks.unwrap_or_default();
        let newest = newest.split(';').max_by_key(|name| framework_version(name));
        let kind = element(text, "OutputType").unwrap_or_default();
        Self {
            framework: newest.unwrap_or_default().to_owned(),
            name: name.unwrap_or_else(|| stem.to_owned()),
            is_web,
            is_program: is_web
                || kind.eq_ignore_ascii_case("exe")
                || text.contains("Microsoft.NET.Sdk.Worker"),
            path,
        }
    }

    /// A name for its process: letters and digits of the assembly's.
    pub(super) fn process_type(&self) -> String {
        let letters = self.name.chars().filter(char::is_ascii_alphanumeric);
        letters.collect::<String>().to_ascii_lowercase()
    }

    /// Starts what was published, where it finds its settings.
    pub(super) fn command(&self) -> String {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{PUBLISHED}"),
            None => PUBLISHED.to_owned(),
        };
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let port = if self.is_web {
            " --urls http://*:$PORT"
        } else {
            ""
        };
        let program = quoted(&format!("./{}", self.name));
        format!("cd {}; {program}{port}", quoted(&folder))
    }
}

/// The text of an XML element without attributes.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once("</")?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// `net8.0` and `net9.0-windows` → 8, 9; other families have none here.
fn framework_version(name: &str) -> Option<Vec<u64>> {
    let version = name.trim().strip_prefix("net")?.split('-').next()?;
    let found = numbers(version);
    (found.len() == 2 && found[0] >= 5).then_some(found)
}

/// `8.0.404` → [8, 0, 404]
pub(super) fn numbers(version: &str) -> Vec<u64> {
    let parts = version.split(['.', '-', '+']);
    parts.map_while(|part| part.parse().ok()).collect()
}

/// The other way round.
pub(super) fn shown(version: &[u64]) -> String {
    let parts: Vec<String> = version.iter().map(ToString::to_string).collect();
    parts.join(".")
}

impl Wish {
    /// What `global.json` or a tool manager's file says, else the newest framework of the projects.
    ///
    /// # Errors
    /// `Source` for a text that is no version, or when nothing says one.
    pub(super) fn of(tree: &SourceTree, projects: &[Assembly]) -> Result<Self, BuildError> {
        if let Some(text) = tree.read_text("global.json") {
            let json: serde_json::Value =
                serde_json::from_str(&text).map_err(|error| invalid(&error.to_string()))?;
            if let Some(version) = json["sdk"]["version"].as_str() {
                let wanted = numbers(version);
                if wanted.len() < 3 {
                    return Err(invalid(version));
                }
                return Ok(Self {
                    version: wanted,
                    roll_forward: RollForward::of(json["sdk"]["rollForward"].as_str()),
                    text: version.to_owned(),
                    origin: "global.json".to_owned(),
                });
            }
        }
        let pinned = [
            (".tool-versions", tool_versions::pinned(tree, "dotnet")),
            ("mise.toml", tool_versions::mise(tree, "dotnet")),
        ];
        for (origin, text) in pinned {
            let Some(text) = text else { continue };
            return Ok(Self {
                version: numbers(&text),
                roll_forward: RollForward::Feature,
                text,
                origin: origin.to_owned(),
            });
        }
        let newest = projects
            .iter()
            .filter_map(|project| Some((framework_version(&project.framework)?, project)))
            .max_by(|one, other| one.0.cmp(&other.0));
        let (version, project) = newest.ok_or_else(without_framework)?;
        Ok(Self {
            version,
            roll_forward: RollForward::Feature,
            text: project.framework.clone(),
            origin: project.path.clone(),
        })
    }

    /// The newest that is near enough.
    pub(super) fn choose<'a, O>(&self, offers: &'a [(Vec<u64>, O)]) -> Option<(&'a [u64], &'a O)> {
        let same = |offer: &[u64], count: usize| {
            let count = count.min(self.version.len());
            offer.get(..count) == Some(&self.version[..count])
        };
        let band = |version: &[u64]| version.get(2).map(|patch| patch / 100);
        let is_near = |offer: &[u64]| match self.roll_forward {
            RollForward::Disabled => offer == self.version,
            RollForward::Patch => same(offer, 2) && band(offer) == band(&self.version),
            RollForward::Feature => same(offer, 2),
            RollForward::Minor => same(offer, 1),
            RollForward::Major => true,
        };
        let fits = offers
            .iter()
            .filter(|(offer, _)| is_near(offer) && offer[..] >= self.version[..]);
        let newest = fits.max_by(|one, other| one.0.cmp(&other.0))?;
        Some((&newest.0, &newest.1))
    }
}

impl RollForward {
    fn of(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default().to_ascii_lowercase();
        match text.trim_start_matches("latest") {
            "disable" => Self::Disabled,
            "feature" => Self::Feature,
            "minor" => Self::Minor,
            "major" => Self::Major,
            _ => Self::Patch,
        }
    }
}

fn invalid(text: &str) -> BuildError {
    let text: String = text.chars().take(120).collect();
    BuildError::Source {
        problem: format!("The SDK version in global.json is not valid: {text}"),
        advice: lines(&["hint: write a whole version such as 8.0.404, with a rollForward."]),
    }
}

fn without_framework() -> BuildError {
    BuildError::Source {
        problem: "Neither global.json nor a project says which .NET the app is for.".to_owned(),
        advice: lines(&[
            "hint: write <TargetFramework>net8.0</TargetFramework> into the project file.",
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    const WEB: &str = "<Project Sdk=\"Microsoft.NET.Sdk.Web\"><PropertyGroup>\n\
        <TargetFramework>net8.0</TargetFramework></PropertyGroup></Project>";
    const SOLUTION: &str =
        "Project(\"{9A19}\") = \"Shop\", \"src\\Shop\\Shop.csproj\", \"{1}\"\nEndProject";

    #[test]
    fn projects_of_a_solution_become_processes() {
        let files = [("All.sln", SOLUTION), ("src/Shop/Shop.csproj", WEB)];
        let (_folder, tree) = source_of(&files);
        let root = root_file(&tree).unwrap();
        let projects = all(&tree, &root);
        assert_eq!((root.as_str(), projects.len()), ("All.sln", 1));
        assert_eq!(
            projects[0].command(),
            "cd 'src/Shop/bin/publish'; './Shop' --urls http://*:$PORT"
        );
        let named = "<AssemblyName>It's.Mine</AssemblyName><OutputType>Exe</OutputType>";
        let project = Assembly::of("x.fsproj".to_owned(), named);
        assert_eq!(project.command(), r"cd 'bin/publish'; './It'\''s.Mine'");
        assert_eq!(project.process_type(), "itsmine");
    }

    fn check(global: &str, expected: Option<&str>) {
        let mut files = vec![("shop.csproj", WEB)];
        if !global.is_empty() {
            files.push(("global.json", global));
        }
        let (_folder, tree) = source_of(&files);
        let projects = all(&tree, "shop.csproj");
        let offers = ["8.0.110", "8.0.404", "9.0.100", "8.1.100"].map(|text| (numbers(text), ()));
        let wish = Wish::of(&tree, &projects).unwrap();
        let found = wish.choose(&offers).map(|(version, ())| shown(version));
        assert_eq!(found.as_deref(), expected, "{global}");
    }

    #[test]
    fn the_newest_sdk_that_is_near_enough_is_taken() {
        let global = |version: &str, roll: &str| {
            format!(r#"{{"sdk": {{"version": "{version}", "rollForward": "{roll}"}}}}"#)
        };
        check("", Some("8.0.404"));
        check("{}", Some("8.0.404"));
        check(&global("8.0.100", ""), Some("8.0.110"));
        check(&global("8.0.100", "latestFeature"), Some("8.0.404"));
        check(&global("8.0.100", "minor"), Some("8.1.100"));
        check(&global("8.0.100", "latestMajor"), Some("9.0.100"));
        check(&global("8.0.404", "disable"), Some("8.0.404"));
        check(&global("8.0.401", "disable"), None);
        check(&global("8.0.405", ""), None);
    }

    #[test]
    fn frameworks_of_other_families_say_nothing() {
        assert_eq!(framework_version("net9.0-windows"), Some(vec![9, 0]));
        assert_eq!(framework_version("netstandard2.0"), None);
        assert_eq!(framework_version("net48"), None);
        let (_folder, tree) = source_of(&[("a.csproj", "<Project/>")]);
        assert!(Wish::of(&tree, &all(&tree, "a.csproj")).is_err());
    }
}
