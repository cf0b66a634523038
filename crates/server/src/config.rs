//! How this program is set up: flags over `LANDFALL_…` variables over `landfall.toml` over
//! defaults. The one reader of the environment. Read [`Choices`], then [`Config`].

mod acme;
mod reach;
mod status;
mod traces;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use api::names::StackName;
use clap::Parser;
use platform::sizes::{SizeChoice, SizeError, Sizes};
use thiserror::Error;

pub use self::{
    acme::{AcmeChoiceError, AcmeChoices},
    reach::{Networks, ReachChoices},
    traces::{TraceChoiceError, TraceChoices},
};

/// As at Heroku.
const BOOT_TIMEOUT: Duration = Duration::from_mins(1);

/// Room for a gigabyte of logs, databases and what apps write while nobody can deploy.
const DISK_RESERVE_MB: u64 = 1024;

/// A year: longer than this is never.
const MOST_CYCLE_HOURS: u64 = 8760;

/// Read when no other file is named.
const SYSTEM_FILE: &str = "/etc/landfall/landfall.toml";

/// What may be chosen: each as a flag, as `LANDFALL_` + its name, or in `landfall.toml` with
/// underscores.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Choices {
    /// Directory of everything this platform keeps
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Stacks and downloads, shared by all platforms of the machine
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Address of API, git and rendezvous
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address of git over SSH; none if left out
    #[arg(long, value_name = "ADDR")]
    pub ssh: Option<SocketAddr>,
    /// Address where apps are served, plain
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// Address where apps are served, TLS
    #[arg(long, value_name = "ADDR")]
    pub https: Option<SocketAddr>,
    /// Address where the router's metrics are read; none if left out
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// Name under which clients reach the API
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Apps answer at NAME.DOMAIN
    #[arg(long, value_name = "DOMAIN")]
    pub app_domain: Option<String>,
    /// Written once the platform serves: JSON with its addresses and first token
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// The landfall-shim program
    #[arg(long, value_name = "FILE")]
    pub shim: Option<PathBuf>,
    /// Database, `sqlite:///PATH` or `postgres://…`
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Threads of the router
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Email address of the first account
    #[arg(long, value_name = "EMAIL")]
    pub admin_email: Option<String>,
    /// Stack of new apps
    #[arg(long, value_name = "NAME")]
    pub stack: Option<String>,
    /// How long a web dyno may take until it answers
    #[arg(long, value_name = "SECONDS")]
    pub boot_timeout: Option<u64>,
    /// Restart each dyno of a formation after this many hours and up to 15 % more; 0 is never
    #[arg(long, value_name = "HOURS")]
    pub cycle_hours: Option<u64>,
    /// Builds are refused while less than this is free on the disk; 0 refuses none
    #[arg(long, value_name = "MB")]
    pub disk_reserve_mb: Option<u64>,
    /// Builds of an app are refused while it takes more than this of the disk; 0 refuses none
    #[arg(long, value_name = "MB")]
    pub app_disk_mb: Option<u64>,
    /// Dyno sizes, changed and added: in the file alone, as `[sizes.NAME]` tables
    #[arg(skip)]
    pub sizes: BTreeMap<String, SizeChoice>,
    /// Where automatic certificates come from
    #[command(flatten)]
    pub acme: AcmeChoices,
    /// Where the router's traces go
    #[command(flatten)]
    pub traces: TraceChoices,
    /// What dynos may reach besides the internet
    #[command(flatten)]
    pub reach: ReachChoices,
    /// What to log: `info`, `debug`, `platform=debug,info`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

/// Everything the program needs to know from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of everything this platform keeps.
    pub data: PathBuf,
    /// Shared by all platforms of the machine.
    pub cache: PathBuf,
    /// Address of API, git and rendezvous.
    pub listen: SocketAddr,
    /// Address of git over SSH, if it is spoken.
    pub ssh: Option<SocketAddr>,
    /// Where the router takes plain HTTP.
    pub http: SocketAddr,
    /// Where the router takes TLS.
    pub https: SocketAddr,
    /// Where the router's metrics are read, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Name under which clients reach the API.
    pub host: String,
    /// Apps answer at `NAME.<app_domain>`.
    pub app_domain: String,
    /// Where to write the ready file, besides the data directory.
    pub ready_file: Option<PathBuf>,
    /// The landfall-shim program.
    pub shim: PathBuf,
    /// The store's URL.
    pub database: String,
    /// Threads of the router; one a core if `None`.
    pub threads: Option<NonZeroUsize>,
    /// Email address of the first account.
    pub admin_email: String,
    /// Stack of new apps.
    pub stack: StackName,
    /// How long a web dyno may take until it answers; Heroku: 60 s.
    pub boot_timeout: Duration,
    /// How long a formation's dyno lives before it is replaced, if not for ever.
    pub cycle_every: Option<Duration>,
    /// What of the disk stays free for everything but builds, in MiB.
    pub disk_reserve_mb: u64,
    /// What an app may take of the disk before its builds are refused; 0 refuses none.
    pub app_disk_mb: u64,
    /// What dynos may use.
    pub sizes: Sizes,
    /// Where automatic certificates come from.
    pub acme: AcmeChoices,
    /// Where the router's traces go.
    pub traces: TraceChoices,
    /// What dynos may reach besides the internet.
    pub reach: ReachChoices,
    /// The file that was read, for processes this one starts.
    pub file: Option<PathBuf>,
    /// What to log.
    pub log: String,
    /// The host's proxy, trust and mirror variables, for builds and dynos.
    pub host_variables: BTreeMap<String, String>,
    /// The machine's name.
    pub hostname: String,
}

/// Why the program cannot be set up.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is not valid", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// A variable is not what it should be.
    #[error("a LANDFALL_ variable is not valid: {message}")]
    Variable {
        /// Which and why.
        message: String,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] api::names::NameError),
    /// A dyno size that cannot be.
    #[error(transparent)]
    Size(#[from] SizeError),
}

/// What configuration is made from, beside flags.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The environment.
    pub variables: BTreeMap<String, String>,
    /// Whether the program may change the host.
    pub is_root: bool,
    /// Where the program's own file is.
    pub program: PathBuf,
    /// The machine's name.
    pub hostname: String,
}

impl Surroundings {
    /// This process's own.
    pub fn of_this_process() -> Self {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            is_root: rustix::process::geteuid().is_root(),
            program: std::env::current_exe().unwrap_or_default(),
            hostname: hostname.trim().to_owned(),
        }
    }

    /// Where `program` is found in `PATH` or among the system's own programs.
    pub fn find_program(&self, program: &str) -> Option<PathBuf> {
        std::env::split_paths(self.get("PATH").unwrap_or_default())
            .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
            .map(|directory| directory.join(program))
            .find(|candidate| candidate.is_file())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

impl Config {
    /// Puts flags over variables over the file over defaults.
    pub fn resolve(flags: Choices, surroundings: &Surroundings) -> Result<Self, ConfigError> {
        let chosen = flags.over(from_variables(surroundings)?);
        let system_file = || Path::new(SYSTEM_FILE).is_file().then(|| SYSTEM_FILE.into());
        let path = chosen.config.clone().or_else(system_file);
        let file = match &path {
            Some(path) => from_file(path)?,
            None => Choices::default(),
        };
        let chosen = Choices {
            config: path,
            ..chosen
        };
        chosen.over(file).complete(surroundings)
    }

    /// The same as flags, for a process this one starts, but for what [`Config::to_variables`] gives.
    pub fn to_flags(&self) -> Vec<OsString> {
        let mut flags: Vec<OsString> = Vec::new();
        let mut flag = |name: &str, value: OsString| {
            flags.push(format!("--{name}").into());
            flags.push(value);
        };
        flag("data", self.data.clone().into());
        flag("cache", self.cache.clone().into());
        flag("listen", self.listen.to_string().into());
        flag("http", self.http.to_string().into());
        flag("https", self.https.to_string().into());
        flag("host", self.host.clone().into());
        flag("app-domain", self.app_domain.clone().into());
        flag("shim", self.shim.clone().into());
        flag("admin-email", self.admin_email.clone().into());
        flag("stack", self.stack.to_string().into());
        flag(
            "boot-timeout",
            self.boot_timeout.as_secs().to_string().into(),
        );
        flag("log", self.log.clone().into());
        if let Some(cycle) = self.cycle_every {
            flag("cycle-hours", (cycle.as_secs() / 3600).to_string().into());
        }
        if let Some(ssh) = self.ssh {
            flag("ssh", ssh.to_string().into());
        }
        if let Some(metrics) = self.metrics {
            flag("metrics", metrics.to_string().into());
        }
        if let Some(file) = &self.file {
            flag("config", file.clone().into());
        }
        if let Some(file) = &self.ready_file {
            flag("ready-file", file.clone().into());
        }
        if let Some(threads) = self.threads {
            flag("threads", threads.to_string().into());
        }
        flags.extend(self.acme.to_flags());
        flags.extend(self.traces.to_flags());
        flags.extend(self.reach.to_flags());
        flags
    }

    /// What may hold a secret, as variables: everybody on the machine can read the flags of every
    /// process, and a database's URL may hold a password.
    pub fn to_variables(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("LANDFALL_DATABASE".to_owned(), self.database.clone())])
    }

    /// The API's URL when it listens on `port`; plain where it need not leave the machine.
    pub fn api_url(&self, port: u16) -> String {
        let scheme = if self.host == "localhost" {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://{}:{port}", self.host)
    }

    /// The base of git URLs: the official CLI insists on TLS.
    pub fn git_url(&self, port: u16) -> String {
        format!("https://{}:{port}", self.host)
    }
}

impl Choices {
    /// These where they are made, `below` where not.
    fn over(self, below: Self) -> Self {
        Self {
            data: self.data.or(below.data),
            config: self.config.or(below.config),
            cache: self.cache.or(below.cache),
            listen: self.listen.or(below.listen),
            ssh: self.ssh.or(below.ssh),
            http: self.http.or(below.http),
            https: self.https.or(below.https),
            metrics: self.metrics.or(below.metrics),
            host: self.host.or(below.host),
            app_domain: self.app_domain.or(below.app_domain),
            ready_file: self.ready_file.or(below.ready_file),
            shim: self.shim.or(below.shim),
            database: self.database.or(below.database),
            threads: self.threads.or(below.threads),
            admin_email: self.admin_email.or(below.admin_email),
            stack: self.stack.or(below.stack),
            boot_timeout: self.boot_timeout.or(below.boot_timeout),
            cycle_hours: self.cycle_hours.or(below.cycle_hours),
            disk_reserve_mb: self.disk_reserve_mb.or(below.disk_reserve_mb),
            app_disk_mb: self.app_disk_mb.or(below.app_disk_mb),
            sizes: if self.sizes.is_empty() {
                below.sizes
            } else {
                self.sizes
            },
            acme: self.acme.over(below.acme),
            traces: self.traces.over(below.traces),
            reach: self.reach.over(below.reach),
            log: self.log.or(below.log),
        }
    }

    fn complete(self, surroundings: &Surroundings) -> Result<Config, ConfigError> {
        let data = self.data.unwrap_or_else(|| default_data(surroundings));
        let data = std::path::absolute(&data).unwrap_or(data);
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let host_variables = surroundings
            .variables
            .iter()
            .filter(|(name, value)| engine_local::is_handed_in(name) && !value.is_empty())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Ok(Config {
            cache: self.cache.unwrap_or_else(|| default_cache(surroundings)),
            listen: self.listen.unwrap_or(local(5000)),
            ssh: self.ssh,
            http: self.http.unwrap_or(local(8080)),
            https: self.https.unwrap_or(local(8443)),
            metrics: self.metrics,
            host: self.host.unwrap_or_else(|| "localhost".to_owned()),
            app_domain: self.app_domain.unwrap_or_else(|| "localhost".to_owned()),
            ready_file: self.ready_file,
            shim: self
                .shim
                .unwrap_or_else(|| default_shim(&surroundings.program)),
            database: self
                .database
                .unwrap_or_else(|| format!("sqlite://{}", data.join("landfall.db").display())),
            threads: self.threads,
            admin_email: self
                .admin_email
                .unwrap_or_else(|| "admin@localhost.localdomain".to_owned()),
            stack: self.stack.as_deref().unwrap_or("landfall-13").parse()?,
            boot_timeout: self.boot_timeout.map_or(BOOT_TIMEOUT, Duration::from_secs),
            disk_reserve_mb: self.disk_reserve_mb.unwrap_or(DISK_RESERVE_MB),
            app_disk_mb: self.app_disk_mb.unwrap_or(0),
            cycle_every: self
                .cycle_hours
                .filter(|hours| *hours > 0)
                .map(|hours| Duration::from_hours(hours.min(MOST_CYCLE_HOURS))),
            sizes: Sizes::default().with(&self.sizes)?,
            acme: self.acme.absolute(),
            traces: self.traces,
            reach: self.reach,
            // Children and dynos have other working directories.
            file: self
                .config
                .map(|path| std::path::absolute(&path).unwrap_or(path)),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
            host_variables,
            hostname: surroundings.hostname.clone(),
            data,
        })
    }
}

fn default_data(surroundings: &Surroundings) -> PathBuf {
    match surroundings.get("HOME") {
        Some(home) if !surroundings.is_root => Path::new(home).join(".local/share/landfall"),
        _ => PathBuf::from("/var/lib/landfall"),
    }
}

fn default_cache(surroundings: &Surroundings) -> PathBuf {
    match surroundings.get("HOME") {
        Some(home) if !surroundings.is_root => Path::new(home).join(".cache/landfall"),
        _ => PathBuf::from("/var/cache/landfall"),
    }
}

/// Beside this program: `static/` first, because cargo puts a dynamic build beside it.
fn default_shim(program: &Path) -> PathBuf {
    let beside = program.with_file_name("landfall-shim");
    let kept = program.with_file_name("static").join("landfall-shim");
    if kept.is_file() { kept } else { beside }
}

/// Choices made in the environment, read as if they were flags.
fn from_variables(surroundings: &Surroundings) -> Result<Choices, ConfigError> {
    #[derive(clap::Parser)]
    #[command(no_binary_name = true)]
    struct Variables {
        #[command(flatten)]
        choices: Choices,
    }
    let command = <Variables as clap::CommandFactory>::command();
    let mut flags = Vec::new();
    for argument in command.get_arguments().filter_map(clap::Arg::get_long) {
        let name = format!(
            "LANDFALL_{}",
            argument.replace('-', "_").to_ascii_uppercase()
        );
        if let Some(value) = surroundings.get(&name) {
            flags.extend([format!("--{argument}"), value.to_owned()]);
        }
    }
    Variables::try_parse_from(flags)
        .map(|variables| variables.choices)
        .map_err(|error| ConfigError::Variable {
            message: error.to_string(),
        })
}

fn from_file(path: &Path) -> Result<Choices, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|source| ConfigError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            variables: variables
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            is_root: true,
            program: PathBuf::from("/usr/bin/landfall"),
            hostname: "machine".to_owned(),
        }
    }

    fn flags(data: Option<&str>) -> Choices {
        Choices {
            data: data.map(PathBuf::from),
            ..Choices::default()
        }
    }

    /// Which data directory wins out of flag, variable and file.
    fn check(flag: Option<&str>, variable: Option<&str>, file: Option<&str>, expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("landfall.toml");
        let text = file
            .map(|data| format!("data = '{data}'"))
            .unwrap_or_default();
        std::fs::write(&path, text).unwrap();
        let mut variables = vec![("LANDFALL_CONFIG", path.to_str().unwrap())];
        variables.extend(variable.map(|data| ("LANDFALL_DATA", data)));
        let config = Config::resolve(flags(flag), &surroundings(&variables)).unwrap();
        assert_eq!(config.data, Path::new(expected));
    }

    #[test]
    fn flags_over_variables_over_file_over_defaults() {
        check(Some("/flag"), Some("/variable"), Some("/file"), "/flag");
        check(None, Some("/variable"), Some("/file"), "/variable");
        check(None, None, Some("/file"), "/file");
        check(None, None, None, "/var/lib/landfall");
    }

    #[test]
    fn without_root_all_is_at_home() {
        let at_home = Surroundings {
            is_root: false,
            ..surroundings(&[("HOME", "/home/ann")])
        };
        let config = Config::resolve(Choices::default(), &at_home).unwrap();
        assert_eq!(config.data, Path::new("/home/ann/.local/share/landfall"));
        assert_eq!(config.cache, Path::new("/home/ann/.cache/landfall"));
    }

    #[test]
    fn what_is_not_valid_is_named() {
        let wrong = surroundings(&[("LANDFALL_LISTEN", "nowhere")]);
        let error = Config::resolve(Choices::default(), &wrong)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--listen"), "{error}");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("landfall.toml");
        std::fs::write(&path, "colour = 'red'").unwrap();
        let chosen = Choices {
            config: Some(path),
            ..Choices::default()
        };
        assert!(matches!(
            Config::resolve(chosen, &surroundings(&[])),
            Err(ConfigError::File { .. })
        ));
    }

    #[test]
    fn sizes_and_cycling_come_from_the_file_and_reach_children() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("landfall.toml");
        let text = "cycle_hours = 24\n[sizes.standard-1x]\nmemory_mb = 300\n";
        std::fs::write(&path, text).unwrap();
        let chosen = Choices {
            config: Some(path.clone()),
            ..Choices::default()
        };
        let config = Config::resolve(chosen, &surroundings(&[])).unwrap();
        assert_eq!(config.cycle_every, Some(Duration::from_hours(24)));
        assert_eq!(config.sizes.limits("standard-1x").memory_bytes, 300 << 20);
        let flags = config.to_flags();
        assert!(flags.contains(&path.clone().into()), "{flags:?}");
        std::fs::write(&path, "[sizes.eco]\nmemory = 300\n").unwrap();
        let chosen = Choices {
            config: Some(path),
            ..Choices::default()
        };
        let refused = Config::resolve(chosen, &surroundings(&[])).unwrap_err();
        assert!(matches!(refused, ConfigError::File { .. }), "{refused}");
    }

    #[test]
    fn proxy_trust_and_mirrors_are_collected_and_nothing_else() {
        let variables = [
            ("https_proxy", "http://proxy:1"),
            ("SSL_CERT_FILE", "/ca"),
            ("SSL_CERT_DIR", ""),
            ("npm_config_registry", "http://npm:1"),
            ("UV_DEFAULT_INDEX", "http://pip:1"),
            ("SECRET", "x"),
        ];
        let config = Config::resolve(Choices::default(), &surroundings(&variables)).unwrap();
        let names: Vec<_> = config.host_variables.keys().map(String::as_str).collect();
        let expected = [
            "SSL_CERT_FILE",
            "UV_DEFAULT_INDEX",
            "https_proxy",
            "npm_config_registry",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn flags_and_variables_for_a_child_say_the_same() {
        #[derive(clap::Parser)]
        #[command(no_binary_name = true)]
        struct Child {
            #[command(flatten)]
            choices: Choices,
        }
        let chosen = Choices {
            ready_file: Some("/tmp/ready".into()),
            threads: NonZeroUsize::new(3),
            ..flags(Some("/somewhere"))
        };
        let chosen = Choices {
            database: Some("postgres://ann:secret@db/landfall".to_owned()),
            ..chosen
        };
        let config = Config::resolve(chosen, &surroundings(&[])).unwrap();
        let flags = config.to_flags();
        let is_secret = |flag: &OsString| flag.to_string_lossy().contains("secret");
        assert!(!flags.iter().any(is_secret), "{flags:?}");
        let again = Child::try_parse_from(flags).unwrap().choices;
        let inherited = Surroundings {
            variables: config.to_variables(),
            ..surroundings(&[])
        };
        assert_eq!(Config::resolve(again, &inherited).unwrap(), config);
    }
}
