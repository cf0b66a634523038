//! The samples of Deno and Bun, built by the real runtimes with modules of the registry.

use crate::machine::{Machine, sample};

#[tokio::test(flavor = "multi_thread")]
async fn deno_serves_on_the_routers_port_with_locked_imports() {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample("deno"), &[]).await;
    assert!(output.contains("Installing imports (locked)"), "{output}");
    machine.serves(&slug).await;
    let (again, output) = machine
        .built(&sample("deno"), &[("notes.txt", "second")])
        .await;
    assert!(
        output.contains("Using cached install of Deno 2."),
        "{output}"
    );
    assert_eq!(slug.layers[..2], again.layers[..2]);
    let newer = [(
        "deno.jsonc",
        r#"{"imports": {"nanoid": "npm:nanoid@5.1.4"}}"#,
    )];
    let (result, output) = machine.build(&sample("deno"), &newer).await;
    assert!(result.is_err(), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bun_installs_production_modules_of_the_lock_file_once() {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample("bun"), &[]).await;
    assert!(
        output.contains("bun install --frozen-lockfile --production"),
        "{output}"
    );
    machine.serves(&slug).await;
    assert_eq!(machine.run(&slug, "ls node_modules").await, "nanoid");
    let (again, output) = machine
        .built(&sample("bun"), &[("notes.txt", "second")])
        .await;
    assert!(output.contains("Using cached modules"), "{output}");
    assert_eq!(slug.layers[..2], again.layers[..2]);
}
