//! When the records of a partition were written, as far as this process has seen it: what says how old a debt is.

use outflow_api::{Offset, OffsetRange};
use std::collections::BTreeMap;

/// More are merged: 40 bytes each.
const SPANS_MAX: usize = 1_000;
/// Records of one span are as old as each other, give or take so much …
const TOLERANCE_MS: i64 = 1_000;
/// … or this part of their age.
const TOLERANCE_OF_AGE: i64 = 32;

/// A bounded table. What is old takes few spans, what is new as many as it needs.
#[derive(Default)]
pub(crate) struct Timeline {
    /// By their first offset; disjoint.
    spans: BTreeMap<Offset, Span>,
    read: Option<Read>,
}

/// The first record at or above each offset of a span was written between these two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    until: Offset,
    oldest_ms: i64,
    newest_ms: i64,
}

/// Where the live reader stands.
#[derive(Clone, Copy)]
struct Read {
    /// No record in between: the next one's span reaches back over it.
    gap: OffsetRange,
    last_ms: i64,
    heard_ms: i64,
}

impl Span {
    fn with(self, other: Span) -> Span {
        Span {
            until: other.until.max(self.until),
            oldest_ms: other.oldest_ms.min(self.oldest_ms),
            newest_ms: other.newest_ms.max(self.newest_ms),
        }
    }

    fn is_narrow(&self, now_ms: i64, factor: i64) -> bool {
        let tolerance = TOLERANCE_MS.max(now_ms.saturating_sub(self.oldest_ms) / TOLERANCE_OF_AGE);
        self.newest_ms.saturating_sub(self.oldest_ms) <= tolerance.saturating_mul(factor)
    }
}

impl Timeline {
    /// What the live reader brings; ranges chain.
    pub fn read(&mut self, range: OffsetRange, rows: impl Iterator<Item = (Offset, i64)>, now_ms: i64) {
        let chained = self.read.filter(|read| read.gap.next == range.start);
        let from = chained.map_or(range.start, |read| read.gap.start);
        let mut last_ms = chained.map_or(-1, |read| read.last_ms);
        let rows = rows.inspect(|(_, at_ms)| last_ms = *at_ms);
        let gap = OffsetRange::new(self.add(from, rows, now_ms), range.next);
        self.read = Some(Read { gap, last_ms, heard_ms: now_ms });
    }

    /// What was read again.
    pub fn read_again(&mut self, from: Offset, rows: impl Iterator<Item = (Offset, i64)>, now_ms: i64) {
        self.add(from, rows, now_ms);
    }

    /// The source was asked for the first record at or above `from`.
    pub fn learn(&mut self, from: Offset, (found, at_ms): (Offset, i64), now_ms: i64) {
        if at_ms < 0 {
            return;
        }
        let mut new = (from, Span { until: found.after(), oldest_ms: at_ms, newest_ms: at_ms });
        // Between records of nearly one time lie those of the same time.
        let below = self.spans.range(..from).next_back().map(|(start, span)| (*start, *span));
        if let Some((start, span)) = below.filter(|(_, span)| span.with(new.1).is_narrow(now_ms, 1)) {
            new = (start, span.with(new.1));
        }
        let above = self.spans.range(from..).next().map(|(_, span)| *span);
        if let Some(span) = above.filter(|span| span.with(new.1).is_narrow(now_ms, 1)) {
            new.1 = span.with(new.1);
        }
        self.insert(new.0, new.1);
        self.thin(now_ms);
    }

    /// When the first record at or above this offset was written: never later than it was, unless clocks went back.
    pub fn at(&self, offset: Offset) -> Option<i64> {
        let (_, span) = self.spans.range(..=offset).next_back()?;
        (offset < span.until).then_some(span.oldest_ms)
    }

    /// The last record in front of this offset, if the live reader stands there and has read something since.
    pub fn last_before(&self, offset: Offset, since_ms: i64) -> Option<i64> {
        let read = self.read.filter(|read| read.gap.next == offset && read.heard_ms >= since_ms)?;
        (read.last_ms >= 0).then_some(read.last_ms)
    }

    /// Answers where the next record's span begins.
    fn add(&mut self, mut from: Offset, rows: impl Iterator<Item = (Offset, i64)>, now_ms: i64) -> Offset {
        let mut open: Option<(Offset, Span)> = None;
        for (offset, at_ms) in rows {
            let new = Span { until: offset.after(), oldest_ms: at_ms, newest_ms: at_ms };
            let known = open.take().or_else(|| self.ends_at(from)).filter(|(_, span)| span.until == from);
            open = match known {
                _ if at_ms < 0 => {
                    known.into_iter().for_each(|(start, span)| self.insert(start, span));
                    None
                }
                Some((start, span)) if span.with(new).is_narrow(now_ms, 1) => Some((start, span.with(new))),
                other => {
                    other.into_iter().for_each(|(start, span)| self.insert(start, span));
                    Some((from, new))
                }
            };
            from = offset.after();
        }
        open.into_iter().for_each(|(start, span)| self.insert(start, span));
        self.thin(now_ms);
        from
    }

    fn ends_at(&self, offset: Offset) -> Option<(Offset, Span)> {
        let (start, span) = self.spans.range(..offset).next_back()?;
        (span.until == offset).then_some((*start, *span))
    }

    /// In place of whatever was known of these offsets.
    fn insert(&mut self, start: Offset, span: Span) {
        while let Some((other, old)) = self.spans.range(..span.until).next_back().map(|(other, old)| (*other, *old)) {
            if old.until <= start {
                break;
            }
            self.spans.remove(&other);
            if old.until > span.until {
                self.spans.insert(span.until, old);
            }
            if other < start {
                self.spans.insert(other, Span { until: start, ..old });
            }
        }
        self.spans.insert(start, span);
    }

    fn thin(&mut self, now_ms: i64) {
        if self.spans.len() <= SPANS_MAX {
            return;
        }
        let mut factor: i64 = 1;
        while self.spans.len() > SPANS_MAX / 2 && factor < i64::MAX / 2 {
            self.merge(now_ms, factor);
            factor *= 2;
        }
        if self.spans.len() > SPANS_MAX / 2 {
            // Islands: every other one has to be asked for again.
            let mut stays = false;
            self.spans.retain(|_, _| {
                stays = !stays;
                stays
            });
        }
    }

    fn merge(&mut self, now_ms: i64, factor: i64) {
        let mut merged: Vec<(Offset, Span)> = Vec::with_capacity(self.spans.len());
        for (start, span) in std::mem::take(&mut self.spans) {
            match merged.last_mut() {
                Some((_, last)) if last.until == start && last.with(span).is_narrow(now_ms, factor) => {
                    *last = last.with(span);
                }
                _ => merged.push((start, span)),
            }
        }
        self.spans = merged.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    /// Records at these times, from offset 0 on, read one after the other.
    fn read(times: impl Iterator<Item = i64>) -> Timeline {
        let mut timeline = Timeline::default();
        for (offset, at_ms) in times.enumerate() {
            let offset = Offset(offset as i64);
            timeline.read(OffsetRange::new(offset, offset.after()), [(offset, at_ms)].into_iter(), at_ms);
        }
        timeline
    }

    #[test]
    fn a_month_of_records_is_known_to_a_thirtieth_of_its_age_in_a_thousand_spans() {
        let every_ms = 7_000;
        let count = 30 * DAY_MS / every_ms;
        let timeline = read((0..count).map(|number| number * every_ms));
        let now = count * every_ms;
        assert!(timeline.spans.len() <= SPANS_MAX, "{}", timeline.spans.len());
        for offset in (0..count).step_by(997).chain(count - 100..count) {
            let (at, truth) = (timeline.at(Offset(offset)).expect("it was read"), offset * every_ms);
            let error = truth - at;
            assert!(error >= 0 && error <= 2_000.max((now - at) / 30), "{offset}: {error} ms of {}", now - at);
        }
        assert_eq!(timeline.at(Offset(count)), None, "what was not read is unknown");
    }

    #[test]
    fn the_table_is_bounded_whatever_clocks_say_and_an_answer_is_never_too_young() {
        // Times that jump by up to a year, as of producers with broken clocks.
        let times: Vec<i64> = (0..20_000_i64).map(|n| (n * 7_919 % 365) * DAY_MS + n).collect();
        let timeline = read(times.iter().copied());
        assert!(timeline.spans.len() <= SPANS_MAX);
        for (offset, truth) in times.iter().enumerate() {
            assert!(timeline.at(Offset(offset as i64)).expect("it was read") <= *truth);
        }
    }

    #[test]
    fn holes_belong_to_the_record_behind_them() {
        let mut timeline = Timeline::default();
        let range = |start, next| OffsetRange::new(Offset(start), Offset(next));
        timeline.read(range(0, 7), [(Offset(5), 10_000)].into_iter(), DAY_MS);
        timeline.read(range(7, 9), [].into_iter(), DAY_MS);
        assert_eq!([0, 5, 6, 8].map(|offset| timeline.at(Offset(offset))), [Some(10_000), Some(10_000), None, None]);
        let now = 30 * DAY_MS;
        timeline.read(range(9, 20), [(Offset(12), 9 * DAY_MS)].into_iter(), now);
        assert_eq!(
            [5, 6, 9, 12].map(|offset| timeline.at(Offset(offset))),
            [10_000, 9 * DAY_MS, 9 * DAY_MS, 9 * DAY_MS].map(Some)
        );
        assert_eq!(timeline.last_before(Offset(20), now), Some(9 * DAY_MS));
        assert_eq!(timeline.last_before(Offset(20), now + 1), None, "it was not heard of since");
        assert_eq!(timeline.last_before(Offset(12), 0), None, "the reader does not stand there");
    }

    #[test]
    fn a_record_without_a_time_is_unknown() {
        let mut timeline = Timeline::default();
        let rows = [(Offset(0), 5_000), (Offset(1), -1), (Offset(2), 5_000)];
        timeline.read(OffsetRange::new(Offset(0), Offset(3)), rows.into_iter(), 6_000);
        assert_eq!([0, 1, 2].map(|offset| timeline.at(Offset(offset))), [Some(5_000), None, Some(5_000)]);
        timeline.learn(Offset(1), (Offset(1), -1), 6_000);
        assert_eq!(timeline.at(Offset(1)), None);
    }

    #[test]
    fn what_was_asked_for_joins_what_is_as_old() {
        let now = 100 * DAY_MS;
        let mut timeline = Timeline::default();
        timeline.read(OffsetRange::new(Offset(1_000), Offset(1_001)), [(Offset(1_000), 50 * DAY_MS)].into_iter(), now);
        timeline.learn(Offset(10), (Offset(12), 20 * DAY_MS), now);
        assert_eq!(
            [9, 10, 12, 13, 999].map(|offset| timeline.at(Offset(offset)).map(|at| at / DAY_MS)),
            [None, Some(20), Some(20), None, None]
        );
        timeline.learn(Offset(500), (Offset(500), 49 * DAY_MS), now);
        assert_eq!(
            [499, 500, 700, 1_000].map(|offset| timeline.at(Offset(offset)).map(|at| at / DAY_MS)),
            [None, Some(49), Some(49), Some(49)]
        );
        timeline.learn(Offset(300), (Offset(300), 20 * DAY_MS + 1), now);
        assert_eq!(
            [13, 200, 301].map(|offset| timeline.at(Offset(offset)).map(|at| at / DAY_MS)),
            [Some(20), Some(20), None]
        );
    }

    #[test]
    fn what_is_read_again_changes_nothing_but_what_was_unknown() {
        let mut timeline = read((0..1_000).map(|number| number * 60_000));
        let truth: Vec<Option<i64>> = (0..1_000).map(|offset| timeline.at(Offset(offset))).collect();
        timeline.read_again(Offset(100), (100..300).map(|offset| (Offset(offset), offset * 60_000)), 60_000_000);
        for offset in 0..1_000 {
            let (before, after) = (truth[offset as usize].expect("read"), timeline.at(Offset(offset)).expect("read"));
            let tolerance = TOLERANCE_MS.max((60_000_000 - after) / TOLERANCE_OF_AGE);
            assert!((before - after).abs() <= 2 * tolerance && after <= offset * 60_000, "{offset}: {before} {after}");
        }
    }

    #[test]
    fn islands_are_bounded_too() {
        let mut timeline = Timeline::default();
        for number in 0..10_000 {
            let offset = Offset(number * 100);
            timeline.learn(offset, (offset, number * DAY_MS), 10_000 * DAY_MS);
            assert!(timeline.spans.len() <= SPANS_MAX);
        }
    }
}
