//! The routes file after kills, damage and rewriting.

use std::collections::BTreeMap;

use api::ids::AppId;

use super::*;
use crate::wire::{AppRoutes, AppState, AppTls, RouteTable};

struct Desk {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("router/routes.json");
        Self {
            _directory: directory,
            path,
        }
    }

    /// What the file says in the end: version, and each app's hosts.
    fn load(&self) -> (Saved, u64, BTreeMap<AppId, String>) {
        let mut apps = BTreeMap::new();
        let (saved, version) = Saved::open(&self.path, |said| match said {
            Said::Set(Entry::App(routes)) => {
                apps.insert(routes.app, routes.hosts.concat());
            }
            Said::Unset(EntryKey::App(app)) => drop(apps.remove(&app)),
            other => panic!("nobody said {other:?}"),
        })
        .unwrap();
        (saved, version, apps)
    }
}

/// Writes one version.
fn write(saved: &mut Saved, version: u64, entries: &[Entry], gone: &[AppId]) {
    let mut draft = Draft::default();
    for entry in entries {
        draft.set(version, entry.key(), &serde_json::to_vec(entry).unwrap());
    }
    for app in gone {
        draft.unset(version, EntryKey::App(*app));
    }
    saved.write(draft, version).unwrap();
}

fn app(app: AppId, host: &str) -> Entry {
    Entry::App(AppRoutes {
        app,
        name: "example".parse().unwrap(),
        hosts: vec![host.to_owned()],
        state: AppState::Blank,
        backends: Vec::new(),
        tls: AppTls::default(),
        extras: None,
    })
}

#[test]
fn what_was_written_is_read_and_damage_costs_one_line() {
    let desk = Desk::new();
    let (one, two) = (AppId::new(), AppId::new());
    let (mut saved, version, apps) = desk.load();
    assert_eq!((version, apps.len()), (0, 0));
    write(&mut saved, 5, &[app(one, "old"), app(two, "two")], &[]);
    write(&mut saved, 6, &[app(one, "new")], &[]);
    let mode = fs::metadata(&desk.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (_, version, apps) = desk.load();
    assert_eq!(version, 6);
    assert_eq!(
        apps,
        BTreeMap::from([(one, "new".into()), (two, "two".into())])
    );

    // One letter of the newest line is another one: that app is as it was before.
    let text = fs::read_to_string(&desk.path).unwrap();
    fs::write(&desk.path, text.replace("new", "mew")).unwrap();
    let (_, _, apps) = desk.load();
    assert_eq!(
        apps,
        BTreeMap::from([(one, "old".into()), (two, "two".into())])
    );

    // Cut off within the last line, as when killed: what follows is whole again.
    fs::write(&desk.path, &text.as_bytes()[..text.len() - 9]).unwrap();
    let (mut saved, _, apps) = desk.load();
    assert_eq!(apps[&two], "two");
    write(&mut saved, 7, &[], &[two]);
    let (_, version, apps) = desk.load();
    assert_eq!((version, apps.get(&two)), (7, None));
}

#[test]
fn any_cut_leaves_a_file_that_says_what_was_whole() {
    let desk = Desk::new();
    let (mut saved, ..) = desk.load();
    let ids = [AppId::new(), AppId::new(), AppId::new()];
    for (version, id) in (1..).zip(ids) {
        write(&mut saved, version, &[app(id, "host")], &[]);
    }
    let bytes = fs::read(&desk.path).unwrap();
    for end in 0..bytes.len() {
        fs::write(&desk.path, &bytes[..end]).unwrap();
        let whole = bytes[..end].split(|byte| *byte == b'\n').count() - 1;
        let (_, _, apps) = desk.load();
        assert_eq!(apps.len(), whole, "cut at {end}");
    }
}

#[test]
fn the_file_is_written_anew_while_lines_come() {
    let desk = Desk::new();
    let (mut saved, ..) = desk.load();
    let ids: Vec<_> = (0..100).map(|_| AppId::new()).collect();
    let mut version = 0;
    while saved.length <= SMALL_BYTES {
        version += 1;
        let all = ids.iter().map(|id| app(*id, &format!("v{version}")));
        write(&mut saved, version, &all.collect::<Vec<_>>(), &[]);
    }
    let task = saved.task().unwrap();
    // Written after the task began, before it ended.
    let late = [app(ids[3], "late")];
    write(&mut saved, version + 1, &late, &[ids[4]]);
    saved.finish(task.run()).unwrap();
    write(&mut saved, version + 2, &[app(ids[5], "later")], &[]);
    assert!(fs::metadata(&desk.path).unwrap().len() < SMALL_BYTES / 10);
    let (again, found, apps) = desk.load();
    assert_eq!((found, apps.len()), (version + 2, 99));
    assert_eq!(apps[&ids[3]], "late");
    assert_eq!(apps[&ids[5]], "later");
    assert_eq!(apps[&ids[6]], format!("v{version}"));
    assert_eq!((again.length, again.live), (saved.length, saved.live));
    assert_eq!(again.places, saved.places);
}

#[test]
fn what_a_former_release_wrote_is_taken_over_entry_by_entry() {
    let desk = Desk::new();
    let (one, two) = (AppId::new(), AppId::new());
    let table = RouteTable {
        version: 3,
        apps: [(one, "one"), (two, "two")]
            .map(|(id, host)| match app(id, host) {
                Entry::App(routes) => routes,
                other => panic!("{other:?} is no app"),
            })
            .into(),
        ..RouteTable::default()
    };
    let text = serde_json::to_string(&table).unwrap();
    fs::create_dir_all(desk.path.parent().unwrap()).unwrap();
    fs::write(&desk.path, text.replace("[\"one\"]", "7")).unwrap();
    for _ in 0..2 {
        let (_, version, apps) = desk.load();
        assert_eq!((version, apps), (3, BTreeMap::from([(two, "two".into())])));
    }
    // Nonsense is no reason not to start.
    fs::write(&desk.path, "{\"version\":3").unwrap();
    let (mut saved, version, apps) = desk.load();
    assert_eq!((version, apps.len()), (0, 0));
    write(&mut saved, 9, &[app(one, "one")], &[]);
    assert_eq!(desk.load().2.len(), 1);
}
