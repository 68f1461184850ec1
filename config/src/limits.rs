//! Every limit of the configuration, and why it is where it is.

use std::{ops::RangeInclusive, time::Duration};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// A larger file is no configuration: somebody pointed at data.
pub const FILE_BYTES_MAX: u64 = MIB;
/// What a private key or a token may take; larger means a wrong path.
pub const SECRET_BYTES_MAX: u64 = MIB;
/// One for each of a hundred thousand merchants, and as many again.
pub const FILES_MAX: usize = 200_000;

/// Tens of thousands are meant; each costs some hundred bytes and a lane for each delivery.
pub const MERCHANTS_MAX: usize = 100_000;
/// Merchants' names stand in object keys, metrics and records' keys.
pub const MERCHANT_ID_MAX: usize = 200;
/// Each is a lane in every shard.
pub const DELIVERIES_MAX: usize = 16;
/// Each is a pass over the topics of its own.
pub const SCHEDULES_MAX: usize = 8;
/// Shorter is live; longer than a day no pass could end.
pub const SCHEDULE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(24 * 60 * 60);
/// Compared with each record of the merchant.
pub const ONLY_VALUES_MAX: usize = 100;
pub const ONLY_VALUE_BYTES_MAX: usize = 1_000;
/// As many as a large topic has partitions.
pub const START_OFFSETS_MAX: usize = 4_096;
/// A header's name is short; Kafka has no limit.
pub const HEADER_NAME_MAX: usize = 250;
/// A hundred thousand rows of 600 bytes.
pub const LIST_BYTES_MAX: u64 = 64 * MIB;
pub const LIST_COLUMNS_MAX: usize = 200;
/// One mistake in a template is a mistake in every row: so many are told, and the others are counted.
pub const LIST_PROBLEMS_MAX: usize = 100;

/// Journal partitions; each costs an owner, a producer and a transaction per tick.
pub const SHARDS: RangeInclusive<u64> = 1..=1024;
pub const SHARDS_DEFAULT: u64 = 4;
/// Below, one block per partition does not fit; above, it is a typing error.
pub const MEMORY: RangeInclusive<u64> = 64 * MIB..=1024 * GIB;
pub const MEMORY_DEFAULT: u64 = 512 * MIB;
/// All calls of a worker together are 256 while they answer soon.
pub const CALLS: RangeInclusive<u64> = 1..=256;
/// Leaves places to other hosts.
pub const CALLS_PER_HOST_DEFAULT: usize = 192;
/// Stores ask for fewer requests above some hundred a second, and each call may send several.
pub const CALLS_PER_CREDENTIAL_DEFAULT: usize = 64;
/// Each is a line of the worker's file; tens of thousands of merchants are no people who ask.
pub const TOKENS_MAX: usize = 1_000;
/// A dashboard asks some ten times a second.
pub const REQUESTS_PER_SECOND: RangeInclusive<u64> = 1..=100_000;
pub const REQUESTS_PER_SECOND_DEFAULT: u64 = 200;
/// Brokers allow 6 s to 30 min unless told otherwise.
pub const SESSION_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(6)..=Duration::from_secs(30 * 60);
/// A thread of its own proves that we are alive, whatever else is slow: so a dead worker's shards move on soon.
pub const SESSION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(6);
/// Longer than any orchestrator waits.
pub const DRAIN_DEADLINE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60 * 60);
/// Kubernetes kills after 30 s.
pub const DRAIN_DEADLINE_DEFAULT: Duration = Duration::from_secs(25);
/// What a restart reads again; beyond a day it is no bound.
pub const REPLAY_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
pub const REPLAY_AGE_DEFAULT: Duration = Duration::from_secs(60);
pub const REPLAY_RECORDS: RangeInclusive<u64> = 1_000..=1_000_000_000;
pub const REPLAY_RECORDS_DEFAULT: u64 = 2_000_000;
/// 0 alarms only when data is gone; beyond a year it is a typing error.
pub const ALARM_RETENTION_LEFT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(366 * 24 * 60 * 60);
/// Somebody sees it on a working day, and has another to mend it.
pub const ALARM_RETENTION_LEFT_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);
/// Kafka's limit is the number of brokers; nobody has more copies.
pub const REPLICATION: RangeInclusive<u64> = 1..=15;

/// One row a batch is legal and slow; above, a batch no longer fits a decision's time-out.
pub const FLUSH_ROWS: RangeInclusive<u64> = 1..=50_000_000;
pub const FLUSH_ROWS_DEFAULT: u64 = 100_000;
/// Of raw records. Below, files are mostly footers.
pub const FLUSH_BYTES: RangeInclusive<u64> = KIB..=4 * GIB;
pub const FLUSH_BYTES_DEFAULT: u64 = 64 * MIB;
/// Below, the journal decides more than it delivers; longer waits are a schedule.
pub const FLUSH_AGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);
pub const FLUSH_AGE_DEFAULT: Duration = Duration::from_secs(60);

/// A reader holds a buffer for each partition of each topic.
pub const TOPICS_MAX: usize = 100;
/// Of a compiled pattern of topics.
pub const PATTERN_BYTES_MAX: usize = MIB as usize;
/// Kafka's own.
pub const TOPIC_NAME_MAX: usize = 249;
/// Names stand in keys, metrics and transactional ids.
pub const NAME_MAX: usize = 100;
/// Warehouses take 10,000 or more, but each costs a builder per open batch.
pub const COLUMNS_MAX: usize = 2_000;
/// BigQuery's limit.
pub const COLUMN_NAME_MAX: usize = 300;
/// As deep as types may nest.
pub const PATH_MAX: usize = 16;
/// Brokers create more only by mistake.
pub const DEAD_LETTER_PARTITIONS: RangeInclusive<u64> = 1..=1_024;
/// Of batches of a thousand rows or more.
pub const DEAD_LETTER_PERCENT: RangeInclusive<u64> = 0..=100;
pub const DEAD_LETTER_PERCENT_DEFAULT: u64 = 10;
/// Deeper settings are a mistake of indentation.
pub const SETTINGS_DEPTH_MAX: usize = 16;
