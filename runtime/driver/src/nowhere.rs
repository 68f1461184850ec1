use async_trait::async_trait;
use outflow_api::{
    BatchId, CommitOutcome, CommitPermit, Encoded, Fault, Finding, PrepareOutcome, Prepared, Remote, SealedBatch, Sink,
    SweepReport, SweepScope,
};

/// The sink of lanes all of whose rows are dead letters: it is never given one.
pub struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    fn remote(&self) -> Option<&Remote> {
        None
    }

    fn encode(&self, _batch: &SealedBatch) -> Result<Encoded, Fault> {
        Ok(Encoded::default())
    }

    async fn prepare(&self, id: BatchId, _encoded: &Encoded) -> Result<PrepareOutcome, Fault> {
        Ok(Prepared { id, token: bytes::Bytes::new() }.into())
    }

    async fn commit(&self, _permit: &CommitPermit, _encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        Ok(CommitOutcome::Committed)
    }

    async fn abort(&self, _prepared: &Prepared) -> Result<(), Fault> {
        Ok(())
    }

    async fn sweep(&self, _scope: &SweepScope) -> Result<SweepReport, Fault> {
        Ok(SweepReport::default())
    }

    async fn examine(&self) -> Vec<Finding> {
        Vec::new()
    }
}
