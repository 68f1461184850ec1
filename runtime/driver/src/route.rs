//! Whose are these rows? By the definitions of each row's own offset, or by those that are named.

use outflow_api::{FeedId, LaneId, Pin, RecordBlock, RecordView, Revision};
use outflow_catalogue::{Assigned, Catalogue, ConnectorRoutes, MerchantKey, Only, Unknown};
use rustc_hash::FxHashMap;
use std::{
    borrow::Cow,
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// Finds one scalar in a raw record, without parsing the rest.
pub trait Field: Send + Sync {
    fn find<'v>(&self, value: &'v [u8]) -> Option<Cow<'v, [u8]>>;
}

/// One lane's rows of a block.
#[derive(Debug)]
pub(crate) struct Share {
    pub lane: LaneId,
    pub feed: FeedId,
    pub version: Revision,
    pub rows: Taking,
}

#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Taking {
    All(Range<usize>),
    /// Rising.
    Some(Vec<u32>),
}

/// What the rows of a block come to.
#[derive(Default)]
pub(crate) struct Shares {
    pub lanes: Vec<Share>,
    /// Rows that each connector read, and those of them that nobody claims.
    pub read: Vec<(Arc<str>, u64, u64)>,
    at: FxHashMap<(LaneId, Revision), usize>,
}

pub(crate) struct Router {
    fields: Mutex<HashMap<Vec<String>, Arc<dyn Field>>>,
    make: fn(&[String]) -> Arc<dyn Field>,
}

impl Router {
    pub fn new(make: fn(&[String]) -> Arc<dyn Field>) -> Router {
        Router { fields: Mutex::default(), make }
    }

    fn field(&self, path: &[String]) -> Arc<dyn Field> {
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = fields.get(path) {
            return Arc::clone(known);
        }
        let made = (self.make)(path);
        fields.insert(path.to_owned(), Arc::clone(&made));
        made
    }

    /// Adds the rows of `rows`, all of which follow the same definitions.
    pub fn route(&self, catalogue: &Catalogue, pin: Pin, block: &RecordBlock, rows: Range<usize>, shares: &mut Shares) {
        if rows.is_empty() {
            return;
        }
        let pin = Pin { whose: catalogue.routing(pin.whose), shape: catalogue.routing(pin.shape) };
        for (routes, entry) in catalogue.readers(block.partition().topic, pin.whose) {
            let version = routes.version(pin).unwrap_or(Revision(entry.version));
            let mut unclaimed = 0;
            match &entry.merchant {
                None => shares.all(routes.own(), pin, version, &rows),
                Some(key) => {
                    let field = self.field_of(key);
                    for row in rows.clone() {
                        let record = block.get(row);
                        let merchant = merchant_of(&record, key, field.as_deref());
                        let claimed = merchant.is_some_and(|merchant| {
                            self.claim(routes, &merchant, (pin, version), &record, row, shares)
                        });
                        if !claimed {
                            unclaimed += 1;
                            if entry.unknown != Unknown::Drop {
                                for lane in routes.own() {
                                    shares.one(lane, pin, version, row);
                                }
                            }
                        }
                    }
                }
            }
            shares.read.push((Arc::clone(&routes.name), rows.len() as u64, unclaimed));
        }
    }

    /// Whom each of these rows names, whether anybody knows him or not.
    pub fn named<'b>(
        &self,
        key: &'b MerchantKey,
        block: &'b RecordBlock,
        rows: Range<usize>,
    ) -> impl Iterator<Item = Cow<'b, [u8]>> {
        let field = self.field_of(key);
        rows.filter_map(move |row| merchant_of(&block.get(row), key, field.as_deref()))
    }

    fn field_of(&self, key: &MerchantKey) -> Option<Arc<dyn Field>> {
        match key {
            MerchantKey::Path(path) => Some(self.field(path)),
            MerchantKey::Key | MerchantKey::Header(_) => None,
        }
    }

    fn claim(
        &self,
        routes: &ConnectorRoutes,
        merchant: &[u8],
        (pin, version): (Pin, Revision),
        record: &RecordView<'_>,
        row: usize,
        shares: &mut Shares,
    ) -> bool {
        let mut claimed = false;
        for lane in routes.merchant(merchant) {
            let Some((_, only)) = lane.at(pin) else { continue };
            claimed = true;
            if only.is_none_or(|only| self.is_wanted(only, record)) {
                shares.one(lane, pin, version, row);
            }
        }
        claimed
    }

    fn is_wanted(&self, only: &Only, record: &RecordView<'_>) -> bool {
        let found = record.value.and_then(|value| self.field(&only.path).find(value).map(Cow::into_owned));
        found.is_some_and(|found| only.values.iter().any(|value| value.as_bytes() == found))
    }
}

fn merchant_of<'r>(record: &RecordView<'r>, key: &MerchantKey, field: Option<&dyn Field>) -> Option<Cow<'r, [u8]>> {
    match key {
        MerchantKey::Key => record.key.map(Cow::Borrowed),
        MerchantKey::Header(name) => {
            let mut named = record.headers.iter().filter(|(header, _)| header == name);
            named.next().and_then(|(_, value)| value).map(Cow::Borrowed)
        }
        MerchantKey::Path(_) => field?.find(record.value?),
    }
}

impl Shares {
    fn share(&mut self, lane: &Assigned, pin: Pin, connector: Revision) -> Option<&mut Share> {
        let (own, _) = lane.at(pin)?;
        let version = own.max(connector);
        let at = *self.at.entry((lane.lane, version)).or_insert_with(|| {
            let (lane, feed) = (lane.lane, lane.feed);
            self.lanes.push(Share { lane, feed, version, rows: Taking::Some(Vec::new()) });
            self.lanes.len() - 1
        });
        Some(&mut self.lanes[at])
    }

    fn one(&mut self, lane: &Assigned, pin: Pin, connector: Revision, row: usize) {
        if let Some(share) = self.share(lane, pin, connector)
            && let Taking::Some(rows) = &mut share.rows
        {
            rows.push(row as u32);
        }
    }

    fn all(&mut self, lanes: &[Assigned], pin: Pin, connector: Revision, rows: &Range<usize>) {
        for lane in lanes {
            let Some(share) = self.share(lane, pin, connector) else { continue };
            match &mut share.rows {
                Taking::Some(none) if none.is_empty() => share.rows = Taking::All(rows.clone()),
                // The next revision changed nothing for this lane.
                Taking::All(before) if before.end == rows.start => before.end = rows.end,
                Taking::All(before) => {
                    share.rows = Taking::Some(before.clone().chain(rows.clone()).map(|row| row as u32).collect());
                }
                Taking::Some(some) => some.extend(rows.clone().map(|row| row as u32)),
            }
        }
    }
}

impl Taking {
    /// Those within `within`.
    pub fn within(&self, within: Range<usize>) -> Taking {
        match self {
            Taking::All(rows) => {
                let start = rows.start.clamp(within.start, within.end);
                Taking::All(start..rows.end.clamp(start, within.end))
            }
            Taking::Some(rows) => {
                let from = rows.partition_point(|row| (*row as usize) < within.start);
                let to = rows.partition_point(|row| (*row as usize) < within.end);
                Taking::Some(rows[from..to.max(from)].to_vec())
            }
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Taking::All(rows) => rows.len(),
            Taking::Some(rows) => rows.len(),
        }
    }

    pub fn first(&self) -> Option<usize> {
        match self {
            Taking::All(rows) => (!rows.is_empty()).then_some(rows.start),
            Taking::Some(rows) => rows.first().map(|row| *row as usize),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let (all, some) = match self {
            Taking::All(rows) => (rows.clone(), &[][..]),
            Taking::Some(rows) => (0..0, rows.as_slice()),
        };
        all.chain(some.iter().map(|row| *row as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Offset, Pins, TopicId, TopicPartition};
    use outflow_catalogue::{
        ConnectorEntry, Draft, FlushEntry, Start, Topic, Wanted, WantedConnector, WantedLane, draft,
    };
    use std::collections::BTreeMap;

    const FLUSH: FlushEntry = FlushEntry { rows: 1, bytes: 1, age_ms: 1 };

    struct Whole;

    impl Field for Whole {
        fn find<'v>(&self, value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
            Some(Cow::Borrowed(value))
        }
    }

    fn publish(catalogue: &mut Catalogue, merchant: MerchantKey, place: &str) {
        let entry = ConnectorEntry {
            version: 0,
            topics: vec![Topic::new("orders", TopicId(7))],
            shape: serde_json::json!(1),
            merchant: Some(merchant),
            unknown: Unknown::Drop,
            feeds: BTreeMap::new(),
            flush: FLUSH,
            dead_letters: None,
            reject_percent_max: 100,
            paused: false,
            stopped: false,
        };
        let lane = |merchant: &str| WantedLane {
            connector: "orders".into(),
            merchant: Some(merchant.into()),
            rejects: false,
            identity: merchant.into(),
            place: place.into(),
            settings: "{}".into(),
            flush: FLUSH,
            schedule: 0,
            start: Start::Latest,
            resumes: false,
            source: String::new(),
        };
        let connectors = vec![WantedConnector { name: "orders".into(), entry }];
        let wanted = Wanted { connectors, lanes: vec![lane("m"), lane("n")], ..Wanted::default() };
        let Draft::Publish(revision) = draft(catalogue, &wanted, true) else { unreachable!("it is new") };
        catalogue.apply(&revision).expect("what was drafted can be applied");
    }

    #[test]
    fn a_mended_row_is_whose_it_is_at_its_own_offset_and_is_filtered_by_the_newest_filter() {
        let mut catalogue = Catalogue::default();
        publish(&mut catalogue, MerchantKey::Key, "{}");
        publish(&mut catalogue, MerchantKey::Header("shop".into()), r#"{"only":{"path":["type"],"in":["paid"]}}"#);
        let partition = TopicPartition { topic: TopicId(7), partition: 0 };
        let mut block = RecordBlock::new(partition);
        // By its key each row is another lane's than by its header.
        let rows = [("m", "n", "paid"), ("n", "m", "paid"), ("m", "n", "made"), ("n", "m", "made")];
        for (offset, (key, shop, value)) in (0..).zip(rows) {
            let headers = [("shop", Some(shop.as_bytes()))];
            block.push(Offset(offset), 0, Some(key.as_bytes()), Some(value.as_bytes()), headers);
        }
        let router = Router::new(|_| Arc::new(Whole));
        let routed = |by: Pins| {
            let mut shares = Shares::default();
            router.route(&catalogue, by.at(Revision(1)), &block, 0..4, &mut shares);
            let share = |share: &Share| (share.lane.0, share.version.0, share.rows.iter().collect::<Vec<_>>());
            let mut routed: Vec<_> = shares.lanes.iter().map(share).collect();
            routed.sort_unstable();
            routed
        };
        assert_eq!(routed(Pins::OWN_OFFSETS), [(1, 1, vec![0, 2]), (2, 1, vec![1, 3])]);
        assert_eq!(routed(Pins::OWN_OFFSETS.reshaped(Revision(2))), [(1, 2, vec![0]), (2, 2, vec![1])]);
        assert_eq!(routed(Pins::to(Revision(2))), [(1, 2, vec![1]), (2, 2, vec![0])]);
        assert_eq!(routed(Pins::to(Revision(1)).reshaped(Revision(2))), [(1, 2, vec![0]), (2, 2, vec![1])]);
    }
}
