//! Can we write here? Step by step, and nothing is left behind.

use crate::{
    client, fault, merge::Merge, rows, settings::Settings, table::Lack, transaction::Transaction, types::Column,
};
use outflow_api::{Fault, Finding};
use tokio_postgres::Client;

pub async fn examine(settings: &Settings, columns: &[Column], merge: Option<&Merge>) -> Vec<Finding> {
    let subject = |step: &str| format!("{step} {}", settings.identity().0);
    let mut findings = Vec::new();
    let connected = client::with(settings, async |client: &Client| {
        let version = client.query_one("SHOW server_version", &[]).await;
        let version: String = version.map_err(|error| fault::of(settings, "asking for the version", error))?.get(0);
        findings.push(Finding { subject: subject("connect"), result: Ok(format!("PostgreSQL {version}")) });
        let written = write(client, settings, columns, merge).await;
        findings.push(Finding { subject: subject("make and write"), result: written });
        Ok(())
    })
    .await;
    if let Err(fault) = connected {
        findings.push(Finding { subject: subject("connect"), result: Err(fault) });
    }
    findings
}

/// All that a first batch does, without a row; rolled back.
async fn write(
    client: &Client,
    settings: &Settings,
    columns: &[Column],
    merge: Option<&Merge>,
) -> Result<String, Fault> {
    let transaction = Transaction::begin(client, settings, columns, merge).await?;
    let made = match transaction.lacks(&transaction.look().await?)? {
        Lack::Nothing => "it is there",
        Lack::Statements(statements) => {
            transaction.execute(&statements.join("; ")).await?;
            "it would be made, or widened"
        }
    };
    transaction.execute(&transaction.ledger.probe()).await?;
    transaction.send(&rows::copy(&[], columns, &[0; 16])?.chunks).await?;
    transaction.execute("ROLLBACK").await?;
    Ok(format!("{made}; written and rolled back"))
}
