use crate::Revision;

/// Whose rows are, and what they become, where they are read again (P18, P21, P32): each by one revision for all of
/// them, or (`None`) by the one in force at each row's own offset.
///
/// The two are apart because `mend` changes the second alone: would it ask the newest definitions whose the rows are,
/// a row whose key has moved meanwhile would be delivered by nobody, or by two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Pins {
    pub whose: Option<Revision>,
    pub shape: Option<Revision>,
}

/// The definitions of one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin {
    /// Says whose it is.
    pub whose: Revision,
    /// Says what it becomes: model, place, which rows the lane takes at all.
    pub shape: Revision,
}

impl Pins {
    /// The live stream and its debt.
    pub const OWN_OFFSETS: Pins = Pins { whose: None, shape: None };

    pub const fn to(revision: Revision) -> Pins {
        Pins { whose: Some(revision), shape: Some(revision) }
    }

    /// The same rows in another shape.
    pub const fn reshaped(self, revision: Revision) -> Pins {
        Pins { shape: Some(revision), ..self }
    }

    /// Of a row at whose offset this revision is in force.
    pub fn at(self, own: Revision) -> Pin {
        let whose = self.whose.unwrap_or(own);
        Pin { whose, shape: self.shape.unwrap_or(whose) }
    }

    /// The oldest revision that is named.
    pub fn oldest(self) -> Option<Revision> {
        self.whose.into_iter().chain(self.shape).min()
    }
}

impl Pin {
    pub const fn to(revision: Revision) -> Pin {
        Pin { whose: revision, shape: revision }
    }
}
