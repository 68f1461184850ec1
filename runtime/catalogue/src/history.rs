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

    pub fn newest(&self) -> Option<&T> {
        self.0.last().and_then(|(_, value)| value.as_ref())
    }

    /// The last that was there, gone or not.
    pub fn last_known(&self) -> Option<&T> {
        self.0.iter().rev().find_map(|(_, value)| value.as_ref())
    }

    pub fn first_revision(&self) -> Option<Revision> {
        self.0.first().map(|(revision, _)| *revision)
    }
}
