use outflow_api::{Blame, Fault, Identity, Prepared, TOKEN_BYTES_MAX, versioned};
use serde::{Deserialize, Serialize};

/// Of tokens and receipts.
pub const VERSION: u8 = 1;

/// What the journal keeps of a prepared batch. Its fields' names are short because thousands of pieces must fit.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Token {
    #[serde(rename = "at")]
    pub identity: String,
    #[serde(rename = "p")]
    pub pieces: Vec<PieceToken>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct PieceToken {
    /// Below the sink's prefix, with `{}` in place of the batch id.
    #[serde(rename = "k")]
    key: String,
    #[serde(rename = "r")]
    pub rows: u64,
    #[serde(rename = "b")]
    pub bytes: u64,
    /// xxHash64 of the bytes.
    #[serde(rename = "x")]
    pub checksum: u64,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
}

/// A staged multipart upload: everything is at the store, nothing is visible.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Upload {
    #[serde(rename = "i")]
    pub id: String,
    #[serde(rename = "p")]
    pub parts: Vec<String>,
}

const PLACEHOLDER: &str = "{}";

impl Token {
    pub fn write(&self, id: outflow_api::BatchId) -> Result<Prepared, Fault> {
        let token = versioned::write(VERSION, self);
        if token.len() > TOKEN_BYTES_MAX {
            let pieces = self.pieces.len();
            return Err(Fault::park(
                Blame::Us,
                "too-many-partitions",
                format!(
                    "what the journal must keep of the {pieces} objects of one batch exceeds {TOKEN_BYTES_MAX} bytes: \
                     lower pieces_max, use a field with fewer values in partition_by, or flush more often"
                ),
            ));
        }
        Ok(Prepared { id, token: token.into() })
    }

    /// Only ever of this destination: a token of another one says nothing about what is here.
    pub fn read(prepared: &Prepared, here: &Identity) -> Result<Token, Fault> {
        let unreadable = |why: String| {
            let hint = format!("the journaled token of batch {} cannot be read: {why}", prepared.id);
            Fault::park(Blame::Us, "token-unreadable", hint)
        };
        let token: Token = versioned::read(VERSION, &prepared.token).map_err(unreadable)?;
        if token.identity != here.0 {
            return Err(Fault::park(
                Blame::Us,
                "other-destination",
                format!(
                    "batch {} was prepared for {} and must not be committed at {}: give the lane its old url back, \
                     or abandon the batch",
                    prepared.id, token.identity, here.0
                ),
            ));
        }
        Ok(token)
    }
}

impl PieceToken {
    pub fn new(id: outflow_api::BatchId, key: &str, rows: u64, bytes: u64, checksum: u64) -> PieceToken {
        PieceToken { key: key.replace(&id.to_string(), PLACEHOLDER), rows, bytes, checksum, upload: None }
    }

    pub fn key(&self, id: outflow_api::BatchId) -> String {
        key_of(&self.key, id)
    }

    /// The key with a placeholder for the id.
    pub fn template(&self) -> String {
        self.key.clone()
    }
}

pub fn key_of(template: &str, id: outflow_api::BatchId) -> String {
    template.replace(PLACEHOLDER, &id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{BatchId, Generation, Incarnation, LaneId, Shard};

    const ID: BatchId =
        BatchId { incarnation: Incarnation(1), shard: Shard(2), generation: Generation(3), lane: LaneId(4), seq: 5 };
    const GOLDEN: &str = concat!(
        "\u{1}",
        r#"{"at":"s3://lake/|","p":[{"k":"dt=1/{}.parquet","r":7,"b":8,"x":9},"#,
        r#"{"k":"dt=2/{}.parquet","r":7,"b":8,"x":9,"u":{"i":"up","p":["a","b"]}}]}"#
    );

    fn token() -> Token {
        let piece = |day: u32| PieceToken::new(ID, &format!("dt={day}/{ID}.parquet"), 7, 8, 9);
        let upload = Some(Upload { id: "up".to_owned(), parts: vec!["a".to_owned(), "b".to_owned()] });
        Token { identity: "s3://lake/|".to_owned(), pieces: vec![piece(1), PieceToken { upload, ..piece(2) }] }
    }

    #[test]
    fn a_token_is_written_and_read_as_it_always_was() {
        let prepared = token().write(ID).expect("small");
        assert_eq!(prepared.token, GOLDEN.as_bytes());
        let read = Token::read(&prepared, &Identity("s3://lake/|".to_owned())).expect("ours");
        assert_eq!(read, token());
        assert_eq!(read.pieces[0].key(ID), format!("dt=1/{ID}.parquet"));
    }

    #[test]
    fn a_token_of_elsewhere_of_another_version_or_cut_off_parks() {
        let code = |prepared: &Prepared, here: &str| {
            let fault = Token::read(prepared, &Identity(here.to_owned())).expect_err("unusable");
            assert_eq!(fault.verdict, outflow_api::Verdict::Park);
            fault.code
        };
        let prepared = token().write(ID).expect("small");
        assert_eq!(code(&prepared, "s3://other/|"), "other-destination");
        for token in [vec![], vec![9], GOLDEN.as_bytes()[..40].to_vec()] {
            assert_eq!(code(&Prepared { id: ID, token: token.into() }, "s3://lake/|"), "token-unreadable");
        }
    }

    #[test]
    fn more_pieces_than_a_token_holds_park_before_anything_is_decided() {
        let piece = |n: u32| PieceToken::new(ID, &format!("country={n}/{ID}.parquet"), 7, 8, u64::MAX);
        let token = Token { identity: "s3://lake/|".to_owned(), pieces: (0..5_000).map(piece).collect() };
        assert_eq!(token.write(ID).expect_err("too large").code, "too-many-partitions");
        let token = Token { pieces: token.pieces[..700].to_vec(), ..token };
        token.write(ID).expect("700 pieces fit");
    }
}
