use crate::RowId;
use outflow_api::{LaneId, Offset, Pins, Revision, TopicPartition};
use std::collections::BTreeMap;

/// Which delivery of its rows a batch belongs to: the live one, or a run of a shard's lane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Run {
    Live,
    /// Whatever it is shaped by: `mend` changes that.
    Of {
        journal: usize,
        lane: LaneId,
        id: Revision,
        whose: Option<Revision>,
    },
}

impl Run {
    pub fn new((journal, lane): (usize, LaneId), id: Option<Revision>, by: Pins) -> Run {
        id.map_or(Run::Live, |id| Run::Of { journal, lane, id, whose: by.whose })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fate {
    #[default]
    Open,
    Decided,
    Visible,
    /// Its dead letter is out.
    Letter,
    /// An operator gave it up before it was decided.
    Skipped,
    /// An operator gave it up afterwards: visible or not.
    Abandoned,
}

/// What became of every row, in each delivery that it belongs to.
#[derive(Default)]
pub struct Fates {
    live: BTreeMap<TopicPartition, Vec<Fate>>,
    runs: BTreeMap<Run, BTreeMap<RowId, Fate>>,
    /// Whose live row it was.
    skipped_by: BTreeMap<RowId, LaneId>,
}

impl Fates {
    /// `None`: the run does not have this row.
    pub fn of(&self, run: Run, row: RowId) -> Option<Fate> {
        match run {
            Run::Live => {
                let fates = self.live.get(&row.0);
                Some(fates.and_then(|fates| fates.get(row.1.0 as usize)).copied().unwrap_or_default())
            }
            run => self.runs.get(&run)?.get(&row).copied(),
        }
    }

    pub fn set(&mut self, run: Run, row: RowId, fate: Fate) {
        if run != Run::Live {
            self.runs.entry(run).or_default().insert(row, fate);
            return;
        }
        let fates = self.live.entry(row.0).or_default();
        let at = row.1.0 as usize;
        if fates.len() <= at {
            fates.resize(at + 1, Fate::Open);
        }
        fates[at] = fate;
    }

    pub fn skip_live(&mut self, lane: LaneId, row: RowId) {
        self.set(Run::Live, row, Fate::Skipped);
        self.skipped_by.insert(row, lane);
    }

    /// A run begins, with rows or without.
    pub fn begin(&mut self, run: Run) {
        self.runs.entry(run).or_default();
    }

    pub fn knows(&self, run: Run) -> bool {
        self.runs.contains_key(&run)
    }

    /// All rows of a run.
    pub fn rows(&self, run: Run) -> impl Iterator<Item = (RowId, Fate)> + '_ {
        self.runs.get(&run).into_iter().flatten().map(|(row, fate)| (*row, *fate))
    }

    /// The last offset of the live run that is not open any more.
    pub fn last_settled(&self, partition: TopicPartition) -> Option<Offset> {
        let fates = self.live.get(&partition).map_or(&[][..], Vec::as_slice);
        fates.iter().rposition(|fate| *fate != Fate::Open).map(|at| Offset(at as i64))
    }

    /// Given up before it was decided, by the live stream or by a run of this lane.
    pub fn is_skipped(&self, journal: usize, lane: LaneId, row: RowId) -> bool {
        let own = |run: &Run| matches!(run, Run::Of { journal: j, lane: l, .. } if (*j, *l) == (journal, lane));
        let mut runs = self.runs.iter().filter(|(run, _)| own(run));
        self.skipped_by.get(&row) == Some(&lane) || runs.any(|(_, rows)| rows.get(&row) == Some(&Fate::Skipped))
    }

    /// Of all runs of a shard's lane, what is still open.
    pub fn open(&self, journal: usize, lane: LaneId) -> Vec<(Run, RowId)> {
        let own = |run: &Run| matches!(run, Run::Of { journal: j, lane: l, .. } if (*j, *l) == (journal, lane));
        let rows =
            self.runs.iter().filter(|(run, _)| own(run)).flat_map(|(run, rows)| {
                rows.iter().filter(|(_, fate)| **fate == Fate::Open).map(|(row, _)| (*run, *row))
            });
        rows.collect()
    }

    /// Rows of runs that are neither given up nor delivered.
    pub fn unfinished(&self) -> impl Iterator<Item = (LaneId, RowId)> + '_ {
        let lane = |run: &Run| match run {
            Run::Live => None,
            Run::Of { lane, .. } => Some(*lane),
        };
        let left = |fate: Fate| matches!(fate, Fate::Open | Fate::Decided);
        self.runs.iter().filter_map(move |(run, rows)| Some((lane(run)?, rows))).flat_map(move |(lane, rows)| {
            rows.iter().filter(move |(_, fate)| left(**fate)).map(move |(row, _)| (lane, *row))
        })
    }
}
