use outflow_api::{Offset, TopicPartition};

/// Where each row of a batch comes from that was given to its sink: eight bytes a row, for the sink may name some of
/// them when their records are gone.
#[derive(Default)]
pub(crate) struct Provenance {
    /// And the number of rows before it.
    partitions: Vec<(TopicPartition, usize)>,
    offsets: Vec<Offset>,
}

impl Provenance {
    pub fn push(&mut self, partition: TopicPartition, offset: Offset) {
        if self.partitions.last().is_none_or(|(last, _)| *last != partition) {
            self.partitions.push((partition, self.offsets.len()));
        }
        self.offsets.push(offset);
    }

    pub fn at(&self, row: usize) -> Option<(TopicPartition, Offset)> {
        let offset = *self.offsets.get(row)?;
        let behind = self.partitions.partition_point(|(_, first)| *first <= row);
        let (partition, _) = self.partitions[behind - 1];
        Some((partition, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::TopicId;

    #[test]
    fn each_row_is_found_where_it_came_from_and_no_other_is() {
        let partition = |partition| TopicPartition { topic: TopicId(1), partition };
        let rows = [(0, 5), (0, 9), (2, 1), (2, 2), (3, 0)].map(|(at, offset)| (partition(at), Offset(offset)));
        let mut provenance = Provenance::default();
        rows.iter().for_each(|(partition, offset)| provenance.push(*partition, *offset));
        let found: Vec<_> = (0..rows.len()).filter_map(|row| provenance.at(row)).collect();
        assert_eq!(found, rows);
        assert_eq!(provenance.at(rows.len()), None);
    }
}
