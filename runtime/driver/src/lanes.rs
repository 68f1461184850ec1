use crate::definitions::{Definitions, LaneDefinition};
use outflow_api::{Decoder, Fault, LaneId, Revision, RevisionRecord, Sink, TopicId};
use outflow_engine::{FlushLimits, Reason};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Makes a lane work: its pinned definitions with today's credentials and limits. No I/O.
pub trait Opener: Send + Sync {
    fn open(&self, definition: &LaneDefinition) -> Result<OpenLane, Fault>;
}

#[derive(Clone)]
pub struct OpenLane {
    pub connector: Arc<str>,
    pub decoder: Arc<dyn Decoder>,
    pub sink: Arc<dyn Sink>,
    pub flush: FlushLimits,
    /// Where records go that do not fit; without it the first of them parks the lane.
    pub dead_letters: Option<String>,
    /// How much of a batch may go there, in percent.
    pub reject_percent_max: u64,
}

/// All lanes of all revisions that rows may still be routed by.
pub(crate) struct Lanes {
    opener: Arc<dyn Opener>,
    newest: Option<Definitions>,
    routes: BTreeMap<Revision, HashMap<TopicId, Vec<(LaneId, Revision)>>>,
    open: HashMap<(LaneId, Revision), Result<OpenLane, Reason>>,
    names: HashMap<TopicId, Arc<str>>,
}

impl Lanes {
    pub fn new(opener: Arc<dyn Opener>) -> Lanes {
        let (routes, open, names) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Lanes { opener, newest: None, routes, open, names }
    }

    pub fn recover(opener: Arc<dyn Opener>, records: &[RevisionRecord]) -> Result<Lanes, Fault> {
        let mut lanes = Lanes::new(opener);
        for record in records {
            lanes.add(Definitions::decode(&record.content)?);
        }
        Ok(lanes)
    }

    pub fn newest(&self) -> Option<&Definitions> {
        self.newest.as_ref()
    }

    pub fn add(&mut self, definitions: Definitions) {
        let mut routes: HashMap<TopicId, Vec<(LaneId, Revision)>> = HashMap::new();
        for lane in &definitions.lanes {
            for topic in &lane.topics {
                routes.entry(topic.id()).or_default().push((lane.id(), lane.version()));
                self.names.insert(topic.id(), topic.name.as_str().into());
            }
            let opener = &self.opener;
            self.open.entry((lane.id(), lane.version())).or_insert_with(|| {
                opener.open(lane).map_err(|fault| Reason { code: fault.code.into(), hint: fault.to_string() })
            });
        }
        self.routes.insert(Revision(definitions.revision), routes);
        self.newest = Some(definitions);
    }

    pub fn get(&self, lane: LaneId, version: Revision) -> Result<OpenLane, Reason> {
        let unknown =
            || Reason { code: "lane-unknown".into(), hint: format!("no definitions of {lane:?}, {version:?}") };
        self.open.get(&(lane, version)).cloned().unwrap_or_else(|| Err(unknown()))
    }

    /// Any version of the lane: for calls that concern the destination and not the rows' shape.
    pub fn any(&self, lane: LaneId) -> Option<&OpenLane> {
        let of_lane = self.open.iter().filter(|((id, _), _)| *id == lane);
        of_lane
            .filter_map(|((_, version), open)| Some((version, open.as_ref().ok()?)))
            .max_by_key(|(version, _)| *version)
            .map(|(_, open)| open)
    }

    pub fn all(&self) -> impl Iterator<Item = (LaneId, &OpenLane)> {
        self.open.iter().filter_map(|((lane, _), open)| Some((*lane, open.as_ref().ok()?)))
    }

    /// Who gets a topic's records under this revision.
    pub fn route(&self, revision: Revision, topic: TopicId) -> &[(LaneId, Revision)] {
        self.routes.get(&revision).and_then(|routes| routes.get(&topic)).map_or(&[], Vec::as_slice)
    }

    pub fn topic_name(&self, topic: TopicId) -> Arc<str> {
        self.names.get(&topic).cloned().unwrap_or_else(|| "unknown".into())
    }

    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &Arc<str>)> {
        self.names.iter().map(|(id, name)| (*id, name))
    }
}
