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

/// What an image's own settings run: the entry point with the command behind it.
///
/// Without an entry point the command goes through a shell where it speaks of variables, as Heroku
/// runs it, so that `CMD ["server", "--port", "$PORT"]` is told the port; otherwise it is run as it
/// is, and an image needs no shell.
pub fn image_command(entrypoint: &[String], command: &[String]) -> Vec<String> {
    if !entrypoint.is_empty() {
        return [entrypoint, command].concat();
    }
    let speaks_of_variables = command.iter().any(|word| word.contains('$'));
    if !speaks_of_variables || is_shell_form(command) {
        return command.to_vec();
    }
    let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    shell(&format!("exec {}", words.join(" ")))
}

/// What runs `text` in place of an image's command: a shell's to read, behind the entry point, as
/// Docker has it. An entry point that is itself a line for a shell would not look at it, and is left
/// out.
pub fn image_override(entrypoint: &[String], text: &str) -> Vec<String> {
    if is_shell_form(entrypoint) {
        return shell(text);
    }
    [entrypoint, &shell(text)].concat()
}

/// A line for people that tells what an image runs.
pub fn image_shown(entrypoint: &[String], command: &[String]) -> String {
    let shown = |words: &[String]| match words {
        [_, _, line] if is_shell_form(words) => line.clone(),
        _ => words.join(" "),
    };
    let parts = [shown(entrypoint), shown(command)];
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(" ")
}

fn shell(text: &str) -> Vec<String> {
    ["/bin/sh", "-c", text].map(str::to_owned).to_vec()
}

/// What `CMD` and `ENTRYPOINT` without brackets become: `["/bin/sh", "-c", "…"]`.
fn is_shell_form(words: &[String]) -> bool {
    matches!(words, [program, flag, _] if flag == "-c" && program.ends_with("sh"))
}

/// One word for a shell that may speak of variables and nothing else.
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for character in word.chars() {
        if matches!(character, '"' | '\\' | '`') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
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

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|word| (*word).to_owned()).collect()
    }

    fn check_image(entrypoint: &[&str], command: &[&str], (expected, shown): (&[&str], &str)) {
        let (entrypoint, command) = (words(entrypoint), words(command));
        assert_eq!(image_command(&entrypoint, &command), expected);
        assert_eq!(image_shown(&entrypoint, &command), shown);
    }

    #[test]
    fn images_run_what_they_say() {
        check_image(&[], &["/server"], (&["/server"], "/server"));
        check_image(
            &["tini", "--"],
            &["a", "b c"],
            (&["tini", "--", "a", "b c"], "tini -- a b c"),
        );
        let line = &["/bin/sh", "-c", "serve $PORT"];
        check_image(&[], line, (line, "serve $PORT"));
        check_image(
            &[],
            &["serve", "--port=$PORT", "a \"b\" `c`"],
            (
                &[
                    "/bin/sh",
                    "-c",
                    "exec \"serve\" \"--port=$PORT\" \"a \\\"b\\\" \\`c\\`\"",
                ],
                "serve --port=$PORT a \"b\" `c`",
            ),
        );
    }

    #[test]
    fn other_commands_go_behind_the_entry_point() {
        let check = |entrypoint: &[&str], expected: &[&str]| {
            assert_eq!(image_override(&words(entrypoint), "ls | wc"), expected);
        };
        check(&[], &["/bin/sh", "-c", "ls | wc"]);
        check(&["tini", "--"], &["tini", "--", "/bin/sh", "-c", "ls | wc"]);
        check(&["/bin/sh", "-c", "server"], &["/bin/sh", "-c", "ls | wc"]);
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
