//! Lines of the log → events. Only lines that have a name (`event`), and every warning.

use super::memory::{Memory, Said};
use outflow_control::{EventLevel, now_ms};
use std::fmt::{self, Write};
use tracing::{
    Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// Of each text; what is longer is cut.
const TEXT_BYTES_MAX: usize = 1_000;
const FIELDS_MAX: usize = 16;
/// Of lines that have no name.
const NAMELESS: &str = "log";

pub struct Hearing(pub Memory);

impl Hearing {
    /// Our own lines; below INFO nothing is looked at.
    pub fn hears(metadata: &Metadata<'_>) -> bool {
        let is_named = || metadata.fields().field("event").is_some();
        let is_ours = metadata.target().starts_with("outflow");
        is_ours && metadata.is_event() && (*metadata.level() <= Level::WARN || is_info(metadata) && is_named())
    }
}

fn is_info(metadata: &Metadata<'_>) -> bool {
    *metadata.level() == Level::INFO
}

impl<S: Subscriber> Layer<S> for Hearing {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => EventLevel::Error,
            Level::WARN => EventLevel::Warn,
            _ => EventLevel::Info,
        };
        let mut line = Line(Said::of(NAMELESS, level, ""));
        event.record(&mut line);
        self.0.note(line.0, now_ms());
    }
}

struct Line(Said);

impl Line {
    fn put(&mut self, field: &Field, value: String) {
        let said = &mut self.0;
        match field.name() {
            "event" => said.kind = value,
            "message" => said.message = value,
            "code" => said.code = Some(value),
            "connector" => said.connector = Some(value),
            "merchant" => said.merchant = Some(value),
            name if said.fields.len() < FIELDS_MAX => drop(said.fields.insert(name.to_owned(), value)),
            _ => {}
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Text::default();
        let _ = text.write_str(value);
        self.put(field, text.0);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match (field.name(), u32::try_from(value)) {
            ("lane", Ok(lane)) => self.0.lane = Some(lane),
            ("shard", Ok(shard)) => self.0.shard = Some(shard),
            _ => self.put(field, value.to_string()),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Text::default();
        let _ = write!(text, "{value:?}");
        self.put(field, text.0);
    }
}

/// As much as an event holds.
#[derive(Default)]
struct Text(String);

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = TEXT_BYTES_MAX.saturating_sub(self.0.len());
        self.0.push_str(&more[..more.floor_char_boundary(room)]);
        // Whoever writes on would write for nothing.
        if more.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_control::{Event, Sought};
    use tracing_subscriber::{filter::filter_fn, prelude::*};

    fn heard(say: impl FnOnce()) -> Vec<Event> {
        let memory = Memory::new(0);
        let hearing = Hearing(memory.clone()).with_filter(filter_fn(Hearing::hears));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(hearing), say);
        memory.look(&Sought::of_all(9), "w", now_ms()).0.iter().map(|kept| kept.told("w")).collect()
    }

    #[test]
    fn a_line_with_a_name_is_an_event_with_its_fields() {
        let merchant: Option<String> = Some("1001".to_owned());
        let events = heard(|| {
            tracing::info!(
                target: "outflow_driver::shard", event = "lane-parked", lane = 7_u32, shard = 0_u32, merchant,
                connector = "orders", code = "c", cause = %"it is away", shards = ?[1, 2], "a lane does not deliver"
            );
        });
        let [event] = &events[..] else { panic!("{events:?}") };
        let texts = [&event.code, &event.connector, &event.merchant].map(|text| text.as_deref().unwrap_or_default());
        assert_eq!((event.kind.as_str(), texts), ("lane-parked", ["c", "orders", "1001"]));
        assert_eq!((event.lane, event.shard, event.message.as_str()), (Some(7), Some(0), "a lane does not deliver"));
        let fields = [("cause", "it is away"), ("shards", "[1, 2]")];
        assert_eq!(event.fields, fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn lines_of_others_lines_below_info_and_nameless_ones_that_warn_of_nothing_are_no_events() {
        let events = heard(|| {
            tracing::error!(target: "kafka", event = "x", "of a library");
            tracing::debug!(target: "outflow", event = "x", "below");
            tracing::info!(target: "outflow", "progress");
            tracing::warn!(target: "outflow_kafka", "nameless");
        });
        let kinds: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.message.as_str())).collect();
        assert_eq!(kinds, [("log", "nameless")]);
    }

    #[test]
    fn what_is_long_is_cut_between_letters() {
        let long = "ü".repeat(TEXT_BYTES_MAX);
        let events = heard(|| {
            tracing::warn!(target: "outflow", text = long.as_str(), shown = %long, "x{long}");
        });
        let Event { message, fields, .. } = &events[0];
        assert!(message.starts_with("xü") && message.len() == TEXT_BYTES_MAX - 1, "{}", message.len());
        assert!(fields.values().all(|value| value.len() == TEXT_BYTES_MAX), "{fields:?}");
    }
}
