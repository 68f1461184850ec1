use crate::{types::quoted, upsert};
use outflow_api::{Blame, Fault, Identity, Setting, without_values};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use std::path::PathBuf;

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub host: String,
    #[serde(default = "port")]
    pub port: u16,
    pub database: String,
    #[serde(default = "schema")]
    pub schema: String,
    pub table: String,
    pub user: String,
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub tls: Tls,
    #[serde(default)]
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub key: Key,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub deleted: Option<String>,
    #[serde(default = "yes")]
    pub create: bool,
    #[serde(default = "yes")]
    pub add_columns: bool,
    #[serde(default = "statement_timeout_s")]
    pub statement_timeout_s: u32,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// The certificate and the host's name in it are verified.
    #[default]
    Verify,
    /// In the clear, password and rows.
    Off,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Append,
    Upsert,
}

/// Names of columns: a list, or behind commas in a flat configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Key(pub Vec<String>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let names = match Value::deserialize(deserializer)? {
            Value::Array(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
            Value::String(text) => Some(text.split(',').map(|name| name.trim().to_owned()).collect()),
            _ => None,
        };
        names.map(Key).ok_or_else(|| D::Error::custom("key: a list of columns expected, as [ order_id, line ]"))
    }
}

pub const MEANINGS: &[Setting] = &[
    Setting::text("host", "where: a name or an address"),
    Setting::number("port", "default 5432"),
    Setting::text("database", "where"),
    Setting::text("schema", "where; default public"),
    Setting::text("table", "where: the rows' table"),
    Setting::text("user", "as whom"),
    Setting::secret("password", "a secret"),
    Setting::text("tls", "verify (default): encrypted, the certificate is verified; off: in the clear"),
    Setting::text("ca", "the authority of the server's certificate, a PEM file; default: those of this machine"),
    Setting::text("mode", "append (default); upsert: a newer row of a key replaces the older one"),
    Setting::text("key", "of upsert: the columns that name a row, behind commas"),
    Setting::text("version", "of upsert: the column that is greater in a newer row"),
    Setting::text("deleted", "of upsert: a BOOLEAN column; true takes the row of the key away"),
    Setting::flag("create", "false: the table must be there; default true: it is made for the model"),
    Setting::flag("add_columns", "false: a column that the table lacks parks; default true: it is added"),
    Setting::number("statement_timeout_s", "of one statement at the server; default 300"),
];

/// The server cuts longer ones short without a word.
const NAME_BYTES_MAX: usize = 63;
/// Behind the name of the table.
const DELETIONS: &str = "_deleted";
const TIMEOUT_LIMIT_S: u32 = 3_600;

fn port() -> u16 {
    5432
}

fn schema() -> String {
    "public".to_owned()
}

fn yes() -> bool {
    true
}

fn statement_timeout_s() -> u32 {
    300
}

pub fn wrong(hint: impl Into<String>) -> Fault {
    Fault::park(Blame::Us, "wrong-settings", hint)
}

impl Settings {
    pub fn read(value: &Value) -> Result<Settings, Fault> {
        // The error names the field and what is allowed, and never repeats what was given: it may be a secret.
        let settings = Settings::deserialize(value)
            .map_err(|error| wrong(format!("settings of a postgres sink: {}", without_values(&error.to_string()))))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), Fault> {
        let places =
            [("host", &self.host), ("database", &self.database), ("schema", &self.schema), ("table", &self.table)];
        for (field, value) in places {
            if value.contains("${") {
                return Err(wrong(format!(
                    "{field} says where the data goes and must not be a reference such as ${{env:…}}, which means two \
                     places on two workers: write it out"
                )));
            }
            if value.is_empty() || value.chars().any(char::is_control) {
                return Err(wrong(format!("{field} is empty or has control characters")));
            }
        }
        let names = [("schema", &self.schema), ("table", &self.table), ("database", &self.database)];
        if let Some((field, name)) = names.into_iter().find(|(_, name)| name.len() > NAME_BYTES_MAX) {
            let given = name.len();
            return Err(wrong(format!("{field} has {given} bytes; PostgreSQL's names have at most {NAME_BYTES_MAX}")));
        }
        let room = NAME_BYTES_MAX - DELETIONS.len();
        if self.deleted.is_some() && self.table.len() > room {
            let hint = format!("table: with `deleted` the name has at most {room} bytes: another is named after it");
            return Err(wrong(hint));
        }
        upsert::check(self)?;
        if self.statement_timeout_s == 0 || self.statement_timeout_s > TIMEOUT_LIMIT_S {
            let given = self.statement_timeout_s;
            return Err(wrong(format!("statement_timeout_s must be from 1 to {TIMEOUT_LIMIT_S}, not {given}")));
        }
        Ok(())
    }

    /// Who delivers there is no part of it.
    pub fn identity(&self) -> Identity {
        let Settings { port, database, schema, table, .. } = self;
        let host = self.host.to_ascii_lowercase();
        Identity(format!("postgres://{host}:{port}/{}/{}.{}", quoted(database), quoted(schema), quoted(table)))
    }

    /// The table of keys that are gone, as SQL names it; none if no column says so.
    pub fn deletions(&self) -> Option<String> {
        let name = format!("{}{DELETIONS}", self.table);
        self.deleted.as_ref().map(|_| format!("{}.{}", quoted(&self.schema), quoted(&name)))
    }

    /// As SQL names it.
    pub fn target(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(change: &str, value: Value) -> String {
        let mut settings = json!({ "host": "h", "database": "d", "table": "t", "user": "u" });
        settings[change] = value;
        Settings::read(&settings).err().expect("wrong settings").to_string()
    }

    #[test]
    fn wrong_settings_say_what_is_allowed_and_repeat_no_secret() {
        assert!(fault("tabel", "t".into()).contains("statement_timeout_s"));
        assert!(fault("host", "${env:HOST}".into()).contains("must not be a reference"));
        assert!(fault("table", "t".repeat(64).into()).contains("at most 63"));
        assert!(fault("statement_timeout_s", 0.into()).contains("1 to 3600"));
        assert!(!fault("port", "hunter2".into()).contains("hunter2"));
        assert!(fault("tls", "prefer".into()).contains("verify"));
    }

    #[test]
    fn where_it_goes_is_the_same_for_whoever_delivers_there() {
        let read = |user: &str, host: &str| {
            let settings = json!({ "host": host, "database": "d", "table": "t", "user": user, "password": "x" });
            Settings::read(&settings).expect("they are right").identity()
        };
        assert_eq!(read("a", "DB.example"), read("b", "db.example"));
        assert_eq!(read("a", "h").0, "postgres://h:5432/\"d\"/\"public\".\"t\"");
    }
}
