//! Pipeline coupling: an app in a stage of a pipeline. `/pipeline-couplings`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    builds::BuildApp,
    clock::Time,
    ids::{PipelineCouplingId, PipelineId},
    pipelines::PipelineReference,
    rfc3339,
};

/// A coupling as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineCoupling {
    /// The app.
    pub app: BuildApp,
    /// When it came into the pipeline.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The coupling's id.
    pub id: PipelineCouplingId,
    /// The pipeline.
    pub pipeline: PipelineReference,
    /// Where in it.
    pub stage: Stage,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// `POST /pipeline-couplings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPipelineCoupling {
    /// The app, by name or id.
    pub app: String,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Where in it.
    pub stage: Stage,
}

/// `PATCH /pipeline-couplings/{coupling}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineCouplingUpdate {
    /// Another stage.
    #[serde(default)]
    pub stage: Option<Stage>,
}

/// A stage of a pipeline; in order, production last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Where tests run.
    Test,
    /// Apps of branches.
    Review,
    /// Where is tried out.
    Development,
    /// The dress rehearsal.
    Staging,
    /// What people use.
    Production,
}

impl Stage {
    const WORDS: [(Self, &str); 5] = [
        (Self::Test, "test"),
        (Self::Review, "review"),
        (Self::Development, "development"),
        (Self::Staging, "staging"),
        (Self::Production, "production"),
    ];
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(stage, _)| stage == self);
        f.write_str(word.map_or("", |(_, word)| word))
    }
}

/// A word that is no stage's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no stage")]
pub struct UnknownStage(String);

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(text: &str) -> Result<Self, UnknownStage> {
        let found = Self::WORDS.iter().find(|(_, word)| *word == text);
        found
            .map(|(stage, _)| *stage)
            .ok_or_else(|| UnknownStage(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_read_as_they_are_written() {
        for (stage, word) in Stage::WORDS {
            assert_eq!(stage.to_string().parse(), Ok(stage));
            assert_eq!(serde_json::json!(stage), word);
        }
        assert!("live".parse::<Stage>().is_err());
        assert!(Stage::Staging < Stage::Production);
    }
}
