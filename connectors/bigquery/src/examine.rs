use crate::BigQuery;
use outflow_api::{Blame, Fault, Finding};

/// What a stream is made for, without a row in it: it goes by itself, and nobody ever sees it.
pub async fn examine(sink: &BigQuery) -> Vec<Finding> {
    let shown = sink.settings.shown();
    let finding = |what: &str, result| Finding { subject: format!("{what} {shown}"), result };
    match sink.tables.table().await {
        Err(fault) => vec![finding("look at", Err(fault))],
        Ok(None) => vec![finding("make", dataset(sink).await)],
        Ok(Some(_)) => {
            vec![finding("look at", Ok("it is there".to_owned())), finding("write to", stream(sink).await)]
        }
    }
}

pub async fn dataset(sink: &BigQuery) -> Result<String, Fault> {
    if !sink.settings.create {
        return Err(sink.table_missing());
    }
    match sink.tables.dataset().await? {
        Some(_) => Ok("it is not there, and is made when the first rows come".to_owned()),
        None => {
            let hint = format!("there is no dataset {}.{}: make it", sink.settings.project, sink.settings.dataset);
            Err(Fault::park(Blame::Merchant, "dataset-missing", hint))
        }
    }
}

async fn stream(sink: &BigQuery) -> Result<String, Fault> {
    let stream = sink.streams.create().await?;
    let lacking = sink.lacking(&stream)?;
    sink.streams.finalize(&stream.name).await?;
    match &lacking[..] {
        [] => Ok("a write stream was made, and rows fit".to_owned()),
        some if sink.settings.add_columns => Ok(format!("{} are added when the first rows come", some.join(", "))),
        some => Err(sink.columns_missing(some)),
    }
}
