//! What the router shall do with an app's requests.

use std::net::SocketAddr;

use api::ids::{AppId, DynoId, ReleaseId};
use router::wire::{AppExtras, AppRoutes, AppState as Answer, AppTls, Backend, SleepTicket};

use super::{AppState, DynoView, Stage};

/// What routing needs beside the [`AppState`].
#[derive(Clone, Debug)]
pub struct RouteInputs {
    /// The app.
    pub app: AppId,
    /// Its domains, lower case.
    pub hosts: Vec<String>,
    /// Whether the maintenance page is on.
    pub is_in_maintenance: bool,
    /// What it asks of its clients.
    pub tls: AppTls,
    /// What it asks of the router beyond routing.
    pub extras: Option<Box<AppExtras>>,
}

/// The routes of one app; `address` tells where a dyno listens.
pub fn routes(
    inputs: &RouteInputs,
    app: &AppState,
    address: impl Fn(DynoId) -> Option<SocketAddr>,
) -> AppRoutes {
    let backends: Vec<Backend> = answering(app)
        .into_iter()
        .filter_map(|dyno| {
            Some(Backend {
                dyno: dyno.id,
                name: api::names::DynoName::new(&dyno.process_type, dyno.number),
                address: address(dyno.id)?,
                sleep: ticket(app, dyno.id),
            })
        })
        .collect();
    AppRoutes {
        app: inputs.app,
        name: app.name.clone(),
        hosts: inputs.hosts.clone(),
        state: answer(inputs, app, !backends.is_empty()),
        backends,
        tls: inputs.tls.clone(),
        extras: inputs.extras.clone(),
    }
}

fn ticket(app: &AppState, dyno: DynoId) -> Option<SleepTicket> {
    app.sleep.ticket(dyno).map(|(ticket, socket)| SleepTicket {
        ticket,
        socket,
        wake_line: engine::wake_line(ticket),
    })
}

/// Web dynos that take requests: those of the serving release, or while none of them answers,
/// those of an older one that still do. Those whose readiness check fails are left out, unless that
/// leaves nobody.
pub(super) fn answering(app: &AppState) -> Vec<&DynoView> {
    let Some(current) = app.current.as_ref().filter(|_| !app.sleep.is_stopped()) else {
        return Vec::new();
    };
    let up = |dyno: &&DynoView| {
        dyno.process_type.is_web()
            && !dyno.is_release_phase
            && !dyno.is_retired
            && dyno.stage == Stage::Up
            && dyno.release <= current.id
    };
    let of_current: Vec<&DynoView> = app
        .dynos
        .iter()
        .filter(up)
        .filter(|dyno| dyno.release == current.id)
        .collect();
    let mut answering = if of_current.is_empty() {
        app.dynos.iter().filter(up).collect()
    } else {
        of_current
    };
    if answering.iter().any(|dyno| dyno.is_ready) {
        answering.retain(|dyno| dyno.is_ready);
    }
    answering
}

/// The release whose web dynos answer, which is not the current one until its dynos do; without any,
/// the one that would. Its files are shown.
pub fn answering_release(app: &AppState) -> Option<ReleaseId> {
    let answering = answering(app).into_iter().map(|dyno| dyno.release).max();
    answering.or(app.current.as_ref().map(|release| release.id))
}

fn answer(inputs: &RouteInputs, app: &AppState, has_backends: bool) -> Answer {
    if inputs.is_in_maintenance {
        return Answer::Maintenance;
    }
    if app.sleep.is_stopped() {
        return Answer::Asleep;
    }
    if has_backends {
        return Answer::Serving;
    }
    let Some(current) = &app.current else {
        return Answer::Blank;
    };
    if !current.has_slug {
        return Answer::Blank;
    }
    let Some(web) = current
        .process_types
        .keys()
        .find(|process_type| process_type.is_web())
    else {
        return Answer::NoWebDynos;
    };
    if app.quantity(web) == 0 {
        return Answer::NoWebDynos;
    }
    let crashed = app.dynos.iter().any(|dyno| {
        dyno.process_type.is_web()
            && dyno.release == current.id
            && !dyno.is_retired
            && dyno.crash_count > 0
    });
    if crashed {
        Answer::Crashed
    } else {
        Answer::Booting
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use api::{clock::Time, names::ProcessType};

    use super::*;
    use crate::plan::{FormationView, ReleaseView, sleep::SleepView};

    fn web() -> ProcessType {
        "web".parse().unwrap()
    }

    fn release(has_web: bool) -> ReleaseView {
        let process_types = if has_web {
            BTreeMap::from([(web(), "run".to_owned())])
        } else {
            BTreeMap::new()
        };
        ReleaseView {
            startup: BTreeMap::new(),
            id: ReleaseId::new(),
            version: 1,
            has_slug: true,
            process_types,
        }
    }

    fn app(current: Option<&ReleaseView>, dynos: Vec<DynoView>) -> AppState {
        AppState {
            name: "example".parse().unwrap(),
            current: current.cloned(),
            pending: None,
            formation: BTreeMap::new(),
            dynos,
            boot_timeout: Duration::from_mins(1),
            boots_at_once: 2,
            cycle_every: None,
            sleep: SleepView::awake(AppId::new()),
        }
    }

    fn dyno(release: &ReleaseView, stage: Stage) -> DynoView {
        DynoView {
            id: DynoId::new(),
            release: release.id,
            process_type: web(),
            number: 1,
            size: crate::sizes::DEFAULT_SIZE.to_owned(),
            is_release_phase: false,
            stage,
            is_retired: false,
            is_ready: true,
            since: Time::default(),
            crash_count: 0,
        }
    }

    fn check(app: &AppState, state: Answer, backends: &[DynoId]) {
        let inputs = RouteInputs {
            app: AppId::new(),
            hosts: vec!["example.localhost".to_owned()],
            is_in_maintenance: false,
            tls: AppTls::default(),
            extras: None,
        };
        let routes = routes(&inputs, app, |_| Some(([10, 0, 0, 1], 5000).into()));
        assert_eq!(routes.state, state);
        assert_eq!(
            routes.backends.iter().map(|b| b.dyno).collect::<Vec<_>>(),
            backends
        );
    }

    #[test]
    fn requests_go_to_dynos_of_the_serving_release_that_answer() {
        let old = release(true);
        let new = release(true);
        let leaving = dyno(&old, Stage::Up);
        let serving = dyno(&new, Stage::Up);
        let booting = dyno(&new, Stage::Starting);
        let all = vec![leaving.clone(), serving.clone(), booting.clone()];
        check(&app(Some(&new), all), Answer::Serving, &[serving.id]);
        check(
            &app(Some(&new), vec![leaving.clone(), booting]),
            Answer::Serving,
            &[leaving.id],
        );
        check(
            &app(Some(&old), vec![leaving.clone(), serving]),
            Answer::Serving,
            &[leaving.id],
        );
    }

    #[test]
    fn files_are_of_the_release_that_answers() {
        let (old, new) = (release(true), release(true));
        let (leaving, serving) = (dyno(&old, Stage::Up), dyno(&new, Stage::Up));
        let booting = dyno(&new, Stage::Starting);
        let check = |dynos: &[&DynoView], expected: &ReleaseView| {
            let app = app(
                Some(&new),
                dynos.iter().map(|dyno| (*dyno).clone()).collect(),
            );
            assert_eq!(answering_release(&app), Some(expected.id));
        };
        check(&[&leaving, &booting], &old);
        check(&[&leaving, &serving], &new);
        check(&[&booting], &new);
        check(&[], &new);
        assert_eq!(answering_release(&app(None, vec![])), None);
    }

    #[test]
    fn a_dyno_that_is_not_ready_takes_requests_only_if_none_is() {
        let current = release(true);
        let ready = dyno(&current, Stage::Up);
        let unready = DynoView {
            is_ready: false,
            ..dyno(&current, Stage::Up)
        };
        let both = vec![unready.clone(), ready.clone()];
        check(&app(Some(&current), both), Answer::Serving, &[ready.id]);
        let alone = vec![unready.clone()];
        check(&app(Some(&current), alone), Answer::Serving, &[unready.id]);
    }

    #[test]
    fn without_backends_the_answer_says_why() {
        let blank = ReleaseView {
            has_slug: false,
            ..release(false)
        };
        let silent = release(false);
        let current = release(true);
        check(&app(None, vec![]), Answer::Blank, &[]);
        check(&app(Some(&blank), vec![]), Answer::Blank, &[]);
        check(&app(Some(&silent), vec![]), Answer::NoWebDynos, &[]);
        check(
            &app(Some(&current), vec![dyno(&current, Stage::Starting)]),
            Answer::Booting,
            &[],
        );
        let ended = Stage::Ended {
            status: 1,
            is_out_of_memory: false,
        };
        let crashed = DynoView {
            crash_count: 1,
            ..dyno(&current, ended)
        };
        check(&app(Some(&current), vec![crashed]), Answer::Crashed, &[]);
        let mut idle = app(Some(&current), vec![]);
        let size = crate::sizes::DEFAULT_SIZE.to_owned();
        idle.formation
            .insert(web(), FormationView { quantity: 0, size });
        check(&idle, Answer::NoWebDynos, &[]);
    }
}
