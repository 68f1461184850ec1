use crate::{
    staging,
    upsert::{self, Key},
};
use outflow_api::{Blame, Fault, Identity, Setting, without_values};
use serde::Deserialize;
use serde_json::Value;

/// What a user writes. No `Debug`: it holds secrets.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Names the sink in the config; whoever opens us has already read it.
    #[serde(rename = "type", default)]
    _kind: Option<String>,
    pub project: String,
    pub dataset: String,
    pub table: String,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub stream: StreamKind,
    #[serde(default)]
    pub key: Key,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub deleted: Option<String>,
    #[serde(default)]
    pub max_staleness_s: Option<u32>,
    #[serde(default)]
    pub staging: Option<String>,
    #[serde(default)]
    pub credentials: Option<String>,
    #[serde(default)]
    pub impersonate: Option<String>,
    #[serde(default = "yes")]
    pub create: bool,
    #[serde(default = "yes")]
    pub add_columns: bool,
    #[serde(default)]
    pub partition_by: Option<String>,
    #[serde(default)]
    pub partition_unit: Unit,
    #[serde(default)]
    pub cluster_by: Option<String>,
    #[serde(default = "request_bytes_max")]
    pub request_bytes_max: usize,
    #[serde(default = "request_timeout_s")]
    pub request_timeout_s: u64,
    #[serde(default)]
    pub endpoint: Option<String>,
    #[serde(default)]
    pub rest_endpoint: Option<String>,
    #[serde(default)]
    pub staging_endpoint: Option<String>,
    #[serde(default)]
    pub allow_http: bool,
    #[serde(default)]
    pub anonymous: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Append,
    /// A newer row of a key replaces the older one.
    Upsert,
    /// Rows are appended by load jobs.
    Load,
}

/// When appended rows are seen.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum StreamKind {
    /// A batch at once.
    #[default]
    Pending,
    /// Each request as soon as it is acknowledged.
    Committed,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Hour,
    #[default]
    Day,
    Month,
    Year,
}

/// Name and meaning, for `check` and the documentation.
pub const MEANINGS: &[Setting] = &[
    Setting::text("project", "where: of the dataset"),
    Setting::text("dataset", "where; it must be there"),
    Setting::text("table", "where: the rows' table"),
    Setting::text("mode", "append (default); upsert: a newer row of a key replaces the older one; load: by load jobs"),
    Setting::text("stream", "of append: pending (default), a batch is seen at once; committed, sooner, by requests"),
    Setting::text("key", "of upsert: the columns that name a row, behind commas; the table's primary key"),
    Setting::text("version", "of upsert: the column that is greater in a newer row"),
    Setting::text("deleted", "of upsert: a BOOLEAN column; true takes the row of the key away"),
    Setting::number(
        "max_staleness_s",
        "of upsert, of a table that is made: how old results may be; default: not at all",
    ),
    Setting::text("staging", "of load: gs://bucket/prefix, where files wait; not told, none"),
    Setting::secret("credentials", "a secret, a service account's JSON key; default: the workload's own identity"),
    Setting::text("impersonate", "a service account's address, as which that identity calls"),
    Setting::flag("create", "false: the table must be there; default true: it is made for the model"),
    Setting::flag("add_columns", "false: a column that the table lacks parks; default true: it is added"),
    Setting::text("partition_by", "of a table that is made: a TIMESTAMP or DATE column; default: not partitioned"),
    Setting::text("partition_unit", "hour, day (default), month, year"),
    Setting::text("cluster_by", "of a table that is made: up to four columns, by commas; default: not clustered"),
    Setting::number("request_bytes_max", "of one request with rows; default 9000000"),
    Setting::number("request_timeout_s", "of one request; default 120"),
    Setting::text("endpoint", "of another Storage Write service than bigquerystorage.googleapis.com"),
    Setting::text("rest_endpoint", "of another service for tables than bigquery.googleapis.com"),
    Setting::text("staging_endpoint", "of another store than storage.googleapis.com"),
    Setting::flag("allow_http", "true: endpoints may be http://; default false"),
    Setting::flag("anonymous", "true: requests carry no credentials, for emulators; default false"),
];

pub const ENDPOINT: &str = "https://bigquerystorage.googleapis.com";
pub const REST_ENDPOINT: &str = "https://bigquery.googleapis.com";
const ID_CHARS_MAX: usize = 1_024;
const TIMEOUT_LIMIT_S: u64 = 3_600;
/// The service's own limit is 10 MB where it is lowest; what is beside the rows needs some.
const REQUEST_BYTES: std::ops::RangeInclusive<usize> = 1_000..=10_000_000 - 100_000;
const CLUSTER_MAX: usize = 4;

fn yes() -> bool {
    true
}

fn request_bytes_max() -> usize {
    9_000_000
}

fn request_timeout_s() -> u64 {
    120
}

pub fn wrong(hint: impl Into<String>) -> Fault {
    Fault::park(Blame::Us, "wrong-settings", hint)
}

impl Settings {
    pub fn read(value: &Value) -> Result<Settings, Fault> {
        // The error names the field and what is allowed, and never repeats what was given: it may be a secret.
        let settings = Settings::deserialize(value)
            .map_err(|error| wrong(format!("settings of a bigquery sink: {}", without_values(&error.to_string()))))?;
        settings.check_names()?;
        settings.check_limits()?;
        upsert::check(&settings)?;
        settings.check_load()?;
        settings.check_endpoints()?;
        Ok(settings)
    }

    fn check_names(&self) -> Result<(), Fault> {
        let ids = [("project", &self.project, "-.:"), ("dataset", &self.dataset, "_"), ("table", &self.table, "_-")];
        for (field, id, others) in ids {
            if id.contains("${") {
                return Err(wrong(format!(
                    "{field} says where the data goes and must not be a reference such as ${{env:…}}, which means two \
                     places on two workers: write it out"
                )));
            }
            let allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
            if id.is_empty() || id.len() > ID_CHARS_MAX || !id.chars().all(allowed) {
                return Err(wrong(format!(
                    "{field} must be of letters, digits and {others}, and have 1 to {ID_CHARS_MAX} characters"
                )));
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Fault> {
        if self.request_timeout_s == 0 || self.request_timeout_s > TIMEOUT_LIMIT_S {
            let given = self.request_timeout_s;
            return Err(wrong(format!("request_timeout_s must be from 1 to {TIMEOUT_LIMIT_S}, not {given}")));
        }
        if !REQUEST_BYTES.contains(&self.request_bytes_max) {
            let (least, most) = (REQUEST_BYTES.start(), REQUEST_BYTES.end());
            return Err(wrong(format!(
                "request_bytes_max must be from {least} to {most}, not {}",
                self.request_bytes_max
            )));
        }
        if self.cluster_by().len() > CLUSTER_MAX {
            let given = self.cluster_by().len();
            return Err(wrong(format!("cluster_by names {given} columns; BigQuery clusters by at most {CLUSTER_MAX}")));
        }
        if self.anonymous && (self.credentials.is_some() || self.impersonate.is_some()) {
            return Err(wrong("anonymous and credentials or impersonate exclude each other: leave one out"));
        }
        match &self.credentials {
            Some(key) if !key.starts_with("${") => check_key(key),
            _ => Ok(()),
        }
    }

    fn check_load(&self) -> Result<(), Fault> {
        match (&self.staging, self.mode) {
            (None, Mode::Load) => Err(wrong(
                "mode load needs a place where files wait for their job: `staging: gs://bucket/prefix`, in the \
                 dataset's location",
            )),
            (None, _) if self.staging_endpoint.is_none() => Ok(()),
            (Some(url), Mode::Load) if url.contains("${") || staging::parsed(url).is_none() => {
                Err(wrong("staging must be gs://bucket/prefix, of letters, digits and -_./=, and no reference"))
            }
            (Some(_), Mode::Load) => Ok(()),
            _ => Err(wrong("staging and staging_endpoint are of mode load: set it, or take them out")),
        }
    }

    fn check_endpoints(&self) -> Result<(), Fault> {
        let endpoints = [
            ("endpoint", &self.endpoint),
            ("rest_endpoint", &self.rest_endpoint),
            ("staging_endpoint", &self.staging_endpoint),
        ];
        for (field, endpoint) in endpoints {
            let Some(endpoint) = endpoint else { continue };
            if endpoint.contains("${") {
                return Err(wrong(format!(
                    "{field} says where the data goes and must not be a reference: write it out"
                )));
            }
            let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
            if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '@', '?', '#', ' '])) {
                return Err(wrong(format!("{field} must be https://host:port, without a path, a user or a password")));
            }
            if endpoint.starts_with("http://") && !self.allow_http {
                return Err(wrong(format!("{field} is not encrypted: use https://, or set allow_http: true")));
            }
        }
        Ok(())
    }

    pub fn cluster_by(&self) -> Vec<&str> {
        self.cluster_by.iter().flat_map(|names| names.split(',')).map(str::trim).collect()
    }

    pub fn endpoint(&self) -> &str {
        self.endpoint.as_deref().unwrap_or(ENDPOINT)
    }

    pub fn rest_endpoint(&self) -> &str {
        self.rest_endpoint.as_deref().unwrap_or(REST_ENDPOINT)
    }

    /// Who delivers there is no part of it.
    pub fn identity(&self) -> Identity {
        let Settings { project, dataset, table, .. } = self;
        let host = self.endpoint.as_deref().map(host_of).unwrap_or_default();
        Identity(format!("bigquery://{host}/{project}/{dataset}/{table}"))
    }

    pub fn path(&self) -> String {
        format!("projects/{}/datasets/{}/tables/{}", self.project, self.dataset, self.table)
    }

    /// As SQL names it.
    pub fn shown(&self) -> String {
        format!("{}.{}.{}", self.project, self.dataset, self.table)
    }
}

pub fn host_of(endpoint: &str) -> String {
    endpoint.split_once("://").map_or(endpoint, |(_, host)| host).to_ascii_lowercase()
}

/// Of service accounts alone: other kinds name programs to be run and addresses to be asked, and a merchant's text
/// must not say what this machine does.
fn check_key(key: &str) -> Result<(), Fault> {
    let key: Value =
        serde_json::from_str(key).map_err(|_| wrong("credentials must be a service account's JSON key"))?;
    if key["type"] == "service_account" && key["client_email"].is_string() && key["private_key"].is_string() {
        return Ok(());
    }
    Err(wrong("credentials must be a service account's JSON key: type service_account, client_email, private_key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(change: &str, value: Value) -> Result<Settings, Fault> {
        let mut settings = json!({ "project": "p", "dataset": "d", "table": "t" });
        settings[change] = value;
        Settings::read(&settings)
    }

    fn fault(change: &str, value: Value) -> String {
        with(change, value).err().expect("wrong settings").to_string()
    }

    #[test]
    fn wrong_settings_say_what_is_allowed_and_repeat_no_secret() {
        assert!(fault("tabel", "t".into()).contains("request_timeout_s"));
        assert!(fault("table", "${env:TABLE}".into()).contains("must not be a reference"));
        assert!(fault("dataset", "a/b".into()).contains("letters, digits and _"));
        assert!(fault("request_timeout_s", 0.into()).contains("1 to 3600"));
        assert!(fault("request_bytes_max", 20_000_000.into()).contains("to 9900000"));
        assert!(fault("mode", "merge".into()).contains("expected one of `append`, `upsert`, `load`"));
        assert!(fault("mode", "load".into()).contains("staging: gs://bucket/prefix"));
        assert!(fault("staging", "gs://lake/x".into()).contains("are of mode load"));
        assert!(fault("cluster_by", "a,b,c,d,e".into()).contains("at most 4"));
        assert!(!fault("create", "hunter2".into()).contains("hunter2"));
        assert!(fault("endpoint", "http://h:1".into()).contains("allow_http"));
        assert!(fault("endpoint", "https://me:hunter2@h".into()).contains("without a path"));
    }

    #[test]
    fn a_key_that_could_run_a_program_is_refused_and_not_repeated() {
        let program = json!({ "type": "external_account", "credential_source": { "executable": "hunter2" } });
        let text = fault("credentials", program.to_string().into());
        assert!(text.contains("service_account") && !text.contains("hunter2"), "{text}");
        assert!(!fault("credentials", "hunter2".into()).contains("hunter2"));
        let key = json!({ "type": "service_account", "client_email": "a@b", "private_key": "k" });
        with("credentials", key.to_string().into()).expect("a key");
        with("credentials", "${file:/run/key.json}".into()).expect("a reference, when its identity is asked for");
    }

    #[test]
    fn every_setting_has_a_meaning() {
        let text = fault("?", 1.into());
        let allowed: Vec<&str> = text.split('`').skip(3).step_by(2).filter(|name| *name != "type").collect();
        assert_eq!(allowed, MEANINGS.iter().map(|setting| setting.name).collect::<Vec<_>>());
    }

    #[test]
    fn where_it_goes_is_the_same_for_whoever_delivers_there() {
        assert_eq!(with("impersonate", "a@b".into()).expect("right").identity().0, "bigquery:///p/d/t");
        let elsewhere = with("endpoint", "https://Local:1".into()).expect("right").identity();
        assert_eq!(elsewhere.0, "bigquery://local:1/p/d/t");
    }
}
