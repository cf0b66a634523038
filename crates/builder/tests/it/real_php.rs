//! PHP apps, in real builds.

use crate::machine::{Machine, sample};

/// Starts the command, asks for a page of any path once the server answers, and ends it.
const ASK: &str = "$COMMAND & server=$!; for i in $(seq 200); do \
    curl -sf -o /dev/null localhost:$PORT/ready && break; sleep 0.05; done; \
    curl -s -u me:secret localhost:$PORT/a/b; curl -s -o /dev/null -w '%{http_code}\\n' localhost:$PORT/.htaccess; \
    kill $server; wait $server; echo ended $?";

#[tokio::test(flavor = "multi_thread")]
async fn php_is_built_served_and_not_installed_twice() {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample("php"), &[]).await;
    assert!(
        output.contains("Using PHP 8.4.") && output.contains("for ^8.2 in composer.lock"),
        "{output}"
    );
    machine.serves(&slug).await;
    let page = "HELLO LANDFALL\n/a/b 0.3 42 production compiled Basic bWU6c2VjcmV0 17M\n";
    let nginx = slug.process_types[&"web".parse().unwrap()].clone();
    let seen = machine.run(&slug, &ASK.replace("$COMMAND", &nginx)).await;
    assert!(
        seen.contains(page) && seen.contains("\n403\n") && seen.contains("ended 143"),
        "{seen}\n{output}"
    );
    assert!(seen.contains("asked for /a/b"), "{seen}");
    let apache = slug.process_types[&"apache".parse().unwrap()].clone();
    let seen = machine.run(&slug, &ASK.replace("$COMMAND", &apache)).await;
    assert!(
        seen.contains(page) && seen.contains("\n403\n") && seen.contains("ended 143"),
        "{seen}\n{output}"
    );
    let more = [("notes.txt", "second")];
    let (again, output) = machine.built(&sample("php"), &more).await;
    assert!(
        output.contains("-----> Using cached install of PHP 8.4.")
            && output.contains("-----> Using cached dependencies (composer.lock is unchanged)"),
        "{output}"
    );
    assert_eq!(slug.layers[..4], again.layers[..4]);
}
