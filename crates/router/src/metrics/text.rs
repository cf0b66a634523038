//! Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>). Pure.

use std::fmt::Write as _;

use super::{
    cells::Distribution,
    families::{Family, Kind},
};

/// The value of `Content-Type`.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page as it is written, one family after the other.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

/// A number of a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Number(u64),
    /// Shown in seconds.
    Micros(u64),
}

impl Text {
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    /// The head of a family, and its samples: the values of its labels, and a number.
    pub(crate) fn family<'a, V: AsRef<[&'a str]>>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (V, Value)>,
    ) {
        self.head(family);
        for (values, value) in samples {
            self.sample((family, ""), values.as_ref(), None, value);
        }
    }

    /// The same for one number without labels.
    pub(crate) fn number(&mut self, family: &Family, value: Value) {
        self.family(family, [([], value)]);
    }

    /// The same for histograms.
    pub(crate) fn histograms<'a, V: AsRef<[&'a str]>>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (V, Distribution)>,
    ) {
        self.head(family);
        for (values, distribution) in samples {
            let values = values.as_ref();
            for (bound, count) in distribution.cumulative() {
                let bound = Value::Micros(bound).to_string();
                let count = Value::Number(count);
                self.sample((family, "_bucket"), values, Some(&bound), count);
            }
            let count = Value::Number(distribution.count());
            self.sample((family, "_bucket"), values, Some("+Inf"), count);
            let sum = Value::Micros(distribution.micros);
            self.sample((family, "_sum"), values, None, sum);
            self.sample((family, "_count"), values, None, count);
        }
    }

    fn head(&mut self, family: &Family) {
        let Family {
            name, kind, help, ..
        } = family;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {}", kind.as_str()));
    }

    fn sample(
        &mut self,
        (family, suffix): (&Family, &str),
        values: &[&str],
        bound: Option<&str>,
        value: Value,
    ) {
        debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
        debug_assert!(family.kind == Kind::Histogram || suffix.is_empty());
        self.0.push_str(family.name);
        self.0.push_str(suffix);
        let labels = family.labels.iter().copied().zip(values.iter().copied());
        let labels = labels.chain(bound.map(|bound| ("le", bound)));
        let mut opening = '{';
        for (label, value) in labels {
            self.0.push(opening);
            self.0.push_str(label);
            self.0.push_str("=\"");
            self.escape(value);
            self.0.push('"');
            opening = ',';
        }
        if opening == ',' {
            self.0.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    fn escape(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
    }

    fn line(&mut self, arguments: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{arguments}").expect("memory takes all that is written");
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Micros(micros) => {
                write!(f, "{}", micros / 1_000_000)?;
                let rest = format!("{:06}", micros % 1_000_000);
                match rest.trim_end_matches('0') {
                    "" => Ok(()),
                    digits => write!(f, ".{digits}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTER: Family = Family {
        name: "eggs_total",
        kind: Kind::Counter,
        labels: &["nest"],
        help: "Eggs.",
    };

    #[test]
    fn labels_are_quoted() {
        let mut text = Text::default();
        let eggs = [(["a \"b\" \\ c\nd"], Value::Number(7))];
        text.family(&COUNTER, eggs);
        insta::assert_snapshot!(text.into_string(), @r##"
        # HELP eggs_total Eggs.
        # TYPE eggs_total counter
        eggs_total{nest="a \"b\" \\ c\nd"} 7
        "##);
    }

    #[test]
    fn seconds() {
        for (micros, expected) in [
            (0, "0"),
            (250, "0.00025"),
            (1_000_000, "1"),
            (65_536_000, "65.536"),
            (12_000_001, "12.000001"),
        ] {
            assert_eq!(Value::Micros(micros).to_string(), expected);
        }
    }

    #[test]
    fn a_histogram_is_cumulative() {
        let mut text = Text::default();
        let family = Family {
            name: "wait_seconds",
            kind: Kind::Histogram,
            labels: &[],
            help: "Waits.",
        };
        let mut waits = Distribution {
            micros: 90_000_400,
            ..Distribution::default()
        };
        (waits.buckets[0], waits.buckets[1], waits.buckets[19]) = (2, 1, 1);
        text.histograms(&family, [([], waits)]);
        let text = text.into_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2 + 20 + 2);
        assert_eq!(lines[2], "wait_seconds_bucket{le=\"0.00025\"} 2");
        assert_eq!(lines[3], "wait_seconds_bucket{le=\"0.0005\"} 3");
        assert_eq!(lines[20], "wait_seconds_bucket{le=\"65.536\"} 3");
        assert_eq!(lines[21], "wait_seconds_bucket{le=\"+Inf\"} 4");
        assert_eq!(lines[22], "wait_seconds_sum 90.0004");
        assert_eq!(lines[23], "wait_seconds_count 4");
    }
}
