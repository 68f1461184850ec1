//! A shop platform to try Outflow on: realistic events without end, and the connector files that read them.
//!
//! In: a seed, a number of merchants, the time. Out: JSON bytes in the caller's buffer. No I/O, no clock, no state
//! but the number of the next event: the same seed and number give the same event on any machine.

mod events;
mod json;
mod merchants;
mod model;
mod order;
mod products;
mod shoppers;

pub use events::{Event, Events, Kind};
pub use model::orders_model;
use std::path::Path;

pub const MERCHANTS: u32 = 1_000;
/// The number, and key, of the first merchant; the others follow.
pub const FIRST_MERCHANT: u32 = merchants::FIRST;

/// Connector files of the demo by file name, with `{folder}` where everything goes.
const CONNECTORS: [(&str, &str); 3] = [
    ("orders.yaml", include_str!("../connectors/orders.yaml")),
    ("carts.yaml", include_str!("../connectors/carts.yaml")),
    ("page_views.yaml", include_str!("../connectors/page_views.yaml")),
];
/// Every merchant's own orders, to its own folder.
const MERCHANTS_FILE: &str = include_str!("../connectors/merchants.yaml");

/// The configuration files by file name, delivering to Parquet files below an absolute folder: the platform's own
/// connectors, one more for its merchants, and the merchants.
pub fn config_files(folder: &Path) -> Vec<(&'static str, String)> {
    // Quotes and backslashes would end or change the quoted string that the placeholder stands in.
    let folder = folder.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let own = CONNECTORS.iter().copied().map(|(name, text)| (name, text.to_owned()));
    let all = own.chain([("marketplace.yaml", marketplace()), ("merchants.yaml", MERCHANTS_FILE.to_owned())]);
    let mut files: Vec<_> = all.map(|(name, text)| (name, text.replace("{folder}", &folder))).collect();
    let ids: String = (0..MERCHANTS).map(|merchant| format!("{}\n", FIRST_MERCHANT + merchant)).collect();
    files.push(("merchants.csv", format!("id\n{ids}")));
    files
}

/// The orders once more, by the same model, each to the merchant that its key names.
fn marketplace() -> String {
    let (_, orders) = CONNECTORS[0];
    let (shape, _) = orders.split_once("\nsink:").expect("the connector has a sink");
    let shape = shape.replace("connector: orders", "connector: marketplace");
    let (_, shape) = shape.split_once('\n').expect("it has more than one line");
    format!("# The same orders, each to its own merchant: see merchants.yaml.\n{shape}\nmerchant: {{ key: true }}\n")
}
