use async_trait::async_trait;
use bytes::Bytes;
use outflow_api::{
    BatchId, CommitOutcome, CommitPermit, Encoded, Fault, Finding, PrepareOutcome, Prepared, Remote, SealedBatch, Sink,
    SweepReport, SweepScope,
};
use serde_json::Value;
use std::sync::Arc;

/// A real sink that writes lines of JSON, before a destination that refuses some rows for good when they are sent.
pub struct Fussy {
    pub inner: Arc<dyn Sink>,
    pub manner: Manner,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Rows are sent when they are prepared, and few of those are named at once that are refused.
    Prepared,
    /// Nothing is sent before the commit: the sink keeps an identity, and asks for the rows again after a crash.
    Committed,
    /// As `Prepared`, and no row is good.
    Everything,
}

const NAMED_AT_ONCE: usize = 7;
const IDENTITY: &[u8] = b"fussy 1";

impl Manner {
    pub const ALL: [Manner; 3] = [Manner::Prepared, Manner::Committed, Manner::Everything];

    pub fn refuses(self, number: u64) -> bool {
        self == Manner::Everything || number % 50 == 3
    }

    fn named_at_once(self) -> usize {
        if self == Manner::Prepared { NAMED_AT_ONCE } else { usize::MAX }
    }
}

impl Fussy {
    /// Reads what it is sent, as the destination does.
    fn refused(&self, encoded: &Encoded) -> Vec<(usize, String)> {
        let bytes: Vec<Bytes> = encoded.pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
        let text = String::from_utf8(bytes.concat()).expect("lines of JSON");
        let number =
            |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["number"].as_u64().expect("a number");
        let refused = text.lines().map(number).enumerate().filter(|(_, number)| self.manner.refuses(*number));
        let named = refused.map(|(sent, number)| (encoded.index_in_batch(sent), format!("{number} is out of range")));
        named.take(self.manner.named_at_once()).collect()
    }

    async fn prepare_inside(&self, id: BatchId, encoded: &Encoded) -> Result<Prepared, Fault> {
        Ok(self.inner.prepare(id, encoded).await?.prepared().expect("a folder refuses no row"))
    }
}

#[async_trait]
impl Sink for Fussy {
    fn remote(&self) -> Option<&Remote> {
        self.inner.remote()
    }

    fn encode(&self, batch: &SealedBatch) -> Result<Encoded, Fault> {
        self.inner.encode(batch)
    }

    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<PrepareOutcome, Fault> {
        if self.manner == Manner::Committed {
            return Ok(Prepared { id, token: Bytes::from_static(IDENTITY) }.into());
        }
        let rows = self.refused(encoded);
        if !rows.is_empty() {
            return Ok(PrepareOutcome::Refused { rows });
        }
        self.prepare_inside(id, encoded).await.map(Into::into)
    }

    async fn commit(&self, permit: &CommitPermit, encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        if self.manner != Manner::Committed {
            return self.inner.commit(permit, encoded).await;
        }
        let Some(encoded) = encoded else { return Ok(CommitOutcome::NeedsRows) };
        let rows = self.refused(encoded);
        if !rows.is_empty() {
            return Ok(CommitOutcome::Rejected { rows });
        }
        let prepared = self.prepare_inside(permit.prepared().id, encoded).await?;
        self.inner.commit(&CommitPermit::mint(prepared), Some(encoded)).await
    }

    async fn abort(&self, prepared: &Prepared) -> Result<(), Fault> {
        if self.manner == Manner::Committed { Ok(()) } else { self.inner.abort(prepared).await }
    }

    async fn sweep(&self, scope: &SweepScope) -> Result<SweepReport, Fault> {
        if self.manner == Manner::Committed {
            return Ok(SweepReport::default());
        }
        self.inner.sweep(scope).await
    }

    async fn examine(&self) -> Vec<Finding> {
        self.inner.examine().await
    }
}
