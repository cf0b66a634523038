//! `landfall router`: the data plane, a process of its own.

use std::{os::fd::AsFd, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use api::clock::Clock;
use router::Sockets;

use crate::{
    authority::Authority,
    config::{Choices, Config, Surroundings},
    wiring,
};

/// Arguments of `landfall router`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choices: Choices,
    /// Started by `landfall up`: end with it
    #[arg(long, hide = true)]
    supervised: bool,
    /// Standard input brings the listening sockets
    #[arg(long, hide = true)]
    sockets_on_stdin: bool,
}

/// Runs until SIGTERM, or until another one on the same data directory has taken over.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let config = super::config(arguments.choices)?;
    super::start_logging(&config)?;
    engine_local::cgroup::precede_dynos();
    let clock = Clock::system();
    let authority = Authority::open(&config.data.join("ca"), wiring::names(&config), clock)?;
    let mut router = router_config(&config, &authority);
    if arguments.sockets_on_stdin {
        let parent = std::io::stdin().as_fd().try_clone_to_owned()?;
        let sockets = Sockets::receive(&parent).context("cannot take the listening sockets")?;
        router.sockets = Some(Arc::new(sockets));
        router.parent = Some(Arc::new(parent.into()));
    } else if let Some(names) = activated_by_systemd(&Surroundings::of_this_process()) {
        let sockets = Sockets::activated(&names).context("cannot take the sockets of systemd")?;
        router.sockets = Some(Arc::new(sockets));
    }
    router::run(router)?;
    Ok(ExitCode::SUCCESS)
}

/// The names of the sockets that systemd passed to this process (`sd_listen_fds(3)`), if it did.
fn activated_by_systemd(surroundings: &Surroundings) -> Option<String> {
    let variable = |name: &str| surroundings.variables.get(name);
    let is_ours = variable("LISTEN_PID")?.parse() == Ok(std::process::id());
    variable("LISTEN_FDNAMES").filter(|_| is_ours).cloned()
}

fn router_config(config: &Config, authority: &Authority) -> router::RouterConfig {
    router::RouterConfig {
        certificate: authority.certificate(),
        key: authority.key(),
        http: config.http,
        https: config.https,
        metrics: config.metrics,
        traces: config.traces.settings(),
        threads: config.threads,
        status: router::StatusConfig {
            hosts: config.status_hosts(),
            url: format!("{}/", config.status_url(config.http, config.https)),
            history: config.data.join("router/status.log"),
        },
        give_back: Some(engine_local::give_back_memory),
        ..router::RouterConfig::new(&config.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_systemd_are_taken_by_the_process_they_are_meant_for() {
        let check = |pid: u32, expected: Option<&str>| {
            let variables = [
                ("LISTEN_PID", pid.to_string()),
                ("LISTEN_FDS", "2".to_owned()),
                ("LISTEN_FDNAMES", "http:https".to_owned()),
            ];
            let surroundings = Surroundings {
                variables: variables
                    .map(|(name, value)| (name.to_owned(), value))
                    .into(),
                ..Surroundings::default()
            };
            assert_eq!(activated_by_systemd(&surroundings).as_deref(), expected);
        };
        check(std::process::id(), Some("http:https"));
        check(1, None);
        assert_eq!(activated_by_systemd(&Surroundings::default()), None);
    }
}
