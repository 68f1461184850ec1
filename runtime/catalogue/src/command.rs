use outflow_api::{LaneId, Offset, OffsetRange, Ranges, Revision, TopicId, TopicPartition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an operator asked for in one call; takes effect once in every shard, whoever owns it (P31).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommandEntry {
    /// The caller's own: a call that is repeated with it is the same call.
    pub id: String,
    pub orders: Vec<Order>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    Pause {
        lane: u32,
    },
    Resume {
        lane: u32,
    },
    Mend {
        lane: u32,
    },
    /// What is owed is owed no more.
    Skip {
        lane: u32,
    },
    /// The decided batch is given up.
    Abandon {
        lane: u32,
    },
    /// These ranges once more: topic id in hex and partition (`…/0`) → start and end.
    Replay {
        lane: u32,
        /// The definitions that route the rows.
        by: u64,
        ranges: BTreeMap<String, Vec<(i64, i64)>>,
    },
    /// Of these ranges, what the lane has missed.
    Repair {
        lane: u32,
        by: u64,
        ranges: BTreeMap<String, Vec<(i64, i64)>>,
        /// More than 0: rows that became so many dead letters each.
        #[serde(default, skip_serializing_if = "is_none")]
        letters: u32,
    },
    /// These ranges once more, in place of all that was delivered of them.
    Replace {
        lane: u32,
        by: u64,
        ranges: BTreeMap<String, Vec<(i64, i64)>>,
    },
}

fn is_none(letters: &u32) -> bool {
    *letters == 0
}

impl Order {
    pub fn lane(&self) -> LaneId {
        LaneId(match self {
            Order::Pause { lane }
            | Order::Resume { lane }
            | Order::Mend { lane }
            | Order::Skip { lane }
            | Order::Abandon { lane }
            | Order::Replay { lane, .. }
            | Order::Repair { lane, .. }
            | Order::Replace { lane, .. } => *lane,
        })
    }

    /// A replay of any mode is routed by the definitions that are in force where it is published: older ones may be
    /// forgotten before every shard has heard of it (P20).
    pub fn routed_by(&self, revision: Revision) -> Order {
        let mut order = self.clone();
        if let Order::Replay { by, .. } | Order::Repair { by, .. } | Order::Replace { by, .. } = &mut order {
            *by = revision.0;
        }
        order
    }

    /// Of a replay of any mode: none where the text is not one of ours.
    pub fn ranges(&self) -> (Revision, BTreeMap<TopicPartition, Ranges>) {
        let (Order::Replay { by, ranges, .. } | Order::Repair { by, ranges, .. } | Order::Replace { by, ranges, .. }) =
            self
        else {
            return Default::default();
        };
        let ranges = ranges.iter().filter_map(|(key, ranges)| {
            let mut all = Ranges::default();
            for (start, next) in ranges.iter().filter(|(start, next)| start < next) {
                all.insert(OffsetRange::new(Offset(*start), Offset(*next)));
            }
            Some((partition(key)?, all))
        });
        (Revision(*by), ranges.collect())
    }
}

/// As entries name it, and `partition` reads it.
pub fn partition_name(key: TopicPartition) -> String {
    format!("{:032x}/{}", key.topic.0, key.partition)
}

/// `<topic id in hex>/<partition>`, as entries name partitions.
pub(crate) fn partition(text: &str) -> Option<TopicPartition> {
    let (topic, partition) = text.split_once('/')?;
    Some(TopicPartition { topic: TopicId(u128::from_str_radix(topic, 16).ok()?), partition: partition.parse().ok()? })
}
