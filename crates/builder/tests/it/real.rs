//! A build on real build dynos that ends badly. That the sample apps are built and served is what
//! the end-to-end tests prove, by pushes.

use builder::BuildError;
use engine::Engine as _;

use crate::machine::{Machine, sample};

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_requirement_fails_the_build() {
    let machine = Machine::open().await;
    let (result, output) = machine.build(&sample("failing-build"), &[]).await;
    assert!(
        matches!(result, Err(BuildError::Step { status: 1, .. })),
        "{output}"
    );
    assert!(
        output.contains("this-package-does-not-exist-on-any-index"),
        "{output}"
    );
    let left = machine.engine.list().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}
