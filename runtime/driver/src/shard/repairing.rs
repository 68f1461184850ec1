//! What repairs found missing, for people; and the ledger, for the engine.

use super::*;
use crate::{entrance::blocking, retry::Waits};
use outflow_api::{Applied, LedgerRow, Ranges, Verdict};
use outflow_engine::Account;

/// What came of a repair of one lane, in one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repaired {
    pub run: u64,
    /// Records to look through, rows of others among them; or why nothing is sent.
    pub outcome: Result<u64, String>,
}

/// The last of each lane, while this process owns the shard.
#[derive(Default)]
pub(crate) struct Repairs(BTreeMap<LaneId, Repaired>);

/// Beyond, the oldest is forgotten.
const REMEMBERED_MAX: usize = 1_000;

impl Repairs {
    pub fn of(&self, lane: LaneId) -> Option<&Repaired> {
        self.0.get(&lane)
    }

    fn note(&mut self, lane: LaneId, repaired: Repaired) {
        self.0.insert(lane, repaired);
        if self.0.len() > REMEMBERED_MAX {
            let oldest = self.0.iter().min_by_key(|(_, repaired)| repaired.run).map(|(lane, _)| *lane);
            oldest.and_then(|lane| self.0.remove(&lane));
        }
    }
}

impl ShardTask {
    pub(super) fn read_ledger(
        &mut self,
        command: Applied,
        (lane, letters): (LaneId, u32),
        ranges: BTreeMap<TopicPartition, Ranges>,
    ) {
        let new = move || Account::of_letters(lane, ranges.clone(), letters);
        self.show_ledger(new, Account::see, move |account| Event::LedgerRead { command, account });
    }

    /// As long as it takes: what stands in the config log behind the command waits, and nothing else does.
    pub(super) fn show_ledger<T: Send + 'static>(
        &mut self,
        new: impl Fn() -> T + Send + 'static,
        see: fn(&mut T, &LedgerRow),
        answer: impl FnOnce(Result<T, Reason>) -> Event + Send + 'static,
    ) {
        let (cluster, shard, mail) = (Arc::clone(&self.shared.cluster), self.shard, self.mail.clone());
        self.tasks.spawn(async move {
            let mut waits = Waits::new();
            let read = loop {
                match read(&cluster, shard, new(), see).await {
                    Ok(reader) => break Ok(reader),
                    Err(fault) if matches!(fault.verdict, Verdict::Retry { .. }) => {
                        tracing::warn!(shard = shard.0, code = fault.code, %fault, "the ledger cannot be read yet");
                        tokio::time::sleep(waits.next(&fault)).await;
                    }
                    Err(fault) => break Err(reason(&fault)),
                }
            };
            let _ = mail.send(Mail::Engine(answer(read)));
        });
    }

    pub(super) fn repaired(&mut self, lane: LaneId, run: Revision, outcome: Result<u64, Reason>) {
        let (shard, lane_id) = (self.shard.0, lane.0);
        let (connector, merchant) = self.whose(lane);
        match &outcome {
            Ok(0) => tracing::info!(
                shard,
                lane = lane_id,
                connector,
                merchant,
                run = run.0,
                event = "repair",
                "repair: nothing is missing"
            ),
            Ok(records) => {
                tracing::info!(
                    shard,
                    lane = lane_id,
                    connector,
                    merchant,
                    run = run.0,
                    records,
                    event = "repair",
                    "repair: what is missing is read"
                )
            }
            Err(Reason { code, hint }) => {
                tracing::error!(
                    shard,
                    lane = lane_id,
                    connector,
                    merchant,
                    run = run.0,
                    code,
                    hint,
                    event = "repair-refused",
                    "repair refused: nothing is sent"
                )
            }
        }
        let outcome = outcome.map_err(|Reason { code, hint }| format!("{code}: {hint}"));
        self.repairs.note(lane, Repaired { run: run.0, outcome });
    }
}

async fn read<T: Send + 'static>(
    cluster: &Arc<dyn Cluster>,
    shard: Shard,
    mut reader: T,
    see: fn(&mut T, &LedgerRow),
) -> Result<T, Fault> {
    let cluster = Arc::clone(cluster);
    let read = move || {
        cluster.ledger(shard)?.read(&mut |row| see(&mut reader, &row))?;
        Ok(reader)
    };
    blocking(read).await
}
