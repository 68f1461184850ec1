use crate::cluster::wrong_definition;
use outflow_api::{Decoder, Fault, Identity, SinkContext};
use outflow_config::{ConnectorConfig, Flush, Format, Pinned, SystemEnvironment, pinned, resolve};
use outflow_driver::{ConnectorPlan, LaneDefinition, OpenLane, Opener};
use outflow_engine::FlushLimits;
use outflow_formats::JsonDecoder;
use std::{collections::BTreeMap, sync::Arc};

/// Pinned definitions with today's credentials and limits.
pub struct ConfiguredOpener {
    today: BTreeMap<String, ConnectorConfig>,
}

impl ConfiguredOpener {
    pub fn new(connectors: &[ConnectorConfig]) -> ConfiguredOpener {
        ConfiguredOpener { today: connectors.iter().map(|one| (one.name.clone(), one.clone())).collect() }
    }
}

pub fn plan(connector: &ConnectorConfig) -> ConnectorPlan {
    ConnectorPlan {
        name: connector.name.clone(),
        topics: connector.topics.clone(),
        identity: connector.sink.identity.clone(),
        pinned: pinned(connector),
        dead_letters: connector.dead_letters.as_ref().map(|dead| (dead.topic.clone(), dead.partitions)),
    }
}

fn limits(flush: &Flush) -> FlushLimits {
    FlushLimits { rows_max: flush.rows, bytes_max: flush.bytes, age_ms_max: flush.age.as_millis() as u64 }
}

impl Opener for ConfiguredOpener {
    fn open(&self, definition: &LaneDefinition) -> Result<OpenLane, Fault> {
        let pinned = Pinned::read(&definition.pinned).map_err(|problem| wrong_definition(problem.to_string()))?;
        let today = self.today.get(&pinned.connector);
        let topics: Vec<_> = definition.topics.iter().map(|topic| (topic.id(), topic.name.clone())).collect();
        let decoder: Arc<dyn Decoder> = match pinned.format {
            Format::Json => Arc::new(JsonDecoder::new(&pinned.model, &topics)?),
        };
        let known = outflow_registry::sinks();
        let descriptor = known.iter().find(|sink| sink.kind == pinned.kind);
        let descriptor =
            descriptor.ok_or_else(|| wrong_definition(format!("this build has no sink {:?}", pinned.kind)))?;
        let settings = match today {
            // Credentials of a connector that moved elsewhere or has another sink now are not those of this place.
            Some(today) if today.sink.kind == pinned.kind => pinned.settings_with(&today.sink.settings),
            Some(_) | None => pinned.settings.clone(),
        };
        let settings =
            resolve(&settings, &SystemEnvironment).map_err(|problem| wrong_definition(problem.to_string()))?;
        let dead_letters = today.and_then(|today| today.dead_letters.as_ref());
        let identity = Identity(definition.identity.clone());
        let sink = (descriptor.open)(&settings, SinkContext { identity, decoder: Arc::clone(&decoder) })?;
        Ok(OpenLane {
            connector: pinned.connector.as_str().into(),
            decoder,
            sink,
            flush: limits(today.map_or(&Flush::default(), |today| &today.flush)),
            dead_letters: dead_letters.map(|dead| dead.topic.clone()),
            reject_percent_max: dead_letters.map_or(100, |dead| dead.percent_max),
        })
    }
}
