//! `outflow merchants`, `connectors`, `dead-letters`, `events`, `export`, `import` and `lag`: asks a running daemon.

mod connectors;
mod documents;
mod dry_run;
mod events;
mod http;
mod letters;
mod options;
mod table;

pub use connectors::{ConnectorsOptions, connectors};
pub use documents::{ExportOptions, ImportOptions, export, import};
pub use events::{EventsOptions, events};
pub use http::{Daemon, Told, encoded};
pub use letters::dead_letters;
pub use options::{DeadLettersOptions, LagOptions, MerchantsOptions, Place};

use crate::merchants::new_id;
use http::{Answer, CONFLICT};
use options::{Acting, Asked, Listing};
use outflow_control::{Accepted, Detail, Page};
use serde_json::{Value, json};
use std::io::{IsTerminal, Read, Write, stdin};

pub fn merchants(options: &MerchantsOptions) -> Answer<()> {
    let daemon = Daemon::new(&options.place)?;
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
        Asked::Put { merchant, file } => {
            let path = format!("v1/merchants/{}", encoded(merchant));
            daemon
                .say(&daemon.send("PUT", &path, Some(&content(file)?))?.sound()?, &format!("{merchant} is configured"))
        }
        Asked::DryRun { merchant, trial } => dry_run::merchant(&daemon, merchant, trial),
        Asked::Config { merchant } => daemon.print(&daemon.get(&format!("v1/merchants/{}/config", encoded(merchant)))?),
        Asked::Remove { merchant, undelivered } => {
            let query = undelivered.as_ref().map_or_else(String::new, |what| format!("?undelivered={what}"));
            let path = format!("v1/merchants/{}{query}", encoded(merchant));
            daemon.say(&daemon.send("DELETE", &path, None)?.sound()?, &format!("{merchant} is removed"))
        }
        Asked::Test { merchant } => {
            let told = daemon.send("POST", &format!("v1/merchants/{}/test", encoded(merchant)), None)?.sound()?;
            daemon.show::<Value>(told.clone(), table::steps)?;
            let is_well = serde_json::from_str::<Value>(&told).is_ok_and(|told| told["ok"] == true);
            if is_well { Ok(()) } else { Err("the destination is not ready for deliveries".into()) }
        }
    }
}

/// Of a file, or of standard input: JSON, or YAML as files have it.
fn content(file: &str) -> Answer<Value> {
    let mut text = String::new();
    match file {
        "-" => drop(stdin().read_to_string(&mut text)?),
        file => text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?,
    }
    Ok(outflow_config::read_plain(&text).map_err(|problems| format!("{file}: {problems}"))?)
}

pub fn lag(options: &LagOptions) -> Answer<()> {
    let daemon = Daemon::new(&options.place)?;
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
    let mut answer = daemon.send("POST", &path, Some(&body)).map_err(|error| format!("{error}; {again}"))?;
    if answer.status == CONFLICT && !acting.yes {
        if !stdin().is_terminal() {
            return Err(format!("{}, or `--yes`", answer.message()).into());
        }
        eprintln!("{}", table::plain(&answer.message()));
        if !is_meant(action, &acting.merchant)? {
            return Err("nothing was done".into());
        }
        body["confirm"] = json!(true);
        answer = daemon.send("POST", &path, Some(&body)).map_err(|error| format!("{error}; {again}"))?;
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
