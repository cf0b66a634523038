//! How a command of a process type is started inside a dyno.

/// Sources what the app and its buildpacks put into the environment, then becomes the command.
///
/// The last `bash -c` replaces itself with a simple command, so that signals reach the app itself.
const SCRIPT: &str = r#"cd "${HOME:-/app}" || exit 1
command=$1
set --
for file in .profile.d/*.sh; do [ -f "$file" ] && . "./$file"; done
unset file
[ -f .profile ] && . ./.profile
exec bash -c "$command""#;

/// The program and arguments that run `command` as Heroku does: `.profile.d/*.sh` and `.profile`
/// are sourced first, and the command is Bash's to read (`$PORT`, `&&`, …).
pub fn launch_command(command: &str) -> Vec<String> {
    ["/bin/bash", "-c", SCRIPT, "bash", command]
        .map(str::to_owned)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    fn launched(profiles: &[(&str, &str)], command: &str) -> String {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".profile.d")).unwrap();
        for (path, content) in profiles {
            fs::write(home.path().join(path), content).unwrap();
        }
        let argv = launch_command(command);
        let output = Command::new(&argv[0])
            .args(&argv[1..])
            .env("HOME", home.path())
            .env("PORT", "5000")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn commands_are_read_by_bash_with_the_profiles_environment() {
        assert_eq!(launched(&[], "echo $PORT && echo 'a  b'"), "5000\na  b");
        assert_eq!(
            launched(&[(".profile.d/x.sh", "export A=1")], "echo $A"),
            "1"
        );
        let both = [
            (".profile.d/x.sh", "export A=1\nfalse"),
            (".profile", "export A=${A}2"),
        ];
        assert_eq!(launched(&both, "echo $A"), "12");
        assert_eq!(
            launched(&[(".profile.d/x.txt", "export A=1")], "echo none$A"),
            "none"
        );
    }

    #[test]
    fn a_simple_command_takes_the_place_of_bash() {
        assert_eq!(
            launched(&[], "ps -o comm= -p $$ || cat /proc/$$/comm"),
            "bash"
        );
        assert_eq!(launched(&[], "cat /proc/self/comm"), "cat");
        assert_eq!(
            launched(&[], "readlink /proc/self/exe").rsplit('/').next(),
            Some("readlink")
        );
    }
}
