//! Small pages for people with a secret link: a form with a few fields, and what came of it.

use axum::{
    body::to_bytes,
    extract::{Query, Request},
    response::Html,
};
use http::Uri;
use serde::Deserialize;

use super::error::Refusal;

const FORM_LIMIT_BYTES: usize = 16 * 1024;

/// What a form asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Email,
    /// The present password, or a token.
    Password,
    NewPassword,
    /// Of the second factor, for who has one.
    Code,
}

/// What was filled in; a field that the form did not ask for is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    pub(super) email: String,
    pub(super) password: String,
    pub(super) new_password: String,
    pub(super) code: String,
}

/// The fields of a form that was sent.
pub(super) async fn fields(request: Request) -> Result<Fields, Refusal> {
    let body = to_bytes(request.into_body(), FORM_LIMIT_BYTES).await;
    parsed(&body.map_err(|_| Refusal::BodyTooLong)?)
}

fn parsed(body: &[u8]) -> Result<Fields, Refusal> {
    let query = std::str::from_utf8(body).map_err(|_| Refusal::UnreadableBody)?;
    let uri: Uri = format!("/?{query}")
        .parse()
        .map_err(|_| Refusal::UnreadableBody)?;
    Query::try_from_uri(&uri)
        .map(|Query(fields)| fields)
        .map_err(|_| Refusal::UnreadableBody)
}

impl Field {
    fn input(self) -> &'static str {
        match self {
            Self::Email => {
                "<label>Email <input name=\"email\" type=\"email\" autocomplete=\"username\" \
                 required autofocus></label>"
            }
            Self::Password => {
                "<label>Password or token <input name=\"password\" type=\"password\" \
                 autocomplete=\"current-password\" required></label>"
            }
            Self::Code => {
                "<label>Two-factor code, if you have set it up <input name=\"code\" \
                 autocomplete=\"one-time-code\"></label>"
            }
            Self::NewPassword => {
                "<label>New password <input name=\"new_password\" type=\"password\" \
                 autocomplete=\"new-password\" minlength=\"12\" required></label>"
            }
        }
    }
}

/// A form under a title, which its button says, too; `fault` is what was wrong before.
pub(super) fn form(title: &str, (what, fault): (&str, &str), fields: &[Field]) -> Html<String> {
    let inputs: String = fields.iter().map(|field| field.input()).collect();
    let (title, what, fault) = (escape(title), escape(what), escape(fault));
    document(&format!(
        "<h1>{title}</h1><p>{what}</p><p role=\"alert\">{fault}</p>\
         <form method=\"post\">{inputs}<button>{title}</button></form>"
    ))
}

/// What came of it.
pub(super) fn said(title: &str, what: &str) -> Html<String> {
    let (title, what) = (escape(title), escape(what));
    document(&format!("<h1>{title}</h1><p>{what}</p>"))
}

fn document(content: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Landfall</title>\
         <style>body{{font:1rem/1.5 system-ui;max-width:24rem;margin:4rem auto;padding:0 1rem}}\
         label,input,button{{display:block;width:100%;box-sizing:border-box;font:inherit}}\
         input,button{{margin:.25rem 0 1rem;padding:.5rem}}:root{{color-scheme:light dark}}</style>\
         <main>{content}</main></html>"
    ))
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_and_pages_escaped() {
        let fields = parsed(b"email=a%40b.c&password=x+y%26z").unwrap();
        assert_eq!(
            (fields.email.as_str(), fields.password.as_str()),
            ("a@b.c", "x y&z")
        );
        let page = form("Sign in", ("<script>", ""), &[Field::Email]).0;
        assert!(page.contains("&lt;script&gt;"));
    }
}
