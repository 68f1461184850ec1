use outflow_api::{Blame, Fault, Guarantee, Identity, SinkDescriptor};
use outflow_config::Environment;
use serde_json::Value;
use std::{io, path::Path};

/// A sink that knows its settings and cannot be opened.
pub const LAKE: SinkDescriptor = SinkDescriptor {
    kind: "object_store",
    guarantee: Guarantee::ExactlyOnce,
    settings: &[
        ("url", "where"),
        ("region", ""),
        ("account", ""),
        ("access_key", ""),
        ("access_key_id", ""),
        ("secret_access_key", ""),
        ("service_account", ""),
        ("partition_by", ""),
        ("file.type", ""),
        ("file.compression", ""),
    ],
    identity: |settings| {
        let wrong = |hint: &str| Fault::park(Blame::Us, "wrong-settings", hint);
        let url = settings.get("url").and_then(Value::as_str).ok_or_else(|| wrong("url is missing"))?;
        if url.contains("${") {
            return Err(wrong("url says where, and must not hold a reference"));
        }
        if settings.pointer("/file/compression").is_some_and(|compression| compression == "rar") {
            return Err(wrong("file.compression of parquet is one of zstd, snappy, lz4, none"));
        }
        Ok(Identity(url.to_owned()))
    },
    open: |_, _| Err(Fault::halt("not-here", "only its settings are tested")),
};

/// Answers every reference with the same secret.
pub struct Vault;

impl Environment for Vault {
    fn variable(&self, _: &str) -> Option<String> {
        Some("hunter2".to_owned())
    }

    fn file(&self, _: &Path) -> io::Result<String> {
        Ok("hunter2\n".to_owned())
    }
}
