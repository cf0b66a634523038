//! What `heroku status` asks: `/api/v4/current-status`. The CLI prints each system in the colour that
//! its state is, and fails on a state that is no colour. Pure.

use api::status::{Component, ComponentKind, Incident, Note, Standing, Status};
use serde_json::{Value, json};

/// Incidents of the present, as the CLI lists them.
pub(super) fn current(status: &Status, base: &str) -> Value {
    let of = |is_it: &dyn Fn(&Component) -> bool| {
        let found = status.components.iter().filter(|at| is_it(at));
        let worst = found.map(|at| at.state).filter(|at| at.is_trouble()).max();
        worst.unwrap_or(Standing::Operational)
    };
    let noted = status
        .notes
        .iter()
        .map(|note| Standing::from(note.severity));
    let noted = noted.max().unwrap_or(Standing::Operational);
    // Whatever is wrong with apps, the router or the page itself is so for whoever asks for an app.
    let apps = of(&|at| at.kind != ComponentKind::ControlPlane).max(noted);
    let apps = match status.state {
        Standing::Unknown => Standing::Unknown,
        _ => apps,
    };
    let tools = of(&|at| at.kind == ComponentKind::ControlPlane);
    let system = |name: &str, standing| json!({ "system": name, "status": colour(standing) });
    let open = status.incidents.iter().filter(|at| at.ended_at.is_none());
    let incidents = open.map(|at| incident(at, base));
    let notes = status.notes.iter().map(|at| note(at, base));
    json!({
        "status": [system("Apps", apps), system("Tools", tools)],
        "incidents": notes.chain(incidents).collect::<Vec<_>>(),
        "scheduled": [],
    })
}

fn colour(standing: Standing) -> &'static str {
    match standing {
        Standing::Operational | Standing::Asleep => "green",
        Standing::Maintenance => "blue",
        Standing::Unknown | Standing::Degraded => "yellow",
        // Nobody may take it for green.
        Standing::NoWord | Standing::Down => "red",
    }
}

fn incident(incident: &Incident, base: &str) -> Value {
    json!({
        "title": format!("{}: {}", incident.component, incident.state),
        "created_at": incident.began_at.to_rfc3339(),
        "full_url": base,
        "updates": [{
            "update_type": "issue",
            "updated_at": incident.began_at.to_rfc3339(),
            "contents": incident.what,
        }],
    })
}

fn note(note: &Note, base: &str) -> Value {
    json!({
        "title": note.app.as_deref().unwrap_or("From the operator"),
        "created_at": note.created_at.to_rfc3339(),
        "full_url": base,
        "updates": [{
            "update_type": Standing::from(note.severity).to_string(),
            "updated_at": note.updated_at.to_rfc3339(),
            "contents": note.text,
        }],
    })
}
