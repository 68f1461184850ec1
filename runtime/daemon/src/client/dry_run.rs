//! `outflow merchants dry-run` and `outflow connectors dry-run`.

use crate::client::{
    connectors::flat,
    content,
    http::{Answer, Daemon, encoded},
    options::Trying,
    table,
};
use outflow_control::DryRun;
use serde_json::{Value, json};

/// What is in force is a merchant's own to try; a file is somebody's who may look at all.
pub fn merchant(daemon: &Daemon, id: &str, trial: &Trying) -> Answer<()> {
    let records = trial.records;
    match &trial.file {
        None => tell(daemon, &format!("v1/merchants/{}/dry-run", encoded(id)), &json!({ "records": records })),
        Some(file) => {
            let body = json!({ "merchant": id, "config": content(file)?, "records": records });
            tell(daemon, "v1/dry-run", &body)
        }
    }
}

pub fn connector(daemon: &Daemon, name: &str, trial: &Trying) -> Answer<()> {
    let mut body = json!({ "connector": name, "records": trial.records });
    if let Some(file) = &trial.file {
        body["config"] = flat(content(file)?)?;
    }
    tell(daemon, "v1/dry-run", &body)
}

fn tell(daemon: &Daemon, path: &str, body: &Value) -> Answer<()> {
    let told = daemon.send("POST", path, Some(body))?.sound()?;
    daemon.show::<DryRun>(told.clone(), table::dry_run)?;
    let is_well = serde_json::from_str::<DryRun>(&told).is_ok_and(|told| told.ok);
    if is_well { Ok(()) } else { Err("it could be put, and something would park: see above".into()) }
}
