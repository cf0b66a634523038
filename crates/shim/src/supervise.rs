//! The shim's long life: keep the dyno's output, obey the control socket, record the end.
//!
//! One thread, one poll. Nothing here waits for the server: a client that does not read is left
//! behind. Read [`Supervisor::run`] first.

use std::{
    fs, io,
    io::Read,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
};

use shim::{
    VERSION,
    control::{Answer, Exec, NEWS_LINES, NEWS_SLEEP, Request},
    files::{self, Exit},
    spool::Writer,
    start::StartRequest,
};

use crate::{
    attached::{Attached, End},
    clients::{Asked, Clients},
    exec::{self, Execs},
    failure::Failure,
    lines::LineReader,
    mounts,
    sleep::Sleep,
    stdio::Outer,
    sys::{self, Ended, Watched},
};

/// How long an ended dyno's shim waits for an attached client to read the rest.
const LINGER_MS: i64 = 60_000;
/// How often removing a cgroup is tried: the kernel lets go of the last process a little late.
const REMOVALS: usize = 20;
/// The pause between.
const REMOVAL_PAUSE_MS: i64 = 5;

/// What the dyno writes and reads.
#[derive(Debug)]
enum Output {
    Logged(Box<[LineReader; 2]>),
    Attached(Box<Attached>),
}

/// A dyno that runs.
#[derive(Debug)]
pub(crate) struct Dyno {
    /// What it was started from, config vars included: what runs inside it later is made from the
    /// same. Nobody may look into this process.
    pub(crate) request: Box<StartRequest>,
    /// Its first process.
    pub(crate) process: i32,
    /// A handle to that.
    pub(crate) pidfd: OwnedFd,
    /// Where that says how the program ended.
    pub(crate) status: OwnedFd,
    /// Locked for as long as this is kept, which tells that the shim lives.
    pub(crate) _lock: fs::File,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Supervisor {
    dyno: Dyno,
    output: Output,
    spool: Writer,
    clients: Clients,
    execs: Execs,
    sleep: Sleep,
    kill_at_ms: Option<i64>,
    /// Whether there was a grace to run out.
    has_grace: bool,
    was_forced: bool,
}

/// What a poll watches.
#[derive(Clone, Copy, Debug)]
enum Source {
    Process,
    Line(usize),
    End(End),
    Listener,
    Client(usize),
    Exec(exec::Number, exec::Part),
}

impl Supervisor {
    /// Takes over a dyno that has just been started.
    pub(crate) fn new(dyno: Dyno, outer: Outer, spool: Writer, listener: UnixListener) -> Self {
        let output = match Attached::new(outer) {
            Ok(attached) => Output::Attached(Box::new(attached)),
            Err(
                Outer::Logged { output, error }
                | Outer::Attachable {
                    input: error,
                    output,
                    ..
                },
            ) => Output::Logged(Box::new([
                LineReader::new(output, 1),
                LineReader::new(error, 2),
            ])),
        };
        Self {
            sleep: Sleep::new(dyno.request.cgroup.freeze.clone()),
            dyno,
            output,
            spool,
            clients: Clients::new(listener),
            execs: Execs::default(),
            kill_at_ms: None,
            has_grace: false,
            was_forced: false,
        }
    }

    /// Keeps the dyno until it has ended and all its output is where it belongs.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !self.step()? {
            if self.kill_at_ms.is_some_and(|at| sys::steady_millis() >= at) {
                self.kill_at_ms = None;
                self.was_forced = self.has_grace;
                self.kill();
            }
        }
        let ended = sys::wait(self.dyno.process, true)?;
        self.drain();
        // Whoever waits for the record may use the capture at once.
        mounts::clean_capture(mounts::capture_work(&self.dyno.request).as_deref());
        self.record(ended)?;
        self.clients.dismiss();
        self.remove_cgroup();
        self.linger()
    }

    /// Waits for something to happen and deals with it. Returns whether the dyno has ended.
    fn step(&mut self) -> io::Result<bool> {
        let due = self.kill_at_ms.into_iter().chain(self.execs.due_ms()).min();
        let timeout = due.map(|at| at - sys::steady_millis());
        let mut has_ended = false;
        for (source, found) in self.poll(timeout)? {
            match source {
                Source::Process => has_ended = true,
                Source::Line(number) => {
                    if let Output::Logged(readers) = &mut self.output {
                        readers[number].read(&mut self.spool, sys::wall_micros());
                    }
                }
                Source::End(end) => self.advance(end, found),
                Source::Listener => self.clients.accept(),
                Source::Client(number) => {
                    if let Some(asked) = self.clients.read(number) {
                        self.obey(asked);
                    }
                }
                Source::Exec(number, part) => {
                    let place = &self.dyno.request.cgroup;
                    self.execs.advance(number, part, found, place);
                }
            }
        }
        self.clients.forget_gone();
        self.execs.settle(&self.dyno.request.cgroup);
        if self.spool.flush() {
            self.clients.tell_watchers(NEWS_LINES);
        }
        Ok(has_ended)
    }

    fn poll(&self, timeout_ms: Option<i64>) -> io::Result<Vec<(Source, i16)>> {
        let mut sources = vec![Source::Process];
        let mut watched = vec![watch(&self.dyno.pidfd)];
        match &self.output {
            Output::Logged(readers) => {
                for (number, reader) in readers.iter().enumerate() {
                    if let Some(descriptor) = reader.descriptor() {
                        sources.push(Source::Line(number));
                        watched.push(Watched {
                            descriptor,
                            wanted: libc::POLLIN,
                            found: 0,
                        });
                    }
                }
            }
            Output::Attached(attached) => {
                for (end, descriptor, wanted) in attached.wanted() {
                    sources.push(Source::End(end));
                    watched.push(Watched {
                        descriptor,
                        wanted,
                        found: 0,
                    });
                }
            }
        }
        if let Some(listener) = self.clients.listener() {
            sources.push(Source::Listener);
            watched.push(watch(listener));
        }
        for (number, stream) in self.clients.streams() {
            sources.push(Source::Client(number));
            watched.push(watch(stream));
        }
        for (number, part, descriptor, wanted) in self.execs.wanted() {
            sources.push(Source::Exec(number, part));
            watched.push(Watched {
                descriptor,
                wanted,
                found: 0,
            });
        }
        sys::poll(&mut watched, timeout_ms)?;
        let found = sources.into_iter().zip(watched.iter().map(|one| one.found));
        Ok(found.filter(|(_, found)| *found != 0).collect())
    }

    fn advance(&mut self, end: End, found: i16) {
        if let Output::Attached(attached) = &mut self.output
            && attached.advance(end, found)
        {
            self.signal(libc::SIGHUP);
        }
    }

    fn obey(&mut self, asked: Asked) {
        match asked.request {
            Request::Attach => match &mut self.output {
                Output::Attached(attached) if attached.is_free() => {
                    attached.connect(asked.into_done());
                }
                _ => asked.refused(),
            },
            Request::Signal { signal } => {
                self.signal(signal);
                asked.done();
            }
            Request::Stop { grace_ms } => {
                let at = sys::steady_millis().saturating_add(i64::try_from(grace_ms).unwrap_or(0));
                self.has_grace = grace_ms > 0;
                // A second stop may shorten the wait, not lengthen it.
                self.kill_at_ms = Some(self.kill_at_ms.map_or(at, |earlier| earlier.min(at)));
                self.signal(libc::SIGTERM);
                asked.done();
            }
            Request::Status => asked.answer(self.status()),
            Request::Watch => self.clients.watch(asked),
            Request::Freeze { ticket } => {
                // One that is to end must stay awake for it, and one that somebody is inside of.
                let is_in_use = self.kill_at_ms.is_some() || !self.execs.is_empty();
                let is_frozen = !is_in_use && self.sleep.freeze(ticket);
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
            Request::EndOverDisk => asked.refused(),
        }
    }

    fn exec(&mut self, exec: &Exec, asked: Asked) {
        if !self.execs.has_room() {
            return asked.refused();
        }
        if self.sleep.wake() {
            self.clients.tell_watchers(NEWS_SLEEP);
        }
        match self.execs.start(&self.dyno, exec) {
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
        Answer::Status {
            version: VERSION,
            lines: self.spool.last(),
            dropped: self.spool.dropped(),
            is_frozen: self.sleep.is_frozen(),
            ticket: self.sleep.ticket(),
        }
    }

    /// Sends a signal to every process of the dyno, through its first, which must be awake for it.
    fn signal(&mut self, signal: i32) {
        if self.sleep.wake() {
            self.clients.tell_watchers(NEWS_SLEEP);
        }
        // An error means that it has just ended, which the next poll sees.
        drop(sys::signal_process(self.dyno.pidfd.as_fd(), signal));
    }

    fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        if let Some(cgroup) = &self.dyno.request.cgroup.into {
            // The end of the first process ends the others; this is for those on their way in.
            drop(fs::write(cgroup.join("cgroup.kill"), "1"));
        }
    }

    /// Takes in what the dyno wrote last.
    fn drain(&mut self) {
        match &mut self.output {
            Output::Logged(readers) => {
                for reader in readers.iter_mut() {
                    let now = sys::wall_micros();
                    while reader.read(&mut self.spool, now) {
                        self.spool.flush();
                    }
                    reader.end(&mut self.spool, now);
                }
                self.spool.flush();
            }
            Output::Attached(attached) => attached.drain(),
        }
    }

    fn record(&mut self, ended: Option<Ended>) -> io::Result<()> {
        let directory = &self.dyno.request.directory;
        if let Output::Attached(attached) = &self.output
            && let Some(bytes) = attached.unclaimed()
        {
            files::write_whole(&directory.join(files::OUTPUT), bytes)?;
        }
        let told = self.program_status();
        let status = told.or(ended.map(|ended| ended.status));
        let exit = Exit {
            version: VERSION,
            code: status.and_then(sys::exit_code),
            signal: status.and_then(sys::exit_signal),
            is_out_of_memory: self.was_out_of_memory(),
            is_lost: false,
            at_micros: sys::wall_micros(),
            user_micros: ended.map_or(0, |ended| ended.user_micros),
            system_micros: ended.map_or(0, |ended| ended.system_micros),
            dropped_lines: self.spool.dropped(),
            // One that was quicker than the kill has told how it ended.
            was_forced: self.was_forced && told.is_none(),
            ..Exit::default()
        };
        files::write_json(&directory.join(files::EXIT), &exit)
    }

    /// The program's wait status, if the first process lived to tell it.
    fn program_status(&self) -> Option<i32> {
        let mut bytes = [0; 4];
        let mut pipe = fs::File::from(self.dyno.status.try_clone().ok()?);
        pipe.read_exact(&mut bytes).ok()?;
        Some(i32::from_le_bytes(bytes))
    }

    fn was_out_of_memory(&self) -> bool {
        let events = self.dyno.request.cgroup.memory_events.as_deref();
        events.is_some_and(|path| oom_kills(path) > 0)
    }

    fn remove_cgroup(&self) {
        for _ in 0..REMOVALS {
            let left = self.dyno.request.cgroup.directories.iter();
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

    /// Waits for an attached client to take what is left for it.
    fn linger(mut self) -> io::Result<()> {
        let until = sys::steady_millis() + LINGER_MS;
        while let Output::Attached(attached) = &mut self.output {
            let left = until - sys::steady_millis();
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
        self.execs.linger(until, &self.dyno.request.cgroup)
    }
}

fn watch(descriptor: &impl AsFd) -> Watched<'_> {
    Watched {
        descriptor: descriptor.as_fd(),
        wanted: libc::POLLIN,
        found: 0,
    }
}

/// The count in the `oom_kill N` line of `memory.events` (version 2) or `memory.oom_control` (1).
fn oom_kills(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}
