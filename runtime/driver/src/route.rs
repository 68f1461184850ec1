//! Whose are these rows? By the definitions of each row's own offset, or by those of a run.

use outflow_api::{FeedId, LaneId, RecordBlock, RecordView, Revision};
use outflow_catalogue::{Assigned, Catalogue, ConnectorRoutes, MerchantKey, Only, Unknown};
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
    at: HashMap<(LaneId, Revision), usize>,
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

    /// Adds the rows of `rows`, all of which follow the definitions of one revision.
    pub fn route(
        &self,
        catalogue: &Catalogue,
        revision: Revision,
        block: &RecordBlock,
        rows: Range<usize>,
        shares: &mut Shares,
    ) {
        if rows.is_empty() {
            return;
        }
        for (routes, entry) in catalogue.readers(block.partition().topic, revision) {
            let version = Revision(entry.version);
            let mut unclaimed = 0;
            match &entry.merchant {
                None => shares.all(routes.own(), revision, version, &rows),
                Some(key) => {
                    let field = match key {
                        MerchantKey::Path(path) => Some(self.field(path)),
                        MerchantKey::Key | MerchantKey::Header(_) => None,
                    };
                    for row in rows.clone() {
                        let record = block.get(row);
                        let merchant = merchant_of(&record, key, field.as_deref());
                        let claimed = merchant.is_some_and(|merchant| {
                            self.claim(routes, &merchant, (revision, version), &record, row, shares)
                        });
                        if !claimed {
                            unclaimed += 1;
                            if entry.unknown != Unknown::Drop {
                                for lane in routes.own() {
                                    shares.one(lane, revision, version, row);
                                }
                            }
                        }
                    }
                }
            }
            shares.read.push((Arc::clone(&routes.name), rows.len() as u64, unclaimed));
        }
    }

    fn claim(
        &self,
        routes: &ConnectorRoutes,
        merchant: &[u8],
        (revision, version): (Revision, Revision),
        record: &RecordView<'_>,
        row: usize,
        shares: &mut Shares,
    ) -> bool {
        let mut claimed = false;
        for lane in routes.merchant(merchant) {
            let Some((_, only)) = lane.at(revision) else { continue };
            claimed = true;
            if only.is_none_or(|only| self.is_wanted(only, record)) {
                shares.one(lane, revision, version, row);
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
    fn share(&mut self, lane: &Assigned, revision: Revision, connector: Revision) -> Option<&mut Share> {
        let (own, _) = lane.at(revision)?;
        let version = own.max(connector);
        let at = *self.at.entry((lane.lane, version)).or_insert_with(|| {
            let (lane, feed) = (lane.lane, lane.feed);
            self.lanes.push(Share { lane, feed, version, rows: Taking::Some(Vec::new()) });
            self.lanes.len() - 1
        });
        Some(&mut self.lanes[at])
    }

    fn one(&mut self, lane: &Assigned, revision: Revision, connector: Revision, row: usize) {
        if let Some(share) = self.share(lane, revision, connector)
            && let Taking::Some(rows) = &mut share.rows
        {
            rows.push(row as u32);
        }
    }

    fn all(&mut self, lanes: &[Assigned], revision: Revision, connector: Revision, rows: &Range<usize>) {
        for lane in lanes {
            let Some(share) = self.share(lane, revision, connector) else { continue };
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
