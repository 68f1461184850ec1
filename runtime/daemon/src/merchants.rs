//! What people ask of the merchants of a running worker: the catalogue knows them, the shards know how they stand, and
//! what is ordered goes into the config log.

mod document;
mod listing;
pub mod missing;
pub mod span;
mod standing;
pub mod target;

use crate::client::encoded;
use crate::{
    files::Files,
    fleet::{self, Fleet},
};
use async_trait::async_trait;
use listing::Stretch;
use outflow_api::{Cluster, LaneId};
use outflow_catalogue::Order;
use outflow_control::{
    Accepted, Act, Begin, Content, Detail, Expected, Page, Placed, Refusal, Request, State, Step, Undelivered, Until,
    Wanted,
};
use outflow_driver::{Configuration, LaneState, Status, Steering};
use span::Span;
use standing::Standings;
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};
use target::Target;
use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};

/// A shard that does not answer by then is busy with something that is wrong.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// A ledger that is longer is not counted before the command is taken.
const COUNT_MAX: Duration = Duration::from_secs(15);
/// Lanes that are asked for at once: a shard has other things to do.
const STRETCH_MAX: usize = 2_000;
const UNKNOWN: &str = "retention_left_seconds is not known of all partitions: either a record's time is still looked \
                       up, or our user may not see the topics' settings (grant DescribeConfigs on them)";

/// The daemon's side of [`outflow_control::Steering`].
pub struct Merchants {
    pub steering: Steering,
    status: Status,
    pub cluster: Arc<dyn Cluster>,
    files: Files,
    fleet: Fleet,
    /// Looking up offsets opens a client: one at a time.
    looking_up: Arc<Mutex<()>>,
}

/// Topic id in hex and partition → ranges, as orders have them.
pub type Ranges = BTreeMap<String, Vec<(i64, i64)>>;

impl Merchants {
    pub fn new(steering: Steering, status: Status, cluster: Arc<dyn Cluster>, files: Files, fleet: Fleet) -> Merchants {
        Merchants { steering, status, cluster, files, fleet, looking_up: Arc::default() }
    }

    fn shards(&self) -> Vec<u32> {
        self.status.summary().shards.keys().map(|shard| shard.0).collect()
    }

    async fn own_page(&self, wanted: Wanted) -> Result<Page, Refusal> {
        let configuration = self.steering.configuration()?;
        if matches!(wanted.state, Some(State::Parked | State::Paused)) {
            // Rare, so the shards say who they are.
            let states = self.steering.parked_lanes();
            let standings = in_time(states).await?;
            let page = listing::among(&configuration.catalogue(), &standings, &wanted)?;
            return Ok(Page { shards: self.shards(), ..page });
        }
        // A page asks for no more lanes than it needs; for what is rare it looks on, in ever longer stretches.
        let (mut page, mut rest, mut lanes_max) = (Page::default(), wanted, 0);
        loop {
            lanes_max = (2 * lanes_max).clamp(rest.limit + 1, STRETCH_MAX);
            let Stretch { lanes, last } = listing::stretch(&configuration.catalogue(), &rest, lanes_max)?;
            let standings = self.standings_of(lanes).await?;
            listing::add(&mut page, &configuration.catalogue(), &standings, &rest, last.as_deref());
            if last.is_none() || page.next.is_some() {
                return Ok(Page { shards: self.shards(), ..page });
            }
            rest.after = last;
        }
    }

    async fn own_detail(&self, id: &str) -> Result<Detail, Refusal> {
        let lanes = target::lanes(&self.steering.configuration()?.catalogue(), id)?;
        self.detail(id, lanes).await
    }

    async fn own_lane(&self, lane: LaneId) -> Result<Detail, Refusal> {
        let merchant = {
            let configuration = self.steering.configuration()?;
            let catalogue = configuration.catalogue();
            let entry = catalogue.lane(lane);
            let entry = entry.ok_or_else(|| Refusal::unknown(format!("there is no lane {}", lane.0)))?;
            entry.merchant.clone().unwrap_or_default()
        };
        self.detail(&merchant, vec![lane]).await
    }

    async fn detail(&self, id: &str, lanes: Vec<LaneId>) -> Result<Detail, Refusal> {
        let configuration = self.steering.configuration()?;
        let standings = self.standings_of(lanes.clone()).await?;
        let merchant = listing::detail(&configuration.catalogue(), &standings, id, &lanes);
        let is_unknown = lanes.iter().filter_map(|lane| standings.of(lane.0)).any(|one| one.stay().is_unknown);
        Ok(Detail { merchant, shards: self.shards(), note: is_unknown.then(|| UNKNOWN.to_owned()) })
    }

    async fn standings_of(&self, lanes: Vec<LaneId>) -> Result<Standings, Refusal> {
        in_time(self.steering.lanes_of(lanes)).await
    }

    async fn orders(
        &self,
        merchant: &str,
        request: &Request,
        configuration: &Configuration,
    ) -> Result<Vec<Order>, Refusal> {
        let targets = target::targets(&configuration.catalogue(), merchant, request)?;
        let each = |order: fn(u32) -> Order| targets.iter().map(|target| order(target.lane)).collect();
        match &request.act {
            Act::Pause => Ok(each(|lane| Order::Pause { lane })),
            Act::Resume => Ok(each(|lane| Order::Resume { lane })),
            Act::Mend => Ok(each(|lane| Order::Mend { lane })),
            Act::Skip | Act::Abandon => {
                if !request.confirm {
                    return Err(self.loss(&targets, &request.act).await?);
                }
                let is_skip = request.act == Act::Skip;
                Ok(each(if is_skip { |lane| Order::Skip { lane } } else { |lane| Order::Abandon { lane } }))
            }
            Act::Replay { from, to } => self.replay(targets, (from, to), request.confirm, configuration).await,
            Act::Repair { from, to } => self.repair(targets, (from, to), configuration).await,
            Act::Replace { from, to } => self.replace(targets, (from, to), request.confirm, configuration).await,
        }
    }

    /// What goes if this is done, as a refusal: nobody has confirmed it.
    async fn loss(&self, targets: &[Target], act: &Act) -> Result<Refusal, Refusal> {
        let standings = self.standings_of(targets.iter().map(|target| LaneId(target.lane)).collect()).await?;
        let told = targets.iter().map(|target| {
            let standing = standings.of(target.lane).cloned().unwrap_or_default();
            let Target { lane, connector } = target;
            match act {
                Act::Abandon if standing.pending => {
                    let what = "the decided batch may or may not be visible, and nobody looks again";
                    format!("lane {lane} of {connector}: {what}")
                }
                Act::Abandon => format!("lane {lane} of {connector}: no decided batch waits"),
                _ => format!(
                    "lane {lane} of {connector}: {} records that are owed (rows of others are among these offsets) and \
                     {} rows that wait for their batch are never delivered",
                    standing.owed, standing.open_rows
                ),
            }
        });
        let told: Vec<String> = told.collect();
        let told = told.join("; ");
        let shards = self.shards();
        Ok(Refusal::unconfirmed(format!(
            "this cannot be undone: {told}. Seen in shards {shards:?}, it takes effect in all. To do it, send \
             `\"confirm\": true`"
        )))
    }

    async fn replay(
        &self,
        targets: Vec<Target>,
        (from, to): (&Begin, &Until),
        confirm: bool,
        configuration: &Configuration,
    ) -> Result<Vec<Order>, Refusal> {
        let ranges = self.resolve_all(&targets, (from, to), configuration).await?;
        let by = configuration.catalogue().revision().0;
        if !confirm {
            let told = targets.iter().map(|Target { lane, connector }| {
                let all = ranges.get(connector).into_iter().flatten();
                let offsets: i64 = all.clone().flat_map(|(_, ranges)| ranges).map(|(start, next)| next - start).sum();
                format!("lane {lane} of {connector}: up to {offsets} records of {} partitions", all.count())
            });
            let told: Vec<String> = told.collect();
            return Err(Refusal::unconfirmed(format!(
                "rows that are at the destination already will be there twice: {}. To do it, send `\"confirm\": true`",
                told.join("; ")
            )));
        }
        let order = |target: Target| {
            let ranges = ranges.get(&target.connector).cloned().unwrap_or_default();
            Order::Replay { lane: target.lane, by, ranges }
        };
        Ok(targets.into_iter().map(order).collect())
    }

    /// It doubles nothing, so nobody has to confirm it.
    async fn repair(
        &self,
        targets: Vec<Target>,
        span: (&Begin, &Until),
        configuration: &Configuration,
    ) -> Result<Vec<Order>, Refusal> {
        let ranges = self.resolve_all(&targets, span, configuration).await?;
        let by = configuration.catalogue().revision().0;
        let order = |target: Target| {
            let ranges = ranges.get(&target.connector).cloned().unwrap_or_default();
            Order::Repair { lane: target.lane, by, ranges, letters: 0 }
        };
        Ok(targets.into_iter().map(order).collect())
    }

    async fn replace(
        &self,
        targets: Vec<Target>,
        span: (&Begin, &Until),
        confirm: bool,
        configuration: &Configuration,
    ) -> Result<Vec<Order>, Refusal> {
        target::check_removes(&configuration.catalogue(), &targets)?;
        let ranges = self.resolve_all(&targets, span, configuration).await?;
        let by = configuration.catalogue().revision().0;
        if !confirm {
            return Err(Refusal::unconfirmed(
                "all that was delivered of these records is delivered again as today's definitions say, and what was \
                 delivered before is removed when that is visible, in whole batches: what else a batch has is \
                 delivered again with it. Until then rows are there twice; a row that today's definitions give to \
                 nobody, or to another merchant, is gone here. To do it, send `\"confirm\": true`",
            ));
        }
        let order = |target: Target| {
            let ranges = ranges.get(&target.connector).cloned().unwrap_or_default();
            Order::Replace { lane: target.lane, by, ranges }
        };
        Ok(targets.into_iter().map(order).collect())
    }

    /// As the ledgers show it now, or why they cannot. Each shard's owner looks again when it comes to the command.
    async fn missing(&self, orders: &[Order]) -> Result<Option<u64>, Refusal> {
        let asked: Vec<_> = orders
            .iter()
            .filter(|order| matches!(order, Order::Repair { .. }))
            .map(|order| (order.lane(), order.ranges().1))
            .collect();
        if asked.is_empty() {
            return Ok(None);
        }
        let (cluster, shards) = (Arc::clone(&self.cluster), self.steering.shards()?);
        // Held for as long as it reads, even if nobody waits for it any more.
        let one_at_a_time = Arc::clone(&self.looking_up).lock_owned().await;
        let counting = spawn_blocking(move || {
            let _one_at_a_time = one_at_a_time;
            missing::count(cluster.as_ref(), shards, asked, 0)
        });
        match timeout(COUNT_MAX, counting).await {
            Ok(Ok(counted)) => counted.map(Some),
            Ok(Err(_)) => Err(Refusal::unavailable("reading the ledger failed: ask again")),
            Err(_) => Ok(None),
        }
    }

    async fn resolve_all(
        &self,
        targets: &[Target],
        (from, to): (&Begin, &Until),
        configuration: &Configuration,
    ) -> Result<BTreeMap<String, Ranges>, Refusal> {
        let mut ranges: BTreeMap<String, Ranges> = BTreeMap::new();
        for connector in targets.iter().map(|target| &target.connector) {
            if !ranges.contains_key(connector) {
                ranges.insert(connector.clone(), self.resolve(connector, from, to, configuration).await?);
            }
        }
        Ok(ranges)
    }

    async fn resolve(
        &self,
        connector: &str,
        from: &Begin,
        to: &Until,
        configuration: &Configuration,
    ) -> Result<Ranges, Refusal> {
        let topics = {
            let catalogue = configuration.catalogue();
            catalogue.connector(connector).map(|entry| entry.topics.clone()).unwrap_or_default()
        };
        let span = Span { topics, from: from.clone(), to: to.clone() };
        let cluster = Arc::clone(&self.cluster);
        let _one_at_a_time = self.looking_up.lock().await;
        let resolved = spawn_blocking(move || span.resolve(cluster.as_ref())).await;
        resolved.unwrap_or_else(|_| Err(Refusal::unavailable("looking up offsets failed: ask again")))
    }
}

async fn in_time(look: impl Future<Output = Result<Vec<LaneState>, outflow_api::Fault>>) -> Result<Standings, Refusal> {
    let busy = |_| Refusal::unavailable(format!("the shards did not answer within {LOOK_MAX:?}: ask again"));
    Ok(Standings::new(timeout(LOOK_MAX, look).await.map_err(busy)??))
}

#[async_trait]
impl outflow_control::Steering for Merchants {
    async fn merchants(&self, wanted: Wanted) -> Result<Page, Refusal> {
        let own = self.own_page(wanted.clone());
        if wanted.local {
            return own.await;
        }
        let path = listing::path(&wanted);
        let (own, others) = tokio::join!(own, self.fleet.ask::<Page>(&path));
        Ok(fleet::pages([vec![own?], others].concat(), wanted.limit))
    }

    async fn merchant(&self, id: &str, is_local: bool) -> Result<Detail, Refusal> {
        let own = self.own_detail(id);
        if is_local {
            return own.await;
        }
        let path = format!("v1/merchants/{}?local=true", encoded(id));
        let (own, others) = tokio::join!(own, self.fleet.ask::<Detail>(&path));
        let own = own?;
        Ok(fleet::details([vec![own.clone()], others].concat()).unwrap_or(own))
    }

    async fn lane(&self, lane: u32, is_local: bool) -> Result<Detail, Refusal> {
        let own = self.own_lane(LaneId(lane));
        if is_local {
            return own.await;
        }
        let path = format!("v1/lanes/{lane}?local=true");
        let (own, others) = tokio::join!(own, self.fleet.ask::<Detail>(&path));
        let own = own?;
        Ok(fleet::details([vec![own.clone()], others].concat()).unwrap_or(own))
    }

    async fn put(&self, id: &str, content: serde_json::Value, expected: Expected) -> Result<Placed, Refusal> {
        self.put_document(id, content, expected).await
    }

    fn content(&self, id: &str) -> Result<Content, Refusal> {
        self.content_of(id)
    }

    async fn remove(&self, id: &str, undelivered: Option<Undelivered>, expected: Expected) -> Result<(), Refusal> {
        self.remove_document(id, undelivered, expected).await
    }

    async fn test(&self, id: &str, connector: Option<&str>) -> Result<Vec<Step>, Refusal> {
        self.examine(id, connector).await
    }

    async fn act(&self, merchant: &str, request: Request) -> Result<Accepted, Refusal> {
        let configuration = self.steering.configuration()?;
        target::lanes(&configuration.catalogue(), merchant)?;
        let id = request.id.clone().map_or_else(new_id, Ok)?;
        let done = {
            let catalogue = configuration.catalogue();
            catalogue.knows_command(&id).then(|| catalogue.revision().0)
        };
        if let Some(revision) = done {
            return Ok(Accepted { id, revision, lanes: Vec::new(), repeated: true, missing: None });
        }
        let orders = self.orders(merchant, &request, &configuration).await?;
        let lanes: Vec<u32> = orders.iter().map(|order| order.lane().0).collect();
        let (act, missing) = (name(&request.act), self.missing(&orders).await?);
        let revision = self.steering.order(id.clone(), orders).await?.0;
        tracing::info!(merchant, act, ?lanes, id, revision, event = "ordered", "ordered by a person");
        Ok(Accepted { id, revision, lanes, repeated: false, missing })
    }
}

fn name(act: &Act) -> &'static str {
    match act {
        Act::Pause => "pause",
        Act::Resume => "resume",
        Act::Mend => "mend",
        Act::Skip => "skip",
        Act::Abandon => "abandon",
        Act::Replay { .. } => "replay",
        Act::Repair { .. } => "repair",
        Act::Replace { .. } => "replace",
    }
}

/// For a caller that has none of its own.
pub fn new_id() -> Result<String, Refusal> {
    let chance = getrandom::u64().and_then(|one| Ok((one, getrandom::u64()?)));
    let (one, other) =
        chance.map_err(|error| Refusal::unavailable(format!("this machine gives no chance: {error}")))?;
    Ok(format!("{one:016x}{other:016x}"))
}
