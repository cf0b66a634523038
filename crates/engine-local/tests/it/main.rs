//! Real dynos on this machine: needs root, `nft`, and the stack (built if it is missing).
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its stage up has failed"
)]

mod adoption;
mod attaching;
mod files;
mod images;
mod inside;
mod keeping;
mod life;
mod limits;
mod mending;
mod older;
mod output;
mod sleeping;
mod support;

use std::path::PathBuf;

use engine::conformance::{self, Behaviour, Fixture};

use crate::support::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn the_local_engine_conforms() {
    let platform = Platform::open().await;
    let fixture = Fixture {
        stack: support::stack(),
        unknown_stack: "no-such-stack".parse().unwrap(),
        layers: Vec::<PathBuf>::new(),
        command: Behaviour::in_shell,
    };
    conformance::run_all(&*platform.engine, &fixture).await;
}
