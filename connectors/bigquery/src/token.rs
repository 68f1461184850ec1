use outflow_api::{BatchId, Blame, Fault, Identity, Prepared, versioned};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// What the journal keeps of a batch.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Token {
    #[serde(rename = "at")]
    pub identity: String,
    #[serde(rename = "r")]
    pub rows: u64,
    /// The name that the service gave it; none for a batch without rows, and for changes.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    stretch: Option<Stretch>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

/// Of a stream.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// Offset of the batch's first row.
    #[serde(rename = "f")]
    pub first: u64,
    /// By it requests are known that are cut otherwise.
    #[serde(rename = "c")]
    pub cuts: u64,
}

/// How a batch becomes visible.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// A finalized stream waits to be committed.
    Pending { stream: String },
    /// A stretch of a stream is kept for it, and rows are seen as soon as they are there.
    Committed { stream: String, stretch: Stretch },
    /// Each row says by itself what it replaces.
    Changes,
    /// A file waits for its load job.
    Load {
        /// Of the dataset: a job is found in it alone.
        location: String,
    },
}

impl Way {
    fn shown(&self) -> &'static str {
        match self {
            Way::Pending { .. } => "mode append by pending streams",
            Way::Committed { .. } => "mode append by committed streams",
            Way::Changes => "mode upsert",
            Way::Load { .. } => "mode load",
        }
    }
}

impl Token {
    /// A batch without rows is the same in every way.
    pub fn new(identity: &Identity, rows: u64, way: Option<Way>) -> Token {
        let mut token = Token { identity: identity.0.clone(), rows, stream: None, stretch: None, location: None };
        match way {
            Some(Way::Pending { stream }) => token.stream = Some(stream),
            Some(Way::Committed { stream, stretch }) => {
                (token.stream, token.stretch) = (Some(stream), Some(stretch));
            }
            Some(Way::Load { location }) => token.location = Some(location),
            Some(Way::Changes) | None => {}
        }
        token
    }

    /// None for a batch without rows.
    pub fn way(&self) -> Option<Way> {
        Some(match (self.stream.clone(), self.stretch, self.location.clone()) {
            _ if self.rows == 0 => return None,
            (_, _, Some(location)) => Way::Load { location },
            (Some(stream), None, _) => Way::Pending { stream },
            (Some(stream), Some(stretch), _) => Way::Committed { stream, stretch },
            (None, _, _) => Way::Changes,
        })
    }

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

/// Another way would not find what was done.
pub fn of_other_mode(id: BatchId, way: &Way) -> Fault {
    let hint = format!(
        "batch {id} was prepared in {}, and must be committed in it: give the lane its old mode back until then, or \
         abandon the batch",
        way.shown()
    );
    Fault::park(Blame::Us, "other-mode", hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Generation, Incarnation, LaneId, Shard, Verdict};

    const ID: BatchId =
        BatchId { incarnation: Incarnation(1), shard: Shard(2), generation: Generation(3), lane: LaneId(4), seq: 5 };
    const GOLDEN: &str = concat!("\u{1}", r#"{"at":"bigquery:///p/d/t","r":7,"s":"streams/x"}"#);
    const COMMITTED: &str = concat!("\u{1}", r#"{"at":"bigquery:///p/d/t","r":7,"s":"streams/x","o":{"f":120,"c":9}}"#);
    const LOAD: &str = concat!("\u{1}", r#"{"at":"bigquery:///p/d/t","r":7,"l":"EU"}"#);
    const CHANGES: &str = concat!("\u{1}", r#"{"at":"bigquery:///p/d/t","r":7}"#);

    #[test]
    fn a_token_is_written_and_read_as_it_always_was() {
        let (identity, stream) = (Identity("bigquery:///p/d/t".to_owned()), "streams/x".to_owned());
        let stretch = Stretch { first: 120, cuts: 9 };
        let all = [
            (GOLDEN, Way::Pending { stream: stream.clone() }),
            (COMMITTED, Way::Committed { stream, stretch }),
            (CHANGES, Way::Changes),
            (LOAD, Way::Load { location: "EU".to_owned() }),
        ];
        for (golden, way) in all {
            let token = Token::new(&identity, 7, Some(way.clone()));
            assert_eq!(token.write(ID).token, golden.as_bytes());
            let read = Token::read(&token.write(ID), &identity).expect("ours");
            assert_eq!((read.way(), read), (Some(way), token));
        }
        assert_eq!(Token::new(&identity, 0, None).way(), None);
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
