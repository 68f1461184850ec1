use crate::letters::scan::Found;
use outflow_api::{LaneId, Offset, OffsetRange, Ranges, Revision, TopicPartition};
use outflow_catalogue::{Catalogue, Order, partition_name};
use outflow_control::Refusal;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of one call.
const ROWS_MAX: usize = 10_000;
/// Of one lane in one command: the engine's record of a run is bounded.
const PIECES_MAX: usize = 500;
/// Of all lanes in one command: an entry of the config log is bounded.
const COMMAND_PIECES_MAX: usize = 5_000;

/// Rows that are to be sent again, with how many letters there are of each.
#[derive(Default)]
pub struct Selection {
    /// Connector and lane → its rows.
    rows: BTreeMap<(String, u32), BTreeMap<Place, Row>>,
    wanted: usize,
    /// Letters that do not say whose they are.
    unnamed: u64,
}

/// Topic, partition and offset.
type Place = (String, u32, i64);

#[derive(Clone, Copy, Default)]
struct Row {
    letters: u32,
    is_wanted: bool,
}

/// Of each lane, the rows with this many letters.
pub type Lanes = BTreeMap<LaneId, BTreeMap<TopicPartition, Ranges>>;
pub type ByLetters = BTreeMap<u32, Lanes>;

impl Selection {
    /// All letters of a row count; it is sent if one of them is wanted.
    pub fn add(&mut self, found: &Found, is_wanted: bool) {
        let Some(lane) = found.lane else {
            self.unnamed += u64::from(is_wanted);
            return;
        };
        let place = (found.topic.clone(), found.partition, found.offset);
        let row = self.rows.entry((found.connector.clone(), lane)).or_default().entry(place).or_default();
        row.letters += 1;
        self.wanted += usize::from(is_wanted && !row.is_wanted);
        row.is_wanted |= is_wanted;
    }

    pub fn is_too_much(&self) -> bool {
        self.wanted > ROWS_MAX
    }

    /// Without what cannot be sent: those are counted, by the reason.
    pub fn settle(self, catalogue: &Catalogue, left: &mut BTreeMap<String, u64>) -> ByLetters {
        let mut count = |why: &str, rows: u64| {
            if rows > 0 {
                *left.entry(why.to_owned()).or_default() += rows;
            }
        };
        count("of an older build, which did not say whose they are: replay their offsets", self.unnamed);
        let mut sent = ByLetters::new();
        for ((connector, lane), rows) in self.rows {
            let wanted = rows.into_iter().filter(|(_, row)| row.is_wanted);
            let id = LaneId(lane);
            let entry = catalogue.lane(id).filter(|_| !catalogue.is_gone(id));
            let topics = catalogue.connector(&connector).map(|entry| entry.topics.as_slice()).unwrap_or_default();
            match entry {
                None => count("of a delivery that was removed", wanted.count() as u64),
                Some(entry) if entry.rejects => {
                    let why = "no merchant's: who is configured with `start: earliest` gets them";
                    count(why, wanted.count() as u64);
                }
                Some(_) => {
                    for ((topic, partition, offset), row) in wanted {
                        let Some(topic) = topics.iter().find(|known| known.name == topic) else {
                            count("of a topic that the connector no longer reads", 1);
                            continue;
                        };
                        let key = TopicPartition { topic: topic.id(), partition };
                        let range = OffsetRange::new(Offset(offset), Offset(offset).after());
                        let lanes = sent.entry(row.letters).or_default();
                        lanes.entry(id).or_default().entry(key).or_default().insert(range);
                    }
                }
            }
        }
        sent
    }
}

pub fn too_much() -> Refusal {
    Refusal::wrong(format!(
        "more than {ROWS_MAX} dead letters: name fewer, with `connector`, `merchant`, `lane`, `code` or `since`"
    ))
}

pub fn rows(all: &ByLetters) -> u64 {
    all.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values).map(Ranges::offsets).sum()
}

/// One after the other; a lane is in each but once, for two runs of one command would be one.
pub fn commands(all: ByLetters, revision: Revision) -> Vec<Vec<Order>> {
    let mut commands: Vec<(usize, BTreeSet<LaneId>, Vec<Order>)> = Vec::new();
    for (letters, lanes) in all {
        for (lane, ranges) in lanes {
            let pieces = ranges.iter().flat_map(|(key, ranges)| {
                let name = partition_name(*key);
                ranges.as_slice().iter().map(move |range| (name.clone(), (range.start.0, range.next.0)))
            });
            let pieces: Vec<_> = pieces.collect();
            for chunk in pieces.chunks(PIECES_MAX) {
                let has_room = |(pieces, lanes, _): &&mut (usize, BTreeSet<LaneId>, Vec<Order>)| {
                    !lanes.contains(&lane) && *pieces + chunk.len() <= COMMAND_PIECES_MAX
                };
                let at = commands.iter_mut().position(|command| has_room(&command)).unwrap_or(commands.len());
                if at == commands.len() {
                    commands.push(Default::default());
                }
                let mut ranges: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
                chunk.iter().for_each(|(name, range)| ranges.entry(name.clone()).or_default().push(*range));
                let (pieces, lanes, orders) = &mut commands[at];
                *pieces += chunk.len();
                lanes.insert(lane);
                orders.push(Order::Repair { lane: lane.0, by: revision.0, ranges, letters });
            }
        }
    }
    commands.into_iter().map(|(_, _, orders)| orders).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::TopicId;

    #[test]
    fn however_many_pieces_each_command_has_a_lane_but_once_and_all_have_every_row_once() {
        let key = TopicPartition { topic: TopicId(7), partition: 0 };
        let mut scattered = Ranges::default();
        (0..1_200).for_each(|at| scattered.insert(OffsetRange::new(Offset(2 * at), Offset(2 * at + 1))));
        let lanes = |lanes: &[u32]| -> Lanes {
            lanes.iter().map(|lane| (LaneId(*lane), BTreeMap::from([(key, scattered.clone())]))).collect()
        };
        let all = ByLetters::from([(1, lanes(&[1, 2])), (2, lanes(&[2]))]);
        let commands = commands(all, Revision(9));
        assert_eq!(commands.len(), 6, "three for one letter each, and three for two letters each");
        let mut offsets = BTreeMap::<(u32, u32), Vec<i64>>::new();
        for orders in &commands {
            let lanes: BTreeSet<LaneId> = orders.iter().map(Order::lane).collect();
            assert_eq!(lanes.len(), orders.len());
            for order in orders {
                let Order::Repair { lane, ranges, letters, .. } = order else { panic!("{order:?}") };
                let own = ranges.values().flatten().map(|(start, _)| *start);
                assert!(ranges.values().map(Vec::len).sum::<usize>() <= PIECES_MAX);
                offsets.entry((*lane, *letters)).or_default().extend(own);
            }
        }
        let wanted: Vec<i64> = (0..1_200).map(|at| 2 * at).collect();
        assert_eq!(offsets.keys().copied().collect::<Vec<_>>(), [(1, 1), (2, 1), (2, 2)]);
        assert!(offsets.values().all(|own| *own == wanted));
    }
}
