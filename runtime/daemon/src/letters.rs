//! Dead letters of a running worker: looked up in their topics, and sent again as runs of the lanes that refused them.

mod scan;
mod selection;

use crate::merchants::{missing, new_id, target};
use async_trait::async_trait;
use outflow_api::{Cluster, LaneId};
use outflow_catalogue::{Catalogue, Order};
use outflow_control::{Chosen, Letter, LetterPage, Refusal, SentAgain, WantedLetters};
use outflow_driver::Steering;
use scan::{Found, Scan};
use selection::Selection;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};

/// A page is answered by then, with what was found.
const PAGE_MAX: Duration = Duration::from_secs(5);
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Behind others who look.
const TURN_MAX: Duration = Duration::from_secs(10);
/// All that is to be sent is found by then, or nothing is.
const SEARCH_MAX: Duration = Duration::from_secs(60);

/// The daemon's side of [`outflow_control::DeadLetters`].
pub struct Letters {
    pub steering: Steering,
    pub cluster: Arc<dyn Cluster>,
    /// Each opens a client: one at a time.
    pub looking: Arc<Mutex<()>>,
}

/// What is looked for, and where.
struct Aim {
    topics: Vec<String>,
    connectors: BTreeSet<String>,
    /// None: whosever.
    lanes: Option<BTreeSet<u32>>,
    chosen: Chosen,
}

impl Aim {
    fn of(catalogue: &Catalogue, chosen: &Chosen) -> Result<Aim, Refusal> {
        let own = chosen.merchant.as_ref().map(|merchant| target::lanes(catalogue, merchant)).transpose()?;
        if let Some(connector) = &chosen.connector {
            target::known_connector(catalogue, connector)?;
        }
        let entries = own.iter().flatten().filter_map(|lane| catalogue.lane(*lane));
        let connectors: BTreeSet<String> = match (&chosen.connector, &own) {
            (Some(connector), _) => BTreeSet::from([connector.clone()]),
            (None, Some(_)) => entries.map(|entry| entry.connector.clone()).collect(),
            (None, None) => catalogue.connector_names().map(str::to_owned).collect(),
        };
        let topics: BTreeSet<String> = connectors
            .iter()
            .filter_map(|name| catalogue.connector(name).and_then(|entry| entry.dead_letters.clone()))
            .collect();
        if topics.is_empty() {
            let names = connectors.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Refusal::unknown(format!(
                "no dead letters are kept for {names}: a connector keeps them with `dead_letters: {{ topic: … }}`"
            )));
        }
        let lanes = own.map(|own| own.iter().map(|lane| lane.0).collect());
        Ok(Aim { topics: topics.into_iter().collect(), connectors, lanes, chosen: chosen.clone() })
    }

    /// Whatever it was refused for.
    fn is_of(&self, found: &Found) -> bool {
        self.connectors.contains(&found.connector)
            && self.chosen.since_ms.is_none_or(|since| found.timestamp_ms >= since)
            && self.chosen.lane.is_none_or(|lane| found.lane == Some(lane))
            && self.lanes.as_ref().is_none_or(|lanes| found.lane.is_some_and(|lane| lanes.contains(&lane)))
    }

    fn wants(&self, found: &Found) -> bool {
        self.is_of(found) && self.chosen.code.as_ref().is_none_or(|code| found.code == *code)
    }
}

#[async_trait]
impl outflow_control::DeadLetters for Letters {
    async fn list(&self, wanted: WantedLetters) -> Result<LetterPage, Refusal> {
        let configuration = self.steering.configuration()?;
        let aim = Aim::of(&configuration.catalogue(), &wanted.chosen)?;
        let (topics, after) = (aim.topics.clone(), wanted.after);
        let scan = Scan { topics, after, since_ms: wanted.chosen.since_ms, limit: PAGE_MAX };
        let found = self.look(move |cluster| {
            let (mut page, mut bytes) = (Vec::new(), 0);
            let over = scan.run(cluster, &mut |found| {
                if aim.wants(&found) {
                    bytes += found.shown_bytes();
                    page.push(found);
                }
                page.len() < wanted.limit && bytes < PAGE_BYTES_MAX
            })?;
            Ok((page, over))
        });
        let (found, over) = found.await?;
        let catalogue = configuration.catalogue();
        let letters = found.into_iter().map(|found| letter(&catalogue, found, wanted.whole));
        let next = over.next.map(|next| next.to_string());
        Ok(LetterPage { dead_letters: letters.collect(), next, looked_at: over.looked_at })
    }

    async fn send_again(&self, chosen: Chosen, id: Option<String>) -> Result<SentAgain, Refusal> {
        let configuration = self.steering.configuration()?;
        let id = id.map_or_else(new_id, Ok)?;
        let aim = Aim::of(&configuration.catalogue(), &chosen)?;
        let scan = Scan { topics: aim.topics.clone(), after: None, since_ms: chosen.since_ms, limit: SEARCH_MAX };
        let selected = self.look(move |cluster| {
            let mut selected = Selection::default();
            let over = scan.run(cluster, &mut |found| {
                if aim.is_of(&found) {
                    selected.add(&found, aim.wants(&found));
                }
                !selected.is_too_much()
            })?;
            match (selected.is_too_much(), over.next) {
                (true, _) => Err(selection::too_much()),
                (false, Some(_)) => Err(Refusal::unavailable(format!(
                    "not all dead letters were looked through within {SEARCH_MAX:?}: name fewer, with `since`"
                ))),
                (false, None) => Ok(selected),
            }
        });
        let mut sent = SentAgain { id: id.clone(), ..SentAgain::default() };
        let rows = selected.await?.settle(&configuration.catalogue(), &mut sent.left);
        let (shards, asked) = (self.steering.shards()?, rows.clone());
        let counted = self.look(move |cluster| {
            let count = |(letters, lanes): (u32, selection::Lanes)| {
                missing::count(cluster, shards, lanes.into_iter().collect(), letters)
            };
            asked.into_iter().map(count).sum::<Result<u64, Refusal>>()
        });
        sent.rows = counted.await?;
        sent.delivered = selection::rows(&rows) - sent.rows.min(selection::rows(&rows));
        let commands =
            if sent.rows == 0 { Vec::new() } else { selection::commands(rows, configuration.catalogue().revision()) };
        for (number, orders) in commands.into_iter().enumerate() {
            // Each by itself: one that was cut off between two is called again with its id.
            let own = if number == 0 { id.clone() } else { format!("{id}#{number}") };
            if configuration.catalogue().knows_command(&own) {
                sent.repeated = true;
                continue;
            }
            sent.lanes.extend(orders.iter().map(Order::lane).map(|lane| lane.0));
            sent.revision = Some(self.steering.order(own, orders).await?.0);
        }
        sent.lanes.sort_unstable();
        sent.lanes.dedup();
        tracing::info!(id, rows = sent.rows, lanes = ?sent.lanes, "dead letters are sent again");
        Ok(sent)
    }
}

impl Letters {
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Cluster) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (cluster, looking) = (Arc::clone(&self.cluster), Arc::clone(&self.looking));
        let busy = |_| Refusal::unavailable("others look through dead letters: ask again in some seconds");
        let one_at_a_time = timeout(TURN_MAX, looking.lock_owned()).await.map_err(busy)?;
        let looked = spawn_blocking(move || {
            let _one_at_a_time = one_at_a_time;
            look(cluster.as_ref())
        });
        looked.await.unwrap_or_else(|_| Err(Refusal::unavailable("looking through dead letters failed: ask again")))
    }
}

fn letter(catalogue: &Catalogue, found: Found, whole: bool) -> Letter {
    let lane = found.lane.and_then(|lane| catalogue.lane(LaneId(lane)));
    let merchant = lane.and_then(|lane| lane.merchant.clone());
    let record = whole.then(|| found.record());
    let Found { connector, lane, topic, partition, offset, timestamp_ms, code, message, place: letter, .. } = found;
    Letter { connector, lane, merchant, topic, partition, offset, timestamp_ms, code, message, letter, record }
}
