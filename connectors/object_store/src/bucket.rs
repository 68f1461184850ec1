use crate::{
    client::Client,
    fault::{self, Act},
    place::Place,
    token::{PieceToken, Upload},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    Attribute, AttributeValue, Attributes, Error, GetOptions, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    multipart::PartId, path::Path,
};
use outflow_api::{BatchId, Blame, CommitOutcome, Fault, Piece};
use std::sync::Arc;

/// A bucket of an object store. Small objects are written whole, by one request that refuses to replace; large ones
/// are staged as a multipart upload, and completed.
///
/// A key holds its batch's id, so whatever stands under it is this batch: an upload that was completed, aborted or
/// has expired is never a reason to give the batch up. Its object is looked for, and if it is not there, written whole
/// from the same rows under the same key.
pub struct Bucket {
    pub client: Arc<dyn Client>,
    pub place: Place,
    pub multipart_bytes_min: usize,
}

const PART_BYTES_MIN: usize = 8 * 1024 * 1024;
/// Their ids all stand in the token.
const PARTS_MAX: usize = 100;
const PARTS_AT_ONCE: usize = 4;
/// Of user metadata: letters only, which every store takes.
const ROWS: &str = "outflowrows";
const CHECKSUM: &str = "outflowchecksum";

impl Bucket {
    pub async fn prepare(&self, id: BatchId, piece: &Piece, token: &PieceToken) -> Result<Option<Upload>, Fault> {
        if piece.len() < self.multipart_bytes_min {
            return Ok(None);
        }
        let path = self.path(&token.key(id))?;
        let upload = self.create_upload(&path, token).await.map_err(|error| self.fault(Act::Stage, error))?;
        let part_bytes = PART_BYTES_MIN.max(piece.len().div_ceil(PARTS_MAX));
        let parts = stream::iter(cut(piece, part_bytes).into_iter().enumerate())
            .map(|(index, part)| self.client.put_part(&path, &upload, index, part))
            .buffered(PARTS_AT_ONCE)
            .map_ok(|part| part.content_id)
            .try_collect()
            .await;
        match parts {
            Ok(parts) => Ok(Some(Upload { id: upload, parts })),
            Err(error) => {
                // The next call makes an upload of its own; this one would be paid for until it expires.
                let _ = self.client.abort_multipart(&path, &upload).await;
                Err(self.fault(Act::Stage, error))
            }
        }
    }

    pub async fn commit(&self, id: BatchId, token: &PieceToken, rows: Option<&Piece>) -> Result<CommitOutcome, Fault> {
        let path = self.path(&token.key(id))?;
        if let Some(upload) = &token.upload {
            let outcome = match self.complete(&path, upload).await {
                Ok(()) => CommitOutcome::Committed,
                Err(error) if fault::is_staging_gone(&error) => CommitOutcome::AlreadyCommitted,
                Err(error) => return Err(self.fault(Act::Complete, error)),
            };
            // Looked for even after a good answer: a server may give one while another completion of the upload, by a
            // call that was cut off, is still at work and may yet fail.
            if self.is_there(id, &path, token).await? {
                return Ok(outcome);
            }
            if rows.is_some() {
                // Whoever may still be completing it would only replace the object by itself; better he does not.
                let _ = self.client.abort_multipart(&path, &upload.id).await;
            }
        }
        let Some(piece) = rows else {
            let there = token.upload.is_none() && self.is_there(id, &path, token).await?;
            return Ok(if there { CommitOutcome::AlreadyCommitted } else { CommitOutcome::NeedsRows });
        };
        self.put_whole(id, &path, token, piece).await
    }

    /// Whatever stands under the key is a batch's that was replaced. A put that comes late finds the name taken, and by
    /// the checksum, the batch done.
    pub async fn empty(&self, (key, bytes, checksum): (String, Bytes, u64)) -> Result<(), Fault> {
        let path = self.path(&key)?;
        let attributes = attributes(0, checksum);
        let options = PutOptions { mode: PutMode::Overwrite, attributes, ..PutOptions::default() };
        let put = self.client.put_opts(&path, PutPayload::from_bytes(bytes), options).await;
        put.map(drop).map_err(|error| self.fault(Act::Empty, error))
    }

    /// Azure has no such thing: its blocks go by themselves after a week, and nobody else knows their names.
    pub async fn abort(&self, id: BatchId, token: &PieceToken) -> Result<(), Fault> {
        let Some(upload) = &token.upload else { return Ok(()) };
        let path = self.path(&token.key(id))?;
        match self.client.abort_multipart(&path, &upload.id).await {
            Err(error) if !fault::is_staging_gone(&error) => Err(self.fault(Act::Abort, error)),
            _ => Ok(()),
        }
    }

    pub fn path(&self, key: &str) -> Result<Path, Fault> {
        let slash = if self.place.prefix.is_empty() { "" } else { "/" };
        Path::parse(format!("{}{slash}{key}", self.place.prefix)).map_err(|error| {
            Fault::park(Blame::Us, "key-not-allowed", format!("an object's key cannot be used: {error}"))
        })
    }

    pub fn fault(&self, act: Act, error: Error) -> Fault {
        fault::of_bucket(&self.place, act, &error)
    }

    async fn create_upload(&self, path: &Path, token: &PieceToken) -> object_store::Result<String> {
        let options = PutMultipartOptions {
            attributes: attributes(token.rows, token.checksum),
            ..PutMultipartOptions::default()
        };
        match self.client.create_multipart_opts(path, options).await {
            // Azure names no attributes before the end.
            Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => self.client.create_multipart(path).await,
            created => created,
        }
    }

    async fn complete(&self, path: &Path, upload: &Upload) -> object_store::Result<()> {
        let parts = upload.parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        self.client.complete_multipart(path, &upload.id, parts).await.map(|_| ())
    }

    async fn put_whole(
        &self,
        id: BatchId,
        path: &Path,
        token: &PieceToken,
        piece: &Piece,
    ) -> Result<CommitOutcome, Fault> {
        let attributes = attributes(token.rows, crate::checksum(piece));
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        match self.client.put_opts(path, payload(piece), options).await {
            Ok(_) => Ok(CommitOutcome::Committed),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                if self.is_there(id, path, token).await? {
                    return Ok(CommitOutcome::AlreadyCommitted);
                }
                let hint = format!("another request was writing the same object of {}", self.place.shown());
                Err(Fault::retry("write-conflict", hint))
            }
            Err(error) => Err(self.fault(Act::Put, error)),
        }
    }

    /// Whether our object is there. Something else under its key parks: it is not ours to judge.
    async fn is_there(&self, id: BatchId, path: &Path, token: &PieceToken) -> Result<bool, Fault> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let seen = match self.client.get_opts(path, options).await {
            Err(error @ Error::NotFound { .. }) if fault::is_bucket_missing(&error) => {
                return Err(self.fault(Act::Look, error));
            }
            Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(self.fault(Act::Look, error)),
            Ok(seen) => seen,
        };
        let number = |name: &'static str, radix| {
            let value = seen.attributes.get(&Attribute::Metadata(name.into()))?;
            u64::from_str_radix(value.as_ref(), radix).ok()
        };
        // The same rows may have been encoded by another build: then other bytes say the same.
        let ours = match (number(CHECKSUM, 16), number(ROWS, 10)) {
            (Some(checksum), Some(rows)) => checksum == token.checksum || rows == token.rows,
            _ => seen.meta.size == token.bytes,
        };
        if ours {
            return Ok(true);
        }
        let hint = format!(
            "{path} of {} is there, but not as batch {id} would have written it: somebody else did; move the object \
             away, or abandon the batch",
            self.place.shown()
        );
        Err(Fault::park(Blame::Merchant, "object-differs", hint))
    }
}

fn attributes(rows: u64, checksum: u64) -> Attributes {
    let checksum = format!("{checksum:016x}");
    let pairs = [(ROWS, rows.to_string()), (CHECKSUM, checksum)];
    pairs.into_iter().map(|(name, value)| (Attribute::Metadata(name.into()), AttributeValue::from(value))).collect()
}

fn payload(piece: &Piece) -> PutPayload {
    piece.bytes.iter().cloned().collect()
}

/// Into parts of one size, the last one smaller; without copying.
fn cut(piece: &Piece, part_bytes: usize) -> Vec<PutPayload> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut held = 0;
    for bytes in &piece.bytes {
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let taken = rest.split_to(rest.len().min(part_bytes - held));
            held += taken.len();
            part.push(taken);
            if held == part_bytes {
                parts.push(part.drain(..).collect());
                held = 0;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part.into_iter().collect());
    }
    parts
}
