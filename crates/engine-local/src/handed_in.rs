//! What dynos are given of the host: its way to the outside and whom it trusts.
//!
//! A company's proxy or certificate authority must work inside as it does outside, and its package
//! mirrors in builds. Nothing else of the host's environment gets in. Read [`HandedIn`] first.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use api::names::DynoName;
use engine::DynoKind;
use shim::start::{Access, Bind};

/// Variables that name a proxy, in either case.
const PROXIES: [&str; 5] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
];
/// Variables that name a file of trusted certificates.
const TRUST_FILES: [&str; 9] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];
/// The variable that names a directory of them.
const TRUST_DIRECTORY: &str = "SSL_CERT_DIR";
/// Where package managers find packages: each row is one setting and its names, in any case, since
/// npm reads them so. The addresses may hold passwords, so that only builds are told.
const MIRRORS: [&[&str]; 11] = [
    &["GOPROXY"],
    &["GOSUMDB"],
    &["GOPRIVATE"],
    &["MAVEN_MIRROR_URL"],
    &["NPM_CONFIG_REGISTRY"],
    &["PIP_INDEX_URL"],
    &["PIP_TRUSTED_HOST"],
    &["RUSTUP_DIST_SERVER"],
    &["UV_DEFAULT_INDEX", "UV_INDEX_URL"],
    &["UV_PYTHON_INSTALL_MIRROR"],
    &["YARN_NPM_REGISTRY_SERVER"],
];
/// Where stacks keep trusted certificates.
const STACK_CERTIFICATES: &str = "/etc/ssl/certs";
const STACK_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where hosts keep the bundle: Debian, Red Hat, Alpine and SUSE.
const HOST_BUNDLES: [&str; 4] = [
    STACK_BUNDLE,
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];
/// The account dynos run as, where a stack lacks it.
const DYNO_ACCOUNT: &str = "dyno:x:1000:1000::/app:/bin/bash\n";
const DYNO_GROUP: &str = "dyno:x:1000:\n";

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandedIn {
    variables: BTreeMap<String, String>,
    mirrors: BTreeMap<String, String>,
    trust: Vec<Bind>,
    resolv_conf: String,
}

impl HandedIn {
    /// Picks from the host's environment what dynos are given. `bundle` is the host's file of
    /// trusted certificates.
    pub(crate) fn new(
        environment: &BTreeMap<String, String>,
        bundle: Option<&Path>,
        resolvers: &[Ipv4Addr],
    ) -> Self {
        let variables = environment
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), inside(name, value)?)))
            .collect();
        let mirrors = environment
            .iter()
            .filter(|(name, value)| mirror(name).is_some() && !value.is_empty())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let resolv_conf: Vec<String> = resolvers
            .iter()
            .map(|resolver| format!("nameserver {resolver}\n"))
            .collect();
        Self {
            variables,
            mirrors,
            trust: bundle.map(trust).unwrap_or_default(),
            resolv_conf: resolv_conf.concat(),
        }
    }

    /// The host's file of trusted certificates, at one of the usual places.
    pub(crate) fn host_bundle() -> Option<PathBuf> {
        HOST_BUNDLES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
    }

    /// Adds what is unset to the environment of a dyno of this kind. A mirror's setting counts as
    /// set under any of its names.
    pub(crate) fn add_to(&self, kind: DynoKind, environment: &mut BTreeMap<String, String>) {
        if kind == DynoKind::Build {
            let set: Vec<_> = environment.keys().filter_map(|name| mirror(name)).collect();
            for (name, value) in &self.mirrors {
                if mirror(name).is_some_and(|setting| !set.contains(&setting)) {
                    environment.insert(name.clone(), value.clone());
                }
            }
        }
        for (name, value) in &self.variables {
            environment
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
    }

    /// The host's trusted certificates, at the stack's place for them.
    pub(crate) fn binds(&self) -> &[Bind] {
        &self.trust
    }

    /// Files for `/etc` of a dyno on `stack`, or without accounts.
    pub(crate) fn etc(
        &self,
        stack: Option<&Path>,
        name: &DynoName,
        address: IpAddr,
    ) -> BTreeMap<String, String> {
        let hosts = format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n{address} {name}\n");
        let mut files = BTreeMap::from([
            ("hosts".to_owned(), hosts),
            ("resolv.conf".to_owned(), self.resolv_conf.clone()),
        ]);
        let Some(stack) = stack else {
            return files;
        };
        for (file, line) in [("passwd", DYNO_ACCOUNT), ("group", DYNO_GROUP)] {
            let content = fs::read_to_string(stack.join("etc").join(file)).unwrap_or_default();
            if !content.lines().any(|line| line.starts_with("dyno:")) {
                files.insert(file.to_owned(), content + line);
            }
        }
        files
    }
}

/// Whether dynos of some kind are given this variable of the host.
pub fn is_handed_in(name: &str) -> bool {
    inside(name, "").is_some() || mirror(name).is_some()
}

/// The names of the mirror's setting that a variable is.
fn mirror(name: &str) -> Option<&'static [&'static str]> {
    let is_named = |names: &&[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    MIRRORS.into_iter().find(is_named)
}

/// A variable's value inside, if it is one that all dynos are given.
fn inside(name: &str, value: &str) -> Option<String> {
    if PROXIES.contains(&name.to_ascii_lowercase().as_str()) {
        Some(value.to_owned())
    } else if TRUST_FILES.contains(&name) {
        Some(STACK_BUNDLE.to_owned())
    } else if name == TRUST_DIRECTORY {
        Some(STACK_CERTIFICATES.to_owned())
    } else {
        None
    }
}

fn trust(bundle: &Path) -> Vec<Bind> {
    let is_debian = bundle.parent() == Some(Path::new(STACK_CERTIFICATES));
    let (source, target) = if is_debian {
        (STACK_CERTIFICATES.into(), STACK_CERTIFICATES)
    } else {
        (bundle.to_owned(), STACK_BUNDLE)
    };
    vec![Bind {
        source,
        target: target.into(),
        access: Access::Unmapped,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn only_proxies_and_trust_get_in_and_only_where_unset() {
        let host = environment(&[
            ("HTTPS_PROXY", "http://proxy:3128"),
            ("no_proxy", "localhost"),
            ("PIP_CERT", "/company/ca.pem"),
            ("SSL_CERT_DIR", "/company"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ]);
        let handed_in = HandedIn::new(&host, None, &[]);
        let mut inside = environment(&[("no_proxy", "mine")]);
        handed_in.add_to(DynoKind::Formation, &mut inside);
        assert_eq!(
            inside,
            environment(&[
                ("HTTPS_PROXY", "http://proxy:3128"),
                ("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt"),
                ("SSL_CERT_DIR", "/etc/ssl/certs"),
                ("no_proxy", "mine"),
            ])
        );
        assert!(handed_in.binds().is_empty());
    }

    fn check_mirrors(
        kind: DynoKind,
        host: &[(&str, &str)],
        own: &[(&str, &str)],
        expected: &[(&str, &str)],
    ) {
        let mut inside = environment(own);
        HandedIn::new(&environment(host), None, &[]).add_to(kind, &mut inside);
        assert_eq!(inside, environment(expected), "{kind:?}");
    }

    #[test]
    fn builds_alone_are_told_of_mirrors() {
        let host = [
            ("NPM_CONFIG_REGISTRY", "https://user:password@npm"),
            ("PIP_INDEX_URL", "https://user:password@pip/simple"),
            ("UV_DEFAULT_INDEX", "https://user:password@pip/simple"),
            ("PIP_TRUSTED_HOST", ""),
        ];
        check_mirrors(DynoKind::Build, &host, &[], &host[..3]);
        for kind in [DynoKind::Formation, DynoKind::OneOff, DynoKind::Release] {
            check_mirrors(kind, &host, &[], &[]);
        }
    }

    #[test]
    fn mirrors_come_below_what_the_app_says() {
        let host = [
            ("PIP_INDEX_URL", "host"),
            ("UV_DEFAULT_INDEX", "host"),
            ("npm_config_registry", "host"),
        ];
        let app = [
            ("NPM_CONFIG_REGISTRY", "app"),
            ("PIP_INDEX_URL", ""),
            ("UV_INDEX_URL", "app"),
        ];
        check_mirrors(DynoKind::Build, &host, &app, &app);
        check_mirrors(DynoKind::Build, &host[2..], &[], &host[2..]);
    }

    #[test]
    fn the_bundle_is_shown_where_the_stack_has_its_own() {
        let check = |bundle: &str, source: &str, target: &str| {
            let handed_in = HandedIn::new(&BTreeMap::new(), Some(Path::new(bundle)), &[]);
            let bind = &handed_in.binds()[0];
            assert_eq!(
                (bind.source.as_path(), bind.target.as_path()),
                (source.as_ref(), target.as_ref())
            );
        };
        check(
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/ssl/certs",
            "/etc/ssl/certs",
        );
        check(
            "/company/ca.pem",
            "/company/ca.pem",
            "/etc/ssl/certs/ca-certificates.crt",
        );
    }

    #[test]
    fn names_of_the_dyno_and_its_user_are_known_inside() {
        let stack = tempfile::tempdir().unwrap();
        fs::create_dir(stack.path().join("etc")).unwrap();
        fs::write(
            stack.path().join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\n",
        )
        .unwrap();
        fs::write(stack.path().join("etc/group"), "dyno:x:1000:\n").unwrap();
        let handed_in = HandedIn::new(&BTreeMap::new(), None, &[Ipv4Addr::new(10, 0, 0, 2)]);
        let address = Ipv4Addr::new(10, 208, 0, 1).into();
        let etc = handed_in.etc(Some(stack.path()), &"web.1".parse().unwrap(), address);
        assert!(etc["hosts"].contains("10.208.0.1 web.1\n"));
        assert_eq!(etc["resolv.conf"], "nameserver 10.0.0.2\n");
        assert!(etc["passwd"].ends_with(DYNO_ACCOUNT) && etc["passwd"].starts_with("root:"));
        assert!(!etc.contains_key("group"));
    }
}
