//! Load jobs, call by call. A job has a name of ours, so that a repeated request finds the job that it made before.

use crate::{
    fault::{self, Act},
    settings::Settings,
    tables::{Call, Tables},
};
use outflow_api::{BatchId, Fault};
use reqwest::Method;
use serde_json::{Value, json};

/// What the service says of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    Runs,
    /// All rows are in the table.
    Done,
    /// None is, and none ever will be.
    Failed {
        reason: String,
        message: String,
    },
}

/// Each attempt has a name of its own: that of a job which failed is used up for ever.
pub fn name(id: BatchId, attempt: u32) -> String {
    format!("outflow_{id}_{attempt}")
}

impl State {
    pub fn of(job: &Value) -> State {
        let status = &job["status"];
        if status["state"] != "DONE" {
            return State::Runs;
        }
        let error = &status["errorResult"];
        if error.is_null() {
            return State::Done;
        }
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        State::Failed { reason: text("reason"), message: text("message") }
    }
}

/// None if there is no such job.
pub async fn look(tables: &Tables, settings: &Settings, name: &str, location: &str) -> Result<Option<State>, Fault> {
    let act = Act::LookAtJob;
    let url = format!("{}/{name}?location={location}", url(settings));
    match tables.ask(Call { act, method: Method::GET, url: &url, etag: None, body: None }).await? {
        Ok(job) => Ok(Some(State::of(&job))),
        Err((404, _)) => Ok(None),
        Err((status, body)) => Err(fault::of_http(&settings.shown(), act, status, &body)),
    }
}

/// None if the name is taken: the job is there already.
pub async fn insert(
    tables: &Tables,
    settings: &Settings,
    name: &str,
    location: &str,
    uri: &str,
) -> Result<Option<State>, Fault> {
    let Settings { project, dataset, table, .. } = settings;
    let body = json!({
        "jobReference": { "projectId": project, "jobId": name, "location": location },
        "configuration": { "load": {
            "sourceUris": [uri],
            "sourceFormat": "PARQUET",
            "parquetOptions": { "enableListInference": true },
            "decimalTargetTypes": ["NUMERIC", "BIGNUMERIC"],
            "destinationTable": { "projectId": project, "datasetId": dataset, "tableId": table },
            "createDisposition": "CREATE_NEVER",
            "writeDisposition": "WRITE_APPEND",
        } },
    });
    let (act, url) = (Act::StartJob, url(settings));
    match tables.ask(Call { act, method: Method::POST, url: &url, etag: None, body: Some(&body) }).await? {
        Ok(job) => Ok(Some(State::of(&job))),
        Err((409, _)) => Ok(None),
        Err((status, body)) => Err(fault::of_http(&settings.shown(), act, status, &body)),
    }
}

fn url(settings: &Settings) -> String {
    format!("{}/bigquery/v2/projects/{}/jobs", settings.rest_endpoint(), settings.project)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_done_only_if_it_says_so_and_names_no_error() {
        let state = |status: Value| State::of(&json!({ "status": status }));
        assert_eq!(state(json!({ "state": "PENDING" })), State::Runs);
        assert_eq!(state(json!({ "state": "RUNNING", "errors": [{ "reason": "x" }] })), State::Runs);
        // Errors without a result are warnings: the job came to its end.
        assert_eq!(state(json!({ "state": "DONE", "errors": [{ "reason": "x" }] })), State::Done);
        let (reason, message) = ("backendError".to_owned(), "said".to_owned());
        let failed = json!({ "state": "DONE", "errorResult": { "reason": "backendError", "message": "said" } });
        assert_eq!(state(failed), State::Failed { reason, message });
        let (reason, message) = (String::new(), "said".to_owned());
        let nameless = json!({ "state": "DONE", "errorResult": { "message": "said" } });
        assert_eq!(state(nameless), State::Failed { reason, message });
        assert_eq!(State::of(&json!({})), State::Runs);
    }
}
