//! Which Debian mirror to use: the operator's choice, else the host's own, else mmdebstrap's.
//!
//! Reads both forms of apt's source lists and takes nothing from them but addresses: suites,
//! components and keys are the stack's own. It must not know any mirror itself.

use std::{fs, path::Path};

use super::{StackError, packages::SUITE};

/// Keys of all Debian versions the host knows of.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    /// Base address of the main archive.
    pub(super) main: String,
    /// Base address of the security archive, if it is known.
    pub(super) security: Option<String>,
}

impl Mirror {
    /// The source list of the stack, in the one-line form.
    pub(super) fn source_list(&self) -> String {
        let line = |address: &str, pocket: &str| {
            format!("deb [signed-by={KEYRING}] {address} {SUITE}{pocket} main\n")
        };
        let mut list = line(&self.main, "") + &line(&self.main, "-updates");
        if let Some(security) = &self.security {
            list += &line(security, "-security");
        }
        list
    }
}

/// The mirror to use on this host; `None` leaves it to mmdebstrap, which knows Debian's own.
///
/// # Errors
/// `Mirror` for a choice that is no address, `NoKeyring`.
pub(super) fn find(choice: Option<&str>) -> Result<Option<Mirror>, StackError> {
    if !Path::new(KEYRING).is_file() {
        return Err(StackError::NoKeyring(KEYRING.into()));
    }
    if let Some(choice) = choice.filter(|choice| !is_address(choice)) {
        return Err(StackError::Mirror(choice.to_owned()));
    }
    Ok(of_host(&source_lists(Path::new("/")), choice))
}

/// Where the packages of a finished stack came from, as its own lists have it.
pub(super) fn of_stack(root: &Path) -> Option<Mirror> {
    let found = named(&source_lists(root));
    let of = |pocket: &str| {
        let is_it = |suite: &str| suite.strip_prefix(SUITE) == Some(pocket);
        let (address, _) = found.iter().find(|(_, suite)| is_it(suite))?;
        Some(address.trim_end_matches('/').to_owned())
    };
    Some(Mirror {
        main: of("")?,
        security: of("-security"),
    })
}

/// Texts of the source lists below a root directory, with whether each is of the deb822 form.
fn source_lists(root: &Path) -> Vec<(bool, String)> {
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
    add(&root.join("etc/apt/sources.list"));
    for entry in fs::read_dir(root.join("etc/apt/sources.list.d"))
        .into_iter()
        .flatten()
        .flatten()
    {
        add(&entry.path());
    }
    lists
}

/// Address and suite pairs of source lists.
fn named(lists: &[(bool, String)]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (is_deb822, text) in lists {
        if *is_deb822 {
            deb822(text, &mut found);
        } else {
            one_line(text, &mut found);
        }
    }
    found
}

/// The mirror that is chosen, or that the host's lists name for Debian.
fn of_host(lists: &[(bool, String)], choice: Option<&str>) -> Option<Mirror> {
    let found = named(lists);
    let of = |suffix: &str| {
        let pick = found.iter().find(|(address, suite)| {
            is_address(address)
                && address.trim_end_matches('/').ends_with(suffix)
                && suite.ends_with("-security") == suffix.ends_with("-security")
        });
        pick.map(|(address, _)| address.trim_end_matches('/').to_owned())
    };
    let choice = choice.map(|choice| choice.trim_end_matches('/').to_owned());
    Some(Mirror {
        main: choice.or_else(|| of("/debian"))?,
        security: of("/debian-security"),
    })
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

    fn mirror(main: &str, security: Option<&str>) -> Mirror {
        Mirror {
            main: main.to_owned(),
            security: security.map(str::to_owned),
        }
    }

    fn check(is_deb822: bool, text: &str, expected: Option<&Mirror>) {
        let lists = [(is_deb822, text.to_owned())];
        assert_eq!(of_host(&lists, None).as_ref(), expected, "{text}");
    }

    #[test]
    fn the_hosts_mirror_is_found() {
        check(
            true,
            "Types: deb\n# note: with a colon\nURIs: http://a.test/debian/\nSuites: bookworm bookworm-updates\n\n\
             Types: deb\nURIs: http://s.test/debian-security\nSuites: bookworm-security\n",
            Some(&mirror(
                "http://a.test/debian",
                Some("http://s.test/debian-security"),
            )),
        );
        check(
            false,
            "# deb http://no.test/debian x main\ndeb [arch=amd64 signed-by=/k] https://a.test/debian bookworm main\n\
             deb http://s.test/debian-security bookworm-security main\n",
            Some(&mirror(
                "https://a.test/debian",
                Some("http://s.test/debian-security"),
            )),
        );
        check(
            false,
            "deb http://a.test/debian bookworm main",
            Some(&mirror("http://a.test/debian", None)),
        );
    }

    #[test]
    fn a_choice_replaces_the_main_archive_only() {
        let security = "deb http://s.test/debian-security bookworm-security main".to_owned();
        let chosen = of_host(&[(false, security)], Some("http://mirror.example/debian/"));
        let expected = mirror(
            "http://mirror.example/debian",
            Some("http://s.test/debian-security"),
        );
        assert_eq!(chosen, Some(expected));
        assert_eq!(
            of_host(&[], Some("http://mirror.example/debian")),
            Some(mirror("http://mirror.example/debian", None))
        );
    }

    #[test]
    fn an_unknown_security_archive_is_left_out() {
        let check = |security: Option<&str>, lines: usize| {
            let list = mirror("http://a.test/debian", security).source_list();
            assert_eq!(list.lines().count(), lines, "{list}");
            assert_eq!(
                list.contains(&format!("http://s.test {SUITE}-security main\n")),
                security.is_some(),
                "{list}"
            );
        };
        check(Some("http://s.test"), 3);
        check(None, 2);
    }

    #[test]
    fn a_stack_names_its_own_mirror() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(of_stack(root.path()), None);
        let lists = root.path().join("etc/apt/sources.list.d");
        fs::create_dir_all(&lists).unwrap();
        let text = format!(
            "Types: deb\nURIs: http://a.test/debian/\nSuites: {SUITE} {SUITE}-updates\n\n\
             Types: deb\nURIs: http://s.test\nSuites: {SUITE}-security\n"
        );
        fs::write(lists.join("main.sources"), text).unwrap();
        let expected = mirror("http://a.test/debian", Some("http://s.test"));
        assert_eq!(of_stack(root.path()), Some(expected));
    }

    #[test]
    fn what_is_not_debian_is_passed_over() {
        let ubuntu = "Types: deb\nURIs: http://archive.test/ubuntu/\nSuites: noble\n";
        check(true, ubuntu, None);
        let off = "Types: deb\nEnabled: no\nURIs: http://a.test/debian\nSuites: bookworm\n";
        check(true, off, None);
        let local =
            "deb file:/srv/debian bookworm main\ndeb-src http://a.test/debian bookworm main\n";
        check(false, local, None);
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
