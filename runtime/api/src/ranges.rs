use crate::{Offset, OffsetRange};

/// A set of offsets as sorted, disjoint, non-adjacent half-open ranges. The last one may be open-ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ranges(Vec<OffsetRange>);

impl Ranges {
    pub fn of(range: OffsetRange) -> Ranges {
        let mut ranges = Ranges::default();
        ranges.insert(range);
        ranges
    }

    pub fn as_slice(&self) -> &[OffsetRange] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn first(&self) -> Option<OffsetRange> {
        self.0.first().copied()
    }

    pub fn last(&self) -> Option<OffsetRange> {
        self.0.last().copied()
    }

    pub fn is_open_ended(&self) -> bool {
        self.0.last().is_some_and(|range| range.next == Offset::OPEN)
    }

    pub fn contains(&self, offset: Offset) -> bool {
        let after = self.0.partition_point(|range| range.start <= offset);
        after > 0 && self.0[after - 1].contains(offset)
    }

    pub fn insert(&mut self, new: OffsetRange) {
        if new.is_empty() {
            return;
        }
        let from = self.0.partition_point(|range| range.next < new.start);
        let to = self.0.partition_point(|range| range.start <= new.next);
        let merged = self.0[from..to]
            .iter()
            .fold(new, |all, range| OffsetRange::new(all.start.min(range.start), all.next.max(range.next)));
        self.0.splice(from..to, [merged]);
    }

    pub fn remove(&mut self, gone: OffsetRange) {
        if gone.is_empty() {
            return;
        }
        let kept = self.0.iter().flat_map(|range| {
            let left = OffsetRange { start: range.start, next: range.next.min(gone.start) };
            let right = OffsetRange { start: range.start.max(gone.next), next: range.next };
            [left, right].into_iter().filter(|part| part.start < part.next)
        });
        self.0 = kept.collect();
    }

    /// What is in `self` and not in `other`.
    pub fn minus(&self, other: &Ranges) -> Ranges {
        let (mut rest, mut gone) = (Vec::new(), other.0.as_slice());
        for range in &self.0 {
            let mut start = range.start;
            while let Some((first, behind)) = gone.split_first().filter(|(first, _)| first.start < range.next) {
                if start < first.start {
                    rest.push(OffsetRange::new(start, first.start));
                }
                start = start.max(first.next);
                if range.next < first.next {
                    break; // it reaches into what follows
                }
                gone = behind;
            }
            if start < range.next {
                rest.push(OffsetRange::new(start, range.next));
            }
        }
        Ranges(rest)
    }

    /// What is in both.
    pub fn within(&self, other: &Ranges) -> Ranges {
        self.minus(&self.minus(other))
    }

    pub fn insert_all(&mut self, other: &Ranges) {
        other.0.iter().for_each(|range| self.insert(*range));
    }

    /// How many offsets; none of an open end.
    pub fn offsets(&self) -> u64 {
        let closed = self.0.iter().filter(|range| range.next != Offset::OPEN);
        closed.map(|range| (range.next.0 - range.start.0) as u64).sum()
    }

    /// True if every offset of `range` is in the set.
    pub fn covers(&self, range: OffsetRange) -> bool {
        range.is_empty() || self.0.iter().any(|own| own.start <= range.start && range.next <= own.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, next: i64) -> OffsetRange {
        OffsetRange::new(Offset(start), Offset(next))
    }

    #[test]
    fn sets_of_ranges_agree_with_sets_of_numbers() {
        // Every pair of operations on a small universe, against a plain bit set.
        let all: Vec<OffsetRange> = (0..6).flat_map(|a| (a..7).map(move |b| range(a, b))).collect();
        let bits = |r: &OffsetRange| (r.start.0..r.next.0).fold(0u32, |b, i| b | 1 << i);
        for a in &all {
            for b in &all {
                for c in &all {
                    let mut set = Ranges::of(*a);
                    set.insert(*b);
                    set.remove(*c);
                    let expected = (bits(a) | bits(b)) & !bits(c);
                    let got = set.as_slice().iter().fold(0, |all, r| all | bits(r));
                    assert_eq!(got, expected, "{a:?} + {b:?} - {c:?} = {set:?}");
                    assert!((0..8).all(|i| set.contains(Offset(i)) == (expected >> i & 1 == 1)));
                    assert!(set.as_slice().windows(2).all(|w| w[0].next < w[1].start), "{set:?} is not normal");
                    let mut other = Ranges::of(*b);
                    other.insert(*c);
                    let of = |set: &Ranges| set.as_slice().iter().fold(0, |all, r| all | bits(r));
                    assert_eq!(of(&set.minus(&other)), of(&set) & !of(&other), "{set:?} - {other:?}");
                    assert_eq!(of(&other.within(&set)), of(&set) & of(&other), "{set:?} & {other:?}");
                    assert_eq!(set.offsets(), u64::from(of(&set).count_ones()));
                }
            }
        }
    }

    #[test]
    fn an_open_end_swallows_what_follows() {
        let mut set = Ranges::of(range(10, 20));
        set.insert(OffsetRange::new(Offset(15), Offset::OPEN));
        assert!(set.is_open_ended());
        assert_eq!(set.as_slice().len(), 1);
        set.remove(OffsetRange::new(Offset(30), Offset::OPEN));
        assert_eq!(set.as_slice(), [range(10, 30)]);
    }
}
