//! How long a topic still keeps what is not delivered.

use outflow_api::{Offset, OffsetRange, Retention};

/// Of the first record in a partition that a lane has not delivered. Whole segments are removed, so what is said here
/// comes true later rather than sooner.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stay {
    /// Until retention by time removes it; none where it never does, or where that is not known.
    pub left_ms: Option<u64>,
    /// Records that retention by size removes first; none where there is no such retention.
    pub records_left: Option<u64>,
    /// There is less time than people want, or it is gone already.
    pub is_alarm: bool,
    /// There may be a limit, and when it comes is not known.
    pub is_unknown: bool,
}

impl Stay {
    /// `alarm_ms` is never more than half of what the topic keeps: what comes in must not alarm anybody.
    pub fn of(
        from: Offset,
        log: OffsetRange,
        age_ms: Option<u64>,
        retention: Option<Retention>,
        alarm_ms: u64,
    ) -> Stay {
        if from < log.start {
            return Stay { left_ms: Some(0), records_left: Some(0), is_alarm: true, is_unknown: false };
        }
        let Some(Retention { ms, bytes }) = retention else { return Stay { is_unknown: true, ..Stay::default() } };
        let left_ms = ms.zip(age_ms).map(|(kept, age)| kept.saturating_sub(age));
        let is_alarm = ms.zip(left_ms).is_some_and(|(kept, left)| left < alarm_ms.min(kept / 2));
        let records_left = bytes.map(|_| (from.0 - log.start.0).unsigned_abs());
        Stay { left_ms, records_left, is_alarm, is_unknown: ms.is_some() && age_ms.is_none() }
    }

    /// Of both: the shorter time, if both are known; an alarm outweighs what is not known.
    pub fn and(self, other: Stay) -> Stay {
        let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Stay {
            left_ms: least(self.left_ms, other.left_ms),
            records_left: least(self.records_left, other.records_left),
            is_alarm: self.is_alarm || other.is_alarm,
            is_unknown: self.is_unknown || other.is_unknown,
        }
    }

    /// As people are told it: a part that is not known may be the shorter one.
    pub fn told_ms(&self) -> Option<u64> {
        self.left_ms.filter(|_| self.is_alarm || !self.is_unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: OffsetRange = OffsetRange { start: Offset(100), next: Offset(1_000) };
    const HOUR: u64 = 3_600_000;
    const WEEK: Retention = Retention { ms: Some(168 * HOUR), bytes: None };

    fn stay(from: i64, age_ms: Option<u64>, retention: Option<Retention>) -> Stay {
        Stay::of(Offset(from), LOG, age_ms, retention, 24 * HOUR)
    }

    #[test]
    fn the_time_left_is_what_retention_has_not_used_up_and_alarms_below_the_threshold() {
        let of = |age| stay(500, Some(age), Some(WEEK));
        assert_eq!((of(HOUR).left_ms, of(HOUR).is_alarm), (Some(167 * HOUR), false));
        assert_eq!((of(144 * HOUR).left_ms, of(144 * HOUR).is_alarm), (Some(24 * HOUR), false));
        assert_eq!((of(145 * HOUR).left_ms, of(145 * HOUR).is_alarm), (Some(23 * HOUR), true));
        assert_eq!((of(999 * HOUR).left_ms, of(999 * HOUR).is_alarm), (Some(0), true));
    }

    #[test]
    fn a_topic_that_keeps_little_alarms_at_half_of_it() {
        let two_hours = Some(Retention { ms: Some(2 * HOUR), bytes: None });
        assert!(!stay(500, Some(HOUR), two_hours).is_alarm);
        assert!(stay(500, Some(HOUR + 1), two_hours).is_alarm);
    }

    #[test]
    fn what_lies_below_the_log_is_gone_whatever_else_is_known() {
        let gone = Stay { left_ms: Some(0), records_left: Some(0), is_alarm: true, is_unknown: false };
        assert_eq!([stay(99, None, None), stay(0, Some(1), Some(Retention::default()))], [gone; 2]);
    }

    #[test]
    fn what_is_not_known_is_not_told_and_what_has_no_limit_has_none() {
        assert_eq!(stay(100, Some(HOUR), Some(Retention::default())), Stay::default());
        assert!(stay(500, Some(HOUR), None).is_unknown && stay(500, None, Some(WEEK)).is_unknown);
        let by_size = stay(500, None, Some(Retention { ms: None, bytes: Some(1 << 30) }));
        assert_eq!((by_size.told_ms(), by_size.records_left, by_size.is_unknown), (None, Some(400), false));
    }

    #[test]
    fn of_two_partitions_the_shorter_counts_and_an_unknown_one_hides_a_long_time_but_no_alarm() {
        let (old, new, unknown) =
            (stay(500, Some(160 * HOUR), Some(WEEK)), stay(500, Some(0), Some(WEEK)), stay(500, None, Some(WEEK)));
        assert_eq!((old.and(new).told_ms(), old.and(new).is_alarm), (Some(8 * HOUR), true));
        assert_eq!((new.and(unknown).told_ms(), old.and(unknown).told_ms()), (None, Some(8 * HOUR)));
        assert_eq!(Stay::default().and(new), new);
    }
}
