//! Sink `object_store`: a local folder, S3, Google Cloud Storage, Azure Blob Storage. Rows come in, Parquet or NDJSON
//! files go out, each whole and once. Touches its own bucket or folder and nothing else; the guarantee and its limits
//! are in README.md.

mod bucket;
mod client;
mod disk;
mod encode;
mod escape;
mod examine;
mod fault;
mod folder;
mod place;
mod receipt;
mod remote;
mod settings;
mod split;
mod template;
mod token;

use crate::{
    bucket::Bucket,
    folder::Folder,
    place::Store,
    receipt::{Object, Receipt},
    settings::{File, Settings},
    template::Template,
    token::PieceToken,
};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use outflow_api::{
    BatchId, Blame, CommitOutcome, CommitPermit, Delivered, Encoded, Fault, Finding, Guarantee, Identity, Piece,
    PrepareOutcome, Prepared, Remote, SealedBatch, Sink, SinkContext, SinkDescriptor, SweepReport, SweepScope,
};
use serde_json::Value;
use std::{hash::Hasher, sync::Arc};
use token::Token;
use twox_hash::XxHash64;

pub static DESCRIPTOR: SinkDescriptor = SinkDescriptor {
    kind: "object_store",
    guarantee: Guarantee::ExactlyOnce,
    removes: true,
    charges: |_| Vec::new(),
    settings: settings::MEANINGS,
    identity,
    open,
};

/// Of one batch.
const PIECES_AT_ONCE: usize = 8;

fn identity(settings: &Value) -> Result<Identity, Fault> {
    Ok(Settings::read(settings)?.place()?.identity())
}

fn open(settings: &Value, context: SinkContext) -> Result<Arc<dyn Sink>, Fault> {
    let settings = Settings::read(settings)?;
    let place = settings.place()?;
    if place.identity() != context.identity {
        return Err(settings::wrong(format!(
            "the lane belongs to {}, and these settings lead to {}",
            context.identity.0,
            place.identity().0
        )));
    }
    let (folders, key) = (settings.partition_by.as_deref(), settings.key.as_deref());
    let template = Template::parse(folders, key, settings.file.extension(), &context.decoder.schema())?;
    let remote = remote::of(&settings, &place);
    let client = client::open(&settings, &place)?;
    let destination = match (&place.store, client) {
        (Store::Folder(root), _) => Destination::Folder(Folder::new(root.clone())),
        (_, Some(client)) => {
            Destination::Bucket(Bucket { client, place, multipart_bytes_min: settings.multipart_bytes_min })
        }
        (_, None) => unreachable!("every bucket has a client"),
    };
    let Settings { file, pieces_max, .. } = settings;
    let (identity, schema) = (context.identity, context.decoder.schema());
    Ok(Arc::new(ObjectStoreSink { identity, remote, file, pieces_max, template, schema, destination }))
}

struct ObjectStoreSink {
    identity: Identity,
    remote: Option<Remote>,
    file: File,
    pieces_max: usize,
    template: Template,
    schema: SchemaRef,
    destination: Destination,
}

enum Destination {
    Folder(Folder),
    Bucket(Bucket),
}

#[async_trait]
impl Sink for ObjectStoreSink {
    fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    fn encode(&self, batch: &SealedBatch) -> Result<Encoded, Fault> {
        encode::encode(&self.template, self.pieces_max, &self.file, batch)
    }

    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<PrepareOutcome, Fault> {
        let token = |piece: &Piece| PieceToken::new(id, &piece.name, piece.rows, piece.len() as u64, checksum(piece));
        let mut pieces: Vec<PieceToken> = encoded.pieces.iter().map(token).collect();
        match &self.destination {
            Destination::Folder(folder) => folder.prepare(id, &encoded.pieces).await?,
            Destination::Bucket(bucket) => {
                let calls = encoded.pieces.iter().zip(&pieces).map(|(piece, token)| bucket.prepare(id, piece, token));
                // Collected first: the compiler cannot see that a stream of borrowing closures may be sent.
                let calls: Vec<_> = calls.collect();
                let uploads: Vec<_> = stream::iter(calls).buffered(PIECES_AT_ONCE).try_collect().await?;
                pieces.iter_mut().zip(uploads).for_each(|(token, upload)| token.upload = upload);
            }
        }
        Token { identity: self.identity.0.clone(), pieces }.write(id).map(Into::into)
    }

    async fn commit(&self, permit: &CommitPermit, encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        let prepared = permit.prepared();
        let token = Token::read(prepared, &self.identity)?;
        let rows = rows_of(&token, prepared.id, encoded)?;
        let outcomes = match &self.destination {
            Destination::Folder(folder) => folder.commit(prepared.id, &token, &rows).await?,
            Destination::Bucket(bucket) => {
                let pieces = token.pieces.iter().zip(rows);
                let calls: Vec<_> = pieces.map(|(piece, rows)| bucket.commit(prepared.id, piece, rows)).collect();
                // To the end, also past a fault: each piece that is there need not be sent again.
                let outcomes: Vec<_> = stream::iter(calls).buffered(PIECES_AT_ONCE).collect().await;
                outcomes.into_iter().collect::<Result<Vec<_>, Fault>>()?
            }
        };
        let first_of = |outcome: CommitOutcome| outcomes.contains(&outcome).then_some(outcome);
        let unfinished = first_of(CommitOutcome::NeedsRows).or_else(|| first_of(CommitOutcome::Committed));
        Ok(unfinished.unwrap_or(CommitOutcome::AlreadyCommitted))
    }

    async fn abort(&self, prepared: &Prepared) -> Result<(), Fault> {
        let token = Token::read(prepared, &self.identity)?;
        match &self.destination {
            Destination::Folder(folder) => folder.abort(prepared.id, token.pieces.len())?,
            Destination::Bucket(bucket) => {
                for piece in &token.pieces {
                    bucket.abort(prepared.id, piece).await?;
                }
            }
        }
        Ok(())
    }

    async fn sweep(&self, scope: &SweepScope) -> Result<SweepReport, Fault> {
        match &self.destination {
            Destination::Folder(folder) => folder.sweep(scope),
            // Uploads of others are not listed by the library; a lifecycle rule of the bucket ends them.
            Destination::Bucket(_) => Ok(SweepReport::default()),
        }
    }

    fn receipt(&self, prepared: &Prepared) -> Bytes {
        Token::read(prepared, &self.identity).map_or_else(|_| Bytes::new(), |token| Receipt::of(&token).write())
    }

    /// Each object is replaced by one without rows, and stays: under a key that is free, the late request of a worker
    /// that is gone would write it once more.
    async fn remove(&self, old: &Delivered) -> Result<(), Fault> {
        let objects = Receipt::read(old, &self.identity)?.objects;
        let empty = |object: &Object| {
            let key = object.key(old.id);
            encode::empty(&key, &self.schema).map(|bytes| (key, bytes, object.checksum))
        };
        let objects: Vec<_> = objects.iter().map(empty).collect::<Result<_, _>>()?;
        match &self.destination {
            Destination::Folder(folder) => folder.empty(old.id, &objects).await,
            Destination::Bucket(bucket) => {
                let calls: Vec<_> = objects.into_iter().map(|object| bucket.empty(object)).collect();
                stream::iter(calls).buffered(PIECES_AT_ONCE).try_collect().await
            }
        }
    }

    async fn examine(&self) -> Vec<Finding> {
        examine::examine(&self.destination).await
    }
}

/// The rows of each piece of the token: the same keys with the same numbers of rows, or it is another batch.
fn rows_of<'e>(token: &Token, id: BatchId, encoded: Option<&'e Encoded>) -> Result<Vec<Option<&'e Piece>>, Fault> {
    let Some(encoded) = encoded else { return Ok(vec![None; token.pieces.len()]) };
    let same = |(token, piece): (&PieceToken, &Piece)| token.key(id) == piece.name && token.rows == piece.rows;
    if encoded.pieces.len() == token.pieces.len() && token.pieces.iter().zip(&encoded.pieces).all(same) {
        return Ok(encoded.pieces.iter().map(Some).collect());
    }
    let hint = format!("the rows of batch {id} that were read again are not those that were decided");
    Err(Fault::park(Blame::Us, "rows-differ", hint))
}

fn checksum(piece: &Piece) -> u64 {
    let mut hash = XxHash64::with_seed(0);
    piece.bytes.iter().for_each(|bytes| hash.write(bytes));
    hash.finish()
}
