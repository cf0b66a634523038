//! A small team's shop comes from Heroku: a Django API with its Postgres, static and media files,
//! and a `SvelteKit` front, which are two apps behind one host name.

use e2e::{App, Platform, database::Database, http, until};

/// A small picture.
const PICTURE: &str = r#"<svg xmlns="http://www.w3.org/2000/svg"/>"#;
const KEY: &str = "open-sesame";

#[test]
fn a_django_and_sveltekit_shop_moves_in() {
    let database = Database::start();
    let platform = Platform::shared();
    let api = App::create(platform, "shop-django");
    let url = format!("DATABASE_URL={}", database.url());
    let key = format!("SHOP_KEY={KEY}");
    api.heroku(&["config:set", &url, &key, "SECRET_KEY=long-and-random"])
        .ok();
    api.push()
        .ok()
        .says("static files copied")
        .says("Running release command")
        .says("Applying shop.0001_initial");
    add_item(&api);
    static_files_are_served(&api);

    let front = App::create(platform, "shop-svelte");
    front
        .heroku(&["config:set", "SHOP_NAME=The Corner Shop"])
        .ok();
    front.push().ok().says("SvelteKit without a Procfile");
    let paths = format!(r#"paths=[{{"prefix":"/api","app":"{}"}}]"#, api.name);
    platform
        .landfall(&["edge", "--app", &front.name, &paths])
        .ok();
    front_is_whole(&front);

    // What was uploaded is not the dyno's to lose.
    api.heroku(&["ps:restart"]).ok();
    api.touch();
    let again = api.push().ok();
    assert!(
        !again.stderr.contains("Installing requirements"),
        "{}",
        again.stderr
    );
    assert_eq!(front.get("/api/media/lamp.svg").body, PICTURE);
    front.touch();
    let again = front.push().ok();
    assert!(
        again.stderr.contains("Using cached node modules"),
        "{}",
        again.stderr
    );
    assert_eq!(front.get("/").status, 200);
}

/// As the shop's keeper does with a form.
fn add_item(api: &App<'_>) {
    let part = |name: &str, value: &str| {
        format!("--part\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let picture = "--part\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"lamp.svg\"\r\n\
        Content-Type: image/svg+xml\r\n\r\n";
    let body = format!(
        "{}{}{picture}{PICTURE}\r\n--part--\r\n",
        part("name", "Lamp"),
        part("cents", "1999")
    );
    let post = |key: &str| {
        let head = format!(
            "POST /api/items HTTP/1.1\r\nHost: {}\r\nX-Shop-Key: {key}\r\nConnection: close\r\n\
             Content-Type: multipart/form-data; boundary=part\r\nContent-Length: {}\r\n\r\n{body}",
            api.host(),
            body.len()
        );
        http::send(api.platform.http_addr(), &head).expect("the API answers")
    };
    assert_eq!(post("wrong").status, 403);
    let added = post(KEY);
    assert_eq!(added.status, 201, "{}", added.body);
    assert_eq!(post(KEY).status, 500, "the database holds names apart");
}

/// The style sheet of Django's admin pages, by the name that collectstatic gave it.
fn static_files_are_served(api: &App<'_>) {
    let page = api.get("/admin/login/");
    assert_eq!(page.status, 200);
    let sheet = page
        .body
        .split('"')
        .find(|text| text.starts_with("/static/admin/css/base."))
        .unwrap_or_else(|| panic!("no style sheet in\n{}", page.body));
    let served = api.get(sheet);
    assert_eq!(served.status, 200);
    let head = served.head.to_ascii_lowercase();
    assert!(head.contains("content-type: text/css"), "{head}");
    assert!(head.contains("immutable"), "{head}");
}

/// Page, script, and the API behind it, on one host.
fn front_is_whole(front: &App<'_>) {
    let page = front.get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("<h1>The Corner Shop</h1>"),
        "{}",
        page.body
    );
    let script = page
        .body
        .split('"')
        .find(|text| text.contains("_app/immutable/entry/start."))
        .unwrap_or_else(|| panic!("no script in\n{}", page.body));
    let script = format!("/{}", script.trim_start_matches(['.', '/']));
    assert_eq!(front.get(&script).status, 200);
    let items = until("the API answers on the front's host", || {
        let answer = front.get("/api/items");
        (answer.status == 200).then_some(answer.body)
    });
    assert!(
        items.contains(r#""name": "Lamp", "cents": 1999, "picture": "/api/media/lamp.svg""#),
        "{items}"
    );
    assert_eq!(front.get("/api/media/lamp.svg").body, PICTURE);
}
