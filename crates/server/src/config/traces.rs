//! Where the router's traces go: `[traces]` in `landfall.toml`, `--traces-…`, `LANDFALL_TRACES_…`.
//! Without an endpoint there are none.

use std::{ffi::OsString, fmt, str::FromStr};

use thiserror::Error;

/// Of a hundred requests one.
const DEFAULT_RATIO: SampleRatio = SampleRatio(10_000);
const MILLION: u32 = 1_000_000;

/// What may be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceChoices {
    /// Where a collector takes traces by OTLP over HTTP: `http://127.0.0.1:4318`
    #[arg(id = "traces_endpoint", long = "traces-endpoint", value_name = "URL")]
    pub endpoint: Option<TraceEndpoint>,
    /// Share of the requests that are traced, 0 to 1 [default: 0.01]
    #[arg(id = "traces_ratio", long = "traces-ratio", value_name = "SHARE")]
    pub ratio: Option<SampleRatio>,
}

/// The base of a collector's URLs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct TraceEndpoint(http::Uri);

/// A share in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "f64")]
pub struct SampleRatio(u32);

/// Why the choices cannot be followed.
#[derive(Debug, Error)]
pub enum TraceChoiceError {
    /// Not a URL that spans can be sent to.
    #[error(
        "`{0}` is not a URL such as http://127.0.0.1:4318; a collector beyond this machine is reached through one on it"
    )]
    Endpoint(String),
    /// Not a share.
    #[error("`{0}` is not a number from 0 to 1")]
    Ratio(String),
}

impl FromStr for TraceEndpoint {
    type Err = TraceChoiceError;

    fn from_str(text: &str) -> Result<Self, TraceChoiceError> {
        let refused = || TraceChoiceError::Endpoint(text.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| refused())?;
        let is_plain = uri.scheme_str() == Some("http") && uri.host().is_some();
        if is_plain && uri.query().is_none() {
            Ok(Self(uri))
        } else {
            Err(refused())
        }
    }
}

impl TryFrom<String> for TraceEndpoint {
    type Error = TraceChoiceError;

    fn try_from(text: String) -> Result<Self, TraceChoiceError> {
        text.parse()
    }
}

impl FromStr for SampleRatio {
    type Err = TraceChoiceError;

    fn from_str(text: &str) -> Result<Self, TraceChoiceError> {
        let refused = |_| TraceChoiceError::Ratio(text.to_owned());
        text.parse::<f64>().map_err(refused)?.try_into()
    }
}

impl TryFrom<f64> for SampleRatio {
    type Error = TraceChoiceError;

    fn try_from(share: f64) -> Result<Self, TraceChoiceError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(TraceChoiceError::Ratio(share.to_string()));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 0 and a million"
        )]
        let millionths = (share * f64::from(MILLION)).round() as u32;
        Ok(Self(millionths))
    }
}

impl fmt::Display for SampleRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / MILLION, self.0 % MILLION)
    }
}

impl TraceChoices {
    /// These where they are made, `below` where not.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            endpoint: self.endpoint.or(below.endpoint),
            ratio: self.ratio.or(below.ratio),
        }
    }

    /// The same as flags.
    pub(super) fn to_flags(&self) -> Vec<OsString> {
        let endpoint = self
            .endpoint
            .as_ref()
            .map(|at| ("endpoint", at.0.to_string()));
        let ratio = self.ratio.map(|ratio| ("ratio", ratio.to_string()));
        let chosen = endpoint.into_iter().chain(ratio);
        chosen
            .flat_map(|(name, value)| [format!("--traces-{name}").into(), value.into()])
            .collect()
    }

    /// What the router is told.
    pub fn settings(&self) -> Option<router::Traces> {
        let endpoint = self.endpoint.clone()?.0;
        let SampleRatio(per_million) = self.ratio.unwrap_or(DEFAULT_RATIO);
        Some(router::Traces {
            endpoint,
            per_million,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0.01", Some(10_000)),
            ("1", Some(1_000_000)),
            ("1.0", Some(1_000_000)),
            ("1.1", None),
            ("-0.1", None),
            ("NaN", None),
            ("all", None),
        ] {
            let ratio = text.parse::<SampleRatio>().ok();
            assert_eq!(ratio, expected.map(SampleRatio), "{text}");
            if let Some(ratio) = ratio {
                assert_eq!(ratio.to_string().parse::<SampleRatio>().ok(), Some(ratio));
            }
        }
    }

    #[test]
    fn endpoints() {
        for (text, is_taken) in [
            ("http://127.0.0.1:4318", true),
            ("http://collector/otlp", true),
            ("https://collector:4318", false),
            ("127.0.0.1:4318", false),
            ("http://collector/?a=b", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<TraceEndpoint>().is_ok(), is_taken, "{text}");
        }
    }

    #[test]
    fn the_file_and_flags_say_the_same() {
        let file = "endpoint = 'http://127.0.0.1:4318'\nratio = 0.25\n";
        let choices: TraceChoices = toml::from_str(file).unwrap();
        assert_eq!(choices.settings().unwrap().per_million, 250_000);
        let flags = choices.to_flags();
        assert_eq!(flags[0], "--traces-endpoint");
        assert_eq!(flags[3], "0.250000");
        assert!(TraceChoices::default().settings().is_none());
    }
}
