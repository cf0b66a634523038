//! What clients of the control socket ask, done.

use std::fs;

use shim::{
    VERSION,
    control::{Answer, Exec, NEWS_SLEEP, Request},
};

use super::Supervisor;
use crate::{
    clients::Asked,
    failure::Failure,
    program::{Output, Program},
    sys,
};

impl Supervisor {
    pub(super) fn obey(&mut self, asked: Asked) {
        match asked.request {
            Request::Attach => match &mut self.program {
                Some(Program {
                    output: Output::Attached(attached),
                    ..
                }) if attached.is_free() => attached.connect(asked.into_done()),
                _ => asked.refused(),
            },
            Request::Signal { signal } => {
                self.signal(signal);
                asked.done();
            }
            Request::Stop { grace_ms } => {
                self.ending.ask(sys::steady_millis(), grace_ms);
                self.signal(libc::SIGTERM);
                asked.done();
            }
            Request::EndOverDisk => {
                // The next look at the clock does it.
                self.ending.force_over_disk(sys::steady_millis());
                asked.done();
            }
            Request::Status => asked.answer(self.status()),
            Request::Watch => self.clients.watch(asked),
            Request::Freeze { ticket } => {
                // One that is to end, or to start again, must stay awake for it, and one that
                // somebody is inside of.
                let may_sleep =
                    self.program.is_some() && !self.ending.is_wanted() && self.execs.is_empty();
                let is_frozen = may_sleep && self.sleep.freeze(ticket);
                self.tell_of_sleep(asked, is_frozen);
            }
            Request::Thaw { ticket } => {
                let is_awake = self.sleep.thaw(ticket);
                self.tell_of_sleep(asked, is_awake);
            }
            Request::Exec(ref exec) => {
                let exec = exec.clone();
                self.exec(&exec, asked);
            }
        }
    }

    fn exec(&mut self, exec: &Exec, asked: Asked) {
        let Some(program) = self.program.as_ref().filter(|_| self.execs.has_room()) else {
            return asked.refused();
        };
        if self.sleep.wake() {
            self.clients.tell_watchers(NEWS_SLEEP);
        }
        match self.execs.start(&self.request, program, exec) {
            Ok(attached) => attached.connect(asked.into_done()),
            Err(Failure { step, errno }) => asked.answer(Answer::NotRun { step, errno }),
        }
    }

    /// Answers first: somebody's request waits for a thaw.
    fn tell_of_sleep(&mut self, asked: Asked, has_worked: bool) {
        if has_worked {
            asked.done();
            self.clients.tell_watchers(NEWS_SLEEP);
        } else {
            asked.refused();
        }
    }

    fn status(&self) -> Answer {
        let output = self.program.as_ref().map(|program| &program.output);
        Answer::Status {
            version: VERSION,
            lines: self.log.last(),
            dropped: self.log.dropped(),
            is_frozen: self.sleep.is_frozen(),
            ticket: self.sleep.ticket(),
            is_detached: output.is_some_and(Output::is_left),
        }
    }

    /// Sends a signal to every process of the dyno, which must be awake for it.
    pub(super) fn signal(&mut self, signal: i32) {
        if self.sleep.wake() {
            self.clients.tell_watchers(NEWS_SLEEP);
        }
        if let Some(program) = &self.program {
            program.signal(signal);
        }
    }

    pub(super) fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        if let Some(cgroup) = &self.request.cgroup.into {
            // The end of the first process ends the others; this is for those on their way in.
            drop(fs::write(cgroup.join("cgroup.kill"), "1"));
        }
    }
}
