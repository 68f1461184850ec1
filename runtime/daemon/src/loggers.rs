use crate::{client::encoded, fleet::Fleet, log::Levels};
use async_trait::async_trait;
use outflow_control::{LoggerLevel, Refusal};
use serde_json::json;
use std::collections::BTreeMap;

/// The daemon's side of [`outflow_control::Loggers`].
pub struct Loggers {
    pub levels: Levels,
    pub fleet: Fleet,
}

#[async_trait]
impl outflow_control::Loggers for Loggers {
    fn all(&self) -> BTreeMap<String, LoggerLevel> {
        self.levels.all()
    }

    fn set(&self, logger: &str, level: &str) -> Result<Vec<String>, Refusal> {
        self.levels.set(logger, level)
    }

    /// Here first: what is wrong is told before anybody else is asked.
    async fn set_everywhere(&self, logger: &str, level: &str) -> Result<(), Refusal> {
        self.levels.set(logger, level)?;
        let path = format!("admin/loggers/{}?scope=worker", encoded(logger));
        for (peer, trouble) in self.fleet.put(&path, json!({ "level": level })).await {
            tracing::warn!(peer, logger, level, trouble, event = "level-not-set", "another worker keeps its level");
        }
        Ok(())
    }
}
