use outflow_api::{BatchId, Blame, Fault, Identity, Prepared, versioned};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// What the journal keeps of a batch: a finalized stream that waits to be committed.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Token {
    #[serde(rename = "at")]
    pub identity: String,
    #[serde(rename = "r")]
    pub rows: u64,
    /// The name that the service gave it; none for a batch without rows.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
}

impl Token {
    pub fn write(&self, id: BatchId) -> Prepared {
        Prepared { id, token: versioned::write(VERSION, self).into() }
    }

    /// Only ever of this destination: a token of another one says nothing about what is here.
    pub fn read(prepared: &Prepared, here: &Identity) -> Result<Token, Fault> {
        let id = prepared.id;
        let token: Token = versioned::read(VERSION, &prepared.token).map_err(|why| {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Generation, Incarnation, LaneId, Shard, Verdict};

    const ID: BatchId =
        BatchId { incarnation: Incarnation(1), shard: Shard(2), generation: Generation(3), lane: LaneId(4), seq: 5 };
    const GOLDEN: &str = concat!("\u{1}", r#"{"at":"bigquery:///p/d/t","r":7,"s":"streams/x"}"#);

    #[test]
    fn a_token_is_written_and_read_as_it_always_was() {
        let (identity, stream) = ("bigquery:///p/d/t".to_owned(), Some("streams/x".to_owned()));
        let token = Token { identity: identity.clone(), rows: 7, stream };
        assert_eq!(token.write(ID).token, GOLDEN.as_bytes());
        assert_eq!(Token::read(&token.write(ID), &Identity(identity)).expect("ours"), token);
    }

    #[test]
    fn a_token_of_elsewhere_of_another_version_or_cut_off_parks() {
        let code = |token: &[u8], here: &str| {
            let prepared = Prepared { id: ID, token: token.to_vec().into() };
            let fault = Token::read(&prepared, &Identity(here.to_owned())).expect_err("unusable");
            assert_eq!(fault.verdict, Verdict::Park);
            fault.code
        };
        assert_eq!(code(GOLDEN.as_bytes(), "bigquery:///p/d/other"), "other-destination");
        for token in [&[][..], &[9], &GOLDEN.as_bytes()[..20]] {
            assert_eq!(code(token, "bigquery:///p/d/t"), "token-unreadable");
        }
    }
}
