use crate::settings::wrong;
use outflow_api::{Fault, Identity};
use std::path::PathBuf;

/// Where objects go, from explicit settings alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub store: Store,
    /// Folders within the bucket, without slashes at its ends; empty for a local folder.
    pub prefix: String,
    endpoint: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Store {
    Folder(PathBuf),
    S3 { bucket: String },
    Gcs { bucket: String },
    Azure { account: String, container: String },
}

const ALLOWED: &str = "allowed are file:///folder or /folder, s3://bucket/prefix, gs://bucket/prefix and \
                       az://container/prefix";
const PREFIX_BYTES_MAX: usize = 400;

impl Place {
    pub fn parse(url: &str, endpoint: Option<&str>, account: Option<&str>) -> Result<Place, Fault> {
        for (field, text) in [("url", Some(url)), ("endpoint", endpoint), ("account", account)] {
            if text.is_some_and(|text| text.contains("${")) {
                return Err(wrong(format!(
                    "{field} says where the data goes and must not be a reference such as ${{env:…}}, which means \
                     another place on another machine: write it out"
                )));
            }
        }
        let endpoint = endpoint.map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        if let Some(folder) = url.strip_prefix("file://").or_else(|| url.starts_with('/').then_some(url)) {
            return Ok(Place { store: Store::Folder(folder_of(url, folder)?), prefix: String::new(), endpoint: None });
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong(format!("url {url:?} is neither an absolute path nor a bucket; {ALLOWED}")));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket = bucket_of(scheme, bucket)?;
        let prefix = prefix_of(url, prefix)?;
        let store = match scheme {
            "s3" => Store::S3 { bucket },
            "gs" => Store::Gcs { bucket },
            "az" => {
                let account = account.filter(|account| !account.is_empty());
                let account = account.ok_or_else(|| wrong("az:// needs `account`, the name of the storage account"))?;
                Store::Azure { account: account.to_owned(), container: bucket }
            }
            _ => return Err(wrong(format!("url {url:?} begins with an unknown {scheme}://; {ALLOWED}"))),
        };
        Ok(Place { store, prefix, endpoint })
    }

    /// Canonical: two spellings of one place are one lane. The endpoint is part of it, for two stores may have
    /// buckets of the same name; region and credentials are not.
    pub fn identity(&self) -> Identity {
        let endpoint = self.endpoint.as_deref().unwrap_or_default();
        Identity(match &self.store {
            Store::Folder(folder) => format!("file://{}", folder.display()),
            Store::S3 { bucket } => format!("s3://{bucket}/{}|{endpoint}", self.prefix),
            Store::Gcs { bucket } => format!("gs://{bucket}/{}|{endpoint}", self.prefix),
            Store::Azure { account, container } => {
                format!("az://{account}/{container}/{}|{endpoint}", self.prefix)
            }
        })
    }

    /// For messages.
    pub fn shown(&self) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        match &self.store {
            Store::Folder(folder) => folder.display().to_string(),
            Store::S3 { bucket } => format!("s3://{bucket}{slash}{}", self.prefix),
            Store::Gcs { bucket } => format!("gs://{bucket}{slash}{}", self.prefix),
            Store::Azure { account, container } => format!("az://{container}{slash}{} of {account}", self.prefix),
        }
    }
}

fn folder_of(url: &str, folder: &str) -> Result<PathBuf, Fault> {
    let parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if !folder.starts_with('/') || parts.is_empty() || parts.contains(&"..") {
        return Err(wrong(format!("url {url:?} must name a folder by its absolute path, e.g. file:///data/lake")));
    }
    Ok(PathBuf::from(format!("/{}", parts.join("/"))))
}

/// Does not print what it was given: people do write credentials there.
fn bucket_of(scheme: &str, bucket: &str) -> Result<String, Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if bucket.is_empty() || bucket.len() > 222 || !bucket.chars().all(fits) {
        return Err(wrong(format!(
            "{scheme}://… has no valid bucket name: letters, digits, dashes, dots and underscores; credentials are \
             settings of their own, never part of the url"
        )));
    }
    Ok(bucket.to_owned())
}

fn prefix_of(url: &str, prefix: &str) -> Result<String, Fault> {
    let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.=+@ ".contains(c) || !c.is_ascii();
    let sound = |part: &&str| *part != "." && *part != ".." && part.chars().all(fits);
    if prefix.len() > PREFIX_BYTES_MAX || !parts.iter().all(sound) {
        return Err(wrong(format!(
            "url {url:?} has a prefix that cannot be used: folders of letters, digits and -_.=+@, at most \
             {PREFIX_BYTES_MAX} bytes; what depends on the record belongs into partition_by"
        )));
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(url: &str) -> String {
        Place::parse(url, None, Some("acme")).expect("a place").identity().0
    }

    #[test]
    fn two_spellings_of_one_place_are_one_identity() {
        assert_eq!(identity("file:///data/lake"), identity("/data//lake/"));
        assert_eq!(identity("s3://lake/orders"), identity("s3://lake//orders/"));
        assert_ne!(identity("s3://lake/orders"), identity("gs://lake/orders"));
        assert_eq!(identity("az://lake"), "az://acme/lake/|");
    }

    #[test]
    fn the_endpoint_is_part_of_the_identity() {
        let at = |endpoint| Place::parse("s3://lake", Some(endpoint), None).expect("a place").identity();
        assert_ne!(at("http://127.0.0.1:1"), at("http://127.0.0.1:2"));
        assert_eq!(at("http://127.0.0.1:1/"), at("http://127.0.0.1:1"));
    }

    #[test]
    fn a_place_that_is_none_is_refused_with_what_is_allowed() {
        let wrong = |url: &str, account| Place::parse(url, None, account).expect_err("wrong").to_string();
        assert!(wrong("s3://${env:BUCKET}/x", None).contains("must not be a reference"));
        assert!(wrong("out/lake", None).contains("neither an absolute path nor a bucket"));
        assert!(wrong("file://lake", None).contains("absolute path"));
        assert!(wrong("/data/../etc", None).contains("absolute path"));
        assert!(wrong("ftp://lake", None).contains("allowed are file:///"));
        assert!(wrong("az://lake", None).contains("`account`"));
        assert!(wrong("s3://key:secret@lake/x", None).contains("never part of the url"));
        assert!(wrong("s3://lake/a/../b", None).contains("prefix"));
    }
}
