//! Whose build is next: a queue that is fair between owners, between the apps of one, and never
//! does two builds of an app at once.
//!
//! Pure: nothing here waits or runs. Builds are entered, [`Queue::begin`] says which may begin, and
//! [`Queue::leave`] takes those away that ended or gave up. Read [`Queue`] first.

use std::collections::BTreeMap;

/// What may wait, and how much is built at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Builds at once.
    pub(crate) places: usize,
    /// Builds of one app that may wait.
    pub(crate) waiting_of_app: usize,
    /// Builds of all apps that may wait.
    pub(crate) waiting: usize,
}

/// Why a build is not taken into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Too many of its app wait; how many may.
    App(usize),
    /// Too many wait; how many may.
    All(usize),
}

/// What a waiting build waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// So many builds that begin before it.
    Builds(usize),
    /// A place: it is next, and so many are being built.
    Place(usize),
    /// The build of its app before it, which is being built or brought live.
    OwnApp,
}

/// Rises with every build that is entered.
pub(crate) type Number = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// Holds a place, and its app.
    Building,
    /// Holds only its app: its release is being brought live.
    Releasing,
}

#[derive(Clone, Debug)]
struct Entry<App, Owner> {
    app: App,
    owner: Owner,
    stage: Stage,
}

/// Builds that wait, are built or are being released.
#[derive(Clone, Debug)]
pub(crate) struct Queue<App, Owner> {
    bounds: Bounds,
    /// In the order in which they came.
    entries: BTreeMap<Number, Entry<App, Owner>>,
    next: Number,
    turns: Turns<App, Owner>,
}

/// When each owner and app had its last turn; those that wait for nothing are forgotten.
#[derive(Clone, Debug)]
struct Turns<App, Owner> {
    count: u64,
    owners: BTreeMap<Owner, u64>,
    apps: BTreeMap<App, u64>,
}

impl<App: Copy + Ord, Owner: Copy + Ord> Queue<App, Owner> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: BTreeMap::new(),
            next: 0,
            turns: Turns {
                count: 0,
                owners: BTreeMap::new(),
                apps: BTreeMap::new(),
            },
        }
    }

    /// Takes a build in; it waits until [`Queue::begin`] names it.
    pub(crate) fn enter(&mut self, app: App, owner: Owner) -> Result<Number, Full> {
        let waiting = || self.entries.values().filter(|e| e.stage == Stage::Waiting);
        if waiting().count() >= self.bounds.waiting {
            return Err(Full::All(self.bounds.waiting));
        }
        if waiting().filter(|entry| entry.app == app).count() >= self.bounds.waiting_of_app {
            return Err(Full::App(self.bounds.waiting_of_app));
        }
        let number = self.next;
        self.next += 1;
        let stage = Stage::Waiting;
        self.entries.insert(number, Entry { app, owner, stage });
        Ok(number)
    }

    /// Gives the free places away.
    pub(crate) fn begin(&mut self) {
        while self.building() < self.bounds.places {
            let Some(number) = self.pick() else { return };
            self.give(number);
        }
    }

    /// Whether the build has got a place.
    #[cfg(test)]
    pub(crate) fn has_begun(&self, number: Number) -> bool {
        self.entries
            .get(&number)
            .is_some_and(|entry| entry.stage != Stage::Waiting)
    }

    /// The build is done and its release on its way: others may build, its app's next may not.
    pub(crate) fn release(&mut self, number: Number) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.stage = Stage::Releasing;
        }
    }

    /// The build has ended, or gave up waiting.
    pub(crate) fn leave(&mut self, number: Number) {
        self.entries.remove(&number);
        let entries = &self.entries;
        self.turns
            .apps
            .retain(|app, _| entries.values().any(|entry| entry.app == *app));
        self.turns
            .owners
            .retain(|owner, _| entries.values().any(|entry| entry.owner == *owner));
    }

    /// What a waiting build waits for; nothing if it does not wait.
    pub(crate) fn ahead(&self, number: Number) -> Option<Ahead> {
        let entry = self.entries.get(&number)?;
        if entry.stage != Stage::Waiting {
            return None;
        }
        if let Some(before) = self.picked_before(number) {
            return Some(match before {
                0 => Ahead::Place(self.building()),
                before => Ahead::Builds(before),
            });
        }
        // Its app is held: what comes first is the app's own builds.
        let own = self.entries.range(..number);
        let own = own.filter(|(_, other)| other.app == entry.app && other.stage == Stage::Waiting);
        Some(match own.count() {
            0 => Ahead::OwnApp,
            waiting => Ahead::Builds(waiting + 1),
        })
    }

    /// How many would be picked before this one, if places came free one after the other and the
    /// builds took equally long; `None` if its app is held by one that is under way.
    fn picked_before(&self, number: Number) -> Option<usize> {
        let app = self.entries.get(&number)?.app;
        if self.is_held(app) {
            return None;
        }
        let mut later = self.clone();
        for before in 0.. {
            let picked = later.pick()?;
            if picked == number {
                return Some(before);
            }
            later.give(picked);
            // It has ended by the time the next one is picked.
            later.entries.remove(&picked);
        }
        None
    }

    fn give(&mut self, number: Number) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        entry.stage = Stage::Building;
        self.turns.count += 1;
        self.turns.owners.insert(entry.owner, self.turns.count);
        self.turns.apps.insert(entry.app, self.turns.count);
    }

    /// The owner with the fewest builds under way goes first, then whose last turn is longest ago,
    /// then the app of theirs whose last turn is longest ago, then who came first.
    fn pick(&self) -> Option<Number> {
        let waiting = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.stage == Stage::Waiting && !self.is_held(entry.app));
        let rank = |(number, entry): &(&Number, &Entry<App, Owner>)| {
            let under_way = self
                .entries
                .values()
                .filter(|other| other.owner == entry.owner && other.stage == Stage::Building);
            let last = |turn: Option<&u64>| turn.copied().unwrap_or(0);
            (
                under_way.count(),
                last(self.turns.owners.get(&entry.owner)),
                last(self.turns.apps.get(&entry.app)),
                **number,
            )
        };
        waiting.min_by_key(rank).map(|(number, _)| *number)
    }

    fn is_held(&self, app: App) -> bool {
        self.entries
            .values()
            .any(|entry| entry.app == app && entry.stage != Stage::Waiting)
    }

    fn building(&self) -> usize {
        let building = |entry: &&Entry<App, Owner>| entry.stage == Stage::Building;
        self.entries.values().filter(building).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        places: 1,
        waiting_of_app: 3,
        waiting: 8,
    };

    type Letters = Queue<char, char>;

    /// A queue of builds, each written as its app and its owner: `aX`.
    fn queue(bounds: Bounds, builds: &[&str]) -> (Letters, Vec<Number>) {
        let mut queue = Queue::new(bounds);
        let enter = |build: &&str| {
            let mut letters = build.chars();
            let (app, owner) = (letters.next().unwrap(), letters.next().unwrap());
            queue.enter(app, owner).unwrap()
        };
        let numbers = builds.iter().map(enter).collect();
        (queue, numbers)
    }

    /// The order in which builds are done when each ends before the next begins.
    fn check_order(builds: &[&str], expected: &[&str]) {
        let (mut queue, numbers) = queue(BOUNDS, builds);
        let mut order = Vec::new();
        for _ in builds {
            queue.begin();
            let begun = numbers.iter().position(|number| queue.has_begun(*number));
            let begun = begun.expect("one has a place");
            order.push(builds[begun]);
            queue.leave(numbers[begun]);
        }
        assert_eq!(order, expected, "{builds:?}");
    }

    #[test]
    fn turns_go_round_between_owners_and_apps() {
        check_order(&["aX", "bX", "cX"], &["aX", "bX", "cX"]);
        check_order(&["aX", "aX", "bX"], &["aX", "bX", "aX"]);
        check_order(
            &["aX", "bX", "cX", "dY", "dY"],
            &["aX", "dY", "bX", "dY", "cX"],
        );
        check_order(
            &["aX", "aX", "aX", "bY", "cZ"],
            &["aX", "bY", "cZ", "aX", "aX"],
        );
    }

    #[test]
    fn an_app_is_built_once_at_a_time_until_its_release_is_live() {
        let bounds = Bounds {
            places: 2,
            ..BOUNDS
        };
        let (mut queue, n) = queue(bounds, &["aX", "aX", "bX", "cX"]);
        queue.begin();
        let begun = |queue: &Letters| n.iter().map(|n| queue.has_begun(*n)).collect::<Vec<_>>();
        assert_eq!(begun(&queue), [true, false, true, false]);
        queue.release(n[0]);
        queue.begin();
        assert_eq!(
            begun(&queue),
            [true, false, true, true],
            "c takes the place"
        );
        queue.leave(n[2]);
        queue.begin();
        assert_eq!(
            begun(&queue),
            [true, false, false, true],
            "a is being released"
        );
        queue.leave(n[0]);
        queue.begin();
        assert_eq!(begun(&queue), [false, true, false, true]);
    }

    #[test]
    fn places_are_shared_between_owners() {
        let bounds = Bounds {
            places: 2,
            ..BOUNDS
        };
        let (mut queue, n) = queue(bounds, &["aX", "bX", "cX", "dY"]);
        queue.begin();
        assert!(queue.has_begun(n[0]) && queue.has_begun(n[3]));
        assert!(!queue.has_begun(n[1]));
    }

    #[test]
    fn who_waits_is_told_for_what() {
        let (mut queue, n) = queue(BOUNDS, &["aX", "aX", "aX", "bX", "cX"]);
        queue.begin();
        let ahead: Vec<_> = n.iter().map(|n| queue.ahead(*n)).collect();
        let expected = [
            None,
            Some(Ahead::OwnApp),
            Some(Ahead::Builds(2)),
            Some(Ahead::Place(1)),
            Some(Ahead::Builds(1)),
        ];
        assert_eq!(ahead, expected);
        queue.leave(n[3]);
        assert_eq!(queue.ahead(n[4]), Some(Ahead::Place(1)));
    }

    #[test]
    fn a_full_queue_takes_nothing() {
        let (mut queue, n) = queue(BOUNDS, &["aX", "aX", "aX", "bX", "cX", "dX", "eX", "fX"]);
        assert_eq!(queue.enter('g', 'Y'), Err(Full::All(8)));
        queue.leave(n[3]);
        assert_eq!(queue.enter('a', 'X'), Err(Full::App(3)));
        queue.begin();
        assert!(
            queue.enter('a', 'X').is_ok(),
            "one of the app's has a place"
        );
    }

    #[test]
    fn nothing_is_remembered_of_who_waits_for_nothing() {
        let (mut queue, n) = queue(BOUNDS, &["aX"]);
        queue.begin();
        queue.leave(n[0]);
        assert!(queue.turns.owners.is_empty() && queue.turns.apps.is_empty());
    }

    /// Any order of entering, ending and giving up: no app twice, no place too many, nobody
    /// forgotten.
    #[test]
    fn nobody_starves() {
        for seed in 0..64_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut draw = |below: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % below
            };
            let bounds = Bounds {
                places: 2,
                waiting_of_app: 4,
                waiting: 40,
            };
            let mut queue: Queue<u64, u64> = Queue::new(bounds);
            let mut inside = Vec::new();
            for _ in 0..400 {
                match draw(4) {
                    0 | 1 => {
                        let app = draw(9);
                        inside.extend(queue.enter(app, app % 3));
                    }
                    2 if !inside.is_empty() => {
                        let at = usize::try_from(draw(inside.len() as u64)).unwrap();
                        queue.leave(inside.swap_remove(at));
                    }
                    _ => inside
                        .iter()
                        .filter(|n| queue.entries[n].stage == Stage::Building)
                        .copied()
                        .collect::<Vec<_>>()
                        .into_iter()
                        .for_each(|n| queue.release(n)),
                }
                queue.begin();
                assert!(queue.building() <= 2, "seed {seed}");
                for n in &inside {
                    let app = queue.entries[n].app;
                    let held = inside
                        .iter()
                        .filter(|o| queue.entries[o].app == app && queue.has_begun(**o));
                    assert!(held.count() <= 1, "seed {seed}");
                }
            }
            drain(&mut queue, inside, seed);
        }
    }

    /// Ends all that have begun, until none is left.
    fn drain(queue: &mut Queue<u64, u64>, mut inside: Vec<Number>, seed: u64) {
        while !inside.is_empty() {
            queue.begin();
            let (begun, left): (Vec<_>, Vec<_>) =
                inside.into_iter().partition(|n| queue.has_begun(*n));
            assert!(!begun.is_empty(), "seed {seed}: nobody may begin");
            for number in begun {
                queue.leave(number);
            }
            inside = left;
        }
    }
}
