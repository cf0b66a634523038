//! What a dyno runs for files to be copied from it and to it.
//!
//! An archive has one entry at its top, to a dyno always called `copy`. From a dyno it is followed by what went wrong, if anything
//! did, and always by the line with the status; to a dyno, only these two come back.

use crate::error::{Error, Result};

/// Longest path.
const PATH_BYTES: usize = 4096;

/// `$1` is the path.
const FROM: &str = r#"
if [ -e "$1" ] || [ -L "$1" ]; then
  { e=$(tar -cf - -C "$(dirname -- "$1")" -- "$(basename -- "$1")" 2>&1 >&3); } 3>&1
  s=$?
else
  e="$1: no such file or directory"
  s=1
fi
printf '%s\n\357\277\277 heroku-command-exit-status: %s\n' "$e" "$s"
"#;

/// `$1` is the path, `$2` the name that the file has where it comes from.
const TO: &str = r#"
if [ -d "$1" ]; then d=$1 n=$2; else d=$(dirname -- "$1") n=$(basename -- "$1"); fi
t=$(mktemp -d -- "$d/.copy.XXXXXXXX" 2>&1)
s=$?
if [ "$s" = 0 ]; then
  e=$(tar -xf - -C "$t" 2>&1 && mv -fT -- "$t/copy" "$d/$n" 2>&1)
  s=$?
  rm -rf -- "$t"
else
  e=$t
fi
cat >/dev/null
printf '%s\n\357\277\277 heroku-command-exit-status: %s\n' "$e" "$s"
"#;

/// Which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Out of the dyno.
    From,
    /// Into it.
    To {
        /// What the file or directory is called where it comes from.
        name: String,
    },
}

impl Direction {
    /// The direction in a word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To { .. } => "to",
        }
    }
}

/// A file or directory to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Its path inside; a relative one starts at `/app`.
    pub path: String,
    /// Which way.
    pub direction: Direction,
}

impl Copy {
    /// The program and arguments to run inside.
    pub(super) fn command(&self) -> Result<Vec<String>> {
        let is_text = |text: &str| !text.is_empty() && !text.contains('\0');
        if !is_text(&self.path) || self.path.len() > PATH_BYTES {
            return Err(Error::Invalid {
                message: format!("The path must be text of at most {PATH_BYTES} bytes."),
            });
        }
        // What begins with a dash would be read as an option.
        let path = if self.path.starts_with('/') {
            self.path.clone()
        } else {
            format!("./{}", self.path)
        };
        let words = match &self.direction {
            Direction::From => vec![FROM, "copy", &path],
            Direction::To { name } => {
                let is_name = is_text(name) && !name.contains('/') && name != "." && name != "..";
                if !is_name || name.len() > 255 {
                    return Err(Error::Invalid {
                        message: "The name of what is copied must be that of a file.".to_owned(),
                    });
                }
                vec![TO, "copy", &path, name]
            }
        };
        let words = ["/bin/sh", "-c"].into_iter().chain(words);
        Ok(words.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, direction: Direction, expected: Option<&[&str]>) {
        let path = path.to_owned();
        let command = Copy { path, direction }.command();
        let words = command.ok().map(|command| command[4..].to_vec());
        let expected = expected.map(|words| words.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(words, expected);
    }

    #[test]
    fn paths_are_never_options_and_names_never_paths() {
        let to = |name: &str| Direction::To {
            name: name.to_owned(),
        };
        check("/etc/x", Direction::From, Some(&["/etc/x"]));
        check("-x", Direction::From, Some(&["./-x"]));
        check("", Direction::From, None);
        check("a\0b", Direction::From, None);
        check("log", to("a b"), Some(&["./log", "a b"]));
        check("log", to("../x"), None);
        check("log", to(".."), None);
        check("log", to(""), None);
    }
}
