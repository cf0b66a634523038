//! Source to slug: unpack, recognise, plan, and run the plan's steps in build dynos.
//!
//! It works only through the engine, and must not know releases, routes or who asked. The result
//! of each step is a layer named by everything it depends on, so what did not change is not done
//! again. Read [`build`] first, then [`plan`].

pub mod archive;
pub mod build;
mod buildpacks;
mod env;
mod error;
mod execute;
pub mod fetch;
pub mod image;
mod import;
pub mod journal;
mod launch;
pub mod layers;
mod output;
mod owner;
pub mod packs;
pub mod plan;
pub mod procfile;
pub mod runtimes;
mod shape;
mod source_tree;
mod versions;

pub use crate::{
    build::{BuildOrder, BuildRequest, Builder, BuilderConfig, Built, BuiltSlug, Swept},
    error::BuildError,
    import::Imported,
    journal::{Journal, Noted},
    launch::{image_command, image_override, image_shown, launch_command},
    shape::{ShapeError, check_watch_paths},
};
