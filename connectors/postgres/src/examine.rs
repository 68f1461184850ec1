//! Can we write here? Step by step, and nothing is left behind.

use crate::{
    client, fault,
    ledger::Ledger,
    settings::Settings,
    table::{COLUMNS, Lack, Table},
    types::Column,
};
use outflow_api::{Fault, Finding};
use std::collections::BTreeMap;
use tokio_postgres::Client;

pub async fn examine(settings: &Settings, columns: &[Column]) -> Vec<Finding> {
    let subject = |step: &str| format!("{step} {}", settings.identity().0);
    let mut findings = Vec::new();
    let connected = client::with(settings, async |client: &Client| {
        let version = client.query_one("SHOW server_version", &[]).await;
        let version = version.map_err(|error| fault::of(settings, "asking for the version", error))?;
        findings.push(Finding { subject: subject("connect"), result: Ok(format!("PostgreSQL {}", version.get::<_, String>(0))) });
        findings.push(Finding { subject: subject("make and write"), result: write(settings, columns, client).await });
        Ok(())
    })
    .await;
    if let Err(fault) = connected {
        findings.push(Finding { subject: subject("connect"), result: Err(fault) });
    }
    findings
}

/// All that a first batch does, without a row; rolled back.
async fn write(settings: &Settings, columns: &[Column], client: &Client) -> Result<String, Fault> {
    let fail = |what: &str| {
        let what = what.to_owned();
        move |error| fault::of(settings, &what, error)
    };
    let table = Table::new(settings, columns);
    client.batch_execute("BEGIN").await.map_err(fail("BEGIN"))?;
    let found = client.query(COLUMNS, &[&settings.target()]).await.map_err(fail("looking at the table"))?;
    let there: BTreeMap<String, String> = found.iter().map(|row| (row.get(0), row.get(1))).collect();
    let ledger = Ledger::beside(settings).name;
    let has_ledger = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&ledger]).await;
    let has_ledger: bool = has_ledger.map_err(fail("looking at the ledger"))?.get(0);
    let made = match table.lacks(&there, has_ledger)? {
        Lack::Nothing => "it is there",
        Lack::Statements(statements) => {
            let all = statements.join("; ");
            client.batch_execute(&all).await.map_err(fail(&all))?;
            "it would be made, or widened"
        }
    };
    let note = format!("INSERT INTO {ledger} (batch, mark, destination, rows) \
         VALUES ('outflow-probe', '00000000-0000-0000-0000-000000000000', 'none', 0)");
    client.batch_execute(&note).await.map_err(fail("writing the ledger"))?;
    let none = format!("INSERT INTO {} SELECT * FROM {} WHERE false", settings.target(), settings.target());
    client.batch_execute(&none).await.map_err(fail("writing the table"))?;
    client.batch_execute("ROLLBACK").await.map_err(fail("ROLLBACK"))?;
    Ok(format!("{made}; written and rolled back"))
}
