//! One daemon, asked over HTTP.

use crate::client::options::Place;
use serde_json::Value;
use std::{
    error::Error,
    fs,
    io::{Write, stdout},
    sync::Arc,
    time::Duration,
};
use ureq::{
    Agent,
    http::{Request, Response},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

/// A publication is given a minute by the daemon.
const ANSWER_MAX: Duration = Duration::from_secs(90);
const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
pub const CONFLICT: u16 = 409;

pub type Answer<T> = Result<T, Box<dyn Error>>;

#[derive(Clone)]
pub struct Daemon {
    agent: Agent,
    url: String,
    token: Option<String>,
    as_json: bool,
}

pub struct Told {
    pub status: u16,
    body: String,
}

impl Told {
    /// Of an error, as the daemon tells it.
    pub fn message(&self) -> String {
        let told: Option<Value> = serde_json::from_str(&self.body).ok();
        let message = told.as_ref().and_then(|told| told["message"].as_str());
        message.map_or_else(|| format!("HTTP {}: this is no answer of outflow's", self.status), str::to_owned)
    }

    pub fn sound(self) -> Answer<String> {
        if (200..300).contains(&self.status) { Ok(self.body) } else { Err(self.message().into()) }
    }
}

impl Daemon {
    pub fn new(place: &Place) -> Answer<Daemon> {
        Daemon::patient(place, ANSWER_MAX)
    }

    /// One that is not waited for any longer.
    pub fn patient(place: &Place, limit: Duration) -> Answer<Daemon> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(tls(place)?)
            .timeout_connect(Some(CONNECT_MAX.min(limit)))
            .timeout_global(Some(limit))
            .build();
        let url = place.url.trim_end_matches('/').to_owned();
        Ok(Daemon { agent: config.into(), url, token: place.token.clone(), as_json: place.json })
    }

    /// The same client, for another host: its url has been the scheme alone.
    pub fn of_host(&self, host: &str) -> Daemon {
        Daemon { url: format!("{}://{host}", self.url), ..self.clone() }
    }

    pub fn get(&self, path: &str) -> Answer<String> {
        self.send("GET", path, None)?.sound()
    }

    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer<Told> {
        let request = self.request(method, path);
        match body {
            None => self.told(self.agent.run(request.body(())?)),
            Some(body) => {
                let request = request.header("Content-Type", "application/json");
                self.told(self.agent.run(request.body(body.to_string())?))
            }
        }
    }

    /// A document a line.
    pub fn send_lines(&self, path: &str, lines: String) -> Answer<Told> {
        let request = self.request("POST", path).header("Content-Type", "application/x-ndjson");
        self.told(self.agent.run(request.body(lines)?))
    }

    fn request(&self, method: &str, path: &str) -> ureq::http::request::Builder {
        let request = Request::builder().method(method).uri(format!("{}/{path}", self.url));
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn told(&self, answer: Result<Response<ureq::Body>, ureq::Error>) -> Answer<Told> {
        let unreachable = |error: ureq::Error| {
            format!(
                "no daemon answers at {}: {error}; is `outflow run` at work, and is this its rest.listen? Say another \
                 with --url",
                self.url
            )
        };
        let mut answer = answer.map_err(unreachable)?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(unreachable)?;
        Ok(Told { status: answer.status().as_u16(), body })
    }

    /// As it came, or for people.
    pub fn show<T: serde::de::DeserializeOwned>(&self, body: String, table: fn(&T) -> String) -> Answer<()> {
        let text = match self.as_json {
            true => body + "\n",
            false => {
                let read = serde_json::from_str(&body);
                table(&read.map_err(|error| {
                    format!("the daemon's answer is not understood: {error}; is it of another version?")
                })?)
            }
        };
        write(&text);
        Ok(())
    }

    /// As it came, or that it was done.
    pub fn say(&self, body: &str, done: &str) -> Answer<()> {
        write(&format!("{}\n", if self.as_json { body } else { done }));
        Ok(())
    }

    /// In lines, or as it came.
    pub fn print(&self, body: &str) -> Answer<()> {
        let read: Value = serde_json::from_str(body)?;
        let text = if self.as_json { body.to_owned() } else { serde_json::to_string_pretty(&read)? };
        write(&(text + "\n"));
        Ok(())
    }
}

fn tls(place: &Place) -> Answer<TlsConfig> {
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    // The system's own authorities.
    let Some(path) = &place.ca else { return Ok(config.root_certs(RootCerts::PlatformVerifier).build()) };
    let wrong = |error: String| format!("--ca {}: {error}", path.display());
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(error.to_string()))? {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()).into());
    }
    Ok(config.root_certs(RootCerts::new_with_certs(&roots)).build())
}

/// A reader that has seen enough closes the pipe.
pub fn write(text: &str) {
    let _ = stdout().write_all(text.as_bytes());
}

/// Percent encoding of everything that may mean something in a URL.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
