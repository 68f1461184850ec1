//! Mode `load`: a batch is a Parquet file in Cloud Storage, and a load job appends it, all of it or nothing. The job's
//! name is made of the batch's, so the service itself knows what was asked before.

use crate::{
    BigQuery, check_rows,
    failures::Failures,
    fault,
    fit::{self, Fit},
    jobs::{self, State},
    rows::shaped,
    settings::wrong,
    staging::Staging,
    token::{Token, Way, of_other_mode},
    types::{Column, Kind},
};
use async_trait::async_trait;
use outflow_api::{
    BatchId, Blame, CommitOutcome, CommitPermit, Encoded, Fault, Finding, Piece, PrepareOutcome, Prepared, Remote,
    SealedBatch, Sink, SweepReport, SweepScope, Verdict,
};
use outflow_formats::{ParquetOptions, parquet};
use std::time::Duration;
use tokio::sync::OnceCell;

/// A job takes some seconds, and to ask is a request.
const ASK_AGAIN: Duration = Duration::from_secs(2);

pub struct Loads {
    table: BigQuery,
    staging: Staging,
    fit: Fit,
    /// Of the dataset; a job is found in it alone.
    location: OnceCell<String>,
    failures: Failures,
}

impl Loads {
    pub fn new(table: BigQuery, staging: Staging) -> Loads {
        let (fit, location, failures) = (Fit::default(), OnceCell::new(), Failures::default());
        Loads { table, staging, fit, location, failures }
    }
}

/// # Errors
/// If no Parquet file that BigQuery loads can hold a column.
pub fn check(columns: &[Column]) -> Result<(), Fault> {
    for column in columns {
        if column.kind == Kind::Json {
            let name = &column.name;
            return Err(wrong(format!(
                "mode load: column {name} is JSON, which BigQuery does not load from Parquet: declare it as VARCHAR, \
                 or use mode append"
            )));
        }
        check(column.members())?;
    }
    Ok(())
}

#[async_trait]
impl Sink for Loads {
    fn remote(&self) -> Option<&Remote> {
        self.table.remote()
    }

    fn encode(&self, batch: &SealedBatch) -> Result<Encoded, Fault> {
        let (shaped, rejected) = shaped(batch, &self.table.columns)?;
        let rows: usize = shaped.iter().map(|rows| rows.num_rows()).sum();
        if rows == 0 {
            return Ok(Encoded { pieces: Vec::new(), rejected });
        }
        let bytes = vec![parquet::encode(&shaped, &ParquetOptions::default())?];
        let piece = Piece { name: format!("{}/0", batch.id), rows: rows as u64, bytes };
        Ok(Encoded { pieces: vec![piece], rejected })
    }

    /// The file, and the table that it goes to.
    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<PrepareOutcome, Fault> {
        let Some(piece) = encoded.pieces.first() else {
            return Ok(Token::new(&self.table.identity, 0, None).write(id).into());
        };
        self.fit.make(&self.table).await?;
        let location = self.location.get_or_try_init(async || self.look_where().await).await?.clone();
        self.staging.put(id, piece).await?;
        Ok(Token::new(&self.table.identity, piece.rows, Some(Way::Load { location })).write(id).into())
    }

    async fn commit(&self, permit: &CommitPermit, encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        let prepared = permit.prepared();
        let token = Token::read(prepared, &self.table.identity)?;
        check_rows(prepared.id, &token, encoded)?;
        match token.way() {
            None => Ok(CommitOutcome::AlreadyCommitted),
            Some(Way::Load { location }) => {
                let piece = encoded.and_then(|encoded| encoded.pieces.first());
                self.load(prepared.id, &location, piece).await
            }
            Some(other) => Err(of_other_mode(prepared.id, &other)),
        }
    }

    /// Without its file no job loads it.
    async fn abort(&self, prepared: &Prepared) -> Result<(), Fault> {
        match Token::read(prepared, &self.table.identity)?.way() {
            Some(Way::Load { .. }) => self.staging.remove(prepared.id).await,
            _ => Ok(()),
        }
    }

    /// Files that nobody loads go by the bucket's own rule: other lanes may have theirs at the same place.
    async fn sweep(&self, scope: &SweepScope) -> Result<SweepReport, Fault> {
        self.failures.sweep(scope);
        Ok(SweepReport::default())
    }

    async fn examine(&self) -> Vec<Finding> {
        let mut findings = fit::examine(&self.table).await;
        let subject = format!("look into {}", self.staging.shown());
        let result = self.staging.examine().await.map(|()| "it can be asked for files".to_owned());
        findings.push(Finding { subject, result });
        findings
    }
}

impl Loads {
    async fn look_where(&self) -> Result<String, Fault> {
        let settings = &self.table.settings;
        let dataset = self.table.tables.dataset().await?;
        let missing = || {
            let hint = format!("there is no dataset {}.{}: make it", settings.project, settings.dataset);
            Fault::park(Blame::Merchant, "dataset-missing", hint)
        };
        let dataset = dataset.ok_or_else(missing)?;
        Ok(dataset["location"].as_str().unwrap_or("US").to_owned())
    }

    /// Attempt by attempt: the next one is made only when the service says of the last that it failed, which is for
    /// ever. So at most one of them ever loads the file, however many workers are at it.
    async fn load(&self, id: BatchId, location: &str, piece: Option<&Piece>) -> Result<CommitOutcome, Fault> {
        let BigQuery { tables, settings, .. } = &self.table;
        let mut attempt = self.failures.known(id);
        let mut failed = None;
        while let Some(state) = jobs::look(tables, settings, &jobs::name(id, attempt), location).await? {
            match state {
                State::Done => return self.done(id, CommitOutcome::AlreadyCommitted).await,
                State::Runs => return Err(self.runs(id, attempt)),
                State::Failed { reason, message } => failed = Some((reason, message)),
            }
            attempt += 1;
        }
        if let Some((reason, message)) = &failed {
            if !self.failures.is_tried_again(id, attempt) {
                self.fit.doubt();
                return Err(fault::of_job(&settings.shown(), id, reason, message));
            }
            if !self.staging.is_there(id).await? {
                match piece {
                    Some(piece) => self.staging.put(id, piece).await?,
                    None => return Ok(CommitOutcome::NeedsRows),
                }
            }
        }
        let (name, uri) = (jobs::name(id, attempt), self.staging.uri(id));
        match jobs::insert(tables, settings, &name, location, &uri).await? {
            Some(State::Done) => self.done(id, CommitOutcome::Committed).await,
            // Of whoever was faster, or ours: the next call sees.
            None | Some(State::Runs | State::Failed { .. }) => Err(self.runs(id, attempt)),
        }
    }

    /// No job will ask for the file: the one that is done was the last.
    async fn done(&self, id: BatchId, outcome: CommitOutcome) -> Result<CommitOutcome, Fault> {
        // What stays goes by the bucket's own rule: rows are there, and that is what counts.
        let _ = self.staging.remove(id).await;
        self.failures.forget(id);
        Ok(outcome)
    }

    fn runs(&self, id: BatchId, attempt: u32) -> Fault {
        let (shown, name) = (self.table.settings.shown(), jobs::name(id, attempt));
        let verdict = Verdict::Retry { after: Some(ASK_AGAIN) };
        Fault::new(verdict, Blame::Provider, "load-runs", format!("{shown}: load job {name} is not done yet"))
    }
}
