//! The Java samples, built by a real JDK from Debian's packages and real repositories.

use crate::machine::{Machine, sample};

#[tokio::test(flavor = "multi_thread")]
async fn maven_builds_and_downloads_nothing_twice() {
    let machine = Machine::open().await;
    let (slug, output) = machine.built(&sample("java"), &[]).await;
    assert!(output.contains("Using Java 21."), "{output}");
    machine.serves(&slug).await;
    let look =
        "echo $JDBC_DATABASE_URL; java -XshowSettings:vm -version 2>&1 | grep -o 'Max. Heap.*'";
    let with_database =
        format!("DATABASE_URL='postgres://u:p%40x@db:5432/shop?a=b' . .profile.d/jvm.sh; {look}");
    let seen = machine.run(&slug, &with_database).await;
    let address = "jdbc:postgresql://db:5432/shop?user=u&password=p%40x&a=b\n";
    assert!(
        seen.starts_with(address) && seen.ends_with(" 300.00M"),
        "{seen}"
    );
    let changed = [
        ("src/main/resources/shop.properties", "greeting=Hello\n"),
        (".mvn/maven.config", "--offline\n"),
    ];
    let (again, output) = machine.built(&sample("java"), &changed).await;
    assert!(
        output.contains("Using cached install of OpenJDK 21."),
        "{output}"
    );
    assert!(!output.contains("Installing Maven"), "{output}");
    assert_eq!(slug.layers[..2], again.layers[..2]);
    machine.serves(&again).await;
}
