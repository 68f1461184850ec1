use crate::workload::parquet_files;
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
};

/// Rows that a lister of the destination sees: every footer is read once.
#[derive(Default)]
pub struct Visible {
    rows: HashMap<PathBuf, u64>,
}

impl Visible {
    /// All that was seen so far, below this folder and those of earlier calls.
    pub fn rows(&mut self, lake: &Path) -> u64 {
        for (path, _) in parquet_files(lake) {
            self.rows.entry(path).or_insert_with_key(|path| rows_of(path));
        }
        self.rows.values().sum()
    }
}

/// # Panics
/// If a file that can be seen cannot be read: no reader may ever meet half a file.
fn rows_of(path: &Path) -> u64 {
    let file = File::open(path).expect("a visible file can be opened");
    let reader = SerializedFileReader::new(file).expect("a visible file is whole");
    u64::try_from(reader.metadata().file_metadata().num_rows()).expect("a count is not negative")
}
