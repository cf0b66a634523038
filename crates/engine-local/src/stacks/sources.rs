//! Which Debian mirror to use: the operator's choice, else the host's own, else Debian's.
//!
//! Reads both forms of apt's source lists and takes nothing from them but addresses: suites,
//! components and keys are the stack's own.

use std::{fs, path::Path};

use super::{StackError, packages::SUITE};

/// Debian's own addresses, for hosts that are not Debian.
const DEFAULT_MAIN: &str = "http://mirror.example/debian";
const DEFAULT_SECURITY: &str = "http://mirror.example/debian-security";
/// Keys of all Debian versions the host knows of.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    /// Base address of the main archive.
    pub(super) main: String,
    /// Base address of the security archive.
    pub(super) security: String,
}

impl Mirror {
    /// The source list of the stack, in the one-line form.
    pub(super) fn source_list(&self) -> String {
        let Self { main, security } = self;
        format!(
            "deb [signed-by={KEYRING}] {main} {SUITE} main\n\
             deb [signed-by={KEYRING}] {main} {SUITE}-updates main\n\
             deb [signed-by={KEYRING}] {security} {SUITE}-security main\n"
        )
    }
}

/// The mirror to use on this host.
///
/// # Errors
/// `Mirror` for a choice that is no address, `NoKeyring`.
pub(super) fn find(choice: Option<&str>) -> Result<Mirror, StackError> {
    if !Path::new(KEYRING).is_file() {
        return Err(StackError::NoKeyring(KEYRING.into()));
    }
    let mut mirror = of_host(&host_source_lists());
    if let Some(choice) = choice {
        if !is_address(choice) {
            return Err(StackError::Mirror(choice.to_owned()));
        }
        choice.trim_end_matches('/').clone_into(&mut mirror.main);
    }
    Ok(mirror)
}

/// Texts of the host's source lists, with whether each is of the deb822 form.
fn host_source_lists() -> Vec<(bool, String)> {
    let mut lists = Vec::new();
    let mut add = |path: &Path| {
        let is_deb822 = path
            .extension()
            .is_some_and(|extension| extension == "sources");
        let is_list = path
            .extension()
            .is_some_and(|extension| extension == "list");
        if let (true, Ok(text)) = (is_deb822 || is_list, fs::read_to_string(path)) {
            lists.push((is_deb822, text));
        }
    };
    add(Path::new("/etc/apt/sources.list"));
    for entry in fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten()
    {
        add(&entry.path());
    }
    lists
}

/// The mirror that the host's lists name for Debian, parts not named being Debian's own.
fn of_host(lists: &[(bool, String)]) -> Mirror {
    let mut found = Vec::new();
    for (is_deb822, text) in lists {
        if *is_deb822 {
            deb822(text, &mut found);
        } else {
            one_line(text, &mut found);
        }
    }
    let of = |suffix: &str| {
        let pick = found.iter().find(|(address, suite)| {
            is_address(address)
                && address.trim_end_matches('/').ends_with(suffix)
                && suite.ends_with("-security") == suffix.ends_with("-security")
        });
        pick.map(|(address, _)| address.trim_end_matches('/').to_owned())
    };
    Mirror {
        main: of("/debian").unwrap_or_else(|| DEFAULT_MAIN.to_owned()),
        security: of("/debian-security").unwrap_or_else(|| DEFAULT_SECURITY.to_owned()),
    }
}

/// Address and suite pairs of `Types: deb` paragraphs.
fn deb822(text: &str, found: &mut Vec<(String, String)>) {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for paragraph in lines.split(|line| line.trim().is_empty()) {
        let field = |wanted: &str| {
            paragraph.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then_some(value.trim())
            })
        };
        let is_on = field("Enabled").is_none_or(|value| !value.eq_ignore_ascii_case("no"));
        let is_binary =
            field("Types").is_some_and(|types| types.split_whitespace().any(|t| t == "deb"));
        if !is_on || !is_binary {
            continue;
        }
        for address in field("URIs").unwrap_or_default().split_whitespace() {
            for suite in field("Suites").unwrap_or_default().split_whitespace() {
                found.push((address.to_owned(), suite.to_owned()));
            }
        }
    }
}

/// Address and suite pairs of `deb` lines.
fn one_line(text: &str, found: &mut Vec<(String, String)>) {
    for line in text.lines() {
        let Some(rest) = line.trim().strip_prefix("deb ") else {
            continue;
        };
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
            None => rest,
        };
        let mut words = rest.split_whitespace();
        if let (Some(address), Some(suite)) = (words.next(), words.next()) {
            found.push((address.to_owned(), suite.to_owned()));
        }
    }
}

/// A plain web address: nothing in it can end the line or add an option.
fn is_address(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~:/%@+".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(is_deb822: bool, text: &str, main: &str, security: &str) {
        let expected = Mirror {
            main: main.to_owned(),
            security: security.to_owned(),
        };
        assert_eq!(of_host(&[(is_deb822, text.to_owned())]), expected, "{text}");
    }

    #[test]
    fn the_hosts_mirror_is_found() {
        check(
            true,
            "Types: deb\n# note: with a colon\nURIs: http://a.test/debian/\nSuites: bookworm bookworm-updates\n\n\
             Types: deb\nURIs: http://s.test/debian-security\nSuites: bookworm-security\n",
            "http://a.test/debian",
            "http://s.test/debian-security",
        );
        check(
            false,
            "# deb http://no.test/debian x main\ndeb [arch=amd64 signed-by=/k] https://a.test/debian bookworm main\n\
             deb http://s.test/debian-security bookworm-security main\n",
            "https://a.test/debian",
            "http://s.test/debian-security",
        );
    }

    #[test]
    fn what_is_not_debian_is_passed_over() {
        let ubuntu = "Types: deb\nURIs: http://archive.test/ubuntu/\nSuites: noble\n";
        check(true, ubuntu, DEFAULT_MAIN, DEFAULT_SECURITY);
        let off = "Types: deb\nEnabled: no\nURIs: http://a.test/debian\nSuites: bookworm\n";
        check(true, off, DEFAULT_MAIN, DEFAULT_SECURITY);
        let local =
            "deb file:/srv/debian bookworm main\ndeb-src http://a.test/debian bookworm main\n";
        check(false, local, DEFAULT_MAIN, DEFAULT_SECURITY);
    }

    #[test]
    fn addresses_cannot_smuggle_lines_or_options() {
        assert!(is_address("http://mirror.example/debian"));
        for refused in [
            "",
            "http://",
            "file:/x",
            "http://a.test/ x",
            "http://a.test/\ndeb",
            "[x]",
        ] {
            assert!(!is_address(refused), "{refused:?}");
        }
    }
}
