//! What a Java dyno's profile makes of the config vars: the script itself, run by the machine's bash.

use std::process::Command;

const PROFILE: &str = include_str!("../../src/buildpacks/scripts/java_profile.sh");

/// The value of `shown` after the profile was read in an environment of these.
fn profiled(vars: &[(&str, &str)], shown: &str) -> String {
    let script = format!("set -e\n{PROFILE}\nprintf %s \"${{{shown}:-}}\"");
    let output = Command::new("bash")
        .args(["-c", &script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(vars.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_databases_address_is_given_in_javas_form() {
    let url = [("DATABASE_URL", "postgres://u:p%40x@db:5432/shop?a=b")];
    let address = "jdbc:postgresql://db:5432/shop?user=u&password=p%40x&a=b";
    assert_eq!(profiled(&url, "JDBC_DATABASE_URL"), address);
    assert_eq!(profiled(&url, "JDBC_DATABASE_PASSWORD"), "p@x");
    assert_eq!(profiled(&url, "SPRING_DATASOURCE_URL"), address);
    let own = [url[0], ("JDBC_DATABASE_URL", "jdbc:mine")];
    assert_eq!(profiled(&own, "JDBC_DATABASE_URL"), "jdbc:mine");
    let disabled = [url[0], ("DISABLE_SPRING_DATASOURCE_URL", "true")];
    assert_eq!(profiled(&disabled, "SPRING_DATASOURCE_URL"), "");
    let named = [("HEROKU_POSTGRESQL_PINK_URL", "postgres://u:p@db/pink")];
    assert_eq!(
        profiled(&named, "HEROKU_POSTGRESQL_PINK_JDBC_URL"),
        "jdbc:postgresql://db/pink?user=u&password=p"
    );
    let other = [("DATABASE_URL", "sqlite3:///app/db")];
    assert_eq!(profiled(&other, "JDBC_DATABASE_URL"), "");
}
