use crate::{Action, Engine, Settings, agenda::Agenda, engine::Cursor, lane::Lane, lanes::Lanes, revision::Revisions};
use outflow_api::{Offset, Prepared, Recovered, Track};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

impl Engine {
    /// The engine of a new owner. `starts`: tracks of the shard that no owner ever read, and where to begin them; all
    /// others begin at their floors. Everything pending is revealed again, everything owed stays owed, everything else
    /// is read from the floor.
    pub fn recover(
        settings: Settings,
        recovered: Recovered,
        starts: &BTreeMap<Track, Offset>,
        now_ms: u64,
        out: &mut Vec<Action>,
    ) -> Engine {
        let Recovered { incarnation, generation, floors, lanes, revisions, applied, bytes_read: _ } = recovered;
        let tracks_journaled = floors.len();
        let cursor =
            |journaled| move |(track, at): (&Track, &Offset)| (*track, Cursor { position: *at, floor: *at, journaled });
        let new: Vec<_> = starts.iter().filter(|(track, _)| !floors.contains_key(track)).collect();
        let known = floors.iter().map(cursor(true));
        let agenda = Agenda::new(settings.replay_ms_max);
        let mut engine = Engine {
            settings,
            incarnation,
            generation,
            seq: 0,
            now_ms,
            tracks: known.chain(new.into_iter().map(cursor(false))).collect(),
            tracks_journaled,
            retired: BTreeSet::new(),
            lanes: Lanes::recovered(lanes.into_iter().map(|(id, record)| (id, Lane::recovered(record))).collect()),
            agenda,
            revisions: Revisions::recovered(revisions, applied),
            published: VecDeque::new(),
            commanded: BTreeSet::new(),
            inquiry: None,
            search: None,
            deciding: None,
            decided_at_ms: now_ms,
            outlived_at_ms: now_ms,
            chosen_last: Default::default(),
            draining: false,
            stopped: false,
        };
        // A lane that is behind owes every partition, one that appeared meanwhile as well. It may be journaled with the
        // others' floors, and the last owner did not come to write that the lane owes it.
        let behind: Vec<_> = engine.lanes.iter().filter(|(_, lane)| lane.passes_by()).map(|(id, _)| id).collect();
        behind.into_iter().for_each(|id| engine.owe_what_comes(id));
        let pending = |(_, lane): (_, &Lane)| {
            let pending = lane.record.pending.as_ref()?;
            Some(Prepared { id: pending.id, token: pending.token.clone() })
        };
        // P29: never what a pending entry names.
        let keep = engine.lanes.iter().filter_map(pending).collect();
        out.push(Action::Sweep { below: generation, keep });
        let decided: Vec<_> =
            engine.lanes.iter().filter(|(_, lane)| lane.record.pending.is_some()).map(|(id, _)| id).collect();
        for id in decided {
            let lane = engine.lanes.get_mut(id).expect("just seen");
            lane.reveal_since_ms = now_ms;
            out.extend(lane.reveal(false));
        }
        out.extend(engine.tracks.iter().map(|(track, at)| Action::Read { track: *track, from: at.position }));
        engine.note_changes();
        engine.pay_debts(true, out);
        engine.note_changes();
        engine.remove_replaced(out);
        engine.note_changes();
        engine
    }
}
