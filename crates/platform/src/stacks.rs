//! Stacks: the root filesystems that may be chosen.

use api::{clock::Time, names::StackName, references::lasting_id, stacks::Stack};

use crate::{
    Platform,
    error::{Error, Result},
    registry::release::container_stack,
};

/// 2026-01-01: the API wants to know since when there is a stack, and files do not say.
const INTRODUCED: Time = Time::from_micros(1_767_225_600_000_000);

impl Platform {
    /// Every stack.
    pub fn stacks(&self) -> Vec<Stack> {
        let stack = |name: &StackName| Stack {
            is_default: *name == self.settings.default_stack,
            created_at: INTRODUCED,
            id: lasting_id("stack", name.as_str()),
            name: name.clone(),
            state: "public".to_owned(),
            updated_at: INTRODUCED,
        };
        self.stack_names().iter().map(stack).collect()
    }

    /// The stacks of this machine, and what stands for running from images.
    pub(crate) fn stack_names(&self) -> Vec<StackName> {
        let stacks = self.settings.stacks.iter().cloned();
        stacks.chain([container_stack()]).collect()
    }

    /// The stack with this name or id.
    pub fn stack(&self, identity: &str) -> Result<Stack> {
        let found = self
            .stacks()
            .into_iter()
            .find(|stack| stack.name.as_str() == identity || stack.id.to_string() == identity);
        found.ok_or_else(|| Error::NotFound {
            resource: "stack",
            name: identity.to_owned(),
        })
    }
}
