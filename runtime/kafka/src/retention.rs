use crate::{
    KafkaSettings, fault,
    topics::{Topics, admin_options},
};
use outflow_api::{Fault, Retention};
use rdkafka::admin::{OwnedResourceSpecifier, ResourceSpecifier};
use std::collections::{BTreeMap, HashMap};

/// In one question for all; a topic whose settings we may not see is left out.
pub(crate) fn retention(
    settings: &KafkaSettings,
    topics: &Topics,
    names: &[String],
) -> Result<BTreeMap<String, Retention>, Fault> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asked: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let admin = topics.admin(settings)?;
    let answer = futures::executor::block_on(admin.describe_configs(&asked, &admin_options()));
    let answer =
        answer.map_err(|error| fault::of_error(error, "reading how long topics keep records", topics.log()))?;
    let told = answer.into_iter().filter_map(|one| {
        let one = one.inspect_err(|code| tracing::debug!("a topic's settings cannot be seen: {code}")).ok()?;
        let OwnedResourceSpecifier::Topic(name) = one.specifier else { return None };
        let values = one.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
        Some((name, of_settings(&values)?))
    });
    Ok(told.collect())
}

/// None where a setting is missing or has no known form.
fn of_settings(values: &HashMap<String, String>) -> Option<Retention> {
    if !values.get("cleanup.policy")?.split(',').any(|policy| policy.trim() == "delete") {
        return Some(Retention::default());
    }
    // Below 0 there is no limit.
    let limit = |key: &str| Some(u64::try_from(values.get(key)?.parse::<i64>().ok()?).ok());
    Some(Retention { ms: limit("retention.ms")?, bytes: limit("retention.bytes")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(policy: &str, ms: &str, bytes: &str) -> Option<Retention> {
        let values = [("cleanup.policy", policy), ("retention.ms", ms), ("retention.bytes", bytes)];
        of_settings(&values.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    }

    #[test]
    fn only_a_policy_of_deleting_removes_what_somebody_may_want() {
        let kept = |ms, bytes| Some(Retention { ms, bytes });
        assert_eq!(of("delete", "60000", "-1"), kept(Some(60_000), None));
        assert_eq!(of("compact, delete", "-1", "1000"), kept(None, Some(1_000)));
        assert_eq!(of("compact", "60000", "1000"), kept(None, None));
        assert_eq!(of("delete", "a week", "-1"), None, "what is not understood is unknown, not unlimited");
        assert_eq!(of_settings(&HashMap::new()), None);
    }
}
