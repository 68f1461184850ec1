//! All that is configured, as documents; and documents that become what is configured.

use crate::{connectors::Connectors, merchants::Merchants};
use async_trait::async_trait;
use outflow_catalogue::{Catalogue, FlushEntry, LaneEntry, Origin};
use outflow_config::ConnectorConfig;
use outflow_control::{
    Connectors as _, Document, DocumentContent as Content, Expected, Imported, Lines, Named, Outcome, Put, Refusal,
    Standing,
};
use outflow_driver::{Standing as Stands, Steering};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, ops::Bound, sync::Arc};
use tokio::sync::mpsc;

/// The daemon's side of [`outflow_control::Documents`].
pub struct Documents {
    pub steering: Steering,
    pub connectors: Arc<Connectors>,
    pub merchants: Arc<Merchants>,
}

#[async_trait]
impl outflow_control::Documents for Documents {
    fn documents(&self, after: Option<&Named>, limit: usize) -> Result<Vec<Document>, Refusal> {
        let configuration = self.steering.configuration()?;
        let catalogue = configuration.catalogue();
        let (connectors_after, merchants_after) = match after {
            None => (Some(""), Bound::Unbounded),
            Some(Named::Connector(name)) => (Some(name.as_str()), Bound::Unbounded),
            Some(Named::Merchant(id)) => (None, Bound::Excluded(id.as_str())),
        };
        let names = catalogue.connector_names().filter(|name| connectors_after.is_some_and(|after| *name > after));
        let connectors = names.filter_map(|name| self.connector(&catalogue, name).transpose());
        let merchants = catalogue.merchants(merchants_after).filter_map(|(id, _)| merchant(&catalogue, id).transpose());
        connectors.chain(merchants).take(limit).collect()
    }

    async fn import(&self, documents: Lines, dry_run: bool, told: mpsc::Sender<Imported>) {
        let mut judged = BTreeMap::new();
        for document in documents {
            let named = document.content.named();
            let outcome = self.import_one(document.content, dry_run, &mut judged).await;
            let (outcome, reason) = match outcome {
                Ok(outcome) => (outcome, None),
                Err(refusal) => (Outcome::Refused, Some(refusal.message().to_owned())),
            };
            if told.send(Imported { named, outcome, reason }).await.is_err() {
                return;
            }
        }
    }
}

impl Documents {
    /// `judged`: connectors that a dry run would have put before, which merchants may name.
    async fn import_one(
        &self,
        content: Content,
        dry_run: bool,
        judged: &mut BTreeMap<String, ConnectorConfig>,
    ) -> Result<Outcome, Refusal> {
        let content = with_name(content)?;
        let known = {
            let configuration = self.steering.configuration()?;
            let catalogue = configuration.catalogue();
            match content.named() {
                Named::Connector(name) if catalogue.connector(&name).is_none() => None,
                Named::Connector(name) => self.connector(&catalogue, &name)?,
                Named::Merchant(id) => merchant(&catalogue, &id)?,
            }
        };
        if known.as_ref().is_some_and(|known| says_the_same(&known.content, &content)) {
            return Ok(Outcome::Same);
        }
        match content {
            Content::Connector { name, config, .. } if dry_run => {
                let connector = self.connectors.judge(&name, config)?;
                judged.insert(name, connector);
            }
            Content::Connector { name, config, standing } => {
                self.connectors.put(Put { name, config, expected: Expected::Anything, standing }).await?;
            }
            Content::Merchant { id, config } if dry_run => {
                self.merchants.judge(&id, &Value::Object(config), judged)?;
            }
            Content::Merchant { id, config } => {
                self.merchants.put_document(&id, Value::Object(config), Expected::Anything).await?;
            }
        }
        Ok(if known.is_some() { Outcome::Changed } else { Outcome::Created })
    }

    fn connector(&self, catalogue: &Catalogue, name: &str) -> Result<Option<Document>, Refusal> {
        let Some(entry) = catalogue.connector(name) else { return Ok(None) };
        let standing = match Stands::of(entry) {
            Stands::Running => Standing::Running,
            Stands::Paused => Standing::Paused,
            Stands::Stopped => Standing::Stopped,
        };
        let of_files = catalogue.origin(name) == Origin::Files;
        let config = self.connectors.config_of(catalogue, name)?;
        Ok(Some(Document { content: Content::Connector { name: name.to_owned(), config, standing }, of_files }))
    }
}

/// As it is kept.
fn with_name(content: Content) -> Result<Content, Refusal> {
    match content {
        Content::Connector { name, mut config, standing } => {
            config.entry("name".to_owned()).or_insert_with(|| name.clone());
            Ok(Content::Connector { name, config, standing })
        }
        Content::Merchant { id, mut config } => {
            let said = config.entry("merchant").or_insert_with(|| id.as_str().into());
            if said.as_str() != Some(&id) && said.as_i64().map(|said| said.to_string()).as_deref() != Some(&id) {
                return Err(Refusal::malformed(format!(
                    "the configuration is of merchant {said}, the document of {id:?}"
                )));
            }
            Ok(Content::Merchant { id, config })
        }
    }
}

/// Whether it is held is a command, and no part of what is put.
fn says_the_same(known: &Content, new: &Content) -> bool {
    match (known, new) {
        (Content::Connector { config: known, .. }, Content::Connector { config: new, .. }) => known == new,
        (known, new) => known == new,
    }
}

/// In force: put over REST, or of files.
fn merchant(catalogue: &Catalogue, id: &str) -> Result<Option<Document>, Refusal> {
    let unreadable = |error| Refusal::internal(format!("the document of merchant {id:?} cannot be read: {error}"));
    if let Some((_, text)) = catalogue.document(&format!("merchant/{id}")) {
        let config = serde_json::from_str(text).map_err(unreadable)?;
        return Ok(Some(Document { content: Content::Merchant { id: id.to_owned(), config }, of_files: false }));
    }
    let lanes = catalogue.merchant(id).iter().filter(|lane| !catalogue.is_gone(**lane));
    let deliver = lanes.filter_map(|lane| Some(delivery(catalogue, catalogue.lane(*lane)?)));
    let deliver = deliver.collect::<Result<Vec<Value>, _>>().map_err(unreadable)?;
    if deliver.is_empty() {
        return Ok(None);
    }
    let config = [("merchant".to_owned(), id.into()), ("deliver".to_owned(), deliver.into())].into_iter().collect();
    Ok(Some(Document { content: Content::Merchant { id: id.to_owned(), config }, of_files: true }))
}

/// What a file says of it, as the config log has it. Where it began is history.
fn delivery(catalogue: &Catalogue, lane: &LaneEntry) -> serde_json::Result<Value> {
    let place: Value = serde_json::from_str(&lane.place)?;
    let mut sink: Map<String, Value> = serde_json::from_str(&lane.settings)?;
    sink.insert("type".to_owned(), place["sink"]["type"].clone());
    let mut delivery = json!({ "connector": lane.connector, "sink": sink });
    for key in ["only", "without", "hash"] {
        if let Some(said) = place.get(key) {
            delivery[key] = said.clone();
        }
    }
    if lane.schedule > 0 {
        delivery["schedule"] = format!("{}s", lane.schedule).into();
    }
    if catalogue.connector(&lane.connector).is_some_and(|connector| connector.flush != lane.flush) {
        let FlushEntry { rows, bytes, age_ms } = lane.flush;
        delivery["flush"] = json!({ "rows": rows, "bytes": bytes, "age": format!("{age_ms}ms") });
    }
    Ok(delivery)
}
