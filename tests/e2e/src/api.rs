//! The Platform API called directly: quicker than the official CLI, and able to see a call fail.

use std::{
    io::{Error, ErrorKind},
    net::{SocketAddr, ToSocketAddrs},
};

use serde_json::Value;

use crate::{Platform, http};

impl Platform {
    /// Where the API takes plain HTTP.
    ///
    /// # Panics
    /// When the ready file names no address.
    pub fn api_addr(&self) -> SocketAddr {
        self.ready("api_url")
            .rsplit_once('/')
            .and_then(|(_, address)| address.to_socket_addrs().ok()?.next())
            .expect("the API URL names an address")
    }

    /// One call as the first account: what a 2xx answered, `null` if that was not JSON.
    ///
    /// # Errors
    /// When there is no answer, or one that says no.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let head = [
            format!("{method} {path} HTTP/1.1"),
            "Host: localhost".to_owned(),
            "Connection: close".to_owned(),
            "Accept: application/vnd.heroku+json; version=3".to_owned(),
            "Content-Type: application/json".to_owned(),
            format!("Authorization: Bearer {}", self.ready("admin_token")),
            format!("Content-Length: {}", text.len()),
        ];
        let request = format!("{}\r\n\r\n{text}", head.join("\r\n"));
        let answer = http::send(self.api_addr(), &request)?;
        if answer.status >= 300 {
            let said = format!("{method} {path}: {} {}", answer.status, answer.body);
            return Err(Error::new(ErrorKind::PermissionDenied, said));
        }
        Ok(serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }

    /// A list that the API gives.
    ///
    /// # Errors
    /// As [`Platform::api`]; also when it is not a list.
    pub fn api_list(&self, path: &str) -> std::io::Result<Vec<Value>> {
        match self.api("GET", path, &Value::Null)? {
            Value::Array(list) => Ok(list),
            other => Err(Error::new(ErrorKind::InvalidData, other.to_string())),
        }
    }
}
