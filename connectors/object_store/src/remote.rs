//! Whose host and whose credentials a lane uses, by names that people may see.

use crate::{
    place::{Place, Store},
    settings::Settings,
};
use outflow_api::Remote;
use serde_json::Value;
use std::hash::Hasher;
use twox_hash::XxHash64;

const OWN: &str = "the workload's own";

/// None for a local folder.
pub fn of(settings: &Settings, place: &Place) -> Option<Remote> {
    let (own_host, bucket) = match &place.store {
        Store::Folder(_) => return None,
        Store::S3 { bucket } => {
            (format!("s3.{}.amazonaws.com", settings.region.as_deref().unwrap_or("us-east-1")), bucket)
        }
        Store::Gcs { bucket } => ("storage.googleapis.com".to_owned(), bucket),
        Store::Azure { account, container } => (format!("{account}.blob.core.windows.net"), container),
    };
    let given = settings.endpoint.as_deref().map(host_of);
    // Buckets of one store are one host, also where each has a name of its own.
    let given = given.map(|host| host.strip_prefix(&format!("{bucket}.")).map(str::to_owned).unwrap_or(host));
    Some(Remote::new(given.as_deref().unwrap_or(&own_host), &credential(settings, &place.store)))
}

/// Of an endpoint: host and port alone, for people do write passwords there.
fn host_of(endpoint: &str) -> String {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase()
}

fn credential(settings: &Settings, store: &Store) -> String {
    if settings.anonymous {
        return "nobody".to_owned();
    }
    match store {
        Store::S3 { .. } => settings.access_key_id.as_deref().map(|id| named("access key", id)),
        Store::Gcs { .. } => settings.service_account.as_deref().map(|key| {
            let key: Value = serde_json::from_str(key).unwrap_or_default();
            named("service account", key["client_email"].as_str().unwrap_or_default())
        }),
        Store::Azure { account, .. } => match (&settings.sas, &settings.access_key) {
            (Some(sas), _) => Some(named("shared access signature", &unsigned(sas))),
            (None, Some(_)) => Some(format!("key of account {account}")),
            (None, None) => None,
        },
        Store::Folder(_) => None,
    }
    .unwrap_or_else(|| OWN.to_owned())
}

/// Ids are no secrets, but they are nobody's business either.
fn named(kind: &str, id: &str) -> String {
    let mut hash = XxHash64::with_seed(0);
    hash.write(id.as_bytes());
    format!("{kind} {:016x}", hash.finish())
}

/// What a shared access signature says, without the signature.
fn unsigned(sas: &str) -> String {
    let fields = sas.trim_start_matches('?').split('&').filter(|field| !field.to_ascii_lowercase().starts_with("sig="));
    fields.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn remote(settings: Value) -> Option<Remote> {
        let settings = Settings::read(&settings).expect("allowed");
        of(&settings, &settings.place().expect("a place"))
    }

    fn host(settings: Value) -> String {
        remote(settings).expect("a bucket is elsewhere").host.to_string()
    }

    #[test]
    fn a_host_is_the_endpoints_or_the_clouds_own_without_bucket_path_and_password() {
        assert_eq!(remote(json!({ "url": "/lake" })), None);
        assert_eq!(host(json!({ "url": "s3://lake/a", "region": "eu-west-1" })), "s3.eu-west-1.amazonaws.com");
        assert_eq!(host(json!({ "url": "gs://lake" })), "storage.googleapis.com");
        assert_eq!(host(json!({ "url": "az://lake", "account": "acme" })), "acme.blob.core.windows.net");
        let at = |endpoint| host(json!({ "url": "s3://lake", "endpoint": endpoint, "virtual_hosted_style": true }));
        assert_eq!(at("http://me:hunter2@Store:9000/path?x=y"), "store:9000");
        assert_eq!(at("https://lake.store.example"), at("https://store.example/"));
    }

    #[test]
    fn a_credential_is_the_same_in_each_lane_and_shows_neither_key_nor_id() {
        let s3 = |url, id, secret| {
            remote(json!({ "url": url, "access_key_id": id, "secret_access_key": secret })).expect("elsewhere")
        };
        assert_eq!(s3("s3://a", "AKIA1", "hunter2"), s3("s3://b/x", "AKIA1", "renewed"));
        assert_ne!(s3("s3://a", "AKIA1", "hunter2"), s3("s3://a", "AKIA2", "hunter2"));
        let shown = s3("s3://a", "AKIA1", "hunter2").to_string();
        assert!(!shown.contains("AKIA1") && !shown.contains("hunter2"), "{shown}");
        assert!(remote(json!({ "url": "s3://a" })).expect("elsewhere").credential.contains("workload"));
    }

    #[test]
    fn signatures_and_private_keys_are_no_part_of_a_name() {
        let azure = |sas: &str| remote(json!({ "url": "az://a", "account": "acme", "sas": sas })).expect("elsewhere");
        assert_eq!(azure("?sp=rw&se=2027&sig=one"), azure("sp=rw&se=2027&Sig=two"));
        assert_ne!(azure("sp=rw&se=2027&sig=one"), azure("sp=r&se=2027&sig=one"));
        let gcs = |key: &str| {
            let account = json!({ "client_email": "etl@acme", "private_key": key }).to_string();
            remote(json!({ "url": "gs://a", "service_account": account })).expect("elsewhere")
        };
        assert_eq!(gcs("one"), gcs("two"));
    }
}
