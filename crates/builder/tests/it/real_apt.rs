//! Packages of the stack's suite, in real builds.

use crate::machine::{Machine, sample};

#[tokio::test(flavor = "multi_thread")]
async fn packages_of_an_aptfile_are_found_by_build_and_dyno() {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample("aptfile"), &[]).await;
    assert!(
        output.contains("Part of the stack already: curl"),
        "{output}"
    );
    machine.serves(&slug).await;
    // The program by the name that an installation script would have given it, the library beside
    // the program that was linked to it, and no broken link.
    let look = "command -v gawk awk; awk --version | head -c 7; echo; \
        ldd tools/modules | grep -c /app/.apt; find .apt -xtype l | wc -l";
    let seen = machine.run(&slug, look).await;
    let expected = "/app/.apt/usr/bin/gawk\n/app/.apt/usr/bin/awk\nGNU Awk\n1\n0";
    assert_eq!(seen, expected, "{output}");
    let more = [("notes.txt", "second")];
    let (again, output) = machine.built(&sample("aptfile"), &more).await;
    assert!(
        output.contains("Using cached packages of the Aptfile")
            && !output.contains("Looking up packages"),
        "{output}"
    );
    assert_eq!(slug.layers[0], again.layers[0]);
}
