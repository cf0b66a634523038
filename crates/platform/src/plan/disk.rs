//! What of the disk can be given back, and when builds must wait for room. Pure.
//!
//! Never given back: a slug that serves, is being released, is run by a dyno or can be rolled back
//! to, and its layers; the layers of sources that can be built again; what a build used lately.
//! Read [`plan`] first.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use api::{
    clock::Time,
    ids::{AppId, SlugId},
};

/// Releases of an app that can be rolled back to, counted by their different slugs.
pub const KEPT_SLUGS: usize = 10;
/// Builds of an app whose source is kept.
pub const KEPT_SOURCES: usize = 10;
/// A slug that was never released is kept so long.
const UNRELEASED_FOR: Duration = Duration::from_hours(7 * 24);
/// A layer that nobody needs is kept so long after a build used it, as long as there is room.
const UNUSED_FOR: Duration = Duration::from_hours(7 * 24);
/// And when there is none: longer than a build and the release after it take.
const IN_USE_FOR: Duration = Duration::from_hours(1);
/// Room is made before builds are refused: at so many times the reserve.
const EARLY: u64 = 2;

/// What is on the disk and who needs it.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// The slugs that are not given up.
    pub slugs: Vec<SlugView>,
    /// The releases of all apps.
    pub releases: Vec<ReleaseView>,
    /// App → layers of its builds' sources, the newest first.
    pub sources: BTreeMap<AppId, Vec<String>>,
    /// The layers in place.
    pub layers: Vec<LayerView>,
    /// How much room there is.
    pub room: Room,
}

/// A slug as the planner sees it.
#[derive(Clone, Debug)]
pub struct SlugView {
    /// Its id.
    pub id: SlugId,
    /// Whose it is.
    pub app: AppId,
    /// Its layers.
    pub layers: Vec<String>,
    /// When it was made, or its archive came.
    pub updated_at: Time,
}

/// A release as the planner sees it.
#[derive(Clone, Debug)]
pub struct ReleaseView {
    /// Of which app.
    pub app: AppId,
    /// Its number.
    pub version: u64,
    /// What it releases.
    pub slug: SlugId,
    /// It serves, is being brought live, or a dyno runs it.
    pub is_in_use: bool,
    /// It went live once.
    pub has_succeeded: bool,
}

/// A layer as the planner sees it.
#[derive(Clone, Debug)]
pub struct LayerView {
    /// Its key.
    pub key: String,
    /// What its files come to.
    pub size_bytes: u64,
    /// When a build last found or made it.
    pub used_at: Time,
}

/// The file system that builds write to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Files that can still be made; `u64::MAX` where the file system does not count them.
    pub free_files: u64,
    /// What must stay free for everything but builds.
    pub reserve_bytes: u64,
}

/// Something to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Give up a slug; its layers go in a later pass, if nobody else needs them.
    GiveUp(AppId, SlugId),
    /// Remove a layer, unless a build has used it since.
    Remove {
        /// Its key.
        key: String,
        /// A build that used it since then keeps it.
        since: Time,
    },
}

/// Files that a build may need.
const RESERVE_FILES: u64 = 50_000;

impl Room {
    /// Why there is no room for builds, if so.
    pub fn refusal(&self) -> Option<String> {
        let tenths = |bytes: u64| {
            let tenths = bytes / (1 << 20) * 10 / 1024;
            format!("{}.{} GiB", tenths / 10, tenths % 10)
        };
        if self.free_bytes < self.reserve_bytes {
            return Some(format!(
                "The disk is nearly full: {} are free, and {} are kept for what runs. Apps go on \
                 running; builds are refused. hint: the operator can free room, or change \
                 LANDFALL_DISK_RESERVE_MB.",
                tenths(self.free_bytes),
                tenths(self.reserve_bytes)
            ));
        }
        (self.reserve_bytes > 0 && self.free_files < RESERVE_FILES).then(|| {
            format!(
                "The disk is nearly full: only {} more files can be made on it. Apps go on running; \
                 builds are refused. hint: the operator can remove files.",
                self.free_files
            )
        })
    }

    fn is_short(&self) -> bool {
        self.free_bytes < self.reserve_bytes.saturating_mul(EARLY) || self.refusal().is_some()
    }
}

/// What to give back now.
pub fn plan(holdings: &Holdings, now: Time) -> Vec<Step> {
    let kept = kept_slugs(holdings, now);
    let mut steps: Vec<Step> = holdings
        .slugs
        .iter()
        .filter(|slug| !kept.contains(&slug.id))
        .map(|slug| Step::GiveUp(slug.app, slug.id))
        .collect();
    // Also the layers of slugs that are only now given up: the store may still refuse that.
    let mut needed: BTreeSet<&str> = holdings
        .slugs
        .iter()
        .flat_map(|slug| slug.layers.iter().map(String::as_str))
        .collect();
    for sources in holdings.sources.values() {
        let newest = distinct(sources.iter().map(String::as_str), KEPT_SOURCES);
        needed.extend(newest);
    }
    let unused_for = if holdings.room.is_short() {
        IN_USE_FOR
    } else {
        UNUSED_FOR
    };
    let since = now.before(unused_for);
    let unneeded = holdings
        .layers
        .iter()
        .filter(|layer| !needed.contains(layer.key.as_str()) && layer.used_at < since);
    steps.extend(unneeded.map(|layer| Step::Remove {
        key: layer.key.clone(),
        since,
    }));
    steps
}

fn kept_slugs(holdings: &Holdings, now: Time) -> BTreeSet<SlugId> {
    let mut by_app: BTreeMap<AppId, Vec<&ReleaseView>> = BTreeMap::new();
    for release in &holdings.releases {
        by_app.entry(release.app).or_default().push(release);
    }
    let mut kept = BTreeSet::new();
    let mut released = BTreeSet::new();
    for releases in by_app.values_mut() {
        releases.sort_by_key(|release| std::cmp::Reverse(release.version));
        released.extend(releases.iter().map(|release| release.slug));
        let in_use = releases.iter().filter(|release| release.is_in_use);
        kept.extend(in_use.map(|release| release.slug));
        let succeeded = releases.iter().filter(|release| release.has_succeeded);
        kept.extend(distinct(succeeded.map(|release| release.slug), KEPT_SLUGS));
    }
    for slug in &holdings.slugs {
        let keep_for = if released.contains(&slug.id) {
            IN_USE_FOR
        } else {
            UNRELEASED_FOR
        };
        if slug.updated_at.after(keep_for) > now {
            kept.insert(slug.id);
        }
    }
    kept
}

/// The first `count` different ones.
fn distinct<T: Copy + Ord>(all: impl Iterator<Item = T>, count: usize) -> BTreeSet<T> {
    let mut first = BTreeSet::new();
    for one in all {
        if first.len() == count {
            break;
        }
        first.insert(one);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1_790_000_000_000_000);
    const HOUR: Duration = Duration::from_hours(1);
    const WIDE: Room = Room {
        free_bytes: 100 << 30,
        free_files: u64::MAX,
        reserve_bytes: 1 << 30,
    };

    /// One app with a slug and a release a day, the newest today; slug `n` has the layers `n` and
    /// `all`, and its release is in use as `is_in_use` says.
    fn app(slugs: usize, is_in_use: impl Fn(usize) -> bool) -> (Holdings, Vec<SlugId>) {
        let app = AppId::new();
        let mut holdings = Holdings {
            room: WIDE,
            ..Holdings::default()
        };
        let ids: Vec<_> = (0..slugs).map(|_| SlugId::new()).collect();
        for (n, id) in ids.iter().enumerate() {
            let days = u32::try_from(slugs - n).unwrap();
            let at = NOW.before(HOUR * 24 * days);
            holdings.slugs.push(SlugView {
                id: *id,
                app,
                layers: vec![n.to_string(), "all".into()],
                updated_at: at,
            });
            holdings.releases.push(ReleaseView {
                app,
                version: n as u64 + 1,
                slug: *id,
                is_in_use: is_in_use(n),
                has_succeeded: true,
            });
            for key in [n.to_string(), "all".into()] {
                holdings.layers.retain(|layer| layer.key != key);
                holdings.layers.push(LayerView {
                    key,
                    size_bytes: 0,
                    used_at: at,
                });
            }
        }
        (holdings, ids)
    }

    fn given_up(holdings: &Holdings) -> Vec<SlugId> {
        let steps = plan(holdings, NOW).into_iter();
        steps
            .filter_map(|step| match step {
                Step::GiveUp(_, slug) => Some(slug),
                Step::Remove { .. } => None,
            })
            .collect()
    }

    fn removed(holdings: &Holdings) -> Vec<String> {
        let steps = plan(holdings, NOW).into_iter();
        steps
            .filter_map(|step| match step {
                Step::GiveUp(..) => None,
                Step::Remove { key, .. } => Some(key),
            })
            .collect()
    }

    #[test]
    fn slugs_that_can_be_rolled_back_to_or_run_are_kept() {
        let (holdings, ids) = app(14, |n| n == 1 || n == 13);
        assert_eq!(given_up(&holdings), [ids[0], ids[2], ids[3]]);
        assert_eq!(
            removed(&holdings),
            Vec::<String>::new(),
            "not before they are given up"
        );
        let (few, _) = app(KEPT_SLUGS, |_| false);
        assert!(given_up(&few).is_empty());
    }

    #[test]
    fn rolling_back_often_does_not_push_slugs_out() {
        let (mut holdings, ids) = app(KEPT_SLUGS, |_| false);
        for version in 100..150 {
            let slug = ids[usize::try_from(version).unwrap() % 2];
            let again = ReleaseView {
                version,
                slug,
                ..holdings.releases[0].clone()
            };
            holdings.releases.push(again);
        }
        assert!(given_up(&holdings).is_empty());
    }

    #[test]
    fn failed_releases_keep_nothing_and_unreleased_slugs_a_week() {
        let (mut holdings, ids) = app(4, |_| false);
        holdings.releases[1].has_succeeded = false;
        assert_eq!(given_up(&holdings), [ids[1]]);
        holdings.slugs[1].updated_at = NOW.before(HOUR / 2);
        assert!(given_up(&holdings).is_empty(), "it may be on its way");
        let (mut holdings, ids) = app(9, |_| false);
        holdings.releases.clear();
        assert_eq!(given_up(&holdings), ids[..3], "those older than a week");
    }

    #[test]
    fn layers_that_nobody_needs_go_and_sooner_when_room_is_short() {
        let (mut holdings, _) = app(1, |_| true);
        let layer = |key: &str, hours: u32| LayerView {
            key: key.into(),
            size_bytes: 0,
            used_at: NOW.before(HOUR * hours),
        };
        holdings
            .layers
            .extend([layer("old", 200), layer("recent", 3), layer("new", 0)]);
        holdings
            .layers
            .extend([layer("source", 200), layer("old-source", 200)]);
        let mut sources: Vec<String> = (0..KEPT_SOURCES - 1).map(|n| format!("s{n}")).collect();
        sources.insert(3, "s1".into());
        sources.extend(["source".into(), "old-source".into()]);
        holdings.sources.insert(AppId::new(), sources);
        assert_eq!(removed(&holdings), ["old", "old-source"]);
        holdings.room.free_bytes = (1 << 30) + 5;
        assert_eq!(removed(&holdings), ["old", "recent", "old-source"]);
    }

    #[test]
    fn a_layer_that_a_kept_slug_shares_stays() {
        let (mut holdings, _) = app(2, |_| true);
        holdings.slugs.remove(0);
        holdings.releases.remove(0);
        for layer in &mut holdings.layers {
            layer.used_at = NOW.before(HOUR * 1000);
        }
        assert_eq!(removed(&holdings), ["0"]);
    }

    #[test]
    fn builds_are_refused_before_the_disk_is_full() {
        let check = |free_bytes, free_files, expected: Option<&str>| {
            let room = Room {
                free_bytes,
                free_files,
                reserve_bytes: 1 << 30,
            };
            let refusal = room.refusal();
            let first = refusal
                .as_deref()
                .and_then(|text| text.split(", and ").next());
            assert_eq!(
                first.map(|text| text.split(" on it").next().unwrap()),
                expected
            );
        };
        check(1 << 30, u64::MAX, None);
        check(
            (1 << 30) - 1,
            u64::MAX,
            Some("The disk is nearly full: 0.9 GiB are free"),
        );
        check(
            2 << 30,
            10,
            Some("The disk is nearly full: only 10 more files can be made"),
        );
        let never = Room {
            free_bytes: 0,
            free_files: 0,
            reserve_bytes: 0,
        };
        assert_eq!(
            never.refusal(),
            None,
            "without a reserve nothing is refused"
        );
    }
}
