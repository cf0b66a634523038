//! What a client accepts: `Accept-Encoding` (RFC 9110 §12.5.3). Pure.

/// A way to compress that the router knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

/// In the order in which they are preferred: by what they cost for what they save.
const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

impl Coding {
    /// Its name in heads.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    fn is(self, name: &str) -> bool {
        let is_gzip = self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip");
        is_gzip || name.eq_ignore_ascii_case(self.as_str())
    }
}

/// Those of our codings that the client would rather have than none, the one it likes best first.
pub(crate) fn ranked<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Coding> {
    let mut weights = [None; CODINGS.len()];
    let (mut rest, mut identity) = (0, 0);
    for member in values.flat_map(|value| value.split(',')) {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(weight).unwrap_or(1000);
        if name == "*" {
            rest = weight;
        } else if name.eq_ignore_ascii_case("identity") {
            identity = weight;
        }
        for (coding, slot) in CODINGS.iter().zip(&mut weights) {
            if coding.is(name) {
                *slot = Some(weight);
            }
        }
    }
    let weighed = CODINGS.into_iter().zip(weights);
    let weighed = weighed.map(|(coding, weight)| (coding, weight.unwrap_or(rest)));
    let mut ranked: Vec<_> = weighed
        .filter(|(_, weight)| *weight > 0 && *weight >= identity)
        .collect();
    // Those that weigh the same stay in our order.
    ranked.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    ranked.into_iter().map(|(coding, _)| coding).collect()
}

/// Thousandths, of `q=0.5`; what is malformed weighs nothing.
fn weight(parameter: &str) -> Option<u16> {
    let value = parameter
        .strip_prefix("q=")
        .or_else(|| parameter.strip_prefix("Q="))?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && fraction.len() <= 3;
    Some(match whole {
        "1" if digits => 1000,
        "0" if digits => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best() {
        let (zstd, brotli, gzip) = (Some(Coding::Zstd), Some(Coding::Brotli), Some(Coding::Gzip));
        for (values, expected) in [
            (&["gzip, deflate, br, zstd"][..], zstd),
            (&["gzip, deflate, br"], brotli),
            (&["gzip", "br"], brotli),
            (&["GZIP;q=1.0, br;q=0.9"], gzip),
            (&["x-gzip"], gzip),
            (&["gzip;q=0"], None),
            (&["gzip;q=0, *"], zstd),
            (&["*;q=0"], None),
            (&["br;q=0.001"], brotli),
            (&["br;q=0.5, identity;q=0.8"], None),
            (&["br;q=0.8, identity;q=0.8"], brotli),
            (&["identity"], None),
            (&["deflate"], None),
            (&["gzip;q=2, br;q=x"], None),
            (&["gzip ; q=0.3 , br ; q=0.25"], gzip),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(
                ranked(values.iter().copied()).first().copied(),
                expected,
                "{values:?}"
            );
        }
    }
}
