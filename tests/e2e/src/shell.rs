//! Running programs and looking at what they said.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit status; 128 + signal when a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

#[expect(
    clippy::return_self_not_must_use,
    reason = "a check is often all that is wanted"
)]
impl Output {
    /// Fails the test unless the program ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.status, 0,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Fails the test if the program ended well.
    #[track_caller]
    pub fn refused(self) -> Self {
        assert_ne!(
            self.status, 0,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Fails the test unless `text` was said on either output.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "`{text}` was not said.\nstdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// Runs a program to its end, with `input` on its standard input.
pub fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A program that does not read its input closes it, which is its right.
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child
        .wait_with_output()
        .expect("the child can be waited for");
    drop(written);
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    Output {
        status: output
            .status
            .code()
            .unwrap_or_else(|| 128 + signal.unwrap_or(0)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command line on a terminal and answers its prompts, each when it is seen.
///
/// # Panics
/// When the program ends before it has asked everything.
pub fn converse(command: &mut Command, answers: &[(&str, &str)]) -> Output {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut terminal = Command::new("script");
    terminal.args([
        "--quiet",
        "--flush",
        "--return",
        "--command",
        &words.join(" "),
        "/dev/null",
    ]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = terminal
        .spawn()
        .expect("`script` of bsdutils can be started");
    let mut keyboard = child.stdin.take().expect("stdin is piped");
    let mut screen = child.stdout.take().expect("stdout is piped");
    let mut seen = String::new();
    for (prompt, answer) in answers {
        let start = seen.len();
        while !seen[start..].contains(prompt) {
            let mut bytes = [0; 4096];
            let count = screen.read(&mut bytes).expect("the terminal can be read");
            assert_ne!(count, 0, "`{prompt}` was not asked:\n{seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        keyboard
            .write_all(format!("{answer}\r").as_bytes())
            .expect("the program reads");
    }
    screen
        .read_to_string(&mut seen)
        .expect("the terminal can be read to its end");
    let status = child.wait().expect("the child can be waited for");
    Output {
        status: status.code().unwrap_or(-1),
        stdout: seen,
        stderr: String::new(),
    }
}
