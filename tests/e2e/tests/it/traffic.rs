//! A steady load of requests sees nothing of deploys, restarts and scalings.

use e2e::{App, Load, Platform, until};

#[test]
fn ten_deploys_five_restarts_and_five_scalings_lose_no_request() {
    let platform = Platform::start();
    let app = App::deployed(&platform, "python-hello");
    let load = Load::start(platform.http_addr(), &app.host(), "/");
    for number in 0..10 {
        app.change("version.txt", &format!("{number}\n"));
        app.push().ok();
        load.await_more(5);
    }
    assert_eq!(app.get("/file?version.txt").body, "9\n");
    for _ in 0..5 {
        let before = app.dynos()[0]["id"].clone();
        app.heroku(&["ps:restart"]).ok();
        until("the dyno is new", || {
            let dynos = app.dynos();
            (dynos.len() == 1 && dynos[0]["id"] != before).then_some(())
        });
    }
    for quantity in [2, 3, 1, 2, 1] {
        app.heroku(&["ps:scale", &format!("web={quantity}")]).ok();
        until(&format!("there are {quantity}"), || {
            let dynos = app.dynos();
            let all_up = dynos.iter().all(|dyno| dyno["state"] == "up");
            (dynos.len() == quantity && all_up).then_some(())
        });
        load.await_more(5);
    }
    assert!(load.finish() > 200);
}
