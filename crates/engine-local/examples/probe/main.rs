//! The confinement probe: run as a dyno, it tries what untrusted code would try, and tells.
//!
//! Each finding is a line of JSON, `{"probe": "mount", "outcome": "EPERM"}`. What each outcome
//! must be stands in `tests/confinement`, which starts it. It judges nothing itself, so that one
//! table holds all expectations. Arguments are targets that only the starter knows:
//! `connect=ADDRESS:PORT`, `greet=ADDRESS:PORT`, `udp=ADDRESS:PORT`, `ping=ADDRESS`,
//! `abstract=NAME`, `read=PATH`,
//! `path=PATH`, `setuid=PROGRAM`.

mod calls;
mod every_call;
mod network;
mod outcome;
mod surroundings;

use std::{env, io::Write};

use outcome::Outcome;

/// Tells one finding.
fn tell(probe: &str, outcome: &Outcome) {
    let line = serde_json::json!({ "probe": probe, "outcome": outcome.to_string() });
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").expect("standard output is open");
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments == ["whoami"] {
        tell("whoami", &surroundings::effective_uid());
        return;
    }
    if !surroundings::are_confined() {
        tell("refused", &Outcome::Told("this is not a dyno".to_owned()));
        return;
    }
    surroundings::tell_all();
    calls::tell_all();
    network::tell_all();
    every_call::tell_all();
    for argument in &arguments {
        let outcome = match argument.split_once('=') {
            Some(("connect", address)) => network::connect(address),
            Some(("greet", address)) => network::greet(address),
            Some(("udp", address)) => network::send(address),
            Some(("ping", address)) => network::ping(address),
            Some(("abstract", name)) => network::connect_abstract(name),
            Some(("read", path)) => surroundings::read(path),
            Some(("path", path)) => surroundings::look_at(path),
            Some(("setuid", program)) => surroundings::run_whoami(program),
            _ => Outcome::Told("not understood".to_owned()),
        };
        tell(argument, &outcome);
    }
    tell("end", &Outcome::Done);
}
