//! A shop platform to try Outflow on: realistic events without end, and the connector files that read them.
//!
//! In: a seed, a number of merchants, the time. Out: JSON bytes in the caller's buffer. No I/O, no clock, no state
//! but the number of the next event: the same seed and number give the same event on any machine.

mod events;
mod json;
mod merchants;
mod order;
mod products;
mod shoppers;

pub use events::{Event, Events, Kind};
use std::path::Path;

pub const MERCHANTS: u32 = 300;

/// Connector files of the demo by file name, with `{folder}` where the files of the lake go.
pub const CONNECTORS: [(&str, &str); 3] = [
    ("orders.yaml", include_str!("../connectors/orders.yaml")),
    ("carts.yaml", include_str!("../connectors/carts.yaml")),
    ("page_views.yaml", include_str!("../connectors/page_views.yaml")),
];

/// The connector files by file name, delivering to Parquet files below an absolute folder.
pub fn connector_files(folder: &Path) -> Vec<(&'static str, String)> {
    // Quotes and backslashes would end or change the quoted string that the placeholder stands in.
    let folder = folder.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    CONNECTORS.iter().map(|(name, text)| (*name, text.replace("{folder}", &folder))).collect()
}
