//! One simulated dyno: a time line of actions, and what they have come to.
//!
//! Pure: it knows no clock and no waiting. [`SimDyno::settle`] brings it to a given moment; what
//! happens carries the moment it was due, however late it is looked at.

use std::{collections::VecDeque, net::Ipv4Addr, time::Duration};

use api::{clock::Time, ids::DynoId};

use super::script::Step;
use crate::{
    report::{
        DynoExit, DynoReport, DynoRestart, DynoState, Freeze, LogBatch, LogRecord, LogStream,
        Probe, RESTARTS_KEPT, Sleep,
    },
    spec::{DynoSpec, Stdio},
};

pub(super) const SIGHUP: i32 = 1;
const SIGABRT: i32 = 6;
pub(super) const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// A dyno that is being played.
#[derive(Debug)]
pub(super) struct SimDyno {
    pub(super) report: DynoReport,
    stdio: Stdio,
    due: VecDeque<(Time, Step)>,
    kill_at: Option<Time>,
    pub(super) port_says: Probe,
    ignores_term: bool,
    /// The ticket of its last thaw.
    woken: u64,
    /// Nothing of what was due while it slept happened before.
    woke_at: Option<Time>,
    /// Gives attached input back.
    echoes: bool,
    pub(super) is_attached: bool,
    log: Vec<LogRecord>,
    /// Written but not yet read through the attached stream.
    pub(super) output: Vec<u8>,
}

impl SimDyno {
    /// A dyno that starts `now`; `boot` passes before its port answers.
    pub(super) fn new(
        spec: DynoSpec,
        steps: Vec<Step>,
        address: Ipv4Addr,
        now: Time,
        boot: Duration,
    ) -> Self {
        let report = DynoReport {
            id: spec.id,
            app: spec.app,
            name: spec.name,
            kind: spec.kind,
            labels: spec.labels,
            state: DynoState::Running,
            started_at: now,
            address: Some(address.into()),
            port: spec.port,
            memory_bytes: spec.limits.memory_bytes / 4,
            disk_bytes: 0,
            dropped_lines: 0,
            sleep: Sleep::default(),
            is_detached: false,
            restarts: Vec::new(),
            start_trace: Vec::new(),
        };
        Self::of(report, spec.stdio, time_line(steps, now, boot))
    }

    /// A command that begins inside it `now`, as a dyno of its own.
    pub(super) fn exec(&self, steps: Vec<Step>, stdio: Stdio, now: Time) -> Self {
        let report = DynoReport {
            id: DynoId::new(),
            started_at: now,
            port: None,
            ..self.report.clone()
        };
        Self::of(report, stdio, time_line(steps, now, Duration::ZERO))
    }

    fn of(report: DynoReport, stdio: Stdio, due: VecDeque<(Time, Step)>) -> Self {
        Self {
            report,
            stdio,
            due,
            kill_at: None,
            port_says: Probe::Refused,
            ignores_term: false,
            woken: 0,
            woke_at: None,
            echoes: false,
            is_attached: false,
            log: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Lets everything happen that was due until `now`. Says whether anything did.
    pub(super) fn settle(&mut self, now: Time) -> bool {
        let mut happened = false;
        while self.exit().is_none() {
            let due = self.due.front().filter(|_| !self.report.sleep.is_frozen);
            let step_at = due.map(|(at, _)| *at).filter(|at| *at <= now);
            let kill_at = self.kill_at.filter(|at| *at <= now);
            match (step_at, kill_at) {
                (None, None) => break,
                (Some(step), Some(kill)) if step <= kill => self.next_step(),
                (_, Some(kill)) => self.end(DynoExit {
                    was_forced: true,
                    ..exit(None, Some(SIGKILL), kill)
                }),
                (Some(_), None) => self.next_step(),
            }
            happened = true;
        }
        happened
    }

    fn next_step(&mut self) {
        let Some((at, step)) = self.due.pop_front() else {
            return;
        };
        let at = self.woke_at.map_or(at, |woke_at| woke_at.max(at));
        match step {
            Step::Print(stream, text) => self.write(stream, text, at),
            Step::Serve => self.port_says = Probe::Answered { status: Some(200) },
            Step::Silent => self.port_says = Probe::Silent,
            Step::Cat => self.echoes = true,
            Step::Trap => self.ignores_term = true,
            Step::Hang | Step::Sleep(_) => {}
            Step::Exit(code) => self.end(exit(Some(code), None, at)),
            Step::Abort => self.end_by_signal(SIGABRT, at),
            Step::Exhaust => {
                self.end(DynoExit {
                    is_out_of_memory: true,
                    ..exit(None, Some(SIGKILL), at)
                });
            }
        }
    }

    fn write(&mut self, stream: LogStream, text: String, at: Time) {
        match self.stdio {
            Stdio::Logged => {
                let sequence = self.log.len() as u64 + 1;
                self.log.push(LogRecord {
                    sequence,
                    at,
                    stream,
                    text,
                });
            }
            Stdio::Terminal { .. } => self.output.extend(format!("{text}\r\n").bytes()),
            Stdio::Pipes => self.output.extend(format!("{text}\n").bytes()),
        }
    }

    /// How it ended, if it has.
    pub(super) fn exit(&self) -> Option<&DynoExit> {
        match &self.report.state {
            DynoState::Ended(exit) => Some(exit),
            DynoState::Running => None,
        }
    }

    /// Ends it, if it runs.
    pub(super) fn end(&mut self, exit: DynoExit) {
        if self.exit().is_none() {
            self.report.state = DynoState::Ended(exit);
            self.report.memory_bytes = 0;
            self.report.sleep = Sleep::default();
            self.port_says = Probe::Refused;
        }
    }

    pub(super) fn freeze(&mut self, ticket: u64) -> Freeze {
        if ticket <= self.woken || self.kill_at.is_some() {
            return Freeze::WokenBefore;
        }
        self.report.sleep.is_frozen = true;
        self.report.sleep.ticket = self.report.sleep.ticket.max(ticket);
        Freeze::Frozen
    }

    pub(super) fn thaw(&mut self, ticket: u64, now: Time) {
        if self.exit().is_none() {
            self.report.sleep.is_frozen = false;
            self.report.sleep.ticket = self.report.sleep.ticket.max(ticket);
            self.woken = self.woken.max(ticket);
            self.woke_at = Some(now);
        }
    }

    /// Its keeper has started it again after a crash that nobody else saw.
    pub(super) fn crash_unattended(&mut self, code: i32, now: Time) {
        if self.exit().is_some() {
            return;
        }
        let restarts = &mut self.report.restarts;
        restarts.push(DynoRestart {
            number: restarts.last().map_or(1, |last| last.number + 1),
            exit: exit(Some(code), None, now),
            started_at: now,
        });
        restarts.drain(..restarts.len().saturating_sub(RESTARTS_KEPT));
        self.report.started_at = now;
    }

    pub(super) fn end_by_signal(&mut self, signal: i32, at: Time) {
        self.end(exit(None, Some(signal), at));
    }

    /// Its keeper died with it: nobody saw how it ended.
    pub(super) fn lose(&mut self, at: Time) {
        self.end(DynoExit {
            is_lost: true,
            ..exit(None, None, at)
        });
    }

    /// Some attached input, or none when it has ended.
    pub(super) fn take_input(&mut self, input: &[u8], at: Time) {
        if !self.echoes {
            return;
        }
        if input.is_empty() {
            self.end(exit(Some(0), None, at));
        } else {
            self.output.extend(input);
        }
    }

    /// SIGTERM, and SIGKILL after `grace`.
    pub(super) fn stop(&mut self, now: Time, grace: Duration) {
        self.thaw(self.report.sleep.ticket, now);
        if self.ignores_term {
            if grace.is_zero() {
                return self.end_by_signal(SIGKILL, now);
            }
            let at = now.after(grace);
            self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
        } else {
            self.end_by_signal(SIGTERM, now);
        }
    }

    /// Whether it can be attached to, now or ever again.
    pub(super) fn is_attachable(&self) -> bool {
        self.stdio != Stdio::Logged && !self.is_attached
    }

    /// Lines behind `after`, or the word that none will follow.
    pub(super) fn read_log(&self, after: u64) -> Option<LogBatch> {
        let unread = self.log.iter().filter(|record| record.sequence > after);
        let records: Vec<LogRecord> = unread.cloned().collect();
        let ended = self.exit().is_some();
        (ended || !records.is_empty()).then_some(LogBatch { records, ended })
    }

    pub(super) fn probe(&self) -> Probe {
        match self.port_says {
            _ if self.report.port.is_none() => Probe::Refused,
            // The kernel goes on accepting for it.
            Probe::Answered { .. } if self.report.sleep.is_frozen => Probe::Silent,
            _ => self.port_says.clone(),
        }
    }
}

fn exit(code: Option<i32>, signal: Option<i32>, at: Time) -> DynoExit {
    DynoExit {
        code,
        signal,
        is_out_of_memory: false,
        is_lost: false,
        is_over_disk: false,
        was_forced: false,
        at,
    }
}

/// When each step happens. A script that does not last ends well.
fn time_line(mut steps: Vec<Step>, start: Time, boot: Duration) -> VecDeque<(Time, Step)> {
    if !steps.last().is_some_and(Step::is_lasting) {
        steps.push(Step::Exit(0));
    }
    let mut at = start;
    let mut line = VecDeque::new();
    for step in steps {
        match step {
            Step::Sleep(time) => at = at.after(time),
            Step::Serve => {
                at = at.after(boot);
                line.push_back((at, step));
            }
            _ => line.push_back((at, step)),
        }
    }
    line
}
