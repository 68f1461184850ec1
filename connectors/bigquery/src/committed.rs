//! Mode `append` with `stream: committed`: rows are seen as soon as they are appended, at offsets that the journal
//! knows. What is at an offset is never written again, so a batch that was cut off in the middle goes on where it
//! stopped.

use crate::{
    BigQuery, check_rows,
    exchange::{Sent, Stop},
    fault::{self, Act},
    reservations::{End, Reservations},
    rows,
    streams::append_request,
    token::{Stretch, Token, Way, of_other_mode},
};
use async_trait::async_trait;
use bigquery_storage::google::cloud::bigquery::storage::v1::{ArrowSchema, storage_error::StorageErrorCode};
use outflow_api::{
    BatchId, Blame, CommitOutcome, CommitPermit, Encoded, Fault, Finding, Piece, PrepareOutcome, Prepared, Remote,
    SealedBatch, Sink, SweepReport, SweepScope,
};
use std::hash::Hasher;
use tonic::Code;
use twox_hash::XxHash64;

pub struct Committed {
    table: BigQuery,
    reservations: Reservations,
}

impl Committed {
    pub fn new(table: BigQuery) -> Committed {
        Committed { table, reservations: Reservations::default() }
    }
}

#[async_trait]
impl Sink for Committed {
    fn remote(&self) -> Option<&Remote> {
        self.table.remote()
    }

    fn encode(&self, batch: &SealedBatch) -> Result<Encoded, Fault> {
        self.table.encode(batch)
    }

    /// Keeps a stretch of a stream, and sends no row.
    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<PrepareOutcome, Fault> {
        let rows = encoded.pieces.iter().map(|piece| piece.rows).sum();
        if rows == 0 {
            return Ok(Token::new(&self.table.identity, rows, None).write(id).into());
        }
        let end = self.end_of_fitting_stream().await?;
        let stretch = Stretch { first: end.offset, cuts: cuts(&encoded.pieces) };
        let way = Way::Committed { stream: end.stream.clone(), stretch };
        self.reservations.keep(id, end);
        Ok(Token::new(&self.table.identity, rows, Some(way)).write(id).into())
    }

    async fn commit(&self, permit: &CommitPermit, encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        let prepared = permit.prepared();
        let token = Token::read(prepared, &self.table.identity)?;
        check_rows(prepared.id, &token, encoded)?;
        let (stream, stretch) = match token.way() {
            None => return Ok(CommitOutcome::AlreadyCommitted),
            Some(Way::Committed { stream, stretch }) => (stream, stretch),
            Some(other) => return Err(of_other_mode(prepared.id, &other)),
        };
        let Some(encoded) = encoded else { return Ok(CommitOutcome::NeedsRows) };
        self.check_cuts(prepared.id, stretch, &encoded.pieces)?;
        let end = End { stream, offset: stretch.first };
        match self.append(prepared.id, &end, &encoded.pieces).await {
            Ok(sent) => {
                self.reservations.done(prepared.id, &end, token.rows);
                let is_new = sent.contains(&Sent::Appended);
                Ok(if is_new { CommitOutcome::Committed } else { CommitOutcome::AlreadyCommitted })
            }
            Err(Stop::Finalized) => self.of_finalized(prepared.id, &end, token.rows).await,
            Err(Stop::Gone) => Err(self.gone(prepared.id, &end.stream).await),
            Err(Stop::TooShort) => Err(self.too_short(prepared.id, &end)),
            // What exactly is not there, it did not say.
            Err(Stop::Fault(fault)) if fault.code == "table-missing" => Err(self.gone(prepared.id, &end.stream).await),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    /// Finalizes the stream: nobody can append to it any more, permit or not.
    async fn abort(&self, prepared: &Prepared) -> Result<(), Fault> {
        let token = Token::read(prepared, &self.table.identity)?;
        let Some(Way::Committed { stream, .. }) = token.way() else { return Ok(()) };
        self.reservations.forget(prepared.id);
        match self.table.streams.close(&stream).await? {
            Ok(_) => Ok(()),
            Err(status) => match fault::storage_code_of(&status) {
                Some(
                    StorageErrorCode::StreamFinalized
                    | StorageErrorCode::StreamNotFound
                    | StorageErrorCode::TableNotFound,
                ) => Ok(()),
                _ => Err(fault::of_status(&self.table.settings.shown(), Act::Finalize, &status)),
            },
        }
    }

    /// Streams that nobody appends to are not listed by the service, and go by themselves.
    async fn sweep(&self, scope: &SweepScope) -> Result<SweepReport, Fault> {
        self.reservations.sweep(scope);
        Ok(SweepReport::default())
    }

    async fn examine(&self) -> Vec<Finding> {
        self.table.examine().await
    }
}

impl Committed {
    /// Of one that is there and takes all columns.
    async fn end_of_fitting_stream(&self) -> Result<End, Fault> {
        while let Some(end) = self.reservations.take() {
            match self.fits(&end.stream).await {
                Ok(true) => return Ok(end),
                // Idle for too long, or gone with its table: a new one takes its place.
                Ok(false) => {}
                Err(fault) => {
                    self.reservations.give_back(end);
                    return Err(fault);
                }
            }
        }
        let stream = self.table.stream_of_fitting_table().await?.name;
        Ok(End { stream, offset: 0 })
    }

    /// False if it is not there.
    async fn fits(&self, stream: &str) -> Result<bool, Fault> {
        let found = match self.table.streams.look(stream).await? {
            Ok(found) => found,
            Err(status) if status.code() == Code::NotFound => return Ok(false),
            Err(status) => return Err(fault::of_status(&self.table.settings.shown(), Act::LookAtStream, &status)),
        };
        self.table.add(&self.table.lacking(&found)?).await?;
        Ok(true)
    }

    async fn append(&self, id: BatchId, end: &End, pieces: &[Piece]) -> Result<Vec<Sent>, Stop> {
        let schema = ArrowSchema { serialized_schema: rows::schema_message(&self.table.columns)? };
        let (mut first, mut offset) = (Some(schema), end.offset);
        let request = |piece: &Piece| {
            let request = append_request(&end.stream, id, first.take(), offset.cast_signed(), piece);
            offset += piece.rows;
            request
        };
        let requests = pieces.iter().map(request).collect();
        let rows: Vec<u64> = pieces.iter().map(|piece| piece.rows).collect();
        self.table.streams.send(&end.stream, requests, &rows).await
    }

    /// "There are rows at this offset" means that the whole request is there, only if it was cut as it is now.
    fn check_cuts(&self, id: BatchId, stretch: Stretch, pieces: &[Piece]) -> Result<(), Fault> {
        if cuts(pieces) == stretch.cuts {
            return Ok(());
        }
        let hint = format!(
            "{}: this build cuts batch {id} into other requests than the one that prepared it, so it cannot be seen \
             which of its rows are there: run that build until the batch is committed",
            self.table.settings.shown()
        );
        Err(Fault::park(Blame::Us, "requests-differ", hint))
    }

    /// By an abort. How many rows there are for ever is the service's to say.
    async fn of_finalized(&self, id: BatchId, end: &End, rows: u64) -> Result<CommitOutcome, Fault> {
        self.reservations.forget(id);
        let shown = self.table.settings.shown();
        match self.table.streams.close(&end.stream).await? {
            Ok(count) if count <= end.offset => Ok(CommitOutcome::Lost),
            Ok(count) if count >= end.offset + rows => Ok(CommitOutcome::AlreadyCommitted),
            Ok(count) => {
                let there = count - end.offset;
                let hint = format!(
                    "{shown}: {there} of the {rows} rows of batch {id} are there, and its stream was closed: see by \
                     their offsets which, then replay the others"
                );
                Err(Fault::park(Blame::Us, "batch-cut", hint))
            }
            Err(status) => Err(fault::of_status(&shown, Act::Finalize, &status)),
        }
    }

    /// Perhaps its rows were appended, and the answer got lost, so long ago that the service has forgotten the stream;
    /// perhaps never, or some. Nothing that can be asked tells them apart, so nobody guesses.
    async fn gone(&self, id: BatchId, stream: &str) -> Fault {
        let shown = self.table.settings.shown();
        match self.table.tables.table().await {
            Err(unknown) => unknown,
            Ok(None) => {
                let hint =
                    format!("{shown} is gone, and with it the rows of batch {id}: make it again, abandon the batch");
                Fault::park(Blame::Merchant, "table-missing", hint)
            }
            Ok(Some(_)) => {
                let hint = format!(
                    "{shown}: the service no longer knows {stream}, where batch {id} belongs, and keeps idle streams \
                     for about three days: see by its offsets which of its rows are in the table, then skip the batch, \
                     or replay it"
                );
                Fault::park(Blame::Provider, "stream-gone", hint)
            }
        }
    }

    /// All that is in front of a batch was there when it was prepared.
    fn too_short(&self, id: BatchId, end: &End) -> Fault {
        let (shown, End { stream, offset }) = (self.table.settings.shown(), end);
        let hint = format!(
            "{shown}: {stream} ends before offset {offset}, where batch {id} begins: rows that the service had \
             acknowledged are missing there; ask its support, then skip the batch, or replay it"
        );
        Fault::park(Blame::Provider, "rows-missing", hint)
    }
}

/// Of how many rows each request is.
fn cuts(pieces: &[Piece]) -> u64 {
    let mut hash = XxHash64::with_seed(0);
    pieces.iter().for_each(|piece| hash.write(&piece.rows.to_le_bytes()));
    hash.finish()
}
