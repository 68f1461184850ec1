//! The newest records of some partitions, for whoever wants to see what would become of them. In a bounded time, and
//! bounded bytes: a trial must not disturb who delivers.

use outflow_api::{Fault, Offset, OffsetRange, RowSlice, Source, SourceEvent, TopicPartition};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const TIME_MAX: Duration = Duration::from_secs(5);
const POLL_MAX: Duration = Duration::from_millis(50);
const BYTES_MAX: usize = 16 << 20;

#[derive(Default)]
pub struct Sample {
    pub slices: Vec<RowSlice>,
    /// What the partitions' logs hold, as far as they were asked in time.
    pub logs: BTreeMap<TopicPartition, OffsetRange>,
    /// Why there is less than was asked for.
    pub short: Option<String>,
}

impl Sample {
    /// At most `records`, shared among the partitions. Blocking.
    pub fn newest(source: &mut dyn Source, of: &[TopicPartition], records: usize) -> Result<Sample, Fault> {
        let deadline = Instant::now() + TIME_MAX;
        let mut sample = Sample::default();
        for partition in of {
            if Instant::now() > deadline {
                let (asked, all) = (sample.logs.len(), of.len());
                sample.short = Some(format!("{asked} of {all} partitions were asked within {TIME_MAX:?}"));
                break;
            }
            sample.logs.insert(*partition, source.bounds(*partition)?);
        }
        let lengths: Vec<usize> = sample.logs.values().map(|log| (log.next.0 - log.start.0) as usize).collect();
        let shares = sample.logs.iter().zip(shares(&lengths, records)).filter(|(_, share)| *share > 0);
        let from: Vec<_> = shares.map(|((key, log), share)| (*key, Offset(log.next.0 - share as i64))).collect();
        if !from.is_empty() {
            source.assign(&from)?;
            let read = sample.read(source, from.iter().copied().collect(), deadline);
            source.unassign(&from.iter().map(|(key, _)| *key).collect::<Vec<_>>());
            read?;
        }
        Ok(sample)
    }

    /// Up to where the logs ended when they were asked.
    fn read(
        &mut self,
        source: &mut dyn Source,
        mut left: BTreeMap<TopicPartition, Offset>,
        deadline: Instant,
    ) -> Result<(), Fault> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while !left.is_empty() {
            if bytes > BYTES_MAX || Instant::now() > deadline {
                let limit = if bytes > BYTES_MAX { "16 MiB".to_owned() } else { format!("{TIME_MAX:?}") };
                self.short = Some(format!("not all of the newest records were read within {limit}"));
                return Ok(());
            }
            source.poll(POLL_MAX, &mut events)?;
            for event in events.drain(..) {
                match event {
                    SourceEvent::Fetched { range, block } => {
                        let partition = block.partition();
                        let Some(log) = self.logs.get(&partition).filter(|_| left.contains_key(&partition)) else {
                            continue;
                        };
                        bytes += block.payload_bytes();
                        let rows = 0..block.row_at(log.next);
                        if range.next >= log.next {
                            left.remove(&partition);
                        }
                        self.slices.push(RowSlice { block, rows });
                    }
                    SourceEvent::AtEnd { partition, .. } => drop(left.remove(&partition)),
                    SourceEvent::Failed { partition, fault } => {
                        left.remove(&partition);
                        self.short = Some(fault.to_string());
                    }
                }
            }
        }
        Ok(())
    }

    pub fn records(&self) -> usize {
        self.slices.iter().map(|slice| slice.rows.len()).sum()
    }
}

/// Who has few gives all of them, and the others share the rest.
fn shares(lengths: &[usize], records: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|at| lengths[*at]);
    let (mut shares, mut left) = (vec![0; lengths.len()], records);
    for (done, at) in order.into_iter().enumerate() {
        shares[at] = lengths[at].min(left.div_ceil(lengths.len() - done));
        left -= shares[at];
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_share_what_is_asked_for_and_who_has_few_leaves_the_rest_to_others() {
        assert_eq!(shares(&[10, 1, 100], 30), [10, 1, 19]);
        assert_eq!(shares(&[0, 5], 100), [0, 5]);
        assert_eq!(shares(&[9, 9, 9], 2), [1, 1, 0]);
        assert_eq!(shares(&[9, 9], 0), [0, 0]);
        assert_eq!(shares(&[], 7), [0; 0]);
    }
}
