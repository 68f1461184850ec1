use crate::{
    BatchId, Blame, Charge, Decoder, Delivered, Fault, Generation, Incarnation, OffsetRange, Remote, Shard,
    TopicPartition,
};
use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use std::{ops::Range, sync::Arc};

/// Frozen: same id, same rows, for ever.
pub struct SealedBatch {
    pub id: BatchId,
    /// Name of the connector, for keys and messages.
    pub connector: Arc<str>,
    /// The rows that fit the model, in (topic, partition, offset) order. All batches have one schema.
    pub batches: Vec<RecordBatch>,
    /// Where the rows come from, in the same order.
    pub origins: Vec<Origin>,
    /// Of the newest record's timestamp, milliseconds since 1970 UTC: the only time a sink may use, for a batch that
    /// is encoded again must come to the same bytes and keys.
    pub timestamp_ms_max: i64,
}

impl SealedBatch {
    pub fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    pub topic: Arc<str>,
    pub partition: TopicPartition,
    pub covers: OffsetRange,
    /// Rows of the batch, counted over all of its `batches`.
    pub rows: Range<usize>,
}

/// What goes over the wire, made once and kept until the destination has it.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    pub pieces: Vec<Piece>,
    /// Indices of rows of the batch that this destination can never take (too large, out of its range), with the
    /// reason; they are in no piece. Rising.
    pub rejected: Vec<(usize, String)>,
}

impl Encoded {
    pub fn held_bytes(&self) -> usize {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Which row of the batch the `sent`th row of all pieces is, where pieces keep the batch's order.
    pub fn index_in_batch(&self, sent: usize) -> usize {
        self.rejected.iter().fold(sent, |index, (rejected, _)| index + usize::from(*rejected <= index))
    }
}

/// One object, stream or staging file.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Object key below the sink's prefix, or whatever names the piece at the destination. Contains the batch's id.
    pub name: String,
    pub rows: u64,
    pub bytes: Vec<Bytes>,
}

impl Piece {
    pub fn len(&self) -> usize {
        self.bytes.iter().map(Bytes::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.iter().all(Bytes::is_empty)
    }
}

/// All that `commit` needs, and nothing that lives in memory alone: it is journaled, and may be read back by another
/// process, of an older or a newer build.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    pub id: BatchId,
    /// Starts with a version number of the sink's own and carries the destination's identity.
    pub token: Bytes,
}

/// What came of preparing a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PrepareOutcome {
    Prepared(Prepared),
    /// Rows (indices into the batch, rising) that the destination refuses for good, and why: at least one, not
    /// necessarily all. Nothing of the batch is staged that could ever become visible. These rows become dead letters,
    /// and the others are another batch, under another id.
    Refused {
        rows: Vec<(usize, String)>,
    },
}

impl PrepareOutcome {
    pub fn prepared(self) -> Option<Prepared> {
        match self {
            PrepareOutcome::Prepared(prepared) => Some(prepared),
            PrepareOutcome::Refused { .. } => None,
        }
    }
}

impl From<Prepared> for PrepareOutcome {
    fn from(prepared: Prepared) -> PrepareOutcome {
        PrepareOutcome::Prepared(prepared)
    }
}

pub const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// The ledger keeps it for ever.
pub const RECEIPT_BYTES_MAX: usize = 16 * 1024;

/// Proof that the decision to reveal a batch is in the journal. Only the engine mints it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitPermit(Prepared);

impl CommitPermit {
    #[doc(hidden)]
    pub fn mint(prepared: Prepared) -> CommitPermit {
        CommitPermit(prepared)
    }

    pub fn prepared(&self) -> &Prepared {
        &self.0
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommitOutcome {
    Committed,
    /// An earlier call did it; this one found it done. Looked up at the destination, never assumed.
    AlreadyCommitted,
    /// The rows are needed and were not given. The engine reads the same rows again and repeats the call.
    NeedsRows,
    /// Rows (indices into the batch, rising) that the destination refuses for good, and why; the others wait, and
    /// nothing of the batch is visible. For a sink that sends rows only now: the call is repeated, under the same id,
    /// with a batch that lacks these rows.
    Rejected {
        rows: Vec<(usize, String)>,
    },
    /// Proven by the sink itself: not visible, and made impossible to become visible. "Not there" is no proof.
    Lost,
}

/// A destination that can hold a batch invisibly and reveal it later.
///
/// # Contract (`tests/conformance` checks every line against every sink)
/// - `encode` is pure: the same batch gives the same pieces.
/// - `prepare` leaves nothing that a reader or a lister of the destination can see; nor does it if it refuses rows.
/// - Rows that are refused are named by their place in the batch that was encoded, each with a reason that people can
///   act upon. The same rows without them are taken, or others of them are refused: never one that was not given.
/// - Every call may be repeated, and may be cut off at any await: the next call copes.
/// - `commit` finds out at the destination whether it already happened; two calls, even at once, even from two
///   processes, reveal the batch once.
/// - `commit` answers `Lost` only after it made the reveal impossible; after `Lost` nothing of the batch appears.
/// - After `abort` or `sweep`, a batch that was not visible never becomes visible.
/// - A token or receipt of another destination (its identity differs) is a fault that parks, never `Lost`.
/// - After `remove`, no reader finds a row of the batch, and no late `commit` brings one back, whoever sent it; all
///   rows of every other batch stay.
/// - A sink does not retry, sleep, spawn or read a clock: it answers a [`Fault`], and the engine decides.
/// - A fault says how far it reaches: what concerns one lane alone must not stop the others of its host.
/// - `open` does no I/O: ten thousand lanes are opened at start.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Whom calls go to, and as whom; `None` if they do not leave this machine. A call that answers at its first poll
    /// is taken to have asked nobody: it says nothing about the host.
    fn remote(&self) -> Option<&Remote>;
    /// CPU only; called on a thread that may compute for long.
    fn encode(&self, batch: &SealedBatch) -> Result<Encoded, Fault>;
    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<PrepareOutcome, Fault>;
    async fn commit(&self, permit: &CommitPermit, encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault>;
    /// Of a batch that was never decided.
    async fn abort(&self, prepared: &Prepared) -> Result<(), Fault>;
    /// Garbage collection: what older generations of this shard prepared and nobody decided.
    async fn sweep(&self, scope: &SweepScope) -> Result<SweepReport, Fault>;
    /// What the ledger keeps of a batch, for ever, so that `remove` can find it: short, without upload ids or parts.
    /// Empty: this sink cannot remove, and a replay with `replace` is refused.
    fn receipt(&self, _prepared: &Prepared) -> Bytes {
        Bytes::new()
    }
    /// Takes the rows of a visible batch away: those of a run that takes its place are visible, and journaled as such.
    /// Repeated until it answers, also by other processes; done, too, where nothing is left to be removed. For a
    /// destination that could swap old rows for new ones in one transaction, a permit would have to name the old ones:
    /// none does yet.
    async fn remove(&self, old: &Delivered) -> Result<(), Fault> {
        let hint = format!("batch {} cannot be removed: this kind of destination has no way to do it", old.id);
        Err(Fault::park(Blame::Us, "cannot-remove", hint))
    }
    /// `check --connect`: can we write here? Leaves nothing behind. Answers what was seen, step by step.
    async fn examine(&self) -> Vec<crate::Finding>;
}

#[derive(Clone, Debug)]
pub struct SweepScope {
    pub incarnation: Incarnation,
    pub shard: Shard,
    pub below: Generation,
    pub keep: Vec<Prepared>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SweepReport {
    pub removed: u64,
}

/// Where a lane delivers to, from explicit settings alone (endpoint, account, bucket, prefix): never from a
/// reference such as `${env:BUCKET}`, which means two places on two workers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity(pub String);

/// Makes a sink from resolved settings.
pub type OpenSink = fn(&serde_json::Value, SinkContext) -> Result<Arc<dyn Sink>, Fault>;

/// The whole of what a connector crate exports, as one constant.
pub struct SinkDescriptor {
    /// As in the config: `object_store`.
    pub kind: &'static str,
    pub guarantee: Guarantee,
    /// It answers receipts and can `remove`: replays may replace.
    pub removes: bool,
    /// What each batch takes of limits that the destination sets for all who share them (a project, an account), from
    /// settings whose references are *not* resolved. What cannot be carried is refused with the arithmetic, before it
    /// is tried. Empty: there are no such limits.
    pub charges: fn(&serde_json::Value) -> Vec<Charge>,
    /// All that it takes, for `check`, for flat configurations and for people.
    pub settings: &'static [Setting],
    /// From settings whose references are *not* resolved; refuses references in fields that say where.
    pub identity: fn(&serde_json::Value) -> Result<Identity, Fault>,
    /// From resolved settings. Unknown fields are errors that name what is allowed. No I/O.
    pub open: OpenSink,
}

/// One setting of a sink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Dotted: `file.type`.
    pub name: &'static str,
    pub kind: SettingKind,
    /// With its default, in a few words.
    pub meaning: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SettingKind {
    Text,
    Flag,
    Number,
    /// Given as a reference only.
    Secret,
}

impl Setting {
    pub const fn text(name: &'static str, meaning: &'static str) -> Setting {
        Setting { name, kind: SettingKind::Text, meaning }
    }

    pub const fn flag(name: &'static str, meaning: &'static str) -> Setting {
        Setting { name, kind: SettingKind::Flag, meaning }
    }

    pub const fn number(name: &'static str, meaning: &'static str) -> Setting {
        Setting { name, kind: SettingKind::Number, meaning }
    }

    pub const fn secret(name: &'static str, meaning: &'static str) -> Setting {
        Setting { name, kind: SettingKind::Secret, meaning }
    }
}

/// Of settings that cannot be read: `invalid type: string "hunter2", expected …` must not print what was given, for it
/// may be a secret in a wrong place.
pub fn without_values(message: &str) -> String {
    let mut out = String::new();
    for (index, part) in message.split('"').enumerate() {
        out.push_str(if index % 2 == 0 { part } else { "…" });
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guarantee {
    ExactlyOnce,
    ExactlyOnceWithinWindow,
    AtLeastOnce,
}

pub struct SinkContext {
    pub identity: Identity,
    /// Rows come from this model: a sink may refuse a schema that it cannot write.
    pub decoder: Arc<dyn Decoder>,
}
