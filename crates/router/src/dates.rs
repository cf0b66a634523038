//! The text of `Date`, made once a second.

use std::cell::Cell;

use api::clock::Time;

/// `Thu, 19 Feb 2026 08:00:00 GMT`
pub(crate) type DateText = [u8; 29];

/// A thread's last text.
#[derive(Debug)]
pub(crate) struct Dates(Cell<(i64, DateText)>);

impl Default for Dates {
    fn default() -> Self {
        Self(Cell::new((0, text(0))))
    }
}

impl Dates {
    pub(crate) fn at(&self, time: Time) -> DateText {
        let seconds = time.as_micros().div_euclid(1_000_000);
        if self.0.get().0 != seconds {
            self.0.set((seconds, text(seconds)));
        }
        self.0.get().1
    }
}

/// The same of any second of the Unix epoch.
pub(crate) fn shown(seconds: i64) -> String {
    String::from_utf8_lossy(&text(seconds)).into_owned()
}

/// RFC 9110 §5.6.7, of a second of the Unix epoch.
fn text(seconds: i64) -> DateText {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1 March of the year 0, in eras of 400 years: leap days come last in each.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    let name = |names: &[&'static str], index: i64| {
        usize::try_from(index)
            .ok()
            .and_then(|index| names.get(index).copied())
            .unwrap_or_default()
    };
    let text = format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        name(&DAYS, days.rem_euclid(7)),
        name(&MONTHS, month),
        second / 3600,
        second / 60 % 60,
        second % 60,
    );
    text.as_bytes().try_into().unwrap_or([b' '; 29])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_771_488_000, "Thu, 19 Feb 2026 08:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&text(seconds)).unwrap(), expected);
        }
    }
}
