//! What the journal and the ledger keep for a sink: a version number of its own, and JSON behind it.

use serde::{Serialize, de::DeserializeOwned};

pub fn write(version: u8, value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![version];
    serde_json::to_writer(&mut bytes, value).expect("a Vec takes all, and every key is text");
    bytes
}

/// Or why it cannot be read.
pub fn read<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T, String> {
    let (found, body) = bytes.split_first().ok_or("it is empty")?;
    if *found != version {
        return Err(format!("it is of version {found}, this build knows {version}"));
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
