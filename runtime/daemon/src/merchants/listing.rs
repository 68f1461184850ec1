use crate::{
    client::encoded,
    merchants::{standing::Standings, target},
};
use outflow_api::LaneId;
use outflow_catalogue::{Catalogue, LaneEntry};
use outflow_control::{Alarm, Delivery, Merchant, OwedPartition, Page, Refusal, State, Wanted};
use std::{collections::BTreeSet, ops::Bound};

/// The next merchants behind `after`, in the order of their ids.
pub struct Stretch {
    /// Those of their lanes that may be shown, as far as the catalogue knows it.
    pub lanes: Vec<LaneId>,
    /// The last of these merchants, if there are others behind him.
    pub last: Option<String>,
}

/// The same page of another worker's shards.
pub fn path(wanted: &Wanted) -> String {
    let limit = wanted.limit.to_string();
    let parts = [
        ("connector", wanted.connector.as_deref()),
        ("state", wanted.state.map(State::name)),
        ("alarm", wanted.alarm.map(Alarm::name)),
        ("prefix", wanted.prefix.as_deref()),
        ("after", wanted.after.as_deref()),
        ("limit", Some(limit.as_str())),
        ("local", Some("true")),
    ];
    let parts = parts.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded(value?))));
    format!("v1/merchants?{}", parts.collect::<Vec<_>>().join("&"))
}

/// Looks at the catalogue until so many lanes are found.
pub fn stretch(catalogue: &Catalogue, wanted: &Wanted, lanes_max: usize) -> Result<Stretch, Refusal> {
    if let Some(connector) = &wanted.connector {
        target::known_connector(catalogue, connector)?;
    }
    let (mut found, mut last) = (Vec::new(), None);
    for (id, lanes) in merchants(catalogue, wanted) {
        if found.len() >= lanes_max {
            return Ok(Stretch { lanes: found, last });
        }
        found.extend(lanes.iter().filter(|lane| may_be_shown(catalogue, **lane, wanted)));
        last = Some(id.to_owned());
    }
    Ok(Stretch { lanes: found, last: None })
}

/// Adds those of a stretch that are as wanted; says so if one more was found than the page has room for. Under the
/// catalogue's lock: what the page does not show is looked at and not copied.
pub fn add(page: &mut Page, catalogue: &Catalogue, standings: &Standings, wanted: &Wanted, last: Option<&str>) {
    let stretch = merchants(catalogue, wanted).take_while(|(id, _)| last.is_none_or(|last| *id <= last));
    fill(page, catalogue, standings, wanted, stretch);
}

/// A page of those merchants alone of whose lanes there is a standing.
pub fn among(catalogue: &Catalogue, standings: &Standings, wanted: &Wanted) -> Result<Page, Refusal> {
    if let Some(connector) = &wanted.connector {
        target::known_connector(catalogue, connector)?;
    }
    let lanes = standings.lanes().filter_map(|lane| catalogue.lane(LaneId(lane)));
    let known: BTreeSet<&str> = lanes.filter_map(|entry| entry.merchant.as_deref()).collect();
    let (from, prefix) = (first(wanted), wanted.prefix.as_deref().unwrap_or_default());
    let known = known.range::<str, _>((from, Bound::Unbounded)).take_while(|id| id.starts_with(prefix));
    let mut page = Page::default();
    fill(&mut page, catalogue, standings, wanted, known.map(|id| (*id, catalogue.merchant(id))));
    Ok(page)
}

fn fill<'a>(
    page: &mut Page,
    catalogue: &Catalogue,
    standings: &Standings,
    wanted: &Wanted,
    merchants: impl Iterator<Item = (&'a str, &'a [LaneId])>,
) {
    for (id, lanes) in merchants {
        let shown = lanes.iter().filter(|lane| is_shown(catalogue, standings, **lane, wanted));
        let deliveries: Vec<Delivery> = shown.filter_map(|lane| delivery(catalogue, standings, *lane)).collect();
        if deliveries.is_empty() {
            continue;
        }
        if page.merchants.len() == wanted.limit {
            page.next = page.merchants.last().map(|last: &Merchant| last.merchant.clone());
            return;
        }
        page.merchants.push(Merchant { merchant: id.to_owned(), deliveries });
    }
}

fn merchants<'a>(catalogue: &'a Catalogue, wanted: &'a Wanted) -> impl Iterator<Item = (&'a str, &'a [LaneId])> {
    let prefix = wanted.prefix.as_deref().unwrap_or_default();
    catalogue.merchants(first(wanted)).take_while(move |(id, _)| id.starts_with(prefix))
}

/// Where the page begins.
fn first(wanted: &Wanted) -> Bound<&str> {
    let prefix = wanted.prefix.as_deref().unwrap_or_default();
    match wanted.after.as_deref() {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    }
}

fn may_be_shown(catalogue: &Catalogue, lane: LaneId, wanted: &Wanted) -> bool {
    let Some(entry) = catalogue.lane(lane) else { return false };
    wanted.connector.as_ref().is_none_or(|name| *name == entry.connector)
        && catalogue.is_gone(lane) == (wanted.state == Some(State::Removed))
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
    let Some(entry) = catalogue.lane(lane).filter(|_| may_be_shown(catalogue, lane, wanted)) else { return false };
    wanted.state.is_none_or(|wanted| wanted == state(catalogue, standings, entry))
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
        replacement: standing.replacement,
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

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_catalogue::{
        ConnectorEntry, Draft, FlushEntry, MerchantKey, Start, Unknown, WantedConnector, WantedLane, draft,
    };
    use outflow_driver::LaneState;
    use std::collections::BTreeMap;

    const FLUSH: FlushEntry = FlushEntry { rows: 1, bytes: 1, age_ms: 1 };
    const ALL: Wanted =
        Wanted { connector: None, state: None, alarm: None, prefix: None, after: None, limit: 100, local: false };

    fn catalogue(merchants: u32) -> Catalogue {
        let entry = ConnectorEntry {
            version: 0,
            topics: Vec::new(),
            shape: serde_json::json!(1),
            merchant: Some(MerchantKey::Key),
            unknown: Unknown::Drop,
            feeds: BTreeMap::new(),
            flush: FLUSH,
            dead_letters: None,
            reject_percent_max: 100,
            paused: false,
            stopped: false,
        };
        let lane = |number: u32| WantedLane {
            connector: "orders".into(),
            merchant: Some(format!("{number:06}")),
            rejects: false,
            identity: number.to_string(),
            place: "{}".into(),
            settings: "{}".into(),
            flush: FLUSH,
            schedule: 0,
            start: Start::Latest,
            resumes: false,
            source: String::new(),
        };
        let connectors = vec![WantedConnector { name: "orders".into(), entry }];
        let wanted =
            outflow_catalogue::Wanted { connectors, lanes: (0..merchants).map(lane).collect(), ..Default::default() };
        let mut catalogue = Catalogue::default();
        let Draft::Publish(revision) = draft(&catalogue, &wanted, true) else { unreachable!("it is new") };
        catalogue.apply(&revision).expect("what was drafted can be applied");
        catalogue
    }

    #[test]
    fn a_page_of_fifty_thousand_merchants_asks_for_the_lanes_that_it_shows_and_one_more() {
        let catalogue = catalogue(50_000);
        for wanted in [ALL, Wanted { state: Some(State::Live), ..ALL }, Wanted { after: Some("0300".into()), ..ALL }] {
            let (mut page, standings) = (Page::default(), Standings::default());
            let Ok(Stretch { lanes, last }) = stretch(&catalogue, &wanted, 101) else { panic!("it is known") };
            assert_eq!((lanes.len(), last.is_some()), (101, true));
            add(&mut page, &catalogue, &standings, &wanted, last.as_deref());
            assert_eq!((page.merchants.len(), &page.next), (100, &Some(page.merchants[99].merchant.clone())));
        }
    }

    #[test]
    fn stretches_chain_to_the_end_without_gap_or_overlap() {
        let catalogue = catalogue(250);
        let (mut page, mut wanted, mut stretches) = (Page::default(), Wanted { limit: 1_000, ..ALL }, 0);
        loop {
            let Ok(Stretch { lanes, last }) = stretch(&catalogue, &wanted, 100) else { panic!("it is known") };
            assert!(lanes.len() <= 100);
            add(&mut page, &catalogue, &Standings::default(), &wanted, last.as_deref());
            stretches += 1;
            let Some(last) = last else { break };
            wanted.after = Some(last);
        }
        let shown: Vec<String> = page.merchants.into_iter().map(|merchant| merchant.merchant).collect();
        assert_eq!(shown, (0..250).map(|number| format!("{number:06}")).collect::<Vec<_>>());
        assert_eq!((stretches, page.next), (3, None));
    }

    /// Every tenth lane.
    fn parked(merchants: u32) -> Standings {
        let state = |lane: u32| LaneState {
            lane,
            shard: 0,
            open_rows: 0,
            owed: 1,
            is_behind: true,
            runs: 0,
            has_pending: false,
            parked: Some(("bucket-missing".to_owned(), "make it".to_owned())),
            is_held: false,
            undelivered: BTreeMap::new(),
            repaired: None,
            replaced: None,
            removals: 0,
        };
        Standings::new((1..=merchants).filter(|lane| lane % 10 == 0).map(state).collect())
    }

    #[test]
    fn pages_of_parked_merchants_have_all_of_them_and_nobody_else() {
        let (catalogue, standings) = (catalogue(250), parked(250));
        let (mut shown, mut wanted) = (Vec::new(), Wanted { state: Some(State::Parked), limit: 10, ..ALL });
        loop {
            let Ok(page) = among(&catalogue, &standings, &wanted) else { panic!("it is known") };
            shown.extend(page.merchants.into_iter().map(|merchant| merchant.merchant));
            let Some(next) = page.next else { break };
            wanted.after = Some(next);
        }
        // Lane 10 is the tenth merchant's, whose number is 9.
        assert_eq!(shown, (0..25).map(|number| format!("{:06}", number * 10 + 9)).collect::<Vec<_>>());
        let wanted = Wanted { prefix: Some("00010".into()), after: None, ..wanted };
        let Ok(page) = among(&catalogue, &standings, &wanted) else { panic!("it is known") };
        assert_eq!(page.merchants.iter().map(|one| one.merchant.as_str()).collect::<Vec<_>>(), ["000109"]);
    }
}
