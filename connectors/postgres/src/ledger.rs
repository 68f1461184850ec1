//! The table beside the rows' own that knows which batches are in it.

use crate::{settings::Settings, types::quoted};
use outflow_api::BatchId;
use tokio_postgres::{Client, Error, types::ToSql};
use twox_hash::XxHash3_128;

const NAME: &str = "outflow_batches";

pub struct Ledger {
    /// As SQL names it.
    pub name: String,
    destination: String,
}

impl Ledger {
    pub fn beside(settings: &Settings) -> Ledger {
        Ledger { name: format!("{}.{NAME}", quoted(&settings.schema)), destination: settings.target() }
    }

    pub fn make(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (batch text PRIMARY KEY, mark uuid NOT NULL, destination text NOT NULL, \
             rows bigint NOT NULL, committed_at timestamptz NOT NULL DEFAULT now(), removed_at timestamptz)",
            self.name
        )
    }

    pub async fn knows(&self, client: &Client, id: BatchId) -> Result<bool, Error> {
        let known = format!("SELECT 1 FROM {} WHERE batch = $1", self.name);
        Ok(client.query_opt(&known, &[&id.to_string()]).await?.is_some())
    }

    /// False: it was there. Whoever else is at it holds the row until he has committed, or not; so long we wait.
    pub async fn note(&self, client: &Client, id: BatchId, rows: u64) -> Result<bool, Error> {
        self.insert(client, id, rows, "ON CONFLICT DO NOTHING").await
    }

    /// Its name stays, so that no late commit brings its rows back.
    pub async fn note_removed(&self, client: &Client, id: BatchId, rows: u64) -> Result<(), Error> {
        self.insert(client, id, rows, "ON CONFLICT (batch) DO UPDATE SET removed_at = now()").await.map(drop)
    }

    /// A row that is rolled back.
    pub fn probe(&self) -> String {
        format!(
            "INSERT INTO {} (batch, mark, destination, rows) \
             VALUES ('outflow-probe', '00000000-0000-0000-0000-000000000000', 'none', 0)",
            self.name
        )
    }

    async fn insert(&self, client: &Client, id: BatchId, rows: u64, known: &str) -> Result<bool, Error> {
        let values = "(batch, mark, destination, rows) VALUES ($1, $2::text::uuid, $3, $4)";
        let insert = format!("INSERT INTO {} {values} {known}", self.name);
        let params: [&(dyn ToSql + Sync); 4] =
            [&id.to_string(), &mark_text(id), &self.destination, &rows.cast_signed()];
        Ok(client.execute(&insert, &params).await? > 0)
    }
}

/// Of rows: the batch's id in 16 bytes.
pub fn mark(id: BatchId) -> [u8; 16] {
    XxHash3_128::oneshot(id.to_string().as_bytes()).to_be_bytes()
}

/// As the server prints it.
pub fn mark_text(id: BatchId) -> String {
    let hex: String = mark(id).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
