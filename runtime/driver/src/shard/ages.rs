//! How old is what a shard's lanes have not delivered, and how long do the topics keep it? Offsets of which this
//! process has not seen the time are asked for, one after the other.

use super::*;
use crate::{alarms::Alarms, stay::Stay, timeline::Timeline};
use outflow_catalogue::Catalogue;
use std::time::{SystemTime, UNIX_EPOCH};

/// All lanes are looked at so often.
const SURVEY_EVERY: Duration = Duration::from_secs(5);
/// A reader that was heard of since is on its way: the record in front of it is about as old as the one behind.
const HEARD_MS: i64 = 10_000;
/// Of one partition; the others are found by the next survey.
const UNKNOWN_MAX: usize = 1_000;
/// An offset that could not be looked up.
const ASK_AGAIN: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Ages {
    timelines: BTreeMap<TopicPartition, Timeline>,
    /// Offsets of the last survey that nothing is known of.
    unknown: BTreeMap<TopicPartition, BTreeSet<Offset>>,
    is_asking: bool,
    asked: usize,
    not_before: BTreeMap<(TopicPartition, Offset), Instant>,
    surveyed: Option<Instant>,
    /// The logs' ends as of the last survey: who stands below them is behind, and not just between two fetches.
    ends: BTreeMap<TopicPartition, Offset>,
    alarms: Alarms<Late>,
    /// By connector.
    overdue: BTreeMap<String, Overdue>,
}

/// Whose data may be removed before it is delivered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Late {
    Lane(LaneId),
    /// What the feed has not even read.
    Unread(Track),
}

/// Of a connector in this shard.
#[derive(Clone, Copy, Default)]
pub(super) struct Overdue {
    pub lag_ms: Option<u64>,
    pub left_ms: Option<u64>,
    pub alarms: u64,
}

const NOTHING: Overdue = Overdue { lag_ms: Some(0), left_ms: None, alarms: 0 };

/// Of a lane in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Undelivered {
    /// The first offset that is not delivered.
    pub from: Offset,
    /// Below it data is gone.
    pub log_start: Offset,
    /// Of the record there; none is unknown.
    pub age_ms: Option<u64>,
    pub stay: Stay,
}

/// The oldest that is known; none if there is some that is not, and nothing to tell instead.
pub fn oldest_known(ages: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    let (mut oldest, mut is_unknown) = (0, false);
    for age in ages {
        oldest = oldest.max(age.unwrap_or_default());
        is_unknown |= age.is_none();
    }
    (oldest > 0 || !is_unknown).then_some(oldest)
}

/// The oldest of several; none as soon as one of them is unknown.
pub fn oldest(ages: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    ages.into_iter().try_fold(0, |oldest: u64, age| Some(oldest.max(age?)))
}

impl Ages {
    pub fn read(&mut self, range: OffsetRange, block: &RecordBlock) {
        let rows = times(block, 0..block.len());
        self.timelines.entry(block.partition()).or_default().read(range, rows, now_ms());
    }

    pub fn read_again(&mut self, partition: TopicPartition, piece: &Piece) {
        let rows = piece.kept.iter().flat_map(|kept| times(&kept.slice.block, kept.slice.rows.clone()));
        self.timelines.entry(partition).or_default().read_again(piece.start, rows, now_ms());
    }

    pub(super) fn is_survey_due(&self) -> bool {
        self.surveyed.is_none_or(|at| at.elapsed() >= SURVEY_EVERY)
    }

    pub(super) fn overdue(&self, connector: &str) -> Overdue {
        self.overdue.get(connector).copied().unwrap_or_default()
    }

    pub(super) fn overdue_connectors(&self) -> impl Iterator<Item = &String> {
        self.overdue.keys()
    }

    fn age(&self, partition: TopicPartition, offset: Offset, now_ms: i64) -> Option<u64> {
        let at_ms = self.timelines.get(&partition)?.at(offset)?;
        Some(now_ms.saturating_sub(at_ms).max(0) as u64)
    }

    /// Of the record that is read next.
    fn age_ahead(&self, partition: TopicPartition, position: Offset, now_ms: i64) -> Option<u64> {
        let last = || {
            let at_ms = self.timelines.get(&partition)?.last_before(position, now_ms - HEARD_MS)?;
            Some(now_ms.saturating_sub(at_ms).max(0) as u64)
        };
        self.age(partition, position, now_ms).or_else(last)
    }

    /// Lowest, highest and middle in turn: what lies between two that are as old needs no question.
    fn next_question(&mut self) -> Option<(TopicPartition, Offset)> {
        let now = Instant::now();
        self.not_before.retain(|_, at| *at > now);
        let (partition, offsets) = self.unknown.iter().nth(self.asked / 3 % self.unknown.len().max(1))?;
        let may_be_asked = |offset: &&Offset| !self.not_before.contains_key(&(*partition, **offset));
        let open: Vec<Offset> = offsets.iter().filter(may_be_asked).copied().collect();
        let at = [0, open.len().saturating_sub(1), open.len() / 2][self.asked % 3];
        self.asked += 1;
        Some((*partition, *open.get(at)?))
    }
}

fn times(block: &RecordBlock, rows: std::ops::Range<usize>) -> impl Iterator<Item = (Offset, i64)> {
    rows.map(|row| (block.offset(row), block.get(row).timestamp_ms))
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64)
}

/// What a survey finds.
#[derive(Default)]
pub(super) struct Survey {
    overdue: BTreeMap<String, Overdue>,
    unknown: BTreeMap<TopicPartition, BTreeSet<Offset>>,
    late: BTreeMap<Late, Option<u64>>,
}

impl Survey {
    fn see(&mut self, connector: &str, who: Late, partition: TopicPartition, seen: Undelivered) {
        if seen.age_ms.is_none() {
            let unknown = self.unknown.entry(partition).or_default();
            if unknown.len() < UNKNOWN_MAX {
                unknown.insert(seen.from.max(seen.log_start));
            }
        }
        // Not a name for each of tens of thousands of lanes.
        if !self.overdue.contains_key(connector) {
            self.overdue.insert(connector.to_owned(), NOTHING);
        }
        let overdue = self.overdue.get_mut(connector).expect("just inserted");
        overdue.lag_ms = oldest_known([overdue.lag_ms, seen.age_ms]);
        overdue.left_ms = overdue.left_ms.into_iter().chain(seen.stay.left_ms).min();
        if seen.stay.is_alarm {
            let left = self.late.entry(who).or_insert(seen.stay.left_ms);
            *left = (*left).min(seen.stay.left_ms);
        }
    }
}

impl ShardTask {
    fn undelivered_at(
        &self,
        partition: TopicPartition,
        from: Offset,
        now_ms: i64,
        age: fn(&Ages, TopicPartition, Offset, i64) -> Option<u64>,
    ) -> Undelivered {
        let log = self.log.get(&partition).copied().unwrap_or(OffsetRange { start: Offset::ZERO, next: Offset::ZERO });
        let age_ms = age(&self.ages, partition, from.max(log.start), now_ms);
        let retention = self.topology.retention(partition.topic);
        let stay = Stay::of(from, log, age_ms, retention, self.shared.retention_alarm_ms);
        Undelivered { from, log_start: log.start, age_ms, stay }
    }

    pub(super) fn undelivered_of(&self, id: LaneId) -> impl Iterator<Item = (TopicPartition, Undelivered)> {
        let now_ms = now_ms();
        let undelivered = self.engine.undelivered(id).into_iter();
        undelivered.map(move |(key, from)| (key, self.undelivered_at(key, from, now_ms, Ages::age)))
    }

    /// Asks for what the last survey did not know.
    pub(super) fn look_at_ages(&mut self) {
        if !self.ages.is_asking && !self.is_draining {
            self.ask();
        }
    }

    pub(super) fn survey_lane(&self, survey: &mut Survey, catalogue: &Catalogue, id: LaneId) {
        let Some(entry) = catalogue.lane(id) else { return };
        for (partition, seen) in self.undelivered_of(id) {
            survey.see(&entry.connector, Late::Lane(id), partition, seen);
        }
    }

    /// What nobody has read yet, and what all of it comes to.
    pub(super) fn finish_survey(&mut self, mut survey: Survey) {
        self.ages.surveyed = Some(Instant::now());
        let now_ms = now_ms();
        {
            let catalogue = self.shared.configuration.catalogue();
            for (track, position) in self.engine.tracks() {
                let Some(feed) = catalogue.feed(track.feed) else { continue };
                survey.overdue.entry(feed.connector.to_string()).or_insert(NOTHING);
                let end = self.ages.ends.get(&track.partition).or(self.log.get(&track.partition).map(|log| &log.next));
                if end.is_some_and(|end| position < *end) {
                    let seen = self.undelivered_at(track.partition, position, now_ms, Ages::age_ahead);
                    survey.see(&feed.connector, Late::Unread(track), track.partition, seen);
                }
            }
            for who in survey.late.keys() {
                let connector = match who {
                    Late::Lane(id) => catalogue.lane(*id).map(|entry| entry.connector.as_str()),
                    Late::Unread(track) => catalogue.feed(track.feed).map(|feed| &*feed.connector),
                };
                let overdue = connector.and_then(|connector| survey.overdue.get_mut(connector));
                overdue.into_iter().for_each(|overdue| overdue.alarms += 1);
            }
        }
        self.ages.ends = self.log.iter().map(|(key, log)| (*key, log.next)).collect();
        (self.ages.overdue, self.ages.unknown) = (survey.overdue, survey.unknown);
        self.warn(&survey.late);
    }

    fn warn(&mut self, late: &BTreeMap<Late, Option<u64>>) {
        let say = self.ages.alarms.see(late.keys().copied().collect(), self.started.elapsed().as_millis() as u64);
        let catalogue = self.shared.configuration.catalogue();
        for who in say.named {
            let left_s = late.get(&who).copied().flatten().unwrap_or_default() / 1_000;
            match who {
                Late::Lane(id) => {
                    let entry = catalogue.lane(id);
                    let (connector, merchant) =
                        entry.map(|entry| (&*entry.connector, entry.merchant.as_deref())).unzip();
                    tracing::warn!(
                        lane = id.0,
                        connector,
                        merchant = merchant.flatten(),
                        retention_left_s = left_s,
                        event = "retention-alarm",
                        "retention will remove what a lane has not delivered"
                    );
                }
                Late::Unread(track) => {
                    let connector = catalogue.feed(track.feed).map(|feed| &*feed.connector);
                    let (topic, partition) = (self.topology.name(track.partition.topic), track.partition.partition);
                    tracing::warn!(
                        connector, %topic, partition, retention_left_s = left_s, event = "retention-alarm",
                        "retention will remove what a connector has not read"
                    );
                }
            }
        }
        if say.more > 0 {
            let (shard, more) = (self.shard.0, say.more);
            tracing::warn!(
                shard,
                more,
                event = "retention-alarm",
                "retention will remove what more lanes have not delivered: `outflow merchants list --alarm retention`"
            );
        }
    }

    fn ask(&mut self) {
        let Some((partition, offset)) = self.ages.next_question() else { return };
        self.ages.is_asking = true;
        let (mail, catch_up) = (self.mail.clone(), self.shared.catch_up.clone());
        self.tasks.spawn(async move {
            let result = catch_up.time_at(partition, offset).await;
            let _ = mail.send(Mail::TimeAt { partition, offset, result });
        });
    }

    pub(super) fn time_at(&mut self, partition: TopicPartition, offset: Offset, result: Result<TimeAt, Fault>) {
        let ages = &mut self.ages;
        ages.is_asking = false;
        match result {
            Ok(TimeAt::Busy) => return,
            Ok(TimeAt::Record(found, at_ms)) => {
                ages.timelines.entry(partition).or_default().learn(offset, (found, at_ms), now_ms());
            }
            Ok(TimeAt::End) => {}
            Err(fault) => tracing::debug!(?partition, offset = offset.0, %fault, "how old a record is is not known"),
        }
        if ages.age(partition, offset, now_ms()).is_none() {
            ages.not_before.insert((partition, offset), Instant::now() + ASK_AGAIN);
        }
        let timeline = ages.timelines.entry(partition).or_default();
        if let Some(unknown) = ages.unknown.get_mut(&partition) {
            unknown.retain(|offset| timeline.at(*offset).is_none());
            if unknown.is_empty() {
                ages.unknown.remove(&partition);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::TopicId;

    const PARTITION: TopicPartition = TopicPartition { topic: TopicId(1), partition: 0 };

    #[test]
    fn nothing_is_no_lag_and_what_is_unknown_is_neither() {
        assert_eq!([oldest([]), oldest([Some(3), Some(5)]), oldest([Some(3), None])], [Some(0), Some(5), None]);
        assert_eq!(oldest_known([Some(0), Some(0)]), Some(0));
        assert_eq!(oldest_known([Some(5), None]), Some(5));
        assert_eq!(oldest_known([Some(0), None]), None, "an unknown age is not 0");
    }

    #[test]
    fn questions_begin_with_both_ends_and_what_was_asked_in_vain_waits() {
        let offsets: BTreeSet<Offset> = (0..101).map(Offset).collect();
        let mut ages = Ages { unknown: BTreeMap::from([(PARTITION, offsets)]), ..Ages::default() };
        let asked: Vec<i64> = (0..3).filter_map(|_| ages.next_question()).map(|(_, offset)| offset.0).collect();
        assert_eq!(asked, [0, 100, 50]);
        ages.not_before.insert((PARTITION, Offset(0)), Instant::now() + ASK_AGAIN);
        assert_eq!(ages.next_question(), Some((PARTITION, Offset(1))));
        ages.unknown.clear();
        assert_eq!(ages.next_question(), None);
    }
}
