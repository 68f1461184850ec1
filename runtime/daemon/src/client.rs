//! `outflow merchants` and `outflow lag`: asks a running daemon.

mod options;
mod table;

pub use options::{LagOptions, MerchantsOptions};

use crate::merchants::new_id;
use options::{Acting, Asked, Listing, Place};
use outflow_control::{Accepted, Detail, Page};
use serde_json::{Value, json};
use std::{
    error::Error,
    io::{IsTerminal, Write, stdin, stdout},
    time::Duration,
};
use ureq::{Agent, http::Response};

/// A publication is given a minute by the daemon.
const ANSWER_MAX: Duration = Duration::from_secs(90);
const CONNECT_MAX: Duration = Duration::from_secs(5);
const CONFLICT: u16 = 409;

type Answer<T> = Result<T, Box<dyn Error>>;

pub fn merchants(options: &MerchantsOptions) -> Answer<()> {
    let daemon = Daemon::new(&options.place);
    match &options.asked {
        Asked::List(listing) => list(&daemon, listing),
        Asked::Show { merchant } => {
            let shown = daemon.get(&format!("v1/merchants/{}", encoded(merchant)))?;
            daemon.show::<Detail>(shown, table::detail)
        }
        Asked::Pause(acting) => act(&daemon, "pause", acting, json!({})),
        Asked::Resume(acting) => act(&daemon, "resume", acting, json!({})),
        Asked::Mend(acting) => act(&daemon, "mend", acting, json!({})),
        Asked::Skip(acting) => act(&daemon, "skip", acting, json!({})),
        Asked::Abandon(acting) => act(&daemon, "abandon", acting, json!({})),
        Asked::Replay { acting, from, to, mode } => {
            act(&daemon, "replay", acting, json!({ "from": from, "to": to, "mode": mode }))
        }
        Asked::Reset { acting, to } => act(&daemon, "reset", acting, json!({ "to": to })),
    }
}

pub fn lag(options: &LagOptions) -> Answer<()> {
    let daemon = Daemon::new(&options.place);
    let lag = daemon.get("v1/lag")?;
    daemon.show::<Value>(lag, table::lag)
}

fn list(daemon: &Daemon, listing: &Listing) -> Answer<()> {
    let limit = listing.limit.to_string();
    let parts = [
        ("connector", listing.connector.as_deref()),
        ("state", listing.state.as_deref()),
        ("alarm", listing.alarm.as_deref()),
        ("prefix", listing.prefix.as_deref()),
        ("after", listing.after.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let query: Vec<String> =
        parts.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded(value?)))).collect();
    let page = daemon.get(&format!("v1/merchants?{}", query.join("&")))?;
    daemon.show::<Page>(page, table::page)
}

/// What cannot be undone is asked for once more, with what it will cost.
fn act(daemon: &Daemon, action: &str, acting: &Acting, mut body: Value) -> Answer<()> {
    let id = acting.id.clone().map_or_else(new_id, Ok).map_err(|refusal| refusal.message().to_owned())?;
    body["id"] = json!(id);
    body["confirm"] = json!(acting.yes);
    if let Some(connector) = &acting.connector {
        body["connector"] = json!(connector);
    }
    if let Some(lane) = acting.lane {
        body["lane"] = json!(lane);
    }
    let path = format!("v1/merchants/{}/{action}", encoded(&acting.merchant));
    let again = format!("whether it was taken is not known: the same command with `--id {id}` takes effect once");
    let mut answer = daemon.post(&path, &body).map_err(|error| format!("{error}; {again}"))?;
    if answer.status == CONFLICT && !acting.yes {
        if !stdin().is_terminal() {
            return Err(format!("{}, or `--yes`", answer.message()).into());
        }
        eprintln!("{}", table::plain(&answer.message()));
        if !is_meant(action, &acting.merchant)? {
            return Err("nothing was done".into());
        }
        body["confirm"] = json!(true);
        answer = daemon.post(&path, &body).map_err(|error| format!("{error}; {again}"))?;
    }
    daemon.show::<Accepted>(answer.sound()?, table::accepted)
}

fn is_meant(action: &str, merchant: &str) -> Answer<bool> {
    eprint!("{action} {merchant}? Type yes: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "yes"))
}

struct Daemon {
    agent: Agent,
    url: String,
    as_json: bool,
}

struct Told {
    status: u16,
    body: String,
}

impl Told {
    /// Of an error, as the daemon tells it.
    fn message(&self) -> String {
        let told: Option<Value> = serde_json::from_str(&self.body).ok();
        let message = told.as_ref().and_then(|told| told["message"].as_str());
        message.map_or_else(|| format!("HTTP {}: this is no answer of outflow's", self.status), str::to_owned)
    }

    fn sound(self) -> Answer<String> {
        if (200..300).contains(&self.status) { Ok(self.body) } else { Err(self.message().into()) }
    }
}

impl Daemon {
    fn new(place: &Place) -> Daemon {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(ANSWER_MAX))
            .build();
        Daemon { agent: config.into(), url: place.url.trim_end_matches('/').to_owned(), as_json: place.json }
    }

    fn get(&self, path: &str) -> Answer<String> {
        self.told(self.agent.get(format!("{}/{path}", self.url)).call())?.sound()
    }

    fn post(&self, path: &str, body: &Value) -> Answer<Told> {
        let request = self.agent.post(format!("{}/{path}", self.url)).content_type("application/json");
        self.told(request.send(body.to_string()))
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
        let body = answer.body_mut().read_to_string().map_err(unreachable)?;
        Ok(Told { status: answer.status().as_u16(), body })
    }

    /// As it came, or for people.
    fn show<T: serde::de::DeserializeOwned>(&self, body: String, table: fn(&T) -> String) -> Answer<()> {
        let text = match self.as_json {
            true => body + "\n",
            false => {
                let read = serde_json::from_str(&body);
                table(&read.map_err(|error| {
                    format!("the daemon's answer is not understood: {error}; is it of another version?")
                })?)
            }
        };
        // A reader that has seen enough closes the pipe.
        let _ = stdout().write_all(text.as_bytes());
        Ok(())
    }
}

/// Percent encoding of everything that may mean something in a URL.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
