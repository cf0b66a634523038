//! When trouble becomes an incident, and when that is over: so that a moment makes none, and
//! flickering makes one. Pure.
//!
//! Read [`Phase::step`].

use std::time::Duration;

use api::{clock::Time, status::Standing};

use super::judge::Verdict;

/// Trouble that lasts for less is none.
pub(super) const ONSET: Duration = Duration::from_secs(30);
/// It is over when it has been well for so long.
pub(super) const CALM: Duration = Duration::from_mins(2);
/// Letters of what is kept of a cause.
const WHAT_LETTERS: usize = 200;

/// Where a component is between trouble and incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Well,
    /// In trouble, but not for long.
    Suspect(Trouble),
    /// In an incident; `calm_since` it has been well.
    Incident {
        trouble: Trouble,
        calm_since: Option<Time>,
    },
}

/// What went wrong, and when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) began: Time,
    /// The worst of it.
    pub(super) worst: Standing,
    /// What was seen then.
    pub(super) what: String,
}

/// What to keep of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    None,
    /// An incident has begun, or become worse.
    Begun(Trouble),
    /// It is over since the moment.
    Ended(Trouble, Time),
}

impl Trouble {
    fn new(verdict: &Verdict, began: Time) -> Self {
        let mut what = match verdict.standing {
            // For how long, is the incident's to tell.
            Standing::NoWord => "Nothing was heard of it.".to_owned(),
            _ => verdict.detail.clone(),
        };
        what.truncate(what.floor_char_boundary(WHAT_LETTERS));
        Self {
            began,
            worst: verdict.standing,
            what,
        }
    }

    /// Returns whether it is worse than it was.
    fn takes(&mut self, verdict: &Verdict) -> bool {
        let is_worse = verdict.standing > self.worst;
        if is_worse {
            *self = Self::new(verdict, self.began);
        }
        is_worse
    }
}

impl Phase {
    /// An incident that was going on when the router last watched.
    pub(super) fn resumed(trouble: Trouble) -> Self {
        Self::Incident {
            trouble,
            calm_since: None,
        }
    }

    /// Whether an incident goes on, or has only just stopped.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Incident { .. })
    }

    /// Takes what is seen now.
    pub(super) fn step(&mut self, verdict: &Verdict, now: Time) -> News {
        let is_trouble = verdict.standing.is_trouble();
        match self {
            Self::Well if is_trouble => {
                *self = Self::Suspect(Trouble::new(verdict, now));
                News::None
            }
            Self::Suspect(trouble) if is_trouble => {
                trouble.takes(verdict);
                if now.since(trouble.began) < ONSET {
                    return News::None;
                }
                let trouble = trouble.clone();
                *self = Self::Incident {
                    trouble: trouble.clone(),
                    calm_since: None,
                };
                News::Begun(trouble)
            }
            Self::Well | Self::Suspect(_) => {
                *self = Self::Well;
                News::None
            }
            Self::Incident {
                trouble,
                calm_since,
            } if is_trouble => {
                *calm_since = None;
                if trouble.takes(verdict) {
                    return News::Begun(trouble.clone());
                }
                News::None
            }
            Self::Incident {
                trouble,
                calm_since,
            } => {
                let since = *calm_since.get_or_insert(now);
                if now.since(since) < CALM {
                    return News::None;
                }
                let news = News::Ended(trouble.clone(), since);
                *self = Self::Well;
                news
            }
        }
    }

    /// Nobody watches it any more.
    pub(super) fn stop(&mut self, now: Time) -> News {
        match std::mem::take(self) {
            Self::Incident {
                trouble,
                calm_since,
            } => News::Ended(trouble, calm_since.unwrap_or(now)),
            Self::Well | Self::Suspect(_) => News::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a row of sights, one each ten seconds, as letters: `.` well, `d` degraded, `D`
    /// down. A `+` stands for news of a beginning, `-` for that of an end and how many seconds ago.
    fn check(sights: &str, expected: &str) {
        let mut phase = Phase::default();
        let mut now = Time::from_micros(0);
        let mut heard = String::new();
        for sight in sights.chars() {
            let standing = match sight {
                'd' => Standing::Degraded,
                'D' => Standing::Down,
                _ => Standing::Operational,
            };
            let verdict = Verdict {
                standing,
                detail: sight.to_string(),
            };
            now = now.after(Duration::from_secs(10));
            heard.extend(match phase.step(&verdict, now) {
                News::None => [" ".to_owned(), String::new()],
                News::Begun(trouble) => ["+".to_owned(), trouble.what],
                News::Ended(trouble, at) => {
                    let seconds = at.since(trouble.began).as_secs();
                    ["-".to_owned(), format!("{} {seconds}s", trouble.what)]
                }
            });
        }
        assert_eq!(heard.trim_end(), expected, "{sights}");
    }

    #[test]
    fn a_moment_makes_no_incident_and_flickering_makes_one() {
        check("....", "");
        check("ddd.", "");
        check("dddd", "   +d");
        check("ddDd", "   +D");
        check("ddddD", "   +d+D");
        check("dddd............ddd", "   +d");
        check(
            "dddd.............",
            &format!("   +d{}-d 40s", " ".repeat(12)),
        );
        let flickering = "dddd......d............d.............";
        let expected = format!("   +d{}-d 240s", " ".repeat(32));
        check(flickering, &expected);
    }

    #[test]
    fn what_is_no_longer_watched_is_over() {
        let now = Time::from_micros(5);
        let trouble = Trouble {
            began: Time::from_micros(1),
            worst: Standing::Down,
            what: String::new(),
        };
        let mut phase = Phase::resumed(trouble.clone());
        assert_eq!(phase.stop(now), News::Ended(trouble, now));
        assert_eq!(phase.stop(now), News::None);
    }
}
