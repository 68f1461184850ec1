//! Runs that take the place of what is there: what the ledger is asked, and what is removed.

use super::*;
use outflow_api::{Applied, Delivered, Ranges};
use outflow_engine::{Deliveries, Replaced};
use std::sync::atomic::{AtomicBool, Ordering};

/// What came of a replacement of one lane, in one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replacement {
    pub run: u64,
    /// Or why nothing is sent and nothing removed.
    pub outcome: Result<Replaced, String>,
    /// Why an old batch is not removed yet.
    pub hangs: Option<String>,
}

#[derive(Default)]
pub(crate) struct Replacements {
    /// The last of each lane, while this process owns the shard.
    last: BTreeMap<LaneId, Replacement>,
    /// Removals that are being tried; true once nobody wants them any more.
    tries: HashMap<BatchId, Arc<AtomicBool>>,
}

/// Beyond, the oldest is forgotten.
const REMEMBERED_MAX: usize = 1_000;
/// A lane that cannot be opened now.
const LATER: Duration = Duration::from_secs(5);

impl Replacements {
    pub fn of(&self, lane: LaneId) -> Option<&Replacement> {
        self.last.get(&lane)
    }

    fn note(&mut self, lane: LaneId, replacement: Replacement) {
        self.last.insert(lane, replacement);
        if self.last.len() > REMEMBERED_MAX {
            let oldest = self.last.iter().min_by_key(|(_, replacement)| replacement.run).map(|(lane, _)| *lane);
            oldest.and_then(|lane| self.last.remove(&lane));
        }
    }
}

impl ShardTask {
    pub(super) fn read_deliveries(&mut self, command: Applied, lane: LaneId, ranges: BTreeMap<TopicPartition, Ranges>) {
        let gone = ranges.iter().find_map(|(key, ranges)| {
            let (first, log) = (ranges.first()?.start, self.log.get(key)?.start);
            (first < log).then(|| (self.topology.name(key.topic).to_string(), key.partition, first, log))
        });
        if let Some((topic, partition, first, log)) = gone {
            let hint = format!(
                "a batch with rows of these offsets begins at {topic}/{partition} offset {}, and the topic keeps no \
                 record below {}: what is below could not be delivered again. Nothing is sent or removed; ask for \
                 later offsets",
                first.0, log.0
            );
            let deliveries = Err(Reason { code: "source-gone".into(), hint });
            return drop(self.mail.send(Mail::Engine(Event::DeliveriesRead { command, deliveries })));
        }
        let new = move || Deliveries::new(lane, ranges.clone());
        self.show_ledger(new, Deliveries::see, move |deliveries| Event::DeliveriesRead { command, deliveries });
    }

    pub(super) fn replaced(&mut self, lane: LaneId, run: Revision, outcome: Result<Replaced, Reason>) {
        let (shard, lane_id, run) = (self.shard.0, lane.0, run.0);
        let (connector, merchant) = self.whose(lane);
        match &outcome {
            Ok(Replaced { offsets, widened, batches }) => {
                tracing::info!(
                    shard,
                    lane = lane_id,
                    connector,
                    merchant,
                    run,
                    offsets,
                    widened,
                    batches,
                    event = "replace",
                    "replace: read again"
                );
            }
            Err(Reason { code, hint }) => {
                tracing::error!(
                    shard,
                    lane = lane_id,
                    connector,
                    merchant,
                    run,
                    code,
                    hint,
                    event = "replace-refused",
                    "replace refused: nothing is sent or removed"
                );
            }
        }
        let outcome = outcome.map_err(|Reason { code, hint }| format!("{code}: {hint}"));
        self.replacements.note(lane, Replacement { run, outcome, hangs: None });
    }

    /// With today's credentials, asked for before each try: somebody may have mended them, or called the whole off.
    pub(super) fn remove(&mut self, old: Delivered) {
        let (batch, mail, calls) = (old.id, self.mail.clone(), Arc::clone(&self.shared.calls));
        let is_over = Arc::new(AtomicBool::new(false));
        if let Some(before) = self.replacements.tries.insert(batch, Arc::clone(&is_over)) {
            before.store(true, Ordering::Relaxed);
        }
        let (lanes, configuration) = (self.shared.lanes.clone(), self.shared.configuration.clone());
        let connector = self.connector_of(batch.lane).unwrap_or_default();
        let repeated = self.shared.status.repeats_of(&connector);
        self.tasks.spawn(async move {
            let is_wanted = || !is_over.load(Ordering::Relaxed);
            let newest = || lanes.newest(&configuration.catalogue(), batch.lane).map(|lane| lane.sink);
            let sink = || if is_wanted() { newest() } else { None };
            let hangs = |reason: Reason| drop(mail.send(Mail::RemovalHangs { batch, reason }));
            while is_wanted() {
                match delivery::remove(sink, &old, &calls, hangs, &repeated).await {
                    Ok(Some(())) => return drop(mail.send(Mail::Engine(Event::Removed { batch }))),
                    Ok(None) => tokio::time::sleep(LATER).await,
                    Err(fault) => return drop(mail.send(Mail::Failed(fault))),
                }
            }
        });
    }

    pub(super) fn removal_hangs(&mut self, batch: BatchId, reason: &Reason) {
        let Reason { code, hint } = reason;
        let (shard, lane) = (self.shard.0, batch.lane.0);
        let (connector, merchant) = self.whose(batch.lane);
        tracing::warn!(
            shard, lane, connector, merchant, %batch, code, hint, event = "removal-hangs",
            "an old batch is not removed yet: it is tried on"
        );
        if let Some(replacement) = self.replacements.last.get_mut(&batch.lane) {
            replacement.hangs = Some(format!("{code}: {hint}"));
        }
    }

    /// Of what is removed, or was called off.
    pub(super) fn stop_removals(&mut self) {
        let engine = &self.engine;
        self.replacements.tries.retain(|batch, is_over| {
            let is_wanted = engine.is_removing(*batch);
            is_over.store(!is_wanted, Ordering::Relaxed);
            is_wanted
        });
        for (lane, replacement) in self.replacements.last.iter_mut().filter(|(_, one)| one.hangs.is_some()) {
            if engine.lane_view(*lane).is_none_or(|view| view.removals == 0) {
                replacement.hangs = None;
            }
        }
    }
}
