//! What a request is about: from the word in a path or body to the thing itself.
//!
//! A new kind of thing that not everyone may know of is a variant of [`Kind`] and [`Subject`], an arm
//! of [`Platform::find`] that looks it up, and one of `Platform::standing` that says what somebody is
//! to it. Routes that name it are then guarded by it.

use store::{App, Pipeline, Team};

use crate::{Platform, error::Result};

/// Kinds of things that a path names and that not everyone may know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An app, by name or id.
    App,
    /// A pipeline, by name or id.
    Pipeline,
    /// A team, by name or id.
    Team,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::App, Self::Pipeline, Self::Team];

    /// How the paths of routes name its parameter.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Pipeline => "pipeline",
            Self::Team => "team",
        }
    }

    /// How a refusal names it.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Pipeline => "pipeline",
            Self::Team => "team",
        }
    }
}

/// A thing that was found.
#[derive(Clone, Debug)]
pub enum Subject {
    /// An app.
    App(App),
    /// A pipeline.
    Pipeline(Pipeline),
    /// A team.
    Team(Team),
}

impl Subject {
    /// What is decided about.
    pub const fn target(&self) -> Target<'_> {
        match self {
            Self::App(app) => Target::App(app),
            Self::Pipeline(pipeline) => Target::Pipeline(pipeline),
            Self::Team(team) => Target::Team(team),
        }
    }
}

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The caller's own account, or what everyone shares.
    Platform,
    /// An app and what belongs to it.
    App(&'a App),
    /// A pipeline and what belongs to it, but not its apps.
    Pipeline(&'a Pipeline),
    /// A team and what belongs to it.
    Team(&'a Team),
}

impl Target<'_> {
    /// Its kind, and its name for people.
    pub(super) fn named(self) -> Option<(Kind, String)> {
        match self {
            Self::Platform => None,
            Self::App(app) => Some((Kind::App, app.name.to_string())),
            Self::Pipeline(pipeline) => Some((Kind::Pipeline, pipeline.name.to_string())),
            Self::Team(team) => Some((Kind::Team, team.name.to_string())),
        }
    }
}

impl Platform {
    /// The thing of this kind that is called so, whoever asks.
    ///
    /// # Errors
    /// `NotFound`, in the words in which a thing is refused that the caller may not know of.
    pub(super) async fn find(&self, kind: Kind, identity: &str) -> Result<Subject> {
        Ok(match kind {
            Kind::App => Subject::App(self.app(identity).await?),
            Kind::Pipeline => Subject::Pipeline(self.find_pipeline(identity).await?),
            Kind::Team => Subject::Team(self.team(identity).await?),
        })
    }
}
