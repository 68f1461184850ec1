//! Who is in the workers' group, and which shards the group gave to whom: for people, who may ask any worker.

use crate::{
    KafkaSettings, fault,
    topics::{LIMIT, Topics},
};
use outflow_api::{Fault, Member, Shard};
use rdkafka::consumer::Consumer;

/// Members name themselves by their client id.
pub(crate) fn members(settings: &KafkaSettings, topics: &Topics) -> Result<Vec<Member>, Fault> {
    let client = topics.client().client();
    let trouble =
        |error| fault::of_error(error, &format!("asking for the members of group {}", settings.group), topics.log());
    let groups = client.fetch_group_list(Some(&settings.group), LIMIT).map_err(trouble)?;
    let members =
        groups.groups().iter().filter(|group| group.name() == settings.group).flat_map(|group| group.members());
    Ok(members
        .map(|member| Member {
            name: member.client_id().to_owned(),
            shards: assigned(member.assignment().unwrap_or_default(), &settings.journal_topic).unwrap_or_default(),
        })
        .collect())
}

/// As consumers write it: a version, then topics with their partitions; all numbers big-endian.
fn assigned(mut bytes: &[u8], wanted: &str) -> Option<Vec<Shard>> {
    let bytes = &mut bytes;
    let _version = take(bytes, 2)?;
    let mut shards = Vec::new();
    for _ in 0..number(bytes)? {
        let length = u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?);
        let is_wanted = take(bytes, usize::from(length))? == wanted.as_bytes();
        for _ in 0..number(bytes)? {
            let partition = number(bytes)?;
            shards.extend(is_wanted.then_some(Shard(partition)));
        }
    }
    Some(shards)
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(take(bytes, 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_consumers_write_it_and_half_of_one_is_none() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2, 0, 1, b'x', 0, 0, 0, 1, 0, 0, 0, 9];
        bytes.extend([0, 2, b'j', b'j', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 255, 255, 255, 255]);
        assert_eq!(assigned(&bytes, "jj"), Some(vec![Shard(0), Shard(3)]));
        assert_eq!(assigned(&bytes[..25], "jj"), None);
        assert_eq!(assigned(&[], "jj"), None);
    }
}
