/// How long a topic keeps its records: what is older, or lies below the newest so many bytes, is removed sooner or
/// later, whoever still wants it. Neither: nothing is removed, or by compaction alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// Behind a record's timestamp; whole segments go, so the record itself may stay longer.
    pub ms: Option<u64>,
    /// Of each partition.
    pub bytes: Option<u64>,
}

impl Retention {
    pub fn is_unlimited(&self) -> bool {
        self.ms.is_none() && self.bytes.is_none()
    }
}
