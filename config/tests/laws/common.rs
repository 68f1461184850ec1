use outflow_api::{Blame, Fault, Guarantee, Identity, Setting, SinkDescriptor};
use outflow_config::{Config, Environment, Loader, Problem, Problems};
use serde_json::Value;
use std::{fs, io, path::Path};

/// A sink that knows its settings and cannot be opened.
pub const LAKE: SinkDescriptor = SinkDescriptor {
    charges: |_| Vec::new(),
    kind: "object_store",
    removes: true,
    guarantee: Guarantee::ExactlyOnce,
    settings: &[
        Setting::text("url", "where"),
        Setting::text("region", ""),
        Setting::text("account", ""),
        Setting::secret("access_key", ""),
        Setting::text("access_key_id", ""),
        Setting::secret("secret_access_key", ""),
        Setting::secret("service_account", ""),
        Setting::text("partition_by", ""),
        Setting::text("file.type", ""),
        Setting::text("file.compression", ""),
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

/// A worker's folder with the connector `orders`, whose records are merchants'.
pub struct Folder(tempfile::TempDir);

pub const ORDERS: &str = "connector: orders
topics: [commerce.orders]
format: json
merchant: { key: true }
model:
  columns:
    - { name: id, type: BIGINT }
    - { name: email, type: VARCHAR }
    - { name: customer, type: \"STRUCT<name VARCHAR, phone VARCHAR, age BIGINT>\" }
";

impl Folder {
    pub fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        folder.write("outflow.yaml", "local: { folder: data }\nconfig: [ connectors/*.yaml, merchants/*.yaml ]\n");
        folder.write("connectors/orders.yaml", ORDERS);
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.0.path().join(name)).expect("removed");
    }

    pub fn loader(&self) -> Loader<'static> {
        Loader::new(self.0.path().join("outflow.yaml"), &[&LAKE], &Vault)
    }

    pub fn load(&self) -> Result<Config, Problems> {
        self.loader().load().map(|loaded| loaded.config)
    }

    pub fn right(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What is refused of the merchants, with files relative to this folder.
    pub fn refused(&self) -> Vec<Problem> {
        let folder = format!("{}/", self.0.path().display());
        let shorter = |text: &str| text.replace(&folder, "");
        let problems = self.right().refused.problems.into_iter();
        problems
            .map(|problem| Problem { file: shorter(&problem.file), message: shorter(&problem.message), ..problem })
            .collect()
    }
}

/// A merchant with one delivery, each to its own place.
pub fn merchant(id: &str) -> String {
    format!(
        "merchant: \"{id}\"\ndeliver:\n  - {{ connector: orders, sink: {{ type: object_store, url: /lake/{id} }} }}\n"
    )
}
