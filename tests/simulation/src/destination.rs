use crate::{Checker, RowId};
use outflow_api::{BatchId, Generation, Incarnation, Shard};
use std::collections::BTreeMap;

/// Where the batches of one lane become visible.
pub struct Destination {
    pub kind: Kind,
    batches: BTreeMap<BatchId, Batch>,
    /// Puts of removed batches by workers that are gone: they arrive in the end.
    late: Vec<(BatchId, Vec<RowId>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Prepare stages the rows, commit reveals them.
    Staged,
    /// Prepare does nothing, commit is one conditional put under the batch's id.
    Identity,
}

struct Batch {
    rows: Vec<RowId>,
    state: Visibility,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Visibility {
    Staged,
    /// The destination has taken the call and is at it, or not.
    Landing,
    Visible,
    /// Made impossible.
    Dead,
    /// Its rows were taken away; its name stays, so that no late call brings them back.
    Removed,
}

pub enum Committed {
    Now,
    Already,
    NeedsRows,
    Rejected(Vec<RowId>),
    Lost,
    /// Neither done nor impossible: ask again.
    Unclear,
}

/// A commit's call, and how it goes.
pub struct Commit<'a> {
    pub id: BatchId,
    pub rows: Option<&'a [RowId]>,
    pub refused: Vec<RowId>,
    pub slow: bool,
    /// Whether what is landing can be stopped, when somebody tries.
    pub stoppable: bool,
}

impl Destination {
    pub fn new(kind: Kind) -> Destination {
        Destination { kind, batches: BTreeMap::new(), late: Vec::new() }
    }

    pub fn prepare(&mut self, id: BatchId, rows: &[RowId]) {
        if self.kind == Kind::Staged {
            self.batches.entry(id).or_insert_with(|| Batch { rows: rows.to_vec(), state: Visibility::Staged });
        }
    }

    pub fn commit(&mut self, call: &Commit, checker: &mut Checker) -> Result<Committed, String> {
        match self.kind {
            Kind::Staged => self.complete(call, checker),
            Kind::Identity => self.put(call, checker),
        }
    }

    fn complete(&mut self, call: &Commit, checker: &mut Checker) -> Result<Committed, String> {
        let id = call.id;
        let Some(batch) = self.batches.get_mut(&id) else {
            self.kill(id);
            return Ok(Committed::Lost);
        };
        match batch.state {
            Visibility::Staged if call.slow => {
                batch.state = Visibility::Landing;
                Ok(Committed::Unclear)
            }
            Visibility::Staged => {
                batch.state = Visibility::Visible;
                checker.reveal(id, &batch.rows)?;
                Ok(Committed::Now)
            }
            // Not visible is no proof: only what was stopped will never land.
            Visibility::Landing if call.stoppable => {
                batch.state = Visibility::Dead;
                Ok(Committed::Lost)
            }
            Visibility::Landing => Ok(Committed::Unclear),
            Visibility::Visible | Visibility::Removed => Ok(Committed::Already),
            Visibility::Dead => Ok(Committed::Lost),
        }
    }

    fn put(&mut self, call: &Commit, checker: &mut Checker) -> Result<Committed, String> {
        let id = call.id;
        if let Some(batch) = self.batches.get(&id).filter(|batch| batch.state == Visibility::Visible) {
            // 412: somebody's put was first; the name is all that tells what it is.
            checker.taken_for(id, &batch.rows)?;
            return Ok(Committed::Already);
        }
        if self.batches.get(&id).is_some_and(|batch| batch.state == Visibility::Removed) {
            return Ok(Committed::Already);
        }
        let Some(rows) = call.rows else { return Ok(Committed::NeedsRows) };
        if !call.refused.is_empty() {
            return Ok(Committed::Rejected(call.refused.clone()));
        }
        let state = if call.slow { Visibility::Landing } else { Visibility::Visible };
        self.batches.insert(id, Batch { rows: rows.to_vec(), state });
        if call.slow {
            return Ok(Committed::Unclear);
        }
        checker.reveal(id, rows)?;
        Ok(Committed::Now)
    }

    /// What was slow arrives.
    pub fn land(&mut self, checker: &mut Checker) -> Result<(), String> {
        for (id, batch) in self.batches.iter_mut().filter(|(_, batch)| batch.state == Visibility::Landing) {
            batch.state = Visibility::Visible;
            checker.reveal(*id, &batch.rows)?;
        }
        for (id, rows) in std::mem::take(&mut self.late) {
            self.put(&Commit { id, rows: Some(&rows), refused: Vec::new(), slow: false, stoppable: false }, checker)?;
        }
        Ok(())
    }

    /// Staging does not last for ever.
    pub fn expire(&mut self, checker: &mut Checker) {
        let staged = |batch: &Batch| batch.state == Visibility::Staged;
        let Some(id) = self.batches.iter().find(|(_, batch)| staged(batch)).map(|(id, _)| *id) else { return };
        self.batches.remove(&id);
        checker.expired(id);
    }

    pub fn abort(&mut self, id: BatchId, checker: &Checker) -> Result<(), String> {
        let under_way = [Visibility::Staged, Visibility::Landing];
        if self.batches.get(&id).is_some_and(|batch| under_way.contains(&batch.state)) {
            checker.may_go(id)?;
            self.kill(id);
        }
        Ok(())
    }

    /// Whatever was under this name.
    pub fn remove(&mut self, id: BatchId, checker: &mut Checker) -> Result<(), String> {
        if self.kind == Kind::Identity
            && let Some(old) = self.batches.get(&id).filter(|old| old.state == Visibility::Visible)
        {
            self.late.push((id, old.rows.clone()));
        }
        self.batches.insert(id, Batch { rows: Vec::new(), state: Visibility::Removed });
        checker.remove(id)
    }

    fn kill(&mut self, id: BatchId) {
        self.batches.insert(id, Batch { rows: Vec::new(), state: Visibility::Dead });
    }

    pub fn sweep(
        &mut self,
        scope: (Incarnation, Shard, Generation),
        keep: &[BatchId],
        checker: &Checker,
    ) -> Result<(), String> {
        let (incarnation, shard, below) = scope;
        let swept = self.batches.iter().filter(|(id, batch)| {
            let older = id.incarnation == incarnation && id.shard == shard && id.generation < below;
            older && !keep.contains(id) && batch.state == Visibility::Staged
        });
        let swept: Vec<BatchId> = swept.map(|(id, _)| *id).collect();
        for id in swept {
            checker.may_go(id)?;
            self.batches.remove(&id);
        }
        Ok(())
    }
}
