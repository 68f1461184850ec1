use crate::place::Place;
use outflow_api::{Blame, Fault, Setting, without_values};
use serde::Deserialize;
use serde_json::Value;
use std::ops::RangeInclusive;

/// What a user writes. No `Debug`: it holds secrets.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Names the sink in the config; whoever opens us has already read it.
    #[serde(rename = "type", default)]
    _kind: Option<String>,
    pub url: String,
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default)]
    pub partition_by: Option<String>,
    #[serde(default)]
    pub file: File,
    #[serde(default = "multipart_bytes_min")]
    pub multipart_bytes_min: usize,
    #[serde(default = "pieces_max")]
    pub pieces_max: usize,
    #[serde(default = "request_timeout_s")]
    pub request_timeout_s: u64,
    #[serde(default)]
    pub endpoint: Option<String>,
    #[serde(default)]
    pub allow_http: bool,
    #[serde(default)]
    pub anonymous: bool,
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub access_key_id: Option<String>,
    #[serde(default)]
    pub secret_access_key: Option<String>,
    #[serde(default)]
    pub session_token: Option<String>,
    #[serde(default)]
    pub virtual_hosted_style: bool,
    #[serde(default)]
    pub sse_kms_key_id: Option<String>,
    #[serde(default)]
    pub account: Option<String>,
    #[serde(default)]
    pub access_key: Option<String>,
    #[serde(default)]
    pub sas: Option<String>,
    #[serde(default)]
    pub service_account: Option<String>,
}

#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(rename = "type", default)]
    pub kind: FileKind,
    #[serde(default)]
    pub compression: Option<Compression>,
    #[serde(default)]
    pub level: Option<u8>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    #[default]
    Parquet,
    Ndjson,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Zstd,
    Snappy,
    Lz4,
    Gzip,
    None,
}

/// Name and meaning, for `check` and the documentation.
pub const MEANINGS: &[Setting] = &[
    Setting::text(
        "url",
        "where: file:///folder or /folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix",
    ),
    Setting::text(
        "partition_by",
        "folders from the record itself, e.g. dt={created_at:%Y-%m-%d}/country={country}; default none",
    ),
    Setting::text(
        "key",
        "object name below them: {topic} {partition} {connector} {shard} {batch} {column}; default {batch}",
    ),
    Setting::text("file.type", "parquet (default) or ndjson"),
    Setting::text(
        "file.compression",
        "parquet: zstd (default; small files: snappy), snappy, lz4, none; ndjson: gzip (default), zstd, none",
    ),
    Setting::number("file.level", "of parquet with zstd: 1 (default) to 19"),
    Setting::number(
        "multipart_bytes_min",
        "objects from this size on are staged as multipart uploads; default 5242880",
    ),
    Setting::number("pieces_max", "objects that one batch may fall into; default 1000"),
    Setting::number("request_timeout_s", "of one request, its body included; default 120"),
    Setting::text("endpoint", "of a store that is not the cloud's own, e.g. http://127.0.0.1:9000"),
    Setting::flag("allow_http", "true: requests may go unencrypted; default false"),
    Setting::flag("anonymous", "true: requests are not signed; default false"),
    Setting::text("region", "S3: of the bucket; default us-east-1"),
    Setting::text("access_key_id", "S3: with secret_access_key; default: the workload's own identity"),
    Setting::secret("secret_access_key", "S3: a secret"),
    Setting::secret("session_token", "S3: a secret, for temporary keys"),
    Setting::flag("virtual_hosted_style", "S3: true: the bucket is part of the endpoint's host; default false"),
    Setting::text("sse_kms_key_id", "S3: encrypts objects with this KMS key"),
    Setting::text("account", "Azure: the storage account"),
    Setting::secret("access_key", "Azure: a secret; default: the workload's own identity"),
    Setting::secret("sas", "Azure: a secret, the query string of a shared access signature"),
    Setting::secret("service_account", "GCS: a secret, the JSON key; default: the workload's own identity"),
];

const LEVELS: RangeInclusive<u8> = 1..=19;
const PIECES_LIMIT: usize = 10_000;
const TIMEOUT_LIMIT_S: u64 = 3_600;

fn multipart_bytes_min() -> usize {
    5 * 1024 * 1024
}

fn pieces_max() -> usize {
    1_000
}

fn request_timeout_s() -> u64 {
    120
}

pub fn wrong(hint: impl Into<String>) -> Fault {
    Fault::park(Blame::Us, "wrong-settings", hint)
}

impl Settings {
    pub fn read(value: &Value) -> Result<Settings, Fault> {
        // The error names the field and what is allowed, and never repeats a secret: those are all strings, and a
        // string where one is expected is no error.
        let settings: Settings = Settings::deserialize(value).map_err(|error| {
            wrong(format!("settings of an object_store sink: {}", without_values(&error.to_string())))
        })?;
        settings.check_limits()?;
        settings.file.check()?;
        Ok(settings)
    }

    pub fn place(&self) -> Result<Place, Fault> {
        Place::parse(&self.url, self.endpoint.as_deref(), self.account.as_deref())
    }

    fn check_limits(&self) -> Result<(), Fault> {
        if self.multipart_bytes_min == 0 {
            return Err(wrong("multipart_bytes_min must be at least 1; 5242880 is the smallest that S3 can split"));
        }
        if self.pieces_max == 0 || self.pieces_max > PIECES_LIMIT {
            return Err(wrong(format!("pieces_max must be from 1 to {PIECES_LIMIT}, not {}", self.pieces_max)));
        }
        if self.request_timeout_s == 0 || self.request_timeout_s > TIMEOUT_LIMIT_S {
            let given = self.request_timeout_s;
            return Err(wrong(format!("request_timeout_s must be from 1 to {TIMEOUT_LIMIT_S}, not {given}")));
        }
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return Err(wrong("access_key_id and secret_access_key go together: give both or none"));
        }
        Ok(())
    }
}

impl File {
    pub fn compression(&self) -> Compression {
        self.compression.unwrap_or(match self.kind {
            FileKind::Parquet => Compression::Zstd,
            FileKind::Ndjson => Compression::Gzip,
        })
    }

    pub fn extension(&self) -> &'static str {
        match (self.kind, self.compression()) {
            (FileKind::Parquet, _) => ".parquet",
            (FileKind::Ndjson, Compression::Gzip) => ".ndjson.gz",
            (FileKind::Ndjson, Compression::Zstd) => ".ndjson.zst",
            (FileKind::Ndjson, _) => ".ndjson",
        }
    }

    fn check(&self) -> Result<(), Fault> {
        let compression = self.compression();
        match (self.kind, compression) {
            (FileKind::Parquet, Compression::Gzip) => {
                return Err(wrong("file.compression of parquet is one of zstd, snappy, lz4, none; not gzip"));
            }
            (FileKind::Ndjson, Compression::Snappy | Compression::Lz4) => {
                return Err(wrong("file.compression of ndjson is one of gzip, zstd, none; not snappy or lz4"));
            }
            _ => {}
        }
        let Some(level) = self.level else { return Ok(()) };
        if (self.kind, compression) != (FileKind::Parquet, Compression::Zstd) {
            return Err(wrong("file.level is for parquet with zstd only: leave it out"));
        }
        if LEVELS.contains(&level) {
            return Ok(());
        }
        Err(wrong(format!("file.level must be from {} to {}, not {level}", LEVELS.start(), LEVELS.end())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(value: Value) -> String {
        Settings::read(&value).err().expect("wrong settings").to_string()
    }

    #[test]
    fn an_unknown_field_is_named_with_what_is_allowed() {
        let text = fault(json!({ "url": "/lake", "compresion": "zstd" }));
        assert!(text.contains("compresion") && text.contains("partition_by") && text.contains("multipart_bytes_min"));
        assert!(fault(json!({ "url": "/lake", "file": { "type": "orc" } })).contains("expected `parquet` or `ndjson`"));
    }

    #[test]
    fn every_setting_has_a_meaning() {
        let text = fault(json!({ "url": "/lake", "?": 1 }));
        let allowed: Vec<&str> = text.split('`').skip(3).step_by(2).filter(|name| *name != "type").collect();
        for name in &allowed {
            assert!(MEANINGS.iter().any(|known| known.name.split('.').next() == Some(name)), "{name} has no meaning");
        }
        assert!(allowed.len() >= 20);
    }

    #[test]
    fn a_secret_in_a_wrong_place_is_not_repeated() {
        let text = fault(json!({ "url": "/lake", "multipart_bytes_min": "hunter2" }));
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn limits_and_compressions_that_do_not_exist_are_refused() {
        assert!(fault(json!({ "url": "/lake", "file": { "compression": "gzip" } })).contains("one of zstd, snappy"));
        let ndjson = json!({ "type": "ndjson", "compression": "lz4" });
        assert!(fault(json!({ "url": "/lake", "file": ndjson })).contains("one of gzip, zstd, none"));
        assert!(fault(json!({ "url": "/lake", "file": { "level": 40 } })).contains("from 1 to 19, not 40"));
        assert!(fault(json!({ "url": "/lake", "pieces_max": 0 })).contains("from 1 to 10000"));
        assert!(fault(json!({ "url": "s3://lake", "access_key_id": "a" })).contains("give both or none"));
    }
}
