use outflow_api::{Decoder, Fault, LaneId, Revision, Sink};
use outflow_catalogue::{Catalogue, Definition};
use outflow_engine::{FlushLimits, Reason};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Makes a lane work: its pinned definitions with today's credentials and limits. No I/O.
pub trait Opener: Send + Sync {
    fn open(&self, definition: &Definition) -> Result<OpenLane, Fault>;
}

#[derive(Clone)]
pub struct OpenLane {
    pub connector: Arc<str>,
    pub merchant: Option<Arc<str>>,
    pub decoder: Arc<dyn Decoder>,
    pub sink: Arc<dyn Sink>,
    pub flush: FlushLimits,
    /// Where records go that do not fit; without it the first of them parks the lane.
    pub dead_letters: Option<Arc<str>>,
    /// How much of a batch may go there, in percent.
    pub reject_percent_max: u64,
    /// Every row goes there, with this code and message.
    pub rejects: Option<(&'static str, &'static str)>,
}

/// Lanes that are open, of all revisions; opened when they are first needed, and shut when there are too many.
#[derive(Clone)]
pub(crate) struct Lanes {
    opener: Arc<dyn Opener>,
    open: Arc<Mutex<HashMap<(LaneId, Revision), Opened>>>,
}

struct Opened {
    /// Of the catalogue when it was opened: limits and credentials are today's.
    revision: Revision,
    lane: OpenLane,
}

/// A lane is opened in microseconds, and holds some kilobytes.
const OPEN_MAX: usize = 4_096;

impl Lanes {
    pub fn new(opener: Arc<dyn Opener>) -> Lanes {
        Lanes { opener, open: Arc::default() }
    }

    pub fn get(&self, catalogue: &Catalogue, id: LaneId, version: Revision) -> Result<OpenLane, Reason> {
        let revision = catalogue.revision();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(&(id, version)).filter(|known| known.revision == revision) {
            return Ok(known.lane.clone());
        }
        let unknown = || Reason { code: "lane-unknown".into(), hint: format!("no definitions of {id:?}, {version:?}") };
        let definition = catalogue.definition(id, version).ok_or_else(unknown)?;
        let lane = self.opener.open(&definition);
        let lane = lane.map_err(|fault| Reason { code: fault.code.into(), hint: fault.to_string() })?;
        if open.len() >= OPEN_MAX {
            // Whatever is in use is held by its user.
            open.clear();
        }
        open.insert((id, version), Opened { revision, lane: lane.clone() });
        Ok(lane)
    }

    /// The newest version: for calls that concern the destination and not the rows' shape.
    pub fn newest(&self, catalogue: &Catalogue, id: LaneId) -> Option<OpenLane> {
        let entry = catalogue.lane(id)?;
        let connector = catalogue.connector(&entry.connector).map_or(0, |connector| connector.version);
        self.get(catalogue, id, Revision(entry.version.max(connector))).ok()
    }
}
