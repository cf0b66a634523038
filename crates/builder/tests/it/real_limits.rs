//! What a build may use at most, in a real build that wants all there is.

use builder::BuildError;

use crate::machine::{Machine, sample};

/// Makes processes until it cannot, and then files without an end.
const GREEDY: &str = r#"
import os, signal, time
children = []
try:
    while True:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except BlockingIOError:
    print("no more than", len(children), "processes", flush=True)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
number = 0
while True:
    number += 1
    with open(f"/app/file{number}", "wb") as file:
        file.write(b"x" * (1 << 20))
    time.sleep(0.001)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_wants_everything_is_stopped_and_told_why() {
    let machine = Machine::open().await.with_disk(256 << 20);
    let more = [
        ("bin/pre_compile", "python3 greedy.py\n"),
        ("greedy.py", GREEDY),
    ];
    let (result, output) = machine.build(&sample("python-hello"), &more).await;
    assert!(
        matches!(result, Err(BuildError::OverDisk { megabytes: 256 })),
        "{output}"
    );
    assert!(
        output.contains("The build wrote more than 256 MB and was stopped."),
        "{output}"
    );
    assert!(output.contains("no more than 40"), "{output}");
}
