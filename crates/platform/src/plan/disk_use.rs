//! What apps take of the disk, when it will be full, and what output of builds can go. Pure.
//!
//! Read [`layer_bytes`] and [`fills_in`] first.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use api::{clock::Time, disk_use::AppDisk, ids::AppId};

use super::disk::Holdings;

/// Fewer looks than this say nothing about what comes.
const MIN_SAMPLES: usize = 6;
/// Nor do looks of less than this.
const MIN_SPAN: Duration = Duration::from_hours(3);
/// Longer than this is as good as never.
const MAX_FORECAST: Duration = Duration::from_hours(365 * 24);
/// Looks that are kept, the latest: a week of them at one an hour.
pub const KEPT_SAMPLES: usize = 7 * 24;
/// How far apart looks are that are kept.
pub const SAMPLE_EVERY: Duration = Duration::from_hours(1);

/// How much was free, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was looked.
    pub at: Time,
    /// What could still be written.
    pub free_bytes: u64,
}

/// App → bytes of the layers that it alone needs, of its slugs and of sources that are kept. What
/// apps share, such as runtimes, is nobody's.
pub fn layer_bytes(holdings: &Holdings) -> BTreeMap<AppId, u64> {
    let mut owners: BTreeMap<&str, BTreeSet<AppId>> = BTreeMap::new();
    for slug in &holdings.slugs {
        for layer in &slug.layers {
            owners.entry(layer).or_default().insert(slug.app);
        }
    }
    for (app, sources) in &holdings.sources {
        for layer in sources {
            owners.entry(layer).or_default().insert(*app);
        }
    }
    let mut bytes: BTreeMap<AppId, u64> = BTreeMap::new();
    for layer in &holdings.layers {
        let Some(apps) = owners.get(layer.key.as_str()) else {
            continue;
        };
        if let (1, Some(app)) = (apps.len(), apps.first()) {
            *bytes.entry(*app).or_default() += layer.size_bytes;
        }
    }
    bytes
}

/// How long until no more than `reserve_bytes` are free, if it goes on as in the samples, which are
/// in the order of time: the straight line that lies closest to them all. Nothing where they are too few,
/// or room does not shrink.
pub fn fills_in(samples: &[Sample], reserve_bytes: u64) -> Option<Duration> {
    let (first, last) = (samples.first()?, samples.last()?);
    if samples.len() < MIN_SAMPLES || last.at.since(first.at) < MIN_SPAN {
        return None;
    }
    let count = f64::from(u32::try_from(samples.len()).ok()?);
    let point = |sample: &Sample| {
        let seconds = sample.at.since(first.at).as_secs_f64();
        (seconds, kibibytes(sample.free_bytes))
    };
    let points: Vec<(f64, f64)> = samples.iter().map(point).collect();
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let together: f64 = points
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let slope = together / spread;
    // Also not a number, of samples all at one time.
    if slope.is_nan() || slope >= 0.0 {
        return None;
    }
    let left = kibibytes(last.free_bytes.saturating_sub(reserve_bytes));
    let forecast = Duration::try_from_secs_f64(left / -slope).ok()?;
    (forecast < MAX_FORECAST).then_some(forecast)
}

/// So that the numbers are exact up to four exabytes.
fn kibibytes(bytes: u64) -> f64 {
    let kibibytes = bytes >> 10;
    let high = u32::try_from(kibibytes >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(kibibytes & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// The samples with one more, if it is time for one.
pub fn with_sample(mut samples: Vec<Sample>, now: Sample) -> Vec<Sample> {
    let is_due = samples
        .last()
        .is_none_or(|last| now.at.since(last.at) >= SAMPLE_EVERY);
    if is_due {
        samples.push(now);
    }
    let surplus = samples.len().saturating_sub(KEPT_SAMPLES);
    samples.drain(..surplus);
    samples
}

/// Why an app may build no more until it takes less; nothing while it may.
pub fn over_quota(used: &AppDisk, quota_bytes: u64) -> Option<String> {
    if quota_bytes == 0 || used.total_bytes() <= quota_bytes {
        return None;
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    Some(format!(
        "The app takes {} MB of the disk and may take {}: layers {} MB, git repository {} MB, output of \
         builds {} MB. hint: releases beyond the last ten go by themselves; a smaller source \
         (.slugignore) or fewer dependencies help, or ask the operator (app_disk_mb).",
        mebibytes(used.total_bytes()),
        mebibytes(quota_bytes),
        mebibytes(used.layer_bytes),
        mebibytes(used.git_bytes),
        mebibytes(used.output_bytes),
    ))
}

#[cfg(test)]
mod tests {
    use api::ids::SlugId;

    use super::*;
    use crate::plan::disk::{LayerView, SlugView};

    const START: Time = Time::from_micros(1_790_000_000_000_000);
    const HOUR: Duration = Duration::from_hours(1);
    const GIB: u64 = 1 << 30;

    fn samples(free: &[u64]) -> Vec<Sample> {
        let at = |hours: usize| START.after(HOUR * u32::try_from(hours).unwrap());
        let sample = |(hours, free_bytes): (usize, &u64)| Sample {
            at: at(hours),
            free_bytes: *free_bytes,
        };
        free.iter().enumerate().map(sample).collect()
    }

    fn check(free: &[u64], expected_hours: Option<u64>) {
        let free: Vec<u64> = free.iter().map(|gib| gib * GIB).collect();
        let found = fills_in(&samples(&free), GIB);
        let hours = found.map(|time| (time.as_secs() + 1800) / 3600);
        assert_eq!(hours, expected_hours, "{free:?}");
    }

    #[test]
    fn a_disk_that_fills_is_full_when_the_line_says() {
        check(&[60, 58, 56, 54, 52, 51], Some(27));
        check(&[60, 59, 58, 57, 56, 55], Some(54));
        check(&[60, 60, 60, 60, 60, 60], None);
        check(&[50, 52, 54, 56, 58, 60], None);
        check(&[60, 50, 40, 30, 20], None);
        check(&[6, 5, 4, 3, 2, 1], Some(0));
        check(&[6, 5, 4, 3, 2, 0], Some(0));
        assert_eq!(fills_in(&[], 0), None);
        let slowly: Vec<u64> = (0..6).map(|hour| 60 * GIB - hour * 4096).collect();
        assert_eq!(fills_in(&samples(&slowly), GIB), None, "more than a year");
    }

    #[test]
    fn a_sample_an_hour_is_kept_and_a_week_of_them() {
        let sample = |minutes: u64| Sample {
            at: START.after(Duration::from_mins(minutes)),
            free_bytes: minutes,
        };
        let mut kept = Vec::new();
        for minutes in (0..8 * 24 * 60).step_by(10) {
            kept = with_sample(kept, sample(minutes));
        }
        assert_eq!(kept.len(), KEPT_SAMPLES);
        assert_eq!(kept[0], sample(24 * 60));
        assert_eq!(kept.last(), Some(&sample(8 * 24 * 60 - 60)));
    }

    #[test]
    fn an_app_is_charged_for_what_it_alone_needs() {
        let (one, other) = (AppId::new(), AppId::new());
        let slug = |app, layers: &[&str]| SlugView {
            id: SlugId::new(),
            app,
            layers: layers.iter().map(ToString::to_string).collect(),
            updated_at: START,
        };
        let layer = |key: &str, size_bytes| LayerView {
            key: key.to_owned(),
            size_bytes,
            used_at: START,
        };
        let holdings = Holdings {
            slugs: vec![
                slug(one, &["python", "a"]),
                slug(one, &["python", "a", "b"]),
                slug(other, &["python", "c"]),
            ],
            sources: BTreeMap::from([(one, vec!["b".to_owned(), "source".to_owned()])]),
            layers: vec![
                layer("python", 1000),
                layer("a", 100),
                layer("b", 10),
                layer("source", 1),
                layer("c", 5),
                layer("nobodys", 7),
            ],
            ..Holdings::default()
        };
        let expected = BTreeMap::from([(one, 111), (other, 5)]);
        assert_eq!(layer_bytes(&holdings), expected);
    }

    #[test]
    fn an_app_over_its_quota_is_told_by_what() {
        let used = AppDisk {
            app: "shop".parse().unwrap(),
            layer_bytes: 90 << 20,
            git_bytes: 10 << 20,
            output_bytes: 1,
        };
        assert_eq!(over_quota(&used, 0), None);
        assert_eq!(over_quota(&used, 101 << 20), None);
        let text = over_quota(&used, 100 << 20).unwrap();
        let expected = "The app takes 101 MB of the disk and may take 100: layers 90 MB, git repository 10 MB, output of builds 1 MB.";
        assert!(text.starts_with(expected), "{text}");
    }
}
