use outflow_api::{BatchId, Blame, Fault, Identity, Prepared};
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
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, self).expect("a Vec takes all, and every key is text");
        bytes
    }

    /// Only ever of this destination: a token of another one says nothing about what is here.
    pub fn read(id: BatchId, bytes: &[u8], here: &Identity) -> Result<Token, Fault> {
        let read = match bytes.split_first() {
            Some((&VERSION, body)) => serde_json::from_slice(body).map_err(|error| error.to_string()),
            Some((version, _)) => Err(format!("it is of version {version}, this build knows {VERSION}")),
            None => Err("it is empty".to_owned()),
        };
        let token: Token = read.map_err(|why| {
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
