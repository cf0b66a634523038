//! Everything that is remembered of the past: days and incidents, bounded. Pure.
//!
//! It must not know files. Read [`History::take`], then [`History::records`].

use std::collections::BTreeMap;

use api::clock::Time;

use super::{
    days::{Days, day_of, is_shown},
    incidents::{News, Phase, Trouble},
    record::{Kept, Record, Subject},
};

/// Incidents that are kept.
pub(super) const INCIDENTS: usize = 300;
/// Things whose days are kept: those that are watched, and those that were.
pub(super) const SUBJECTS: usize = 400;

/// The past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    days: BTreeMap<Subject, Days>,
    /// In the order of their beginnings.
    incidents: Vec<Kept>,
    /// When the server was last heard of.
    pub(super) word: Option<Time>,
}

impl History {
    /// Takes what was kept.
    pub(super) fn take(&mut self, record: Record) {
        match record {
            Record::Day(subject, day, cell) => {
                self.days.entry(subject).or_default().set(day, cell);
            }
            Record::Incident(kept) => self.put(kept),
            Record::Word(at) => self.word = self.word.max(Some(at)),
        }
    }

    /// Forgets what is too old or too much.
    pub(super) fn forget(&mut self, now: Time) {
        for days in self.days.values_mut() {
            days.forget(now);
        }
        self.days.retain(|_, days| days.iter().next().is_some());
        while self.days.len() > SUBJECTS {
            // The one that was last watched the longest ago.
            let last_day = |days: &Days| days.iter().last().map(|(day, _)| day);
            let oldest = self.days.iter().min_by_key(|(_, days)| last_day(days));
            let Some(subject) = oldest.map(|(subject, _)| *subject) else {
                break;
            };
            self.days.remove(&subject);
        }
        let is_kept = |kept: &Kept| {
            let last = kept.ended.unwrap_or(now);
            is_shown(day_of(last), now)
        };
        self.incidents.retain(is_kept);
        let too_many = self.incidents.len().saturating_sub(INCIDENTS);
        self.incidents.drain(..too_many);
    }

    /// The incidents that go on, as far as is known; of each subject one, others are ended.
    pub(super) fn resume(&mut self) -> Vec<(Subject, Phase)> {
        let mut open: BTreeMap<Subject, Phase> = BTreeMap::new();
        for kept in self.incidents.iter_mut().rev() {
            if kept.ended.is_some() {
                continue;
            }
            if open.contains_key(&kept.subject) {
                kept.ended = Some(kept.began);
                continue;
            }
            let trouble = Trouble {
                began: kept.began,
                worst: kept.worst,
                what: kept.what.clone(),
            };
            open.insert(kept.subject, Phase::resumed(trouble));
        }
        open.into_iter().collect()
    }

    /// The days of something.
    pub(super) fn days(&self, subject: Subject) -> Option<&Days> {
        self.days.get(&subject)
    }

    /// The same, to be added to.
    pub(super) fn days_mut(&mut self, subject: Subject) -> &mut Days {
        self.days.entry(subject).or_default()
    }

    /// All incidents, the newest first.
    pub(super) fn incidents(&self) -> impl Iterator<Item = &Kept> {
        self.incidents.iter().rev()
    }

    /// Notes what an incident has come to. Returns what is to be kept of it.
    pub(super) fn hear(&mut self, subject: Subject, news: News) -> Option<Record> {
        let (trouble, ended) = match news {
            News::None => return None,
            News::Begun(trouble) => (trouble, None),
            News::Ended(trouble, at) => (trouble, Some(at)),
        };
        let kept = Kept {
            subject,
            began: trouble.began,
            ended,
            worst: trouble.worst,
            what: trouble.what,
        };
        self.put(kept.clone());
        Some(Record::Incident(kept))
    }

    fn put(&mut self, kept: Kept) {
        let same = |at: &&mut Kept| at.is(kept.subject, kept.began);
        if let Some(at) = self.incidents.iter_mut().find(same) {
            *at = kept;
            return;
        }
        let place = self.incidents.partition_point(|at| at.began <= kept.began);
        self.incidents.insert(place, kept);
    }

    /// All of it, to be kept anew.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        let days = self.days.iter().flat_map(|(subject, days)| {
            days.iter()
                .map(|(day, cell)| Record::Day(*subject, day, cell))
        });
        let incidents = self.incidents.iter().cloned().map(Record::Incident);
        let word = self.word.map(Record::Word);
        days.chain(incidents).chain(word)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::{ids::AppId, status::Standing};

    use super::*;

    const NOON: Time = Time::from_micros(1_771_502_400_000_000);

    fn kept(subject: Subject, began: u64, ended: Option<u64>) -> Kept {
        let at = |seconds| NOON.after(Duration::from_secs(seconds));
        Kept {
            subject,
            began: at(began),
            ended: ended.map(at),
            worst: Standing::Down,
            what: String::new(),
        }
    }

    #[test]
    fn what_was_kept_is_what_there_was() {
        let mut history = History::default();
        let app = Subject::App(AppId::new());
        let days = history.days_mut(app);
        days.add(
            Standing::Down,
            (NOON.before(Duration::from_hours(13)), NOON),
        );
        for incident in [kept(app, 9, None), kept(Subject::Router, 3, Some(5))] {
            history.take(Record::Incident(incident));
        }
        history.take(Record::Word(NOON));
        let mut again = History::default();
        history.records().for_each(|record| again.take(record));
        assert_eq!(again, history);
        let newest: Vec<_> = again.incidents().map(|at| at.subject).collect();
        assert_eq!(newest, [app, Subject::Router]);
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let mut history = History::default();
        for number in 0..INCIDENTS as u64 + 50 {
            let incident = kept(Subject::Router, number, Some(number));
            history.take(Record::Incident(incident));
        }
        let minute = (NOON.before(Duration::from_mins(1)), NOON);
        for _ in 0..SUBJECTS + 50 {
            let app = Subject::App(AppId::new());
            history.days_mut(app).add(Standing::Operational, minute);
        }
        history.forget(NOON);
        assert_eq!(history.incidents().count(), INCIDENTS);
        let first = NOON.after(Duration::from_secs(50));
        assert_eq!(history.incidents().last().unwrap().began, first);
        assert_eq!(history.days.len(), SUBJECTS);
        history.forget(NOON.after(Duration::from_hours(24 * 91)));
        assert_eq!(history, History::default());
    }

    #[test]
    fn one_incident_of_a_subject_goes_on() {
        let mut history = History::default();
        for incident in [
            kept(Subject::Router, 1, None),
            kept(Subject::Router, 2, None),
            kept(Subject::ControlPlane, 3, Some(4)),
        ] {
            history.take(Record::Incident(incident));
        }
        let open = history.resume();
        assert_eq!(open.len(), 1);
        assert!(open[0].1.is_open());
        let ended: Vec<_> = history.incidents().map(|at| at.ended.is_some()).collect();
        assert_eq!(ended, [true, false, true]);
    }
}
