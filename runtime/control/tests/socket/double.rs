use async_trait::async_trait;
use outflow_control::{
    Accepted, Act, Alarm, Delivery, Detail, Merchant, Page, Refusal, Request, State, Steering, Wanted,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Knows merchant `1001`, does nothing, and remembers what was asked.
#[derive(Clone, Default)]
pub struct Double(Arc<Mutex<Asked>>);

#[derive(Clone, Default)]
pub struct Asked {
    pub lists: Vec<Wanted>,
    pub requests: Vec<(String, Request)>,
}

impl Double {
    pub fn asked(&self) -> Asked {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut Asked)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn merchant() -> Merchant {
    let delivery = Delivery {
        connector: "orders".into(),
        lane: 7,
        identity: "s3://lake/1001".into(),
        schedule: 0,
        state: State::Parked,
        code: Some("bucket-missing".into()),
        hint: Some("make it".into()),
        lag_records: 5,
        lag_seconds: Some(90_000),
        retention_left_seconds: Some(3_600),
        records_left: None,
        alarm: Some(Alarm::Retention),
        open_rows: 0,
        runs: 0,
        pending: false,
        repair: None,
        replacement: None,
        partitions: Vec::new(),
    };
    Merchant { merchant: "1001".into(), deliveries: vec![delivery] }
}

fn known(id: &str) -> Result<(), Refusal> {
    if id == "1001" { Ok(()) } else { Err(Refusal::unknown("did you mean \"1001\"?")) }
}

#[async_trait]
impl Steering for Double {
    async fn merchants(&self, wanted: Wanted) -> Result<Page, Refusal> {
        self.note(|asked| asked.lists.push(wanted));
        Ok(Page { merchants: vec![merchant()], next: None, shards: vec![0, 2] })
    }

    async fn merchant(&self, id: &str) -> Result<Detail, Refusal> {
        known(id)?;
        Ok(Detail { merchant: merchant(), shards: vec![0], note: None })
    }

    async fn act(&self, merchant: &str, request: Request) -> Result<Accepted, Refusal> {
        known(merchant)?;
        let is_final = matches!(request.act, Act::Skip | Act::Abandon | Act::Replay { .. });
        if is_final && !request.confirm {
            return Err(Refusal::unconfirmed("5 records are never delivered"));
        }
        let id = request.id.clone().unwrap_or_default();
        self.note(|asked| asked.requests.push((merchant.to_owned(), request)));
        Ok(Accepted { id, revision: 9, lanes: vec![7], repeated: false, missing: None })
    }
}
