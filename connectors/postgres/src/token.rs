use outflow_api::{BatchId, Blame, Fault, Identity, Prepared, versioned};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// What the journal keeps of a batch, and the ledger of Outflow: where it goes. The batch's id is beside it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Token {
    #[serde(rename = "at")]
    pub identity: String,
    #[serde(rename = "r")]
    pub rows: u64,
}

impl Token {
    pub fn write(&self) -> Vec<u8> {
        versioned::write(VERSION, self)
    }

    /// Only ever of this destination: a token of another one says nothing about what is here.
    pub fn read(id: BatchId, bytes: &[u8], here: &Identity) -> Result<Token, Fault> {
        let token: Token = versioned::read(VERSION, bytes).map_err(|why| {
            let hint = format!("the journaled token of batch {id} cannot be read: {why}");
            Fault::park(Blame::Us, "token-unreadable", hint)
        })?;
        if token.identity == here.0 {
            return Ok(token);
        }
        let hint = format!(
            "batch {id} was prepared for {} and must not be committed at {}: give the lane its old table back, or \
             abandon the batch",
            token.identity, here.0
        );
        Err(Fault::park(Blame::Us, "other-destination", hint))
    }

    pub fn prepared(&self, id: BatchId) -> Prepared {
        Prepared { id, token: self.write().into() }
    }
}
