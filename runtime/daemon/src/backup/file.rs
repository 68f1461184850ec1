//! The file: a JSON object on each line, named by its only key.
//!
//! | line | what it says |
//! |---|---|
//! | `header` | the first: format, group, cluster, time, shards, up to which revision entries may be missing |
//! | `topic` | name and id of a topic that journals and config log name by its id |
//! | `journal` | a record of a shard's journal, key and value in base64 (`runtime/journal` has their form) |
//! | `revision` | a revision of the config log, rising without gap from 1 on; its entries follow |
//! | `entry` | what the revision says of an object; `null`: that it is gone |
//! | `end` | the last: how many lines come before it, and their SHA-256 |

use super::{Backup, Failure, Header};
use base64::{Engine, engine::general_purpose::STANDARD};
use outflow_api::{ConfigEntry, ConfigRevision, Generation, Recovered, Revision, Shard, Transaction};
use outflow_catalogue::Topic;
use outflow_journal::{KeyValue, Replay};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{BufRead, Read, Write},
};

pub const FORMAT: u32 = 1;
/// An entry of the config log has less than a MiB, and six bytes for a byte that JSON must escape.
const LINE_BYTES_MAX: u64 = 8 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Header(Header),
    Topic(Topic),
    Journal { shard: u32, key: String, value: String },
    Revision(u64),
    Entry { object: String, content: Option<String> },
    End { lines: u64, sha256: String },
}

pub fn write(backup: &Backup, out: &mut dyn Write) -> Result<(), Failure> {
    let mut out = Summed { out, lines: 0, hash: Sha256::new() };
    out.line(&Line::Header(backup.header.clone()))?;
    backup.topics.iter().try_for_each(|topic| out.line(&Line::Topic(topic.clone())))?;
    for (shard, journal) in &backup.journals {
        for KeyValue { key, value } in records(journal) {
            let value = STANDARD.encode(value.unwrap_or_default());
            out.line(&Line::Journal { shard: shard.0, key: STANDARD.encode(key), value })?;
        }
    }
    for ConfigRevision { revision, entries } in &backup.revisions {
        out.line(&Line::Revision(revision.0))?;
        for ConfigEntry { object, content } in entries {
            let content = content.as_ref().map(|content| String::from_utf8(content.to_vec())).transpose()?;
            out.line(&Line::Entry { object: object.clone(), content })?;
        }
    }
    out.end()
}

/// As a journal has them, without barriers: `Replay` makes the same of them.
fn records(journal: &Recovered) -> Vec<KeyValue> {
    let lanes = journal.lanes.iter().map(|(id, lane)| (*id, Some(lane.clone())));
    let all = Transaction {
        lanes: lanes.collect(),
        floors: journal.floors.clone(),
        revisions: journal.revisions.clone(),
        applied: Some(journal.applied),
        ..Transaction::default()
    };
    std::iter::once(outflow_journal::incarnation(journal.incarnation)).chain(outflow_journal::encode(&all)).collect()
}

struct Summed<'o> {
    out: &'o mut dyn Write,
    lines: u64,
    hash: Sha256,
}

impl Summed<'_> {
    fn line(&mut self, line: &Line) -> Result<(), Failure> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.hash.update(&bytes);
        self.lines += 1;
        Ok(self.out.write_all(&bytes)?)
    }

    fn end(mut self) -> Result<(), Failure> {
        let (lines, sha256) = (self.lines, hex(self.hash.clone()));
        self.line(&Line::End { lines, sha256 })?;
        Ok(self.out.flush()?)
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn read(input: &mut dyn BufRead) -> Result<Backup, Failure> {
    let (mut parts, mut bytes, mut hash) = (Parts::default(), Vec::new(), Sha256::new());
    for lines in 0.. {
        bytes.clear();
        input.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if bytes.last() != Some(&b'\n') {
            return Err(match lines {
                0 => foreign("it has no first line"),
                _ => format!("the file is torn behind line {lines}, its last line is not there: take another").into(),
            });
        }
        let line = serde_json::from_slice(&bytes).map_err(|error| match lines {
            0 => foreign(&error.to_string()),
            _ => format!("line {} cannot be read: {error}; the file is damaged: take another", lines + 1).into(),
        })?;
        if let Line::End { lines: wanted, sha256 } = &line {
            if *wanted != lines || *sha256 != hex(hash) {
                return Err("the file is not as it was written, its checksum differs: take another".into());
            }
            return parts.whole();
        }
        hash.update(&bytes);
        parts.add(line).map_err(|error| format!("line {}: {error}", lines + 1))?;
    }
    unreachable!("a file ends")
}

fn foreign(why: &str) -> Failure {
    format!("this is no backup that `outflow backup` has written: {why}").into()
}

#[derive(Default)]
struct Parts {
    header: Option<Header>,
    topics: Vec<Topic>,
    journals: BTreeMap<Shard, Replay>,
    revisions: Vec<ConfigRevision>,
}

impl Parts {
    fn add(&mut self, line: Line) -> Result<(), Failure> {
        match line {
            Line::Header(header) if header.format != FORMAT => {
                let (format, program) = (header.format, header.program);
                let hint = format!("run the build that wrote it, {program}, or a newer one");
                return Err(format!("the file's format is {format}, this build knows {FORMAT}: {hint}").into());
            }
            Line::Header(header) if self.header.is_none() => self.header = Some(header),
            _ if self.header.is_none() => return Err(foreign("its first line is no header")),
            Line::Topic(topic) => self.topics.push(topic),
            Line::Journal { shard, key, value } => {
                let (key, value) = (STANDARD.decode(key)?, STANDARD.decode(value)?);
                self.journals.entry(Shard(shard)).or_default().apply(&key, Some(&value), 0)?;
            }
            Line::Revision(revision) if revision == self.revisions.len() as u64 + 1 => {
                self.revisions.push(ConfigRevision { revision: Revision(revision), entries: vec![] });
            }
            Line::Entry { object, content } if !self.revisions.is_empty() => {
                let entries = self.revisions.last_mut().map(|last| &mut last.entries);
                entries.into_iter().for_each(|entries| {
                    entries.push(ConfigEntry { object: object.clone(), content: content.clone().map(Into::into) });
                });
            }
            Line::Header(_) | Line::Revision(_) | Line::Entry { .. } | Line::End { .. } => {
                return Err("it stands where it does not belong".into());
            }
        }
        Ok(())
    }

    fn whole(self) -> Result<Backup, Failure> {
        let header = self.header.ok_or_else(|| foreign("it has no header"))?;
        let mut journals = BTreeMap::new();
        for (shard, replay) in self.journals {
            if replay.incarnation().is_none() || shard.0 >= header.shards {
                return Err(format!("the records of shard {} are not a journal's", shard.0).into());
            }
            journals.insert(shard, replay.finish(Generation(0), 0));
        }
        Ok(Backup { header, topics: self.topics, journals, revisions: self.revisions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Applied, Incarnation, LaneId, LaneRecord, Offset, OffsetRange, Ranges, TopicId, TopicPartition};

    fn sample() -> Backup {
        let partition = TopicPartition { topic: TopicId(7), partition: 0 };
        let owed = BTreeMap::from([(partition, Ranges::of(OffsetRange::new(Offset(5), Offset::OPEN)))]);
        let journal = Recovered {
            incarnation: Incarnation(9),
            generation: Generation(0),
            floors: BTreeMap::new(),
            lanes: BTreeMap::from([(LaneId(3), LaneRecord { owed, ..LaneRecord::default() })]),
            revisions: vec![],
            applied: Applied { revision: Revision(2), commands: 1 },
            bytes_read: 0,
        };
        let entry = |object: &str, content: Option<&'static str>| ConfigEntry {
            object: object.to_owned(),
            content: content.map(Into::into),
        };
        let entries = vec![entry("lane/3", Some("{\"a\":\"\\n\"}")), entry("lane/4", None)];
        Backup {
            header: Header {
                format: FORMAT,
                program: "0".to_owned(),
                group: "g".to_owned(),
                cluster: "c".to_owned(),
                taken_at_ms: 1,
                shards: 2,
                forgotten: 1,
            },
            topics: vec![Topic::new("orders", TopicId(7))],
            journals: BTreeMap::from([(Shard(1), journal)]),
            revisions: vec![
                ConfigRevision { revision: Revision(1), entries: vec![] },
                ConfigRevision { revision: Revision(2), entries },
            ],
        }
    }

    #[test]
    fn a_backup_comes_back_as_it_was_and_is_refused_wherever_it_is_torn_or_changed() {
        let (sample, mut bytes) = (sample(), Vec::new());
        write(&sample, &mut bytes).expect("memory takes everything");
        let back = read(&mut bytes.as_slice()).expect("it is whole");
        assert_eq!((back.header, back.topics), (sample.header, sample.topics));
        assert_eq!((back.journals, back.revisions), (sample.journals, sample.revisions));
        for cut in 0..bytes.len() {
            assert!(read(&mut &bytes[..cut]).is_err(), "torn behind byte {cut}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&mut changed.as_slice()).is_err(), "byte {at} is another one");
        }
        for foreign in ["", "{}\n", "a\n", "{\"revision\":1}\n"] {
            let error = read(&mut foreign.as_bytes()).expect_err("it is none of ours").to_string();
            assert!(error.contains("no backup"), "{error}");
        }
    }
}
