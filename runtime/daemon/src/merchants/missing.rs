use outflow_api::{Cluster, LaneId, Ranges, Shard, TopicPartition};
use outflow_control::Refusal;
use outflow_engine::Account;
use std::collections::BTreeMap;

type Asked = BTreeMap<TopicPartition, Ranges>;

/// Records to look through for what these lanes have missed, by the ledgers of all shards: what is owed or still being
/// read is among it, as only the shards' owners know that. `letters`: as
/// [`Account::of_letters`] has them. Blocking.
pub fn count(cluster: &dyn Cluster, shards: u32, asked: Vec<(LaneId, Asked)>, letters: u32) -> Result<u64, Refusal> {
    let mut all = 0;
    for shard in 0..shards {
        let own = asked.iter().map(|(lane, asked)| {
            let own = asked.iter().filter(|(key, _)| key.partition % shards == shard);
            Account::of_letters(*lane, own.map(|(key, ranges)| (*key, ranges.clone())).collect(), letters)
        });
        let mut accounts: Vec<Account> = own.filter(Account::asks).collect();
        if accounts.is_empty() {
            continue;
        }
        cluster.ledger(Shard(shard))?.read(&mut |row| accounts.iter_mut().for_each(|account| account.see(&row)))?;
        for account in accounts {
            let missing = account.missing().map_err(|reason| {
                Refusal::wrong(format!("shard {shard} cannot repair ({}): {}", reason.code, reason.hint))
            })?;
            all += missing.values().map(Ranges::offsets).sum::<u64>();
        }
    }
    Ok(all)
}
