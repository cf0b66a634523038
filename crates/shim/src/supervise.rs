//! The shim's long life: keep the dyno's output, obey the control socket, record the end, and
//! start it again if nobody else is there to.
//!
//! One thread, one poll. Nothing here waits for the server: a client that does not read is left
//! behind. Read [`Supervisor::run`] first.

mod after;
mod obey;

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
};

use shim::{
    control::{NEWS_DETACHED, NEWS_DROPPED, NEWS_LINES},
    start::StartRequest,
};

use crate::{
    attached::End,
    backoff::Backoff,
    clients::Clients,
    desk::Desk,
    ending::Ending,
    exec::{self, Execs},
    launch::Launched,
    log::Log,
    memory::Memory,
    mounts,
    program::{Output, Program},
    sleep::Sleep,
    sys::{self, Watched},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// What the dyno is started from, config vars included: again after a crash, and for what runs
    /// inside it later. Nobody may look into this process.
    request: Box<StartRequest>,
    /// What runs; nothing between a crash and the next start.
    program: Option<Program>,
    log: Log,
    clients: Clients,
    execs: Execs,
    sleep: Sleep,
    memory: Memory,
    ending: Ending,
    backoff: Backoff,
    restarts: u64,
    _lock: File,
}

/// What a poll watches.
#[derive(Clone, Copy, Debug)]
enum Source {
    Process,
    Line(usize),
    End(End),
    Memory,
    Listener,
    Client(usize),
    Exec(exec::Number, exec::Part),
}

/// What is to be polled.
#[derive(Default)]
struct Sources<'fd> {
    sources: Vec<Source>,
    watched: Vec<Watched<'fd>>,
}

impl<'fd> Sources<'fd> {
    fn add(&mut self, source: Source, descriptor: BorrowedFd<'fd>, wanted: i16) {
        self.sources.push(source);
        self.watched.push(Watched {
            descriptor,
            wanted,
            found: 0,
        });
    }

    fn add_output(&mut self, output: &'fd Output) {
        match output {
            Output::Logged(readers) => {
                for (number, reader) in readers.iter().enumerate() {
                    if let Some(descriptor) = reader.descriptor() {
                        self.add(Source::Line(number), descriptor, libc::POLLIN);
                    }
                }
            }
            Output::Attached(attached) => {
                for (end, descriptor, wanted) in attached.wanted() {
                    self.add(Source::End(end), descriptor, wanted);
                }
            }
        }
    }
}

impl Supervisor {
    /// Takes over a dyno that has just been started.
    pub(crate) fn new(request: Box<StartRequest>, desk: Desk, launched: Launched) -> Self {
        Self {
            program: Some(Program::new(launched)),
            log: Log::new(desk.spool, request.log_lines_per_second),
            clients: Clients::new(desk.listener),
            execs: Execs::default(),
            sleep: Sleep::new(request.cgroup.freeze.clone()),
            memory: Memory::watch(request.cgroup.memory_events.clone()),
            ending: Ending::default(),
            backoff: Backoff::default(),
            restarts: 0,
            _lock: desk.lock,
            request,
        }
    }

    /// Keeps the dyno until it has ended for good and all its output is where it belongs.
    pub(crate) fn run(mut self) -> io::Result<()> {
        loop {
            mounts::clean_marks(&self.request);
            // A copy lies close together, where what the start needed has left room.
            let packed = self.request.clone();
            self.request = packed;
            sys::give_back();
            while !self.step(None)? {}
            let Some(mut program) = self.program.take() else {
                return Err(io::ErrorKind::NotFound.into());
            };
            let outcome = program.wait()?;
            program.output.drain(&mut self.log);
            let exit = self.exit(outcome);
            if !self.start_again(&program, &exit)? {
                return self.finish(program, &exit);
            }
        }
    }

    /// Waits for something to happen, `until_ms` at most, and deals with it. Returns whether the
    /// program has ended.
    fn step(&mut self, until_ms: Option<i64>) -> io::Result<bool> {
        let mut has_ended = false;
        for (source, found) in self.poll(until_ms)? {
            match source {
                Source::Process => has_ended = true,
                Source::Line(number) => self.advance_line(number),
                Source::End(end) => self.advance(end, found),
                Source::Memory => self.memory.take_notice(sys::steady_millis()),
                Source::Listener => self.clients.accept(),
                Source::Client(number) => {
                    if let Some(asked) = self.clients.read(number) {
                        self.obey(asked);
                    }
                }
                Source::Exec(number, part) => {
                    let place = &self.request.cgroup;
                    self.execs.advance(number, part, found, place);
                }
            }
        }
        self.clients.forget_gone();
        self.execs.settle(&self.request.cgroup);
        let now = sys::steady_millis();
        self.wake_lines(now);
        if self.log.flush() {
            self.clients.tell_watchers(NEWS_LINES);
        }
        if self.log.tells(now) {
            self.clients.tell_watchers(NEWS_DROPPED);
        }
        // Half a dyno is of no use: where the kernel kills one process, the others go, too.
        if self.ending.is_due(now) | self.memory.has_just_killed(now) {
            self.kill();
        }
        Ok(has_ended)
    }

    fn poll(&self, until_ms: Option<i64>) -> io::Result<Vec<(Source, i16)>> {
        let mut polled = Sources::default();
        if let Some(program) = &self.program {
            polled.add(Source::Process, program.pidfd.as_fd(), libc::POLLIN);
            polled.add_output(&program.output);
        }
        if let Some(notices) = self.memory.notices() {
            polled.add(Source::Memory, notices, libc::POLLIN);
        }
        if let Some(listener) = self.clients.listener() {
            polled.add(Source::Listener, listener.as_fd(), libc::POLLIN);
        }
        for (number, stream) in self.clients.streams() {
            polled.add(Source::Client(number), stream.as_fd(), libc::POLLIN);
        }
        for (number, part, descriptor, wanted) in self.execs.wanted() {
            polled.add(Source::Exec(number, part), descriptor, wanted);
        }
        let Sources {
            sources,
            mut watched,
        } = polled;
        let now = sys::steady_millis();
        let until = self.next_look_ms(now).into_iter().chain(until_ms).min();
        sys::poll(&mut watched, until.map(|until| until - now))?;
        let found = sources.into_iter().zip(watched.iter().map(|one| one.found));
        Ok(found.filter(|(_, found)| *found != 0).collect())
    }

    /// When something is to be done though nothing happens.
    fn next_look_ms(&self, now_ms: i64) -> Option<i64> {
        let resting = match &self.program {
            Some(Program {
                output: Output::Logged(readers),
                ..
            }) => readers
                .iter()
                .filter_map(crate::lines::LineReader::resting_until_ms)
                .min(),
            _ => None,
        };
        let others = [
            self.ending.kill_at_ms(),
            self.execs.due_ms(),
            self.memory.look_at_ms(now_ms),
            self.log.tell_at_ms(),
        ];
        others.into_iter().flatten().chain(resting).min()
    }

    fn advance_line(&mut self, number: usize) {
        if let Some(program) = &mut self.program
            && let Output::Logged(readers) = &mut program.output
        {
            readers[number].advance(&mut self.log);
        }
    }

    /// Reads on where a flood was let rest.
    fn wake_lines(&mut self, now_ms: i64) {
        if let Some(program) = &mut self.program
            && let Output::Logged(readers) = &mut program.output
        {
            for reader in readers.iter_mut() {
                if reader.resting_until_ms().is_some_and(|at| at <= now_ms) {
                    reader.advance(&mut self.log);
                }
            }
        }
    }

    fn advance(&mut self, end: End, found: i16) {
        if let Some(program) = &mut self.program
            && let Output::Attached(attached) = &mut program.output
            && attached.advance(end, found)
        {
            self.signal(libc::SIGHUP);
            self.clients.tell_watchers(NEWS_DETACHED);
        }
    }
}
