//! From a request's path to a file's below a folder. Pure, and the first of two walls: what is odd
//! is no file, and goes on to the dyno. The second is how files are opened.

/// A file that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Below the layers: `public/css/site.css`; without slashes at either end.
    pub(super) path: String,
    /// Whether the address ended in a slash, and so means a folder.
    pub(super) is_folder: bool,
}

/// Longer names than file systems know.
const MAX_NAME_BYTES: usize = 255;
const MAX_PATH_BYTES: usize = 2048;

/// Files about the app, which nobody means to show.
const PRIVATE: [&str; 6] = [
    "app.json",
    "dockerfile",
    "heroku.yml",
    "procfile",
    "procfile.dev",
    "project.toml",
];

/// What `rest`, which is the path behind a rule's prefix, means below `folder`; `None` if it cannot
/// be a file that may be shown.
pub(super) fn wanted(folder: &str, rest: &str) -> Option<Wanted> {
    if rest.len() > MAX_PATH_BYTES {
        return None;
    }
    let mut path = folder.trim_matches('/').to_owned();
    let is_folder = rest.ends_with('/');
    let names = rest.strip_prefix('/').unwrap_or(rest);
    // The folder itself has no names behind it, and no further slash.
    let names = (!names.is_empty()).then(|| names.strip_suffix('/').unwrap_or(names));
    for (place, name) in names
        .into_iter()
        .flat_map(|names| names.split('/'))
        .enumerate()
    {
        let name = decoded(name)?;
        let is_known = place == 0 && name == ".well-known";
        if !is_known && !may_be_shown(&name) {
            return None;
        }
        path.push('/');
        path.push_str(&name);
    }
    Some(Wanted { path, is_folder })
}

/// Whether a file or folder of this name may be shown: not `.` or `..`, nothing hidden.
fn may_be_shown(name: &str) -> bool {
    let is_odd = |byte: u8| byte < 0x20 || matches!(byte, b'/' | b'\\' | 0x7f);
    !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= MAX_NAME_BYTES
        && !name.bytes().any(is_odd)
        && !PRIVATE.contains(&name.to_ascii_lowercase().as_str())
}

/// Percent-decoded, once; `None` if that is no text.
fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Whether the name holds a hash of the content, as build tools make them: a part of eight
/// characters or more between marks, that is hexadecimal with digits and letters, or has digits,
/// capitals and small letters. Who doubts is right: such files are never asked for again.
pub(super) fn is_hashed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let Some((stem, _)) = name.rsplit_once('.') else {
        return false;
    };
    // The first part is the name itself.
    stem.split(['.', '-', '_']).skip(1).any(is_hash)
        || stem.split('.').skip(1).any(is_hash)
        || stem.split_once('-').is_some_and(|(_, rest)| is_hash(rest))
}

fn is_hash(part: &str) -> bool {
    const LONGEST: usize = 64;
    let has = |is: fn(&u8) -> bool| part.bytes().any(|byte| is(&byte));
    let all = |is: fn(&u8) -> bool| part.bytes().all(|byte| is(&byte));
    if !(8..=LONGEST).contains(&part.len()) || !has(u8::is_ascii_digit) {
        return false;
    }
    let is_hexadecimal = all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_mixed = all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase);
    (is_hexadecimal && has(u8::is_ascii_lowercase)) || is_mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted() {
        let check = |rest: &str, expected: Option<(&str, bool)>| {
            let wanted = wanted("public/", rest);
            let wanted = wanted.as_ref().map(|at| (at.path.as_str(), at.is_folder));
            assert_eq!(wanted, expected, "{rest}");
        };
        check("/a.css", Some(("public/a.css", false)));
        check("", Some(("public", false)));
        check("/", Some(("public", true)));
        check("/docs/", Some(("public/docs", true)));
        check("/a%20b/%C3%A4.txt", Some(("public/a b/ä.txt", false)));
        check("/.well-known/x", Some(("public/.well-known/x", false)));
        check("/a/.well-known/x", None);
        for hostile in [
            "/../secret",
            "/a/../../secret",
            "/./a",
            "/%2e%2e/secret",
            "/%2E./secret",
            "/a/%2e%2e/%2e%2e/secret",
            "/..%2fsecret",
            "/a%2fb",
            "/..%5csecret",
            "/..\\secret",
            "/a%5cb",
            "/a%00.css",
            "/a%0ab",
            "//etc/passwd",
            "/a//b",
            "/a//",
            "//",
            "/%252e%252e/a%",
            "/%",
            "/%2",
            "/%zz",
            "/%ff",
            "/%c0%ae%c0%ae/x",
            "/.env",
            "/.git/config",
            "/%2egit/config",
            "/a/.htaccess",
            "/...",
            "/Procfile",
            "/PROCFILE",
            "/sub/Procfile",
            "/app.json",
            &format!("/{}", "a".repeat(256)),
            &"/a".repeat(2000),
        ] {
            check(hostile, None);
        }
        // Decoded once only.
        check("/%252e%252e", Some(("public/%2e%2e", false)));
    }

    #[test]
    fn names_with_hashes() {
        for (path, expected) in [
            ("css/app.3f2a9c1bd4e5.css", true),
            ("index-BK3d9xQ1.js", true),
            ("index-DiwrgT_1.js", true),
            ("main.8f3b2c1a.chunk.js", true),
            ("logo_5d41402abc4b.png", true),
            ("app-3f2a9c1b.css.map", true),
            ("jquery-3.7.1.min.js", false),
            ("report-20240101.pdf", false),
            ("deadbeef.css", false),
            ("3f2a9c1bd4e5.css", false),
            ("bootstrap.bundle.min.js", false),
            ("photo-UPPERlower.jpg", false),
            ("no-extension-3f2a9c1b", false),
            ("a-facade12/plain.css", false),
        ] {
            assert_eq!(is_hashed(path), expected, "{path}");
        }
    }
}
