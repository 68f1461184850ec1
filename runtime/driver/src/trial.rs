//! What would become of records by definitions that nobody has published: they are routed and decoded as shards do it,
//! and go nowhere. Pure.

use crate::{
    Field, OpenLane, Opener,
    batch::decode,
    route::{Router, Shares, Taking},
};
use arrow_array::RecordBatch;
use outflow_api::{Fault, LaneId, Offset, Pin, Revision, RowSlice, Rows, TopicPartition};
use outflow_catalogue::{
    Catalogue, ConnectorEntry, Draft, LaneEntry, Start, Wanted, WantedConnector, WantedLane, draft,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

pub struct Trial {
    router: Router,
    opener: Arc<dyn Opener>,
}

/// What became of the rows.
pub struct Tried {
    pub lanes: Vec<TriedLane>,
    /// By connector: records that it read, and those of them that no merchant claims.
    pub read: BTreeMap<Arc<str>, (u64, u64)>,
}

pub struct TriedLane {
    pub lane: LaneEntry,
    /// Rows that are the lane's.
    pub rows: u64,
    /// Why none of them could be delivered.
    pub opened: Result<OpenLane, Fault>,
    pub batches: Vec<RecordBatch>,
    pub rejected: Vec<Rejected>,
}

pub struct Rejected {
    pub partition: TopicPartition,
    pub offset: Offset,
    pub code: &'static str,
    pub message: String,
}

impl Trial {
    /// `opener`: of this trial alone, for the revisions of different trials are not the same ones.
    pub fn new(field: fn(&[String]) -> Arc<dyn Field>, opener: Arc<dyn Opener>) -> Trial {
        Trial { router: Router::new(field), opener }
    }

    /// Whom these records name at this connector, each with the number of his records. Nobody who has no text as id.
    pub fn named(&self, connector: &ConnectorEntry, sample: &[RowSlice]) -> BTreeMap<String, u64> {
        let mut named = BTreeMap::new();
        let Some(key) = &connector.merchant else { return named };
        let is_read =
            |slice: &&RowSlice| connector.topics.iter().any(|topic| topic.id() == slice.block.partition().topic);
        for slice in sample.iter().filter(is_read) {
            for id in self.router.named(key, &slice.block, slice.rows.clone()) {
                if let Ok(id) = str::from_utf8(&id) {
                    *named.entry(id.to_owned()).or_default() += 1;
                }
            }
        }
        named
    }

    /// As if these connectors and lanes were all there are. Only lanes that are `shown` are opened and answered.
    pub fn run(
        &self,
        connectors: Vec<WantedConnector>,
        lanes: Vec<WantedLane>,
        sample: &[RowSlice],
        is_shown: impl Fn(&LaneEntry) -> bool,
    ) -> Result<Tried, Fault> {
        let catalogue = catalogue_of(connectors, lanes)?;
        let mut read: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
        let mut taken: HashMap<LaneId, Vec<RowSlice>> = HashMap::new();
        for slice in sample {
            let mut shares = Shares::default();
            let pin = Pin::to(catalogue.revision());
            self.router.route(&catalogue, pin, &slice.block, slice.rows.clone(), &mut shares);
            for (connector, rows, unclaimed) in shares.read {
                let sums = read.entry(connector).or_default();
                *sums = (sums.0 + rows, sums.1 + unclaimed);
            }
            for share in shares.lanes {
                taken.entry(share.lane).or_default().extend(slices(slice, &share.rows));
            }
        }
        let mut shown: Vec<&LaneEntry> = catalogue.lanes().filter(|lane| is_shown(lane)).collect();
        shown.sort_by_key(|lane| lane.lane);
        let lanes = shown.into_iter().map(|lane| {
            let rows = Rows::new(taken.remove(&lane.id()).unwrap_or_default());
            self.lane(&catalogue, lane, &rows)
        });
        Ok(Tried { lanes: lanes.collect(), read })
    }

    fn lane(&self, catalogue: &Catalogue, lane: &LaneEntry, rows: &Rows) -> TriedLane {
        let opened = open_newest(self.opener.as_ref(), catalogue, lane);
        let mut tried = TriedLane {
            lane: lane.clone(),
            rows: rows.len() as u64,
            opened,
            batches: Vec::new(),
            rejected: Vec::new(),
        };
        let Ok(open) = &tried.opened else { return tried };
        let decoded = decode(open, rows);
        let records: Vec<_> = rows.iter().map(|record| (record.partition, record.offset)).collect();
        tried.batches = decoded.batches;
        tried.rejected = decoded
            .rejected
            .into_iter()
            .map(|row| {
                let (partition, offset) = records[row.index];
                Rejected { partition, offset, code: row.code, message: row.message }
            })
            .collect();
        tried
    }
}

/// A lane as its next rows would find it.
pub fn open_newest(opener: &dyn Opener, catalogue: &Catalogue, lane: &LaneEntry) -> Result<OpenLane, Fault> {
    let connector = catalogue.connector(&lane.connector).map_or(0, |connector| connector.version);
    let definition = catalogue.definition(lane.id(), Revision(lane.version.max(connector)));
    let unknown = || Fault::halt("lane-unknown", format!("nothing is known of lane {}", lane.lane));
    opener.open(&definition.ok_or_else(unknown)?)
}

fn slices(of: &RowSlice, rows: &Taking) -> Vec<RowSlice> {
    rows.iter().map(|row| RowSlice { block: Arc::clone(&of.block), rows: row..row + 1 }).collect()
}

/// All of it in one revision.
fn catalogue_of(connectors: Vec<WantedConnector>, lanes: Vec<WantedLane>) -> Result<Catalogue, Fault> {
    // Where a lane begins says nothing of what its rows become.
    let lanes = lanes.into_iter().map(|lane| WantedLane { start: Start::Latest, ..lane }).collect();
    let wanted = Wanted { connectors, lanes, ..Wanted::default() };
    let mut catalogue = Catalogue::default();
    if let Draft::Publish(revision) = draft(&catalogue, &wanted, true) {
        catalogue.apply(&revision)?;
    }
    Ok(catalogue)
}
