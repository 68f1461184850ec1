//! What the journal and the ledger keep for this sink: a version, and JSON behind it.

use serde::{Serialize, de::DeserializeOwned};

const VERSION: u8 = 1;

pub fn write(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value).expect("a Vec takes all, and every key is text");
    bytes
}

/// Or why it cannot be read.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let (version, body) = bytes.split_first().ok_or("it is empty")?;
    if *version != VERSION {
        return Err(format!("it is of version {version}, this build knows {VERSION}"));
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
