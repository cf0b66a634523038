//! Seeded lives of a sleeping app: a server that may die between any two actions, a router that
//! says its words late or never, an engine that remembers, and requests at any moment.
//!
//! What must hold: no dyno with a request is frozen, and in the end every request was served.

use std::collections::{BTreeSet, VecDeque};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{tests::*, *};

const SEEDS: u64 = 300;
const ROUNDS: usize = 120;
const QUIET_ROUNDS: usize = 200;

/// What the engine knows of a dyno.
#[derive(Default)]
struct Kept {
    is_frozen: bool,
    ticket: u64,
    thawed: u64,
    in_flight: u32,
}

/// What the router serves by.
#[derive(Clone, Default)]
struct Table {
    is_asleep: bool,
    tickets: BTreeMap<DynoId, Option<u64>>,
}

enum Word {
    Resting(DynoId, u64),
    Woken(u64),
    WakeApp,
    Activity(Time, u64),
}

/// The server's smallest actions; it may die before each.
enum Action {
    Issue(u64),
    Freeze(DynoId),
    Thaw(DynoId, u64),
    Mark(DynoId, bool),
    Record(SleepState, u64),
}

struct World {
    app: AppState,
    now: Time,
    engine: BTreeMap<DynoId, Kept>,
    idle_rows: BTreeSet<DynoId>,
    table: Table,
    /// Tables on their way to the router.
    tables: VecDeque<Table>,
    used: BTreeMap<DynoId, u64>,
    told: BTreeSet<(DynoId, u64)>,
    words: VecDeque<Word>,
    waiting: u32,
    served: u32,
    last_request_at: Option<Time>,
    has_faults: bool,
    random: StdRng,
}

impl World {
    fn new(seed: u64) -> Self {
        let app = app(SleepState::Awake, 0);
        let engine = app.dynos.iter().map(|dyno| (dyno.id, Kept::default()));
        let mut world = Self {
            now: at(1_000_000),
            engine: engine.collect(),
            idle_rows: BTreeSet::new(),
            table: Table::default(),
            tables: VecDeque::new(),
            used: BTreeMap::new(),
            told: BTreeSet::new(),
            words: VecDeque::new(),
            waiting: 0,
            served: 0,
            last_request_at: None,
            has_faults: true,
            random: StdRng::seed_from_u64(seed),
            app,
        };
        world.publish();
        world
    }

    // The server.

    fn pass(&mut self) {
        self.look();
        let (step, _) = next(&self.app, self.now);
        if self.app.sleep.row.state == SleepState::Awake {
            self.app.sleep.heard.wish = None;
        }
        let actions = step.map(|step| self.actions(&step)).unwrap_or_default();
        if !self.perform(actions) {
            return;
        }
        self.look();
        self.publish();
        self.tend_dynos();
    }

    /// Brings the planner's view to what engine and rows say.
    fn look(&mut self) {
        let rows = &self.idle_rows;
        let seen = |(id, kept): (&DynoId, &Kept)| {
            let seen = DynoSleep {
                is_frozen: kept.is_frozen,
                ticket: kept.ticket,
                waker: Some("waker".into()),
                is_idle: rows.contains(id),
            };
            (*id, seen)
        };
        self.app.sleep.dynos = self.engine.iter().map(seen).collect();
    }

    fn actions(&self, step: &SleepStep) -> VecDeque<Action> {
        let ticket = self.app.sleep.row.ticket;
        let thaw = |kept: &DynoSleep| ticket.max(kept.ticket);
        let dynos = || self.app.sleep.dynos.iter();
        let thaws = dynos().flat_map(|(id, kept)| {
            let mark = kept.is_idle.then_some(Action::Mark(*id, false));
            [Some(Action::Thaw(*id, thaw(kept))), mark]
                .into_iter()
                .flatten()
        });
        match step {
            &SleepStep::Rest { ticket, .. } => [
                Action::Issue(ticket),
                Action::Record(SleepState::Resting, ticket),
            ]
            .into(),
            SleepStep::Freeze => {
                let freezes = self.app.dynos.iter().map(|dyno| Action::Freeze(dyno.id));
                let marks = dynos().map(|(id, _)| Action::Mark(*id, true));
                freezes
                    .chain(marks)
                    .chain([Action::Record(SleepState::Frozen, ticket)])
                    .collect()
            }
            SleepStep::Stop { .. } => [Action::Record(SleepState::Stopped, ticket)].into(),
            SleepStep::Wake { .. } => thaws
                .chain([Action::Record(SleepState::Awake, ticket)])
                .collect(),
            SleepStep::Thaw => thaws.collect(),
            SleepStep::Explain { .. } => VecDeque::new(),
        }
    }

    /// Performs what it comes to before it dies; whether it lives.
    fn perform(&mut self, mut actions: VecDeque<Action>) -> bool {
        while let Some(action) = actions.pop_front() {
            self.meanwhile();
            if self.has_faults && self.random.random_ratio(1, 60) {
                self.die();
                return false;
            }
            match action {
                Action::Issue(ticket) => {
                    self.app.sleep.heard.ticket = ticket;
                    self.app.sleep.heard.resting.clear();
                }
                Action::Freeze(id) => {
                    let ticket = self.app.sleep.row.ticket;
                    let Some(kept) = self.engine.get_mut(&id) else {
                        continue;
                    };
                    if ticket <= kept.thawed {
                        let cause = UNTOLD.to_owned();
                        self.look();
                        actions = self.actions(&SleepStep::Wake { cause });
                        continue;
                    }
                    kept.is_frozen = true;
                    kept.ticket = ticket;
                }
                Action::Thaw(id, ticket) => self.thaw(id, ticket),
                Action::Mark(id, true) => drop(self.idle_rows.insert(id)),
                Action::Mark(id, false) => drop(self.idle_rows.remove(&id)),
                Action::Record(state, ticket) => {
                    let row = &mut self.app.sleep.row;
                    (row.state, row.ticket, row.since) = (state, ticket, self.now);
                }
            }
            self.check();
        }
        true
    }

    /// The server is killed and started: it knows its rows and no more.
    fn die(&mut self) {
        self.words.clear();
        self.tables.clear();
        self.app.sleep.heard = Heard {
            is_router_connected: true,
            since: self.now,
            ..Heard::default()
        };
        self.look();
        self.publish();
        // What the router says on a new connection.
        self.told.clear();
        let named = self
            .table
            .tickets
            .iter()
            .filter_map(|(id, ticket)| Some((id, (*ticket)?)));
        for (id, ticket) in named {
            if self.used.get(id).is_some_and(|used| *used >= ticket) {
                self.words.push_back(Word::Woken(ticket));
            }
        }
        if self.table.is_asleep && self.waiting > 0 {
            self.words.push_back(Word::WakeApp);
        }
        self.report();
    }

    fn publish(&mut self) {
        let sleep = &self.app.sleep;
        let web = answering(&self.app).into_iter();
        let ticket = |dyno: &DynoView| sleep.ticket(dyno.id).map(|(ticket, _)| ticket);
        self.tables.push_back(Table {
            is_asleep: sleep.is_stopped(),
            tickets: web.map(|dyno| (dyno.id, ticket(dyno))).collect(),
        });
    }

    /// Stops the dynos of a stopped app once they are drained, boots those of one that is awake.
    fn tend_dynos(&mut self) {
        if self.app.sleep.is_stopped() {
            let is_free = |id: &DynoId, kept: &Kept| {
                let listed = |table: &Table| table.tickets.contains_key(id);
                kept.in_flight == 0 && !listed(&self.table) && !self.tables.iter().any(listed)
            };
            self.engine.retain(|id, kept| !is_free(id, kept));
        }
        for dyno in &mut self.app.dynos {
            if self.engine.contains_key(&dyno.id) {
                dyno.stage = Stage::Up;
            }
        }
        let engine = &self.engine;
        self.app.dynos.retain(|dyno| engine.contains_key(&dyno.id));
        self.idle_rows.retain(|id| engine.contains_key(id));
        if self.app.sleep.row.state == SleepState::Awake && self.app.dynos.is_empty() {
            self.boot();
        }
    }

    fn boot(&mut self) {
        let fresh = app(SleepState::Awake, 0).dynos;
        let release = self.app.current.as_ref().map(|current| current.id);
        for mut dyno in fresh {
            dyno.release = release.unwrap_or(dyno.release);
            dyno.stage = Stage::Starting;
            dyno.since = self.now;
            self.engine.insert(dyno.id, Kept::default());
            self.app.dynos.push(dyno);
        }
    }

    fn thaw(&mut self, id: DynoId, ticket: u64) {
        if let Some(kept) = self.engine.get_mut(&id) {
            kept.is_frozen = false;
            kept.ticket = kept.ticket.max(ticket);
            kept.thawed = kept.thawed.max(ticket);
        }
    }

    // The router and the world around it.

    /// What may happen between any two actions of the server.
    fn meanwhile(&mut self) {
        let requests_come = self.has_faults;
        match self.random.random_range(0..12) {
            0 | 1 if requests_come => self.waiting += 1,
            2..4 => self.apply_table(),
            4..7 => self.deliver(),
            7..9 => self.end_a_request(),
            9 if requests_come => {
                self.words.pop_front();
            }
            _ => {}
        }
        self.serve();
        self.rest();
        self.check();
    }

    fn apply_table(&mut self) {
        let Some(table) = self.tables.pop_front() else {
            return;
        };
        if table.is_asleep && !self.table.is_asleep && self.waiting > 0 {
            self.words.push_back(Word::WakeApp);
        }
        self.table = table;
    }

    /// Every request that waits gets a dyno, if there is one.
    fn serve(&mut self) {
        while self.waiting > 0 && !self.table.tickets.is_empty() {
            let chosen = self.random.random_range(0..self.table.tickets.len());
            let (id, ticket) = self.table.tickets.iter().nth(chosen).unwrap();
            let (id, ticket) = (*id, *ticket);
            let used = self.used.get(&id).copied().unwrap_or(0);
            if let Some(ticket) = ticket.filter(|ticket| *ticket > used) {
                self.used.insert(id, ticket);
                self.thaw(id, ticket);
                self.words.push_back(Word::Woken(ticket));
            }
            let kept = self
                .engine
                .get_mut(&id)
                .expect("the table lists dynos that run");
            kept.in_flight += 1;
            self.waiting -= 1;
            self.served += 1;
            self.last_request_at = Some(self.now);
        }
        if self.waiting > 0 && self.table.is_asleep {
            self.words.push_back(Word::WakeApp);
        }
    }

    fn end_a_request(&mut self) {
        let busy = self.engine.values_mut().find(|kept| kept.in_flight > 0);
        if let Some(kept) = busy {
            kept.in_flight -= 1;
            self.last_request_at = Some(self.now);
        }
    }

    /// Says which dynos rest, each once a ticket.
    fn rest(&mut self) {
        for (id, ticket) in &self.table.tickets {
            let Some(ticket) = *ticket else { continue };
            let is_used = self.used.get(id).is_some_and(|used| *used >= ticket);
            let is_free = self.engine.get(id).is_some_and(|kept| kept.in_flight == 0);
            if !is_used && is_free && self.told.insert((*id, ticket)) {
                self.words.push_back(Word::Resting(*id, ticket));
            }
        }
    }

    fn report(&mut self) {
        if let Some(at) = self.last_request_at {
            let in_flight: u32 = self.engine.values().map(|kept| kept.in_flight).sum();
            self.words
                .push_back(Word::Activity(at, u64::from(in_flight + self.waiting)));
        }
    }

    fn deliver(&mut self) {
        let heard = &mut self.app.sleep.heard;
        match self.words.pop_front() {
            Some(Word::Resting(id, ticket)) => drop(heard.resting.insert(id, ticket)),
            Some(Word::Woken(ticket)) => {
                let former = heard.woken.as_ref().map_or(0, |(former, _)| *former);
                heard.woken = Some((former.max(ticket), "woken by GET /".to_owned()));
            }
            Some(Word::WakeApp) => heard.wish = Some((1, "woken by GET /".to_owned())),
            Some(Word::Activity(at, in_flight)) => {
                heard.last_request_at = heard.last_request_at.max(Some(at));
                heard.in_flight = in_flight;
            }
            None => {}
        }
    }

    fn check(&self) {
        for (id, kept) in &self.engine {
            let is_hung = kept.is_frozen && kept.in_flight > 0;
            assert!(!is_hung, "{id} is frozen with {} requests", kept.in_flight);
        }
    }

    /// Some time goes by, and everything that can happen does.
    fn live(&mut self, longest: u64) {
        let seconds = self.random.random_range(1..=longest);
        self.now = self.now.after(Duration::from_secs(seconds));
        for _ in 0..self.random.random_range(1..8) {
            self.meanwhile();
        }
        self.report();
        self.pass();
    }

    fn settle(&mut self) {
        self.has_faults = false;
        for _ in 0..QUIET_ROUNDS {
            self.live(600);
            while !self.words.is_empty() || !self.tables.is_empty() {
                self.apply_table();
                self.deliver();
            }
            self.end_a_request();
            self.serve();
        }
    }
}

fn simulate(seed: u64) {
    let mut world = World::new(seed);
    world.app.sleep.row.since = world.now;
    for _ in 0..ROUNDS {
        world.live(1200);
    }
    world.settle();
    let busy: u32 = world.engine.values().map(|kept| kept.in_flight).sum();
    assert_eq!((world.waiting, busy), (0, 0), "requests hang");
    let state = world.app.sleep.row.state;
    assert_eq!(state, SleepState::Stopped, "nobody comes for days");
    assert!(world.served > 0);
    // And then somebody comes.
    let served = world.served;
    world.waiting += 1;
    for _ in 0..20 {
        world.live(1);
        world.apply_table();
        world.deliver();
    }
    assert_eq!(world.served, served + 1, "the last request is served");
}

#[test]
fn a_request_at_any_moment_ends_up_at_a_dyno_that_runs() {
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| simulate(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
