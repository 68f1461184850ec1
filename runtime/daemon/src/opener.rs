use crate::cluster::wrong_definition;
use outflow_api::{Decoder, Fault, Identity, Sink, SinkContext};
use outflow_catalogue::Definition;
use outflow_config::{Format, Place, Shape, SystemEnvironment, resolve};
use outflow_driver::{Field, Nowhere, OpenLane, Opener};
use outflow_engine::FlushLimits;
use outflow_formats::{FieldPath, JsonDecoder};
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Makes lanes work, by the kinds of sinks and formats of this build.
#[derive(Default)]
pub struct ConfiguredOpener {
    /// A decoder knows its model and nothing of destinations: merchants with the same columns share it.
    decoders: Mutex<HashMap<DecoderKey, Arc<dyn Decoder>>>,
}

#[derive(PartialEq, Eq, Hash)]
struct DecoderKey {
    connector: Arc<str>,
    version: u64,
    without: Vec<String>,
    hash: Vec<String>,
}

/// Of all connectors, versions and choices of columns; each has some kilobytes.
const DECODERS_MAX: usize = 1_000;

impl ConfiguredOpener {
    fn decoder(&self, definition: &Definition, without: &[String], hash: &[String]) -> Result<Arc<dyn Decoder>, Fault> {
        let key = DecoderKey {
            connector: Arc::clone(&definition.connector_name),
            version: definition.connector.version,
            without: without.to_vec(),
            hash: hash.to_vec(),
        };
        let mut decoders = self.decoders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = decoders.get(&key) {
            return Ok(Arc::clone(known));
        }
        let shape =
            Shape::read(&definition.connector.shape).map_err(|problem| wrong_definition(problem.to_string()))?;
        let model = shape.model.filtered(without, hash).map_err(|error| wrong_definition(error.to_string()))?;
        let topics: Vec<_> = definition.connector.topics.iter().map(|topic| (topic.id(), topic.name.clone())).collect();
        let decoder: Arc<dyn Decoder> = match shape.format {
            Format::Json => Arc::new(JsonDecoder::new(&model, &topics)?),
        };
        if decoders.len() >= DECODERS_MAX {
            decoders.clear();
        }
        decoders.insert(key, Arc::clone(&decoder));
        Ok(decoder)
    }
}

impl Opener for ConfiguredOpener {
    fn open(&self, definition: &Definition) -> Result<OpenLane, Fault> {
        let Definition { lane, connector, connector_name } = definition;
        let (decoder, sink, rejects) = if lane.rejects {
            let decoder = self.decoder(definition, &[], &[])?;
            let sink: Arc<dyn Sink> = Arc::new(Nowhere);
            (decoder, sink, Some(("unknown-merchant", "no merchant of the connector has this key")))
        } else {
            let wrong = |error: serde_json::Error| wrong_definition(format!("lane {}: {error}", lane.lane));
            let place: serde_json::Value = serde_json::from_str(&lane.place).map_err(wrong)?;
            let today: serde_json::Value = serde_json::from_str(&lane.settings).map_err(wrong)?;
            let place = Place::read(&place).map_err(|problem| wrong_definition(problem.to_string()))?;
            let decoder = self.decoder(definition, &place.without, &place.hash)?;
            let known = outflow_registry::sinks();
            let descriptor = known.iter().find(|sink| sink.kind == place.kind);
            let descriptor =
                descriptor.ok_or_else(|| wrong_definition(format!("this build has no sink {:?}", place.kind)))?;
            let settings = resolve(&place.settings_with(&today), &SystemEnvironment);
            let settings = settings.map_err(|problem| wrong_definition(problem.to_string()))?;
            let identity = Identity(lane.identity.clone());
            let sink = (descriptor.open)(&settings, SinkContext { identity, decoder: Arc::clone(&decoder) })?;
            (decoder, sink, None)
        };
        Ok(OpenLane {
            connector: Arc::clone(connector_name),
            merchant: lane.merchant.as_deref().map(Into::into),
            decoder,
            sink,
            flush: FlushLimits {
                rows_max: lane.flush.rows,
                bytes_max: lane.flush.bytes,
                age_ms_max: lane.flush.age_ms,
            },
            dead_letters: connector.dead_letters.as_deref().map(Into::into),
            reject_percent_max: if lane.rejects { 100 } else { connector.reject_percent_max },
            rejects,
        })
    }
}

struct JsonField(FieldPath);

impl Field for JsonField {
    fn find<'v>(&self, value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
        self.0.find(value)
    }
}

pub fn field(path: &[String]) -> Arc<dyn Field> {
    Arc::new(JsonField(FieldPath::of(path)))
}
