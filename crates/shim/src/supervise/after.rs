//! After the program has ended: it is started again, or its end is recorded.

use std::{fs, io};

use shim::{
    VERSION,
    control::NEWS_RESTART,
    files::{self, Exit, Restart},
    start::{StartRequest, Stdio},
};

use super::Supervisor;
use crate::{
    attached::End,
    launch::launch,
    mounts,
    program::{Outcome, Output, Program},
    sys::{self, Watched},
    trace::Trace,
};

/// How long an ended dyno's shim waits for an attached client to read the rest.
const LINGER_MS: i64 = 60_000;
/// How often removing a cgroup is tried: the kernel lets go of the last process a little late.
const REMOVALS: usize = 20;
/// The pause between.
const REMOVAL_PAUSE_MS: i64 = 5;

impl Supervisor {
    pub(super) fn exit(&self, outcome: Outcome) -> Exit {
        Exit {
            version: VERSION,
            code: outcome.status.and_then(sys::exit_code),
            signal: outcome.status.and_then(sys::exit_signal),
            is_out_of_memory: self.memory.has_killed(),
            is_lost: false,
            at_micros: sys::wall_micros(),
            user_micros: outcome.ended.map_or(0, |ended| ended.user_micros),
            system_micros: outcome.ended.map_or(0, |ended| ended.system_micros),
            dropped_lines: self.log.dropped(),
            is_over_disk: self.ending.is_over_disk(),
            // One that was quicker than the kill has told how it ended.
            was_forced: self.ending.is_forced() && !outcome.is_told,
        }
    }

    /// Starts the program again, after a pause, unless somebody else is there to decide about
    /// that or it was to end. Returns whether it runs.
    ///
    /// Who comes in the pause is given the end as it was. Who comes later finds the dyno running,
    /// and the crash in its history.
    pub(super) fn start_again(&mut self, ended: &Program, exit: &Exit) -> io::Result<bool> {
        if !is_restartable(&self.request) {
            return Ok(false);
        }
        // What was killed in its sleep begins awake.
        self.sleep.wake();
        let mut up_ms = ended.up_ms();
        loop {
            let until = sys::steady_millis() + self.backoff.pause_ms(up_ms);
            if !self.stays_alone(until)? {
                return Ok(false);
            }
            mounts::clear_writable(&self.request, self.restarts);
            self.memory.begin();
            if let Ok(launched) =
                launch(&self.request, self.restarts + 1, Trace::begin(), || Ok(()))
            {
                self.restarts += 1;
                let restart = Restart {
                    number: self.restarts,
                    exit: exit.clone(),
                    started_at_micros: launched.started_at_micros,
                };
                self.program = Some(Program::new(launched));
                // The dyno matters more than its history.
                drop(files::append_restart(&self.request.directory, &restart));
                self.clients.tell_watchers(NEWS_RESTART);
                return Ok(true);
            }
            // A host that refuses is a crash like another, except that there is nothing to tell.
            up_ms = 0;
        }
    }

    /// Serves clients until then. Returns whether nobody came to take over.
    fn stays_alone(&mut self, until_ms: i64) -> io::Result<bool> {
        // Connections that have ended are known to have only once they are looked at: a server
        // that died just before its dyno does not watch any more.
        self.step(Some(sys::steady_millis()))?;
        while !self.clients.has_watcher() && !self.ending.is_wanted() {
            if sys::steady_millis() >= until_ms {
                return Ok(true);
            }
            self.step(Some(until_ms))?;
        }
        Ok(false)
    }

    /// Records the end, and takes away what was only for the running dyno.
    pub(super) fn finish(mut self, program: Program, exit: &Exit) -> io::Result<()> {
        // Whoever waits for the record may use the capture at once.
        mounts::clean_capture(mounts::capture_work(&self.request).as_deref());
        let directory = &self.request.directory;
        if let Some(bytes) = program.output.unclaimed() {
            files::write_whole(&directory.join(files::OUTPUT), bytes)?;
        }
        files::write_json(&directory.join(files::EXIT), exit)?;
        self.clients.dismiss();
        self.remove_cgroup();
        let until = sys::steady_millis() + LINGER_MS;
        linger(program, until)?;
        self.execs.linger(until, &self.request.cgroup)
    }

    fn remove_cgroup(&self) {
        for _ in 0..REMOVALS {
            let left = self.request.cgroup.directories.iter();
            let left = left.filter(|directory| {
                fs::remove_dir(directory)
                    .is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
            });
            if left.count() == 0 {
                return;
            }
            drop(sys::poll(&mut [], Some(REMOVAL_PAUSE_MS)));
        }
    }
}

/// Whether it may be started twice from the same request.
fn is_restartable(request: &StartRequest) -> bool {
    request.is_restarted_unattended
        && request.stdio == Stdio::Logged
        && request.root.capture.is_none()
}

/// Waits for an attached client to take what is left for it.
fn linger(mut program: Program, until_ms: i64) -> io::Result<()> {
    while let Output::Attached(attached) = &mut program.output {
        let left = until_ms - sys::steady_millis();
        if !attached.is_waited_for() || left <= 0 {
            break;
        }
        let mut wanted = attached.wanted();
        wanted.retain(|(end, ..)| *end == End::Client);
        let mut watched: Vec<Watched<'_>> = wanted
            .into_iter()
            .map(|(_, descriptor, wanted)| Watched {
                descriptor,
                wanted: wanted & libc::POLLOUT,
                found: 0,
            })
            .collect();
        sys::poll(&mut watched, Some(left))?;
        let found = watched.first().map_or(0, |client| client.found);
        if found != 0 {
            attached.advance(End::Client, found);
        }
    }
    Ok(())
}
