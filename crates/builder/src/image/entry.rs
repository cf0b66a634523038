//! How an image starts its process types: a layer of a few scripts, as cloud native images have.
//!
//! `/cnb/launcher TYPE` or `/cnb/process/TYPE` runs a process type, `/cnb/launcher COMMAND…` any
//! command in the app's environment. It must not know the rest of the image.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use api::names::ProcessType;
use tar::{Builder, EntryType, Header};

use super::layer::MTIME_SECONDS;

/// What every container of an image starts with.
pub(super) const LAUNCHER: &str = "/cnb/launcher";
const PROCESSES: &str = "cnb/process";
const COMMANDS: &str = "cnb/commands";

/// Finds the command of a process type, or takes its arguments for one.
const LAUNCHER_SCRIPT: &str = r#"#!/bin/bash
# Runs a process type of the app: launcher TYPE. Anything else is a command, run in its environment.
if [ $# -eq 0 ]; then
  echo "usage: launcher TYPE | COMMAND..." >&2
  echo "process types: $(cd /cnb/commands && echo *)" >&2
  exit 64
fi
if [ $# -eq 1 ] && [ "$1" = "${1##*/}" ] && [ -f "/cnb/commands/$1" ]; then
  export DYNO="${DYNO:-$1.1}"
  set -- "$(< "/cnb/commands/$1")"
  set -- /bin/bash -c "$1"
fi
cd "${HOME:-/app}" || exit 1
__landfall_argv=("$@")
set --
for file in .profile.d/*.sh; do [ -f "$file" ] && . "./$file"; done
unset file
[ -f .profile ] && . ./.profile
exec "${__landfall_argv[@]}"
"#;

/// What an entry of the layer is.
enum Entry<'content> {
    Folder,
    Text(&'content str),
    Program(&'content str),
}

/// Writes the layer's tar.
pub(super) fn write_tar(
    process_types: &BTreeMap<ProcessType, String>,
    output: impl Write,
) -> io::Result<()> {
    let mut tar = Builder::new(output);
    append(&mut tar, "cnb", &Entry::Folder)?;
    append(&mut tar, COMMANDS, &Entry::Folder)?;
    for (name, command) in process_types {
        append(
            &mut tar,
            &format!("{COMMANDS}/{name}"),
            &Entry::Text(command),
        )?;
    }
    let launcher = LAUNCHER.trim_start_matches('/');
    append(&mut tar, launcher, &Entry::Program(LAUNCHER_SCRIPT))?;
    append(&mut tar, PROCESSES, &Entry::Folder)?;
    for name in process_types.keys() {
        let script = format!("#!/bin/bash\nexec {LAUNCHER} {name}\n");
        append(
            &mut tar,
            &format!("{PROCESSES}/{name}"),
            &Entry::Program(&script),
        )?;
    }
    tar.finish()
}

fn append(tar: &mut Builder<impl Write>, path: &str, entry: &Entry<'_>) -> io::Result<()> {
    let (kind, mode, content) = match entry {
        Entry::Folder => (EntryType::Directory, 0o755, ""),
        Entry::Text(content) => (EntryType::Regular, 0o644, *content),
        Entry::Program(content) => (EntryType::Regular, 0o755, *content),
    };
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(MTIME_SECONDS.into());
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    /// Runs the launcher with its paths below a directory of the test's own.
    fn launched(arguments: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let commands = folder.path().join("commands");
        fs::create_dir(&commands).unwrap();
        fs::write(commands.join("web"), "echo \"$GREETING\" $PORT && true").unwrap();
        let home = folder.path().join("app");
        fs::create_dir_all(home.join(".profile.d")).unwrap();
        fs::write(home.join(".profile.d/a.sh"), "export GREETING='a  b'").unwrap();
        let script = LAUNCHER_SCRIPT.replace("/cnb/commands", commands.to_str().unwrap());
        let launcher = folder.path().join("launcher");
        fs::write(&launcher, script).unwrap();
        let output = Command::new("bash")
            .arg(&launcher)
            .args(arguments)
            .env("HOME", &home)
            .env("PORT", "5000")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn process_types_and_commands_see_the_profiles_environment() {
        assert_eq!(launched(&["web"]), "a  b 5000");
        assert_eq!(launched(&["printenv", "GREETING"]), "a  b");
        assert_eq!(launched(&["echo", "web", "x  y"]), "web x  y");
        assert_eq!(launched(&[]), "");
    }
}
