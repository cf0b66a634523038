//! The one place that prints, and the one that looks at the clock: everything else passes
//! through [`say`], [`step`], [`Stopwatch`] and [`wait_until`].

use std::{fmt::Display, time::Duration};

use anyhow::{Result, bail};

/// A line for the person, or for the program that reads figures.
#[expect(clippy::print_stdout, reason = "a command's output")]
pub(crate) fn say(text: impl Display) {
    println!("{text}");
}

/// A line about something that went wrong.
#[expect(clippy::print_stderr, reason = "a command's errors")]
pub(crate) fn complain(text: impl Display) {
    eprintln!("{text}");
}

/// Announces something that may take a while.
pub(crate) fn step(text: impl Display) {
    say(format_args!("==> {text}"));
}

/// Time passed since it was made.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "xtask measures real time and has no Clock"
    )]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Time passed.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Time passed, in seconds.
    pub(crate) fn seconds(self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

/// Calls `attempt` every `every` until it gives something.
///
/// # Errors
/// After `limit`, naming `what` was waited for; at once if `attempt` fails.
pub(crate) fn wait_until<T>(
    what: &str,
    (limit, every): (Duration, Duration),
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let watch = Stopwatch::start();
    loop {
        if let Some(value) = attempt()? {
            return Ok(value);
        }
        if watch.elapsed() > limit {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        pause(every);
    }
}

/// Lets time pass.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask blocks no runtime and has no Clock"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
