use crate::merchants::{standing::Standings, target};
use outflow_api::LaneId;
use outflow_catalogue::{Catalogue, LaneEntry};
use outflow_control::{Alarm, Delivery, Merchant, OwedPartition, Page, Refusal, State, Wanted};
use std::ops::Bound;

/// Under the catalogue's lock: what the page does not show is looked at and not copied.
pub fn page(catalogue: &Catalogue, standings: &Standings, wanted: &Wanted) -> Result<Page, Refusal> {
    if let Some(connector) = &wanted.connector {
        target::known_connector(catalogue, connector)?;
    }
    let prefix = wanted.prefix.as_deref().unwrap_or_default();
    let from = match wanted.after.as_deref() {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    let mut page = Page::default();
    for (id, lanes) in catalogue.merchants(from).take_while(|(id, _)| id.starts_with(prefix)) {
        let shown = lanes.iter().filter(|lane| is_shown(catalogue, standings, **lane, wanted));
        let deliveries: Vec<Delivery> = shown.filter_map(|lane| delivery(catalogue, standings, *lane)).collect();
        if deliveries.is_empty() {
            continue;
        }
        if page.merchants.len() == wanted.limit {
            page.next = page.merchants.last().map(|last: &Merchant| last.merchant.clone());
            break;
        }
        page.merchants.push(Merchant { merchant: id.to_owned(), deliveries });
    }
    Ok(page)
}

/// All that he ever had, with the partitions where something is owed.
pub fn detail(catalogue: &Catalogue, standings: &Standings, id: &str, lanes: &[LaneId]) -> Merchant {
    let own = lanes.iter().filter_map(|lane| {
        let delivery = delivery(catalogue, standings, *lane)?;
        let partitions = partitions(catalogue, standings, catalogue.lane(*lane)?);
        Some(Delivery { partitions, ..delivery })
    });
    Merchant { merchant: id.to_owned(), deliveries: own.collect() }
}

fn is_shown(catalogue: &Catalogue, standings: &Standings, lane: LaneId, wanted: &Wanted) -> bool {
    let Some(entry) = catalogue.lane(lane) else { return false };
    let state = state(catalogue, standings, entry);
    wanted.connector.as_ref().is_none_or(|name| *name == entry.connector)
        && wanted.state.map_or(state != State::Removed, |wanted| wanted == state)
        && wanted.alarm.is_none_or(|wanted| alarm(standings, lane) == Some(wanted))
}

fn state(catalogue: &Catalogue, standings: &Standings, entry: &LaneEntry) -> State {
    if catalogue.is_gone(entry.id()) {
        return State::Removed;
    }
    let scheduled_or = |state| if entry.schedule > 0 { State::Scheduled } else { state };
    match standings.of(entry.lane) {
        Some(standing) if standing.is_held => State::Paused,
        Some(standing) if standing.parked.is_some() => State::Parked,
        Some(standing) if standing.is_behind || standing.runs > 0 || standing.owed > 0 => scheduled_or(State::Behind),
        _ => scheduled_or(State::Live),
    }
}

fn alarm(standings: &Standings, lane: LaneId) -> Option<Alarm> {
    let alarms = standings.of(lane.0).is_some_and(|standing| standing.stay().is_alarm);
    alarms.then_some(Alarm::Retention)
}

fn delivery(catalogue: &Catalogue, standings: &Standings, lane: LaneId) -> Option<Delivery> {
    let entry = catalogue.lane(lane)?;
    let state = state(catalogue, standings, entry);
    let standing = standings.of(lane.0).cloned().unwrap_or_default();
    let (lag_seconds, stay) = (standing.lag_seconds(), standing.stay());
    let (code, hint) = standing.parked.unzip();
    Some(Delivery {
        connector: entry.connector.clone(),
        lane: lane.0,
        identity: entry.identity.clone(),
        schedule: entry.schedule,
        state,
        code,
        hint,
        lag_records: standing.owed,
        lag_seconds,
        retention_left_seconds: stay.told_ms().map(|left| left / 1_000),
        records_left: stay.records_left,
        alarm: alarm(standings, lane),
        open_rows: standing.open_rows,
        runs: standing.runs,
        pending: standing.pending,
        repair: standing.repair,
        partitions: Vec::new(),
    })
}

fn partitions(catalogue: &Catalogue, standings: &Standings, entry: &LaneEntry) -> Vec<OwedPartition> {
    let topics = catalogue.connector(&entry.connector).map_or(&[][..], |connector| &connector.topics);
    let owed = standings.of(entry.lane).into_iter().flat_map(|standing| &standing.undelivered);
    let owed = owed.map(|(key, one)| {
        let (from, start) = (one.from, one.log_start);
        let topic = topics.iter().find(|topic| topic.id() == key.topic);
        OwedPartition {
            topic: topic.map_or_else(|| format!("{:?}", key.topic), |topic| topic.name.clone()),
            partition: key.partition,
            owed_from: from.0,
            log_start: start.0,
            offsets_until_loss: (from.0 - start.0).max(0) as u64,
            offsets_lost: (start.0 - from.0).max(0) as u64,
            lag_seconds: one.age_ms.map(|age| age / 1_000),
            retention_left_seconds: one.stay.told_ms().map(|left| left / 1_000),
            records_left: one.stay.records_left,
        }
    });
    owed.collect()
}
