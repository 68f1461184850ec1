//! What came of a trial, as people are told.

use crate::{
    dry_run::{
        Names,
        scope::{Scope, Subject},
    },
    opener::ConfiguredOpener,
};
use outflow_api::Decoder;
use outflow_catalogue::{Catalogue, LaneEntry};
use outflow_control::{Change, Column, ColumnChange, DryRun, Rejection, Sampled};
use outflow_driver::{Sample, Tried, TriedLane, open_newest};
use outflow_formats::{NdjsonOptions, ndjson, sql_type};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const DELIVERIES_MAX: usize = 20;
/// Of each delivery.
const ROWS_MAX: usize = 20;
const REJECTIONS_MAX: usize = 20;
/// Of all deliveries together.
const ROW_BYTES_MAX: usize = 256 << 10;

pub struct Telling<'t> {
    pub catalogue: &'t Catalogue,
    pub scope: &'t Scope,
    /// By connector: whom records name, and how many of them.
    pub named: &'t BTreeMap<String, BTreeMap<String, u64>>,
    pub sample: &'t Sample,
    pub names: &'t Names,
}

impl Telling<'_> {
    pub fn answer(&self, changes: Vec<Change>, tried: Tried) -> DryRun {
        let mut notes: Vec<String> = self.sample.short.iter().cloned().collect();
        let sample = self.scope.connectors.iter().map(|one| self.sampled(&one.name, &tried)).collect();
        let Tried { mut lanes, .. } = tried;
        // Whoever has most to show, and whoever is in trouble before him.
        lanes.sort_by_key(|lane| (lane.opened.is_ok(), std::cmp::Reverse(lane.rows)));
        if lanes.len() > DELIVERIES_MAX {
            notes.push(format!("{} of {} deliveries are shown", DELIVERIES_MAX, lanes.len()));
        }
        let is_well = lanes.iter().all(|lane| trouble(lane).is_none());
        let mut bytes = ROW_BYTES_MAX;
        let deliveries = lanes.iter().take(DELIVERIES_MAX).map(|lane| self.delivery(lane, &mut bytes)).collect();
        if bytes == 0 {
            notes.push(format!("rows are shown up to {ROW_BYTES_MAX} bytes in all"));
        }
        let revision = self.catalogue.revision().0;
        DryRun { ok: is_well, revision, changes, sample, deliveries, notes }
    }

    fn sampled(&self, connector: &str, tried: &Tried) -> Sampled {
        let (records, unclaimed) = tried.read.get(connector).copied().unwrap_or_default();
        let own = match &self.scope.subject {
            Subject::Merchant(id) => Some(self.of(connector, id)),
            Subject::Connector(_) => None,
        };
        let of_others = own.map(|own| records.saturating_sub(unclaimed + own));
        let is_merchants =
            self.scope.connectors.iter().any(|one| one.name == connector && one.entry.merchant.is_some());
        Sampled { connector: connector.to_owned(), records, of_others, unclaimed: is_merchants.then_some(unclaimed) }
    }

    /// Records that name a merchant.
    fn of(&self, connector: &str, id: &str) -> u64 {
        self.named.get(connector).and_then(|named| named.get(id)).copied().unwrap_or(0)
    }

    fn delivery(&self, tried: &TriedLane, bytes: &mut usize) -> outflow_control::Trial {
        let lane = &tried.lane;
        let columns = tried.opened.as_ref().map(|open| columns(open.decoder.as_ref())).unwrap_or_default();
        let column_changes = match self.before(lane) {
            Some(before) if tried.opened.is_ok() => compared(&before, &columns),
            _ => Vec::new(),
        };
        let of_him = lane.merchant.as_ref().map(|id| self.of(&lane.connector, id));
        let rejections = tried.rejected.iter().take(REJECTIONS_MAX).map(|row| Rejection {
            topic: self.names.get(&row.partition).cloned().unwrap_or_default(),
            partition: row.partition.partition,
            offset: row.offset.0,
            code: row.code.to_owned(),
            message: row.message.clone(),
        });
        outflow_control::Trial {
            connector: lane.connector.clone(),
            merchant: lane.merchant.clone(),
            identity: lane.identity.clone(),
            columns,
            column_changes,
            rows: tried.rows - tried.rejected.len() as u64,
            shown: rows(tried, bytes),
            left_out: of_him.map_or(0, |of_him| of_him.saturating_sub(tried.rows)),
            rejected: tried.rejected.len() as u64,
            rejections: rejections.collect(),
            trouble: trouble(tried),
        }
    }

    /// What the same destination gets today, or whoever it takes the place of.
    fn before(&self, lane: &LaneEntry) -> Option<Vec<Column>> {
        let is_same = |other: &&LaneEntry| other.connector == lane.connector && other.merchant == lane.merchant;
        let known: Vec<&LaneEntry> = self.candidates(lane).into_iter().filter(is_same).collect();
        let same = known.iter().find(|other| other.identity == lane.identity).or(known.first())?;
        let open = open_newest(&ConfiguredOpener::default(), self.catalogue, same).ok()?;
        Some(columns(open.decoder.as_ref()))
    }

    fn candidates(&self, lane: &LaneEntry) -> Vec<&LaneEntry> {
        let ids: Vec<_> = match &lane.merchant {
            Some(id) => self.catalogue.merchant(id).to_vec(),
            None => {
                let own = self.catalogue.routes(&lane.connector).map(|routes| routes.own()).into_iter().flatten();
                own.map(|lane| lane.lane).collect()
            }
        };
        let there = ids.into_iter().filter(|id| !self.catalogue.is_gone(*id));
        there.filter_map(|id| self.catalogue.lane(id)).collect()
    }
}

/// Why it would park, by what was seen.
fn trouble(tried: &TriedLane) -> Option<String> {
    let open = match &tried.opened {
        Ok(open) => open,
        Err(fault) => return Some(fault.to_string()),
    };
    let rejected = tried.rejected.len() as u64;
    let is_over = rejected * 100 > tried.rows * open.reject_percent_max;
    match &open.dead_letters {
        None if rejected > 0 => {
            Some("records do not fit, and the connector has no topic for dead letters: the first parks it".to_owned())
        }
        Some(_) if is_over => Some(format!(
            "{rejected} of {} records do not fit, and a large batch parks when more than {}% of it do not",
            tried.rows, open.reject_percent_max
        )),
        _ => None,
    }
}

fn columns(decoder: &dyn Decoder) -> Vec<Column> {
    let schema = decoder.schema();
    let columns = schema.fields().iter().map(|field| Column {
        name: field.name().clone(),
        sql_type: sql_type(field).map_or_else(|| field.data_type().to_string(), |told| told.to_string()),
        required: !field.is_nullable(),
    });
    columns.collect()
}

fn compared(before: &[Column], after: &[Column]) -> Vec<ColumnChange> {
    let told = |column: &Column| format!("{}{}", column.sql_type, if column.required { " required" } else { "" });
    let find = |all: &[Column], name: &str| all.iter().find(|column| column.name == name).map(told);
    let gone = before.iter().filter(|old| find(after, &old.name).is_none());
    let others = after.iter().filter(|new| find(before, &new.name).as_ref() != Some(&told(new)));
    let change = |column: &Column| ColumnChange {
        name: column.name.clone(),
        was: find(before, &column.name),
        becomes: find(after, &column.name),
    };
    gone.chain(others).map(change).collect()
}

/// The first ones, as long as there is room.
fn rows(tried: &TriedLane, bytes: &mut usize) -> Vec<Box<RawValue>> {
    let mut left = ROWS_MAX;
    let firsts = tried.batches.iter().map(|batch| {
        let some = batch.slice(0, left.min(batch.num_rows()));
        left -= some.num_rows();
        some
    });
    let firsts: Vec<_> = firsts.collect();
    let Ok(lines) = ndjson::encode(&firsts, &NdjsonOptions::default()) else { return Vec::new() };
    let mut shown = Vec::new();
    for line in String::from_utf8_lossy(&lines).lines() {
        if line.len() > *bytes {
            *bytes = 0;
            break;
        }
        *bytes -= line.len();
        shown.extend(RawValue::from_string(line.to_owned()));
    }
    shown
}
