//! The pages the router answers with itself: HTML, or JSON for those who prefer it.
//!
//! A page tells the visitor what is the matter in words, and the owner what to do. It carries no
//! text from the request but the checked request id. Read [`respond`].

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY},
};
use http_body_util::Full;
use serde::Serialize;

use crate::{
    codes::Code,
    grpc,
    proxy::{Head, Refusal, ReplyBody},
};

const STYLE: &str = include_str!("page.css");

/// What a page is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Page {
    /// A request to an app failed.
    Failed(Code),
    /// No app answers on the host.
    NoSuchApp,
    /// The request was not worth routing.
    Refused(Refusal),
    /// The app's edge settings refuse it.
    Edge(Denied),
}

/// What an app's edge settings refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Address,
    Rate,
    Password,
    Body,
}

/// What the client would rather read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accept {
    Html,
    Json,
}

/// A page's words.
struct Words {
    title: &'static str,
    text: &'static str,
    /// What the app's owner may do, and the command for it.
    owner: Option<(&'static str, &'static str)>,
}

/// The JSON form: Heroku's error body, with the code and the request's id.
#[derive(Serialize)]
struct Body<'a> {
    id: &'static str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Accept {
    /// JSON only if the client ranks it above HTML. RFC 9110 §12.5.1, without wildcards: a client
    /// that takes anything gets HTML.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self::of_values(headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes))
    }

    /// The same for the values of `Accept`.
    pub(crate) fn of_values<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut html, mut json) = (0.0, 0.0);
        let ranges = values
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(','));
        for range in ranges {
            let mut parts = range.split(';').map(str::trim);
            let weight = match parts.next() {
                Some("text/html" | "application/xhtml+xml") => &mut html,
                Some("application/json") => &mut json,
                Some(other) if other.ends_with("+json") => &mut json,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            let quality = quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
            *weight = f64::max(*weight, quality);
        }
        if json > html { Self::Json } else { Self::Html }
    }
}

/// The page as a response.
pub(crate) fn respond(page: Page, accept: Accept, head: Option<&Head>) -> Response<ReplyBody> {
    respond_or(page, None, accept, head)
}

/// The page as a response, or the app's own in its place.
pub(crate) fn respond_or(
    page: Page,
    url: Option<&str>,
    accept: Accept,
    head: Option<&Head>,
) -> Response<ReplyBody> {
    if head.is_some_and(|head| grpc::is_grpc(&head.headers)) {
        return grpc::respond(page);
    }
    let request_id = head.and_then(|head| head.request_id.to_str().ok());
    let (kind, text) = page.render_or(url, accept, request_id);
    let mut response = Response::new(ReplyBody::Page(Full::new(Bytes::from(text))));
    *response.status_mut() = page.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store"),
    );
    headers.insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// A page that shows the app's own in a frame, as Heroku does. `url` has no quotation marks.
pub(crate) fn framed(url: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Application error</title>\n<style>\n\
         html, body, iframe {{ margin: 0; border: 0; padding: 0; width: 100%; height: 100%; }}\n\
         iframe {{ display: block; }}\n</style>\n</head>\n<body>\n\
         <iframe src=\"{url}\" title=\"Application error\"></iframe>\n</body>\n</html>\n",
        url = url.replace('&', "&amp;")
    )
}

impl Page {
    /// Its media type and its text; `url` is the app's own page in its place.
    pub(crate) fn render_or(
        self,
        url: Option<&str>,
        accept: Accept,
        request_id: Option<&str>,
    ) -> (&'static str, String) {
        let (kind, text) = self.render(accept, request_id);
        match url {
            Some(url) if accept == Accept::Html => (kind, framed(url)),
            _ => (kind, text),
        }
    }

    /// Its media type and its text.
    pub(crate) fn render(self, accept: Accept, request_id: Option<&str>) -> (&'static str, String) {
        match accept {
            Accept::Html => ("text/html; charset=utf-8", self.html(request_id)),
            Accept::Json => ("application/json", self.json(request_id)),
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Failed(code) => code.meaning().status,
            Self::NoSuchApp => StatusCode::NOT_FOUND,
            Self::Refused(Refusal::Host | Refusal::Malformed) => StatusCode::BAD_REQUEST,
            Self::Refused(Refusal::TargetTooLong) => StatusCode::URI_TOO_LONG,
            Self::Refused(Refusal::HeadTooLong) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Refused(Refusal::Method) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Edge(Denied::Address) => StatusCode::FORBIDDEN,
            Self::Edge(Denied::Rate) => StatusCode::TOO_MANY_REQUESTS,
            Self::Edge(Denied::Password) => StatusCode::UNAUTHORIZED,
            Self::Edge(Denied::Body) => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::Failed(code) => code.meaning().id,
            Self::NoSuchApp => "no_such_app",
            Self::Refused(_) => "bad_request",
            Self::Edge(Denied::Address) => "forbidden",
            Self::Edge(Denied::Rate) => "rate_limit",
            Self::Edge(Denied::Password) => "unauthorized",
            Self::Edge(Denied::Body) => "body_too_long",
        }
    }

    fn code(self) -> Option<&'static str> {
        match self {
            Self::Failed(code) => Some(code.as_str()),
            Self::NoSuchApp | Self::Refused(_) | Self::Edge(_) => None,
        }
    }

    fn json(self, request_id: Option<&str>) -> String {
        let message = match self {
            Self::Failed(code) => code.meaning().description,
            Self::NoSuchApp | Self::Refused(_) | Self::Edge(_) => self.words().text,
        };
        let body = Body {
            id: self.id(),
            message,
            code: self.code(),
            request_id,
        };
        serde_json::to_string(&body).expect("a struct of strings is always JSON")
    }

    fn html(self, request_id: Option<&str>) -> String {
        let Words { title, text, owner } = self.words();
        let owner = owner.map_or_else(String::new, |(what, command)| {
            format!("<p class=\"owner\">If this is your app, {what} <code>{command}</code></p>\n")
        });
        let code = self.code().map(|code| format!("Code {code}"));
        let request = request_id.map(|id| format!("Request {id}"));
        let footer: Vec<_> = code.into_iter().chain(request).collect();
        let footer = match footer.join(" · ") {
            empty if empty.is_empty() => empty,
            text => format!("<footer>{text}</footer>\n"),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n<p>{text}</p>\n{owner}{footer}</main>\n</body>\n</html>\n"
        )
    }

    fn words(self) -> Words {
        let words = |title, text| Words {
            title,
            text,
            owner: None,
        };
        match self {
            Self::Failed(code) => words_of(code),
            Self::NoSuchApp => words(
                "There’s nothing here, yet.",
                "No app answers on this address. Check that it is spelled correctly.",
            ),
            Self::Refused(Refusal::Host) => words(
                "Bad request",
                "The request must name exactly one host, and a valid one.",
            ),
            Self::Refused(Refusal::Malformed) => words(
                "Bad request",
                "The request is malformed, or could be read in more than one way.",
            ),
            Self::Refused(Refusal::TargetTooLong) => words(
                "Address too long",
                "The address of the request is longer than this server takes.",
            ),
            Self::Refused(Refusal::HeadTooLong) => words(
                "Request too large",
                "The headers of the request are larger or more than this server takes.",
            ),
            Self::Refused(Refusal::Method) => words(
                "Method not allowed",
                "This server does not make tunnels to other hosts.",
            ),
            Self::Edge(denied) => words_of_denied(denied),
        }
    }
}

fn words_of_denied(denied: Denied) -> Words {
    let (title, text) = match denied {
        Denied::Address => (
            "Forbidden",
            "This app does not take requests from your address.",
        ),
        Denied::Rate => (
            "Too many requests",
            "This app takes no more requests for the moment. Please try again later.",
        ),
        Denied::Password => ("Unauthorized", "This app asks for a name and a password."),
        Denied::Body => (
            "Request too large",
            "This app does not take a request as long as this.",
        ),
    };
    Words {
        title,
        text,
        owner: None,
    }
}

fn words_of(code: Code) -> Words {
    let logs = "heroku logs --tail";
    let (title, text, owner) = match code {
        Code::H10 => (
            "Application error",
            "The app has crashed and cannot answer. Please try again later.",
            ("its logs say why:", logs),
        ),
        Code::H11 => (
            "The app is very busy",
            "Too many requests are waiting for this app. Please try again in a moment.",
            ("its logs say more:", logs),
        ),
        Code::H12 => (
            "The app took too long",
            "The app did not answer in time. Please try again.",
            ("its logs may say why:", logs),
        ),
        Code::H14 => (
            "Application not running",
            "This app has no web process that could answer.",
            ("start one with", "heroku ps:scale web=1"),
        ),
        Code::H20 => (
            "Still starting",
            "The app is starting, and takes longer than usual. Please try again in a moment.",
            ("its logs say why:", logs),
        ),
        Code::H80 => (
            "Down for maintenance",
            "This app is being worked on and will be back soon.",
            ("end maintenance with", "heroku maintenance:off"),
        ),
        Code::H81 => (
            "Welcome to your new app!",
            "It has been created, and waits for its first deploy.",
            ("deploy it with", "git push heroku main"),
        ),
        Code::H26 => (
            "Expectation failed",
            "The request expects something that this server cannot do.",
            ("its logs say more:", logs),
        ),
        Code::H99 => {
            return Words {
                title: "Something went wrong on our side",
                text: "The platform cannot reach this app at the moment. Please try again later.",
                owner: None,
            };
        }
        other => return words_of_rare(other),
    };
    Words {
        title,
        text,
        owner: Some(owner),
    }
}

fn words_of_rare(code: Code) -> Words {
    let logs = "heroku logs --tail";
    let (title, text, owner) = match code {
        Code::H22 => (
            "The app is very busy",
            "Too many requests are open to this app. Please try again in a moment.",
            ("more dynos take more:", "heroku ps:scale web=2"),
        ),
        Code::H24 => (
            "Interrupted",
            "The server was restarted before the app had answered. Please try again.",
            ("its logs say how long it took:", logs),
        ),
        Code::H25 => (
            "Application error",
            "The app’s answer is too large to be passed on, or could be read in two ways.",
            ("its logs say which:", logs),
        ),
        Code::H31 => (
            "Misdirected request",
            "This host asks its clients for certificates: connect to it anew.",
            ("its logs say more:", logs),
        ),
        _ => (
            "Application error",
            "The app could not answer this request. Please try again.",
            ("its logs may say why:", logs),
        ),
    };
    Words {
        title,
        text,
        owner: Some(owner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Option<&str> = Some("0192-a");

    #[test]
    fn json_only_if_preferred() {
        for (accept, expected) in [
            ("", Accept::Html),
            ("*/*", Accept::Html),
            ("application/json", Accept::Json),
            ("application/json, text/plain, */*", Accept::Json),
            ("application/vnd.heroku+json; version=3", Accept::Json),
            (
                "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8",
                Accept::Html,
            ),
            ("text/html;q=0.5, application/json;q=0.8", Accept::Json),
            ("text/html, application/json", Accept::Html),
            ("application/json;q=x", Accept::Html),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Accept::of(&headers), expected, "{accept}");
        }
    }

    #[test]
    fn the_whole_of_a_page() {
        let page = Page::Failed(Code::H14).html(REQUEST);
        let (before, rest) = page.split_once("<style>").unwrap();
        let (style, after) = rest.split_once("</style>").unwrap();
        assert_eq!(style.trim(), STYLE.trim());
        insta::assert_snapshot!(format!("{before}<style></style>{after}"), @r#"
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Application not running</title>
        <style></style>
        </head>
        <body>
        <main>
        <h1>Application not running</h1>
        <p>This app has no web process that could answer.</p>
        <p class="owner">If this is your app, start one with <code>heroku ps:scale web=1</code></p>
        <footer>Code H14 · Request 0192-a</footer>
        </main>
        </body>
        </html>
        "#);
    }

    fn every_page() -> impl Iterator<Item = Page> {
        let refusals = [Refusal::Host, Refusal::Method].map(Page::Refused);
        let failures = Code::ALL.map(Page::Failed);
        failures
            .into_iter()
            .chain([Page::NoSuchApp])
            .chain(refusals)
    }

    #[test]
    fn the_words_of_every_page() {
        let shown = every_page().map(|page| {
            let Words { title, text, owner } = page.words();
            let owner = owner.map(|(what, command)| format!(" | {what} {command}"));
            let (status, owner) = (page.status().as_u16(), owner.unwrap_or_default());
            format!("{status} {}: {title} | {text}{owner}\n", page.id())
        });
        insta::assert_snapshot!(shown.collect::<String>(), @r"
        503 app_crashed: Application error | The app has crashed and cannot answer. Please try again later. | its logs say why: heroku logs --tail
        503 backlog_too_deep: The app is very busy | Too many requests are waiting for this app. Please try again in a moment. | its logs say more: heroku logs --tail
        503 request_timeout: The app took too long | The app did not answer in time. Please try again. | its logs may say why: heroku logs --tail
        503 connection_closed: Application error | The app could not answer this request. Please try again. | its logs may say why: heroku logs --tail
        503 no_web_processes: Application not running | This app has no web process that could answer. | start one with heroku ps:scale web=1
        503 idle_connection: Application error | The app could not answer this request. Please try again. | its logs may say why: heroku logs --tail
        503 bad_response: Application error | The app could not answer this request. Please try again. | its logs may say why: heroku logs --tail
        503 server_interrupted: Application error | The app could not answer this request. Please try again. | its logs may say why: heroku logs --tail
        503 connection_timeout: Application error | The app could not answer this request. Please try again. | its logs may say why: heroku logs --tail
        503 boot_timeout: Still starting | The app is starting, and takes longer than usual. Please try again in a moment. | its logs say why: heroku logs --tail
        503 connection_refused: Application error | The app could not answer this request. Please try again. | its logs may say why: heroku logs --tail
        503 connection_limit: The app is very busy | Too many requests are open to this app. Please try again in a moment. | more dynos take more: heroku ps:scale web=2
        503 forced_close: Interrupted | The server was restarted before the app had answered. Please try again. | its logs say how long it took: heroku logs --tail
        502 http_restriction: Application error | The app’s answer is too large to be passed on, or could be read in two ways. | its logs say which: heroku logs --tail
        417 request_error: Expectation failed | The request expects something that this server cannot do. | its logs say more: heroku logs --tail
        499 client_interrupted: Application error | The app could not answer this request. Please try again. | its logs may say why: heroku logs --tail
        499 client_idle: Application error | The app could not answer this request. Please try again. | its logs may say why: heroku logs --tail
        421 misdirected_request: Misdirected request | This host asks its clients for certificates: connect to it anew. | its logs say more: heroku logs --tail
        503 maintenance: Down for maintenance | This app is being worked on and will be back soon. | end maintenance with heroku maintenance:off
        502 blank_app: Welcome to your new app! | It has been created, and waits for its first deploy. | deploy it with git push heroku main
        503 platform_error: Something went wrong on our side | The platform cannot reach this app at the moment. Please try again later.
        404 no_such_app: There’s nothing here, yet. | No app answers on this address. Check that it is spelled correctly.
        400 bad_request: Bad request | The request must name exactly one host, and a valid one.
        405 bad_request: Method not allowed | This server does not make tunnels to other hosts.
        ");
    }

    #[test]
    fn every_page_as_json() {
        let shown = every_page().map(|page| page.json(REQUEST) + "\n");
        insta::assert_snapshot!(shown.collect::<String>(), @r#"
        {"id":"app_crashed","message":"App crashed","code":"H10","request_id":"0192-a"}
        {"id":"backlog_too_deep","message":"Backlog too deep","code":"H11","request_id":"0192-a"}
        {"id":"request_timeout","message":"Request timeout","code":"H12","request_id":"0192-a"}
        {"id":"connection_closed","message":"Connection closed without response","code":"H13","request_id":"0192-a"}
        {"id":"no_web_processes","message":"No web processes running","code":"H14","request_id":"0192-a"}
        {"id":"idle_connection","message":"Idle connection","code":"H15","request_id":"0192-a"}
        {"id":"bad_response","message":"Poorly formatted HTTP response","code":"H17","request_id":"0192-a"}
        {"id":"server_interrupted","message":"Server Request Interrupted","code":"H18","request_id":"0192-a"}
        {"id":"connection_timeout","message":"Backend connection timeout","code":"H19","request_id":"0192-a"}
        {"id":"boot_timeout","message":"App boot timeout","code":"H20","request_id":"0192-a"}
        {"id":"connection_refused","message":"Backend connection refused","code":"H21","request_id":"0192-a"}
        {"id":"connection_limit","message":"Connection limit reached","code":"H22","request_id":"0192-a"}
        {"id":"forced_close","message":"Forced close","code":"H24","request_id":"0192-a"}
        {"id":"http_restriction","message":"HTTP restriction","code":"H25","request_id":"0192-a"}
        {"id":"request_error","message":"Request Error","code":"H26","request_id":"0192-a"}
        {"id":"client_interrupted","message":"Client Request Interrupted","code":"H27","request_id":"0192-a"}
        {"id":"client_idle","message":"Client Connection Idle","code":"H28","request_id":"0192-a"}
        {"id":"misdirected_request","message":"Misdirected Request","code":"H31","request_id":"0192-a"}
        {"id":"maintenance","message":"Maintenance mode","code":"H80","request_id":"0192-a"}
        {"id":"blank_app","message":"Blank app","code":"H81","request_id":"0192-a"}
        {"id":"platform_error","message":"Platform error","code":"H99","request_id":"0192-a"}
        {"id":"no_such_app","message":"No app answers on this address. Check that it is spelled correctly.","request_id":"0192-a"}
        {"id":"bad_request","message":"The request must name exactly one host, and a valid one.","request_id":"0192-a"}
        {"id":"bad_request","message":"This server does not make tunnels to other hosts.","request_id":"0192-a"}
        "#);
    }
}
