use outflow_api::Revision;

/// What an object was from each of its revisions on; `None`: it is not there. Rising.
#[derive(Clone, Debug)]
pub(crate) struct History<T>(Vec<(Revision, Option<T>)>);

impl<T> Default for History<T> {
    fn default() -> History<T> {
        History(Vec::new())
    }
}

impl<T> History<T> {
    pub fn set(&mut self, revision: Revision, value: Option<T>) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < revision), "revisions rise");
        self.0.push((revision, value));
    }

    pub fn at(&self, revision: Revision) -> Option<&T> {
        // Nearly always the newest is asked for.
        self.0.iter().rev().find(|(from, _)| *from <= revision).and_then(|(_, value)| value.as_ref())
    }

    /// At this revision, or when it was there last before.
    pub fn last_at(&self, revision: Revision) -> Option<&T> {
        self.0.iter().rev().filter(|(from, _)| *from <= revision).find_map(|(_, value)| value.as_ref())
    }

    /// As it was at a version that it names itself, or when it was there last before. Where that revision was
    /// forgotten, a later one says the same.
    pub fn pinned(&self, version: Revision, number: impl Fn(&T) -> u64) -> Option<&T> {
        let at = self.last_at(version);
        let says = |value: &&T| number(value) <= version.0 && at.is_none_or(|at| number(at) < number(value));
        let later = self.0.iter().skip_while(|(from, _)| *from <= version).filter_map(|(_, value)| value.as_ref());
        later.take_while(says).next().or(at)
    }

    /// Revisions whose word is superseded by a later one, which is there and not above `until`; but for those of which
    /// that was so up to `since` already. Each with the word before it, and its own.
    pub fn superseded(
        &self,
        since: Revision,
        until: Revision,
    ) -> impl Iterator<Item = (Revision, Option<&T>, Option<&T>)> {
        let last = |up_to| self.0.iter().rposition(|(from, value)| *from <= up_to && value.is_some()).unwrap_or(0);
        let value = |at: usize| self.0.get(at).and_then(|(_, value)| value.as_ref());
        (last(since)..last(until)).map(move |at| (self.0[at].0, at.checked_sub(1).and_then(value), value(at)))
    }

    /// The word of this revision goes, as if it had never been said.
    pub fn forget(&mut self, revision: Revision) -> Option<T> {
        let at = self.0.binary_search_by_key(&revision, |(from, _)| *from).ok()?;
        self.0.remove(at).1
    }

    /// Revisions that say something of it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn newest(&self) -> Option<&T> {
        self.0.last().and_then(|(_, value)| value.as_ref())
    }

    /// The last that was there, gone or not.
    pub fn last_known(&self) -> Option<&T> {
        self.0.iter().rev().find_map(|(_, value)| value.as_ref())
    }

    /// The last that says something of it, or that it is gone.
    pub fn last_revision(&self) -> Option<Revision> {
        self.0.last().map(|(revision, _)| *revision)
    }

    pub fn first_revision(&self) -> Option<Revision> {
        self.0.first().map(|(revision, _)| *revision)
    }
}
