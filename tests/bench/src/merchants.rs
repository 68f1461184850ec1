use crate::workload::FIRST_MERCHANT;
use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

/// Merchants who are configured alike: a template over a list.
pub struct Merchants {
    pub name: &'static str,
    pub ids: Vec<u32>,
    /// With `${row:id}` where each one's own place begins.
    pub sink: String,
    /// Of each delivery, in YAML's flow style: `start: earliest`.
    pub more: &'static str,
}

impl Merchants {
    /// Each with a folder of his own in `lake`.
    pub fn with_folders(name: &'static str, ids: Vec<u32>, lake: &Path) -> Merchants {
        Merchants { name, ids, sink: folder_sink(&lake.join("${row:id}"), ""), more: "" }
    }

    /// Into a folder of merchants' files.
    pub fn write(&self, folder: &Path, connector: &str) {
        let Merchants { name, ids, sink, more } = self;
        let list: String = ids.iter().map(|id| format!("{id}\n")).collect();
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        let template = format!(
            "template: {{ list: {name}.csv }}\nmerchant: \"${{row:id}}\"\n\
             deliver: [ {{ connector: {connector}, sink: {sink}{more} }} ]\n"
        );
        fs::write(folder.join(format!("{name}.csv")), format!("id\n{list}")).expect("our own folder can be written");
        fs::write(folder.join(format!("{name}.yaml")), template).expect("our own folder can be written");
    }
}

/// Ids of merchants by their rank: the first ones buy most.
pub fn ids(ranks: Range<u32>) -> Vec<u32> {
    ranks.map(|rank| FIRST_MERCHANT + rank).collect()
}

/// `file` holds further settings: `, file: { … }`.
pub fn folder_sink(folder: &Path, file: &str) -> String {
    format!("{{ type: object_store, url: \"{}\"{file} }}", folder.display())
}

pub fn folder_of(lake: &Path, merchant: u32) -> PathBuf {
    lake.join(merchant.to_string())
}
