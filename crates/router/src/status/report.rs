//! What people and machines are shown: [`Status`], made of what is known. Pure.
//!
//! Read [`report`], then [`summary`], which may not say that all is well unless somebody said so.

use std::{cmp::Reverse, time::Duration};

use api::{
    clock::Time,
    status::{Component, ComponentKind, Incident, Note, Standing, Status},
};

use super::{
    incidents::Phase,
    model::{Model, Watched},
    record::{Kept, Subject},
    words::{ago, clock_time},
};
use crate::wire::entry::fingerprint;

/// Names that a sentence lists.
const NAMES: usize = 3;
const ROUTER: &str = "Router";
const CONTROL_PLANE: &str = "Control plane";

/// What is known by now. `is_stale` when the router has not looked for long: then all of it is old.
pub(super) fn report(model: &Model, now: Time, is_stale: bool) -> Status {
    let platform = [
        (Subject::Router, ComponentKind::Router, ROUTER),
        (
            Subject::ControlPlane,
            ComponentKind::ControlPlane,
            CONTROL_PLANE,
        ),
    ];
    let platform = platform.map(|(subject, kind, name)| (subject, kind, name.to_owned()));
    let shown = model.shown.iter();
    let apps = shown.map(|(name, subject)| (*subject, ComponentKind::App, name.clone()));
    let components: Vec<Component> = platform
        .into_iter()
        .chain(apps)
        .filter_map(|(subject, kind, name)| component(model, subject, (kind, name), now))
        .collect();
    let notes = notes(model, now);
    let open = model.watched.values().filter(|at| at.phase.is_open());
    let is_recovering = open.count() > 0;
    let stale_for = is_stale.then(|| now.since(model.observed_at));
    let (state, summary) = summary(&components, &notes, is_recovering, (model, stale_for));
    Status {
        state,
        summary,
        observed_at: model.observed_at,
        incidents: incidents(model),
        components,
        notes,
    }
}

fn component(
    model: &Model,
    subject: Subject,
    (kind, name): (ComponentKind, String),
    now: Time,
) -> Option<Component> {
    let Watched {
        verdict,
        since,
        phase,
        ..
    } = model.watched.get(&subject)?;
    let since = match phase {
        Phase::Incident {
            trouble,
            calm_since: None,
        } => trouble.began,
        _ => *since,
    };
    let days = model.history.days(subject).cloned().unwrap_or_default();
    Some(Component {
        kind,
        name,
        state: verdict.standing,
        detail: verdict.detail.clone(),
        since,
        days: days.shown(now),
    })
}

/// Those that are not over, of the platform and of apps that are shown; the newest first.
fn notes(model: &Model, now: Time) -> Vec<Note> {
    let name_of = |subject| {
        let mut shown = model.shown.iter();
        let found = shown.find(|(_, at)| *at == subject);
        found.map(|(name, _)| name.clone())
    };
    let mut notes: Vec<Note> = model
        .notes
        .iter()
        .filter(|note| note.until.is_none_or(|until| now < until))
        .filter_map(|note| {
            let app = match note.app {
                Some(app) => Some(name_of(Subject::App(app))?),
                None => None,
            };
            Some(Note {
                text: note.text.clone(),
                severity: note.severity,
                app,
                created_at: note.created_at,
                updated_at: note.updated_at,
                until: note.until,
            })
        })
        .collect();
    notes.sort_by_key(|note| Reverse(note.created_at));
    notes
}

/// Of the platform and of apps that are shown; the newest first.
fn incidents(model: &Model) -> Vec<Incident> {
    let name_of = |subject| match subject {
        Subject::Router => Some(ROUTER.to_owned()),
        Subject::ControlPlane => Some(CONTROL_PLANE.to_owned()),
        Subject::App(_) => {
            let mut shown = model.shown.iter();
            shown
                .find(|(_, at)| *at == subject)
                .map(|(name, _)| name.clone())
        }
    };
    let incident = |kept: &Kept| {
        let subject = format!("{:?}", kept.subject);
        let of = format!("{subject} {}", kept.began.as_micros());
        Some(Incident {
            id: format!("{:016x}", fingerprint(of.as_bytes())),
            component: name_of(kept.subject)?,
            state: kept.worst,
            what: kept.what.clone(),
            began_at: kept.began,
            ended_at: kept.ended,
        })
    };
    model.history.incidents().filter_map(incident).collect()
}

/// The worst of everything, and sentences that say it.
fn summary(
    components: &[Component],
    notes: &[Note],
    is_recovering: bool,
    (model, stale_for): (&Model, Option<Duration>),
) -> (Standing, Vec<String>) {
    let mut state = Standing::Operational;
    let mut lines = Vec::new();
    if let Some(duration) = stale_for {
        state = Standing::NoWord;
        lines.push(format!(
            "The router answers, but has not looked around since {} ({}): what is below is old.",
            clock_time(model.observed_at),
            ago(duration)
        ));
    }
    if components.is_empty() {
        return (
            state.max(Standing::Unknown),
            vec!["The router has only just started and knows nothing yet.".to_owned()],
        );
    }
    let platform = |at: &&Component| at.kind != ComponentKind::App && at.state.is_trouble();
    for component in components.iter().filter(platform) {
        lines.push(match component.kind {
            ComponentKind::ControlPlane => component.detail.clone(),
            _ => format!("{}: {}", component.name, component.detail),
        });
    }
    for standing in [Standing::Down, Standing::Degraded] {
        lines.extend(apps_line(components, standing));
    }
    let troubles = components.iter().map(|at| at.state);
    let worst = troubles.filter(|at| at.is_trouble()).max();
    state = state.max(worst.unwrap_or(Standing::Operational));
    let worst_note = notes.iter().map(|note| Standing::from(note.severity)).max();
    state = state.max(worst_note.unwrap_or(Standing::Operational));
    if lines.is_empty() && is_recovering {
        state = state.max(Standing::Degraded);
        lines.push("Recovering: what failed works again, and is being watched.".to_owned());
    }
    if lines.is_empty() {
        lines.push(match state {
            Standing::Operational => "Everything that the router watches works.".to_owned(),
            _ => "The operator has something to say; what the router watches works.".to_owned(),
        });
    }
    lines.extend(apps_line(components, Standing::Maintenance));
    (state, lines)
}

/// `shop, blog and 2 other apps are down.`
fn apps_line(components: &[Component], standing: Standing) -> Option<String> {
    let is_so = |at: &&Component| at.kind == ComponentKind::App && at.state == standing;
    let names: Vec<&str> = components
        .iter()
        .filter(is_so)
        .map(|at| at.name.as_str())
        .collect();
    let (verb, what) = match (names.len(), standing) {
        (0, _) => return None,
        (1, Standing::Maintenance) => ("is", "in maintenance"),
        (_, Standing::Maintenance) => ("are", "in maintenance"),
        (1, Standing::Degraded) => ("is", "degraded"),
        (_, Standing::Degraded) => ("are", "degraded"),
        (1, _) => ("is", "down"),
        (_, _) => ("are", "down"),
    };
    let who = match names.split_at_checked(NAMES) {
        Some((first, [_])) => format!("{} and 1 other app", first.join(", ")),
        Some((first, [_, _, ..])) => {
            let rest = names.len() - first.len();
            format!("{} and {rest} other apps", first.join(", "))
        }
        _ => match names.split_last() {
            Some((last, first)) if !first.is_empty() => {
                format!("{} and {last}", first.join(", "))
            }
            _ => names.join(""),
        },
    };
    Some(format!("{who} {verb} {what}."))
}

#[cfg(test)]
mod tests {
    use api::{
        ids::{AppId, StatusNoteId},
        status_notes::{PostedNote, Severity},
    };

    use super::*;
    use crate::{
        status::{
            history::History,
            model::{AppSight, Sight},
        },
        wire::AppState,
    };

    const NOON: Time = Time::from_micros(1_771_502_400_000_000);

    fn apps(states: &[AppState]) -> Vec<AppSight> {
        let app = |(number, state): (usize, &AppState)| AppSight {
            id: AppId::new(),
            name: format!("app-{number}"),
            state: *state,
            total: crate::status::judge::Counts::default(),
        };
        states.iter().enumerate().map(app).collect()
    }

    fn note(severity: Severity, app: Option<AppId>) -> PostedNote {
        PostedNote {
            id: StatusNoteId::new(),
            text: "Disks are replaced".to_owned(),
            severity,
            app,
            until: Some(NOON.after(Duration::from_hours(1))),
            created_at: NOON,
            updated_at: NOON,
        }
    }

    fn fine() -> Sight {
        Sight {
            has_routes: true,
            hears_server: true,
            ..Sight::default()
        }
    }

    fn seen(sight: Sight) -> Model {
        let mut model = Model::new(History::default(), NOON);
        model.observe(sight, NOON);
        model
    }

    fn check(sight: Sight, state: Standing, lines: &[&str]) {
        let status = report(&seen(sight), NOON, false);
        assert_eq!(
            (status.state, &status.summary[..]),
            (
                state,
                &lines
                    .iter()
                    .map(|line| (*line).to_owned())
                    .collect::<Vec<_>>()[..]
            )
        );
    }

    #[test]
    fn all_is_well_only_if_everybody_says_so() {
        let well = "Everything that the router watches works.";
        check(fine(), Standing::Operational, &[well]);
        let asleep = apps(&[AppState::Asleep, AppState::Blank, AppState::Serving]);
        let sight = Sight {
            apps: asleep,
            ..fine()
        };
        check(sight, Standing::Operational, &[well]);
        let sight = Sight {
            hears_server: false,
            ..fine()
        };
        let silent = "No word from the control plane since the router started, 12:00 UTC on 19 \
                      February (0 seconds).";
        check(sight, Standing::NoWord, &[silent]);
        let sight = Sight {
            apps: apps(&[AppState::Crashed; 5]),
            hears_server: false,
            ..fine()
        };
        let down = "app-0, app-1, app-2 and 2 other apps are down.";
        check(sight, Standing::Down, &[silent, down]);
        let sight = Sight {
            has_routes: false,
            ..fine()
        };
        let lost = "Router: It knows no routes yet: no app can be reached.";
        check(sight, Standing::Down, &[lost]);
        let model = Model::new(History::default(), NOON);
        let status = report(&model, NOON, false);
        assert_eq!(status.state, Standing::Unknown);
        let status = report(&seen(fine()), NOON.after(Duration::from_mins(5)), true);
        assert_eq!(status.state, Standing::NoWord);
        assert!(status.summary[0].contains("(5 minutes)"), "{status:?}");
    }

    #[test]
    fn apps_are_named() {
        let states = [AppState::Crashed, AppState::Booting, AppState::Booting];
        let sight = Sight {
            apps: apps(&states),
            ..fine()
        };
        let lines = ["app-0 is down.", "app-1 and app-2 are degraded."];
        check(sight, Standing::Down, &lines);
        let sight = Sight {
            apps: apps(&[AppState::Maintenance]),
            ..fine()
        };
        let well = "Everything that the router watches works.";
        check(
            sight,
            Standing::Operational,
            &[well, "app-0 is in maintenance."],
        );
        let states = [AppState::Crashed; 4];
        let sight = Sight {
            apps: apps(&states),
            ..fine()
        };
        let line = "app-0, app-1, app-2 and 1 other app are down.";
        check(sight, Standing::Down, &[line]);
    }

    #[test]
    fn a_note_counts_until_it_is_over_and_only_of_apps_that_are_shown() {
        let shown = apps(&[AppState::Serving]);
        let own = shown[0].id;
        let sight = Sight {
            apps: shown,
            notes: vec![
                note(Severity::Degraded, None),
                note(Severity::Info, Some(own)),
                note(Severity::Down, Some(AppId::new())),
            ],
            ..fine()
        };
        let said = "The operator has something to say; what the router watches works.";
        check(sight.clone(), Standing::Degraded, &[said]);
        let model = seen(sight);
        let about = |now| {
            let notes = report(&model, now, false).notes;
            notes.into_iter().map(|note| note.app).collect::<Vec<_>>()
        };
        assert_eq!(about(NOON), [None, Some("app-0".to_owned())]);
        assert!(about(NOON.after(Duration::from_hours(1))).is_empty());
    }
}
