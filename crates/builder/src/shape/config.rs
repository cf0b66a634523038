//! Which config vars a build sees, and which of them its output must not show.
//!
//! Pure functions on maps. Read [`seen_by_build`] first; why it is so:
//! `docs/decisions/0023-config-vars-of-builds.md`.

use std::collections::BTreeMap;

use api::build_settings::BuildConfigVars;

/// Settings of languages' tools, which builds see whatever else they see.
const TOOLS: [&str; 37] = [
    "BUNDLE_",
    "BUN_",
    "CARGO_",
    "CGO_",
    "COMPOSER_",
    "COREPACK_",
    "DENO_",
    "DOTNET_",
    "GO111MODULE",
    "GOFLAGS",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "GOVERSION",
    "GO_",
    "GRADLE_",
    "HEX_",
    "JAVA_OPTS",
    "MAVEN_",
    "MIX_",
    "NODE_",
    "NPM_",
    "NUGET_",
    "PIPENV_",
    "PIP_",
    "PNPM_",
    "POETRY_",
    "PYTHON_",
    "RUST",
    "UV_",
    "USE_NPM_INSTALL",
    "USE_YARN_CACHE",
    "YARN_",
    "npm_config_",
    "DISABLE_COLLECTSTATIC",
    "WEB_CONCURRENCY",
];
/// The same by their whole names.
const MODES: [&str; 5] = [
    "RACK_ENV",
    "RAILS_ENV",
    "APP_ENV",
    "DJANGO_SETTINGS_MODULE",
    "CI",
];
/// Parts of the names of config vars that are secrets.
const SECRET_WORDS: [&str; 9] = [
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "PRIVATE",
    "_KEY",
    "_DSN",
];
/// Shorter values are not hidden: too much would look like them.
const MIN_SECRET_BYTES: usize = 8;

/// What of the config vars builds see.
pub(crate) fn seen_by_build(
    config_vars: &BTreeMap<String, String>,
    wish: Option<&BuildConfigVars>,
) -> BTreeMap<String, String> {
    let Some(BuildConfigVars::Named(names)) = wish else {
        return config_vars.clone();
    };
    let is_named = |name: &str| names.iter().any(|wanted| wanted.as_str() == name);
    let is_tools =
        |name: &str| MODES.contains(&name) || TOOLS.iter().any(|prefix| name.starts_with(prefix));
    let seen = config_vars
        .iter()
        .filter(|(name, _)| is_named(name) || is_tools(name));
    seen.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Texts that a build's output must not show, longest first: values of config vars that are named
/// like secrets, and passwords in addresses.
pub(crate) fn secrets(config_vars: &BTreeMap<String, String>) -> Vec<String> {
    let mut secrets: Vec<String> = Vec::new();
    for (name, value) in config_vars {
        let name = name.to_ascii_uppercase();
        if SECRET_WORDS.iter().any(|word| name.contains(word)) {
            // Output comes line by line; what frames a key is no secret.
            let lines = value.lines().filter(|line| !line.starts_with("-----"));
            secrets.extend(lines.map(|line| line.trim().to_owned()));
        }
        secrets.extend(password(value).map(str::to_owned));
    }
    secrets.retain(|text| text.len() >= MIN_SECRET_BYTES);
    secrets.sort_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
    secrets.dedup();
    secrets
}

/// The password of `scheme://user:password@host`.
fn password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    Some(user.split_once(':')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn builds_see_all_or_what_was_named_and_settings_of_tools() {
        let vars = map(&[
            ("DATABASE_URL", "x"),
            ("NEXT_PUBLIC_API", "x"),
            ("NODE_ENV", "x"),
            ("NODES", "x"),
            ("NPM_TOKEN", "x"),
            ("RAILS_ENV", "x"),
        ]);
        assert_eq!(seen_by_build(&vars, None), vars);
        let named = |names: &[&str]| {
            let names = names.iter().map(|name| name.parse().unwrap()).collect();
            let seen = seen_by_build(&vars, Some(&BuildConfigVars::Named(names)));
            seen.into_keys().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(named(&[]), "NODE_ENV NPM_TOKEN RAILS_ENV");
        assert_eq!(
            named(&["NEXT_PUBLIC_API", "MISSING"]),
            "NEXT_PUBLIC_API NODE_ENV NPM_TOKEN RAILS_ENV"
        );
    }

    #[test]
    fn secrets_are_known_by_name_and_form() {
        let check = |name: &str, value: &str, expected: &[&str]| {
            assert_eq!(secrets(&map(&[(name, value)])), expected, "{name}={value}");
        };
        check("STRIPE_SECRET", "sk_live_12345", &["sk_live_12345"]);
        check("api_key", "abcdefgh", &["abcdefgh"]);
        check("API_KEY", "short", &[]);
        check("NODE_ENV", "production", &[]);
        check("PUBLIC_URL", "https://shop.example.com/", &[]);
        check(
            "DATABASE_URL",
            "postgres://u:pass@word1@db:5432/x",
            &["pass@word1"],
        );
        check("REDIS_URL", "redis://:longpassword@host", &["longpassword"]);
        check("A_URL", "https://host/a:b@c-long-path", &[]);
        check(
            "PRIVATE_PEM",
            "-----BEGIN-----\nMIIEvQIBADAN\n\nx",
            &["MIIEvQIBADAN"],
        );
    }
}
