use crate::{Destination, bucket::Bucket, fault::Act, folder::Folder};
use futures::StreamExt;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use outflow_api::{Blame, Fault, Finding};
use std::sync::atomic::{AtomicU32, Ordering};

const PROBE: &[u8] = b"outflow looks whether it can write here; this may be deleted\n";

static PROBES: AtomicU32 = AtomicU32::new(0);

/// A name that query engines skip, and that two checks at once do not share.
fn probe_name() -> String {
    format!(".outflow-probe-{}-{}", std::process::id(), PROBES.fetch_add(1, Ordering::Relaxed))
}

pub async fn examine(destination: &Destination) -> Vec<Finding> {
    match destination {
        Destination::Folder(folder) => vec![examine_folder(folder)],
        Destination::Bucket(bucket) => {
            let name = probe_name();
            let mut findings = Vec::new();
            let path = match bucket.path(&name) {
                Ok(path) => path,
                Err(fault) => return vec![finding(bucket, "probe", Err(fault))],
            };
            findings.push(finding(bucket, "list", list(bucket).await));
            let written = write(bucket, &path).await;
            let is_written = written.is_ok();
            findings.push(finding(bucket, "write", written));
            if is_written {
                findings.push(finding(bucket, "never replace", refuse(bucket, &path).await));
                findings.push(finding(bucket, "read", read(bucket, &path).await));
                findings.push(finding(bucket, "stage and abort", stage(bucket, &path).await));
                findings.push(finding(bucket, "delete", delete(bucket, &path).await));
            }
            findings
        }
    }
}

fn examine_folder(folder: &Folder) -> Finding {
    let result = folder.probe(&probe_name()).map(|()| "written, linked, synced and removed".to_owned());
    Finding { subject: format!("folder {}", folder.root().display()), result }
}

fn finding(bucket: &Bucket, what: &str, result: Result<String, Fault>) -> Finding {
    Finding { subject: format!("{what} {}", bucket.place.shown()), result }
}

async fn list(bucket: &Bucket) -> Result<String, Fault> {
    let prefix = bucket.path("")?;
    match bucket.client.list(Some(&prefix)).next().await {
        Some(Err(error)) => Err(bucket.fault(Act::List, error)),
        Some(Ok(_)) => Ok("there are objects".to_owned()),
        None => Ok("empty".to_owned()),
    }
}

async fn write(bucket: &Bucket, path: &Path) -> Result<String, Fault> {
    match put(bucket, path).await {
        Ok(()) | Err(Error::AlreadyExists { .. }) => Ok("an object was written".to_owned()),
        Err(error) => Err(bucket.fault(Act::Put, error)),
    }
}

/// A store that ignores the condition would let a late request replace what was revealed.
async fn refuse(bucket: &Bucket, path: &Path) -> Result<String, Fault> {
    match put(bucket, path).await {
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok("a second writer is refused".to_owned()),
        Err(error) => Err(bucket.fault(Act::Put, error)),
        Ok(()) => {
            let hint = format!(
                "{} replaced an object although it was asked not to (If-None-Match: *): such a store cannot hold \
                 batches exactly once; upgrade it, or use another",
                bucket.place.shown()
            );
            Err(Fault::park(Blame::Provider, "no-conditional-put", hint))
        }
    }
}

async fn put(bucket: &Bucket, path: &Path) -> object_store::Result<()> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    bucket.client.put_opts(path, PutPayload::from_static(PROBE), options).await.map(|_| ())
}

async fn read(bucket: &Bucket, path: &Path) -> Result<String, Fault> {
    let seen = match bucket.client.get(path).await {
        Ok(got) => got.bytes().await,
        Err(error) => Err(error),
    };
    let seen = seen.map_err(|error| bucket.fault(Act::Look, error))?;
    if seen == PROBE {
        return Ok("read back as it was written".to_owned());
    }
    let hint = format!("{} answers other bytes than were written", bucket.place.shown());
    Err(Fault::park(Blame::Provider, "object-differs", hint))
}

async fn stage(bucket: &Bucket, path: &Path) -> Result<String, Fault> {
    let upload = bucket.client.create_multipart(path).await.map_err(|error| bucket.fault(Act::Stage, error))?;
    bucket.client.abort_multipart(path, &upload).await.map_err(|error| bucket.fault(Act::Abort, error))?;
    Ok("large objects can be staged".to_owned())
}

async fn delete(bucket: &Bucket, path: &Path) -> Result<String, Fault> {
    bucket.client.delete(path).await.map_err(|error| {
        let mut fault = bucket.fault(Act::Delete, error);
        fault.hint.push_str(&format!("; {path} was left behind, and only this check needs the grant"));
        fault
    })?;
    Ok("nothing is left behind".to_owned())
}
