use crate::token::{Token, VERSION};
use bytes::Bytes;
use outflow_api::{BatchId, Blame, Delivered, Fault, Identity, versioned};
use serde::{Deserialize, Serialize};

/// What the ledger keeps of a batch: the keys of its objects, and what tells that they are its own.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    #[serde(rename = "at")]
    identity: String,
    #[serde(rename = "p")]
    pub objects: Vec<Object>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// As in the token.
    #[serde(rename = "k")]
    key: String,
    #[serde(rename = "x")]
    pub checksum: u64,
}

impl Receipt {
    pub fn of(token: &Token) -> Receipt {
        let object = |piece: &crate::token::PieceToken| Object { key: piece.template(), checksum: piece.checksum };
        Receipt { identity: token.identity.clone(), objects: token.pieces.iter().map(object).collect() }
    }

    pub fn write(&self) -> Bytes {
        versioned::write(VERSION, self).into()
    }

    /// Only ever of this destination.
    pub fn read(old: &Delivered, here: &Identity) -> Result<Receipt, Fault> {
        let unreadable = |why: String| {
            let hint = format!("what the ledger keeps of batch {} cannot be read: {why}", old.id);
            Fault::park(Blame::Us, "receipt-unreadable", hint)
        };
        let receipt: Receipt = versioned::read(VERSION, &old.receipt).map_err(unreadable)?;
        if receipt.identity != here.0 {
            let hint = format!(
                "batch {} was delivered to {} and cannot be removed at {}: give the lane its old url back, or call \
                 the replacement off with `skip`",
                old.id, receipt.identity, here.0
            );
            return Err(Fault::park(Blame::Us, "other-destination", hint));
        }
        Ok(receipt)
    }
}

impl Object {
    pub fn key(&self, id: BatchId) -> String {
        crate::token::key_of(&self.key, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::PieceToken;
    use outflow_api::{Generation, Incarnation, LaneId, Shard, Verdict};

    const ID: BatchId =
        BatchId { incarnation: Incarnation(1), shard: Shard(2), generation: Generation(3), lane: LaneId(4), seq: 5 };
    const GOLDEN: &str = concat!("\u{1}", r#"{"at":"s3://lake/|","p":[{"k":"dt=1/{}.parquet","x":9}]}"#);

    fn here() -> Identity {
        Identity("s3://lake/|".to_owned())
    }

    #[test]
    fn a_receipt_is_written_and_read_as_it_always_was() {
        let piece = PieceToken::new(ID, &format!("dt=1/{ID}.parquet"), 7, 8, 9);
        let receipt = Receipt::of(&Token { identity: here().0, pieces: vec![piece] });
        assert_eq!(receipt.write(), GOLDEN.as_bytes());
        let read = Receipt::read(&Delivered { id: ID, receipt: receipt.write() }, &here()).expect("ours");
        assert_eq!(read, receipt);
        assert_eq!(read.objects[0].key(ID), format!("dt=1/{ID}.parquet"));
    }

    #[test]
    fn a_receipt_of_elsewhere_of_another_version_or_cut_off_parks() {
        let code = |receipt: &[u8], here: &Identity| {
            let old = Delivered { id: ID, receipt: Bytes::copy_from_slice(receipt) };
            let fault = Receipt::read(&old, here).expect_err("unusable");
            assert_eq!(fault.verdict, Verdict::Park);
            fault.code
        };
        assert_eq!(code(GOLDEN.as_bytes(), &Identity("s3://other/|".to_owned())), "other-destination");
        for receipt in [&b""[..], &[9], &GOLDEN.as_bytes()[..30]] {
            assert_eq!(code(receipt, &here()), "receipt-unreadable");
        }
    }
}
