use outflow_api::{Fault, Identity, LaneId, Revision, TopicId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the configuration asks for, of one connector.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    pub connector: String,
    pub topics: Vec<(String, TopicId)>,
    pub identity: Identity,
    /// What a row becomes and where it goes; no secrets, no limits.
    pub pinned: Value,
}

/// A lane as a revision knows it: enough to decode and deliver its rows for as long as they are owed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LaneDefinition {
    pub lane: u32,
    /// The revision in which the lane itself last changed: others' changes do not touch it.
    pub version: u64,
    pub connector: String,
    pub topics: Vec<Topic>,
    pub identity: String,
    pub pinned: Value,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Topic {
    pub name: String,
    /// The topic's own id, in hex.
    pub id: String,
}

impl Topic {
    pub fn id(&self) -> TopicId {
        TopicId(u128::from_str_radix(&self.id, 16).unwrap_or_default())
    }
}

impl LaneDefinition {
    /// Of a lane that no journal knows yet: to check what it would be.
    pub fn unsaved(
        connector: &str,
        topics: &[(String, TopicId)],
        identity: &Identity,
        pinned: Value,
    ) -> LaneDefinition {
        let topics =
            topics.iter().map(|(name, id)| Topic { name: name.clone(), id: format!("{:032x}", id.0) }).collect();
        LaneDefinition {
            lane: 0,
            version: 0,
            connector: connector.into(),
            topics,
            identity: identity.0.clone(),
            pinned,
        }
    }

    pub fn id(&self) -> LaneId {
        LaneId(self.lane)
    }

    pub fn version(&self) -> Revision {
        Revision(self.version)
    }
}

/// The content of a revision record: JSON, so that people can read a journal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Definitions {
    pub revision: u64,
    /// Never falls: a lane id is never used again.
    pub next_lane: u32,
    pub lanes: Vec<LaneDefinition>,
}

impl Definitions {
    /// The next revision, if anything changed. A connector that keeps its destination keeps its lane; one that moves
    /// gets a new lane, and the old one delivers what it owes to the old place.
    pub fn after(previous: Option<&Definitions>, wanted: &[Wanted]) -> Option<Definitions> {
        let revision = previous.map_or(1, |previous| previous.revision + 1);
        let mut next_lane = previous.map_or(1, |previous| previous.next_lane);
        let lanes = wanted.iter().map(|wanted| {
            let Wanted { connector, topics, identity, pinned } = wanted;
            let new = LaneDefinition::unsaved(connector, topics, identity, pinned.clone());
            let new = LaneDefinition { lane: next_lane, version: revision, ..new };
            let same_place = |old: &&LaneDefinition| old.connector == new.connector && old.identity == new.identity;
            let old = previous.and_then(|previous| previous.lanes.iter().find(same_place));
            match old {
                Some(old) if old.topics == new.topics && old.pinned == new.pinned => old.clone(),
                Some(old) => LaneDefinition { lane: old.lane, ..new },
                None => {
                    next_lane += 1;
                    new
                }
            }
        });
        let lanes: Vec<LaneDefinition> = lanes.collect();
        (previous.is_none_or(|previous| previous.lanes != lanes)).then_some(Definitions { revision, next_lane, lanes })
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("definitions are plain JSON")
    }

    pub fn decode(content: &[u8]) -> Result<Definitions, Fault> {
        let hint =
            "the journal holds definitions that this build cannot read: run the build that wrote them, or a newer one";
        serde_json::from_slice(content).map_err(|error| Fault::halt("definitions-unreadable", hint).because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(connector: &str, place: &str, shape: &str) -> Wanted {
        let topics = vec![("orders".to_owned(), TopicId(7))];
        Wanted {
            connector: connector.into(),
            topics,
            identity: Identity(place.into()),
            pinned: json!({ "model": shape }),
        }
    }

    #[test]
    fn nothing_changed_is_no_revision() {
        let first = Definitions::after(None, &[wanted("a", "x", "1")]).expect("the first");
        assert_eq!(Definitions::after(Some(&first), &[wanted("a", "x", "1")]), None);
        assert_eq!(Definitions::decode(&first.encode()).expect("readable"), first);
    }

    #[test]
    fn another_shape_is_a_new_version_of_the_same_lane_and_another_place_is_a_new_lane() {
        let first = Definitions::after(None, &[wanted("a", "x", "1"), wanted("b", "y", "1")]).expect("the first");
        let second =
            Definitions::after(Some(&first), &[wanted("a", "x", "2"), wanted("b", "y", "1")]).expect("changed");
        let ids = |definitions: &Definitions| definitions.lanes.iter().map(|l| (l.lane, l.version)).collect::<Vec<_>>();
        assert_eq!(ids(&second), [(1, 2), (2, 1)]);
        let third = Definitions::after(Some(&second), &[wanted("a", "z", "2")]).expect("moved");
        assert_eq!(ids(&third), [(3, 3)]);
        let fourth = Definitions::after(Some(&third), &[wanted("a", "x", "2")]).expect("moved back");
        assert_eq!(ids(&fourth), [(4, 4)], "an id is never used again");
    }
}
