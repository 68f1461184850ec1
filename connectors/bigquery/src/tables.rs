//! The service for tables, call by call.

use crate::{
    client::{Client, http},
    fault::{self, Act},
    settings::Settings,
    table,
    types::Column,
};
use outflow_api::Fault;
use reqwest::{Method, header};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// One table's.
pub struct Tables {
    client: Arc<Client>,
    dataset: String,
    table: String,
    shown: String,
    timeout: Duration,
}

pub struct Call<'c> {
    pub act: Act,
    pub method: Method,
    pub url: &'c str,
    /// What must still be so.
    pub etag: Option<&'c str>,
    pub body: Option<&'c Value>,
}

impl Tables {
    pub fn new(settings: &Settings, client: Arc<Client>, timeout: Duration) -> Tables {
        let Settings { project, dataset, table, .. } = settings;
        let dataset = format!("{}/bigquery/v2/projects/{project}/datasets/{dataset}", settings.rest_endpoint());
        let table = format!("{dataset}/tables/{table}");
        Tables { client, dataset, table, shown: settings.shown(), timeout }
    }

    /// The service's own answer, whether good or bad.
    pub async fn ask(&self, call: Call<'_>) -> Result<Result<Value, (u16, Value)>, Fault> {
        let fault = |error: reqwest::Error| fault::of_request(&self.shown, call.act, &error);
        let mut request = http()?.request(call.method, call.url).timeout(self.timeout);
        request = request.headers(self.client.headers().await?);
        if let Some(etag) = call.etag {
            request = request.header(header::IF_MATCH, etag);
        }
        if let Some(body) = call.body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(fault)?;
        let (status, body) = (answer.status(), answer.bytes().await.map_err(fault)?);
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(if status.is_success() { Ok(body) } else { Err((status.as_u16(), body)) })
    }

    fn refusal(&self, act: Act) -> impl Fn((u16, Value)) -> Fault {
        move |(status, body)| fault::of_http(&self.shown, act, status, &body)
    }

    /// None if it is not there.
    pub async fn table(&self) -> Result<Option<Value>, Fault> {
        self.look(&self.table).await
    }

    pub async fn dataset(&self) -> Result<Option<Value>, Fault> {
        self.look(&self.dataset).await
    }

    async fn look(&self, url: &str) -> Result<Option<Value>, Fault> {
        let act = Act::LookAtTable;
        match self.ask(Call { act, method: Method::GET, url, etag: None, body: None }).await? {
            Ok(body) => Ok(Some(body)),
            Err((404, _)) => Ok(None),
            Err(refused) => Err(self.refusal(act)(refused)),
        }
    }

    /// Done, too, where somebody else was faster.
    pub async fn make(&self, body: &Value) -> Result<(), Fault> {
        let (act, url) = (Act::MakeTable, format!("{}/tables", self.dataset));
        match self.ask(Call { act, method: Method::POST, url: &url, etag: None, body: Some(body) }).await? {
            Ok(_) | Err((409, _)) => Ok(()),
            Err(refused) => Err(self.refusal(act)(refused)),
        }
    }

    /// Whoever changes it at the same time is found out by the table's version.
    pub async fn add(&self, columns: &[Column]) -> Result<(), Fault> {
        let act = Act::ChangeTable;
        let there = self.table().await?.ok_or_else(|| fault::of_http(&self.shown, act, 404, &Value::Null))?;
        let (etag, fields) = (there["etag"].as_str(), &there["schema"]["fields"]);
        let body = json!({ "schema": { "fields": table::added(fields, columns) } });
        let call = Call { act, method: Method::PATCH, url: &self.table, etag, body: Some(&body) };
        self.ask(call).await?.map(drop).map_err(self.refusal(act))
    }
}
