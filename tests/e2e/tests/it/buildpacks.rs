//! `heroku buildpacks:*` of the official CLI, and a push that uses what it has set.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use e2e::{App, Platform};

/// A classic buildpack that leaves a file `banner` with the order of what ran before it.
fn install(folder: &Path) {
    let programs = [
        ("detect", "#!/bin/sh\necho Banner\n"),
        (
            "compile",
            "#!/bin/sh\necho '-----> Raising the banner'\necho \"raised for $(cat \"$3/GREETING\")\" > \"$1/banner\"\n",
        ),
    ];
    let programs_folder = folder.join("acme/banner/bin");
    fs::create_dir_all(&programs_folder).expect("the data directory is writable");
    for (name, text) in programs {
        let path = programs_folder.join(name);
        fs::write(&path, text).expect("a program is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("and made executable");
    }
}

#[test]
fn buildpacks_are_chosen_by_the_cli_and_used_in_their_order() {
    let platform = Platform::shared();
    install(&platform.data().join("buildpacks"));
    let app = App::create(platform, "python-hello");
    app.heroku(&["buildpacks:set", "heroku/python"]).ok();
    app.heroku(&["buildpacks:add", "--index", "1", "acme/banner"])
        .ok();
    app.heroku(&["buildpacks"])
        .ok()
        .says("1. acme/banner")
        .says("2. heroku/python");
    app.heroku(&["config:set", "GREETING=everybody"]).ok();
    app.push()
        .ok()
        .says("-----> Using buildpack: acme/banner")
        .says("-----> Raising the banner")
        .says("-----> Python app detected");
    assert_eq!(app.get("/file?banner").body.trim(), "raised for everybody");

    let url = "https://github.com/heroku/heroku-buildpack-apt.git#v1";
    app.heroku(&["buildpacks:add", url]).ok();
    app.heroku(&["buildpacks:remove", "--index", "1"]).ok();
    app.heroku(&["buildpacks"])
        .ok()
        .says("1. heroku/python")
        .says(url);
    app.heroku(&["buildpacks:remove", url]).ok();
    app.heroku(&["buildpacks:clear"]).ok();
    app.heroku(&["buildpacks"]).ok().says("no Buildpack");
    for refused in ["file:///etc", "https://127.0.0.1/a.git", "acme/none"] {
        app.heroku(&["buildpacks:set", refused]).refused();
    }
}

#[test]
fn the_registry_knows_built_in_well_known_and_own_buildpacks() {
    let platform = Platform::shared();
    install(&platform.data().join("buildpacks"));
    platform
        .heroku(&["buildpacks:search", "acme"])
        .ok()
        .says("acme/banner");
    platform
        .heroku(&["buildpacks:search", "python"])
        .ok()
        .says("heroku/python");
    platform
        .heroku(&["buildpacks:info", "heroku-community/nginx"])
        .ok()
        .says("heroku-buildpack-nginx");
    platform
        .heroku(&["buildpacks:versions", "heroku/python"])
        .ok()
        .says("published");
    platform.heroku(&["buildpacks:info", "acme/none"]).refused();
}
