//! `outflow dead-letters`.

use crate::{
    client::{
        Daemon, encoded,
        http::Answer,
        options::{AskedLetters, ChosenLetters, DeadLettersOptions},
        table::{plain, table},
    },
    merchants::new_id,
};
use outflow_control::{LetterPage, SentAgain};
use serde_json::{Map, Value};

pub fn dead_letters(options: &DeadLettersOptions) -> Answer<()> {
    let daemon = Daemon::new(&options.place)?;
    match &options.asked {
        AskedLetters::List { chosen, after, limit } => {
            let others = [("after", after.clone()), ("limit", Some(limit.to_string()))];
            let parts = filters(chosen).into_iter().chain(others);
            let query: Vec<String> =
                parts.filter_map(|(key, value)| Some(format!("{key}={}", encoded(&value?)))).collect();
            daemon.show::<LetterPage>(daemon.get(&format!("v1/dead-letters?{}", query.join("&")))?, page)
        }
        AskedLetters::SendAgain { chosen, id } => {
            let id = id.clone().map_or_else(new_id, Ok).map_err(|refusal| refusal.message().to_owned())?;
            let parts = filters(chosen).into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
            let mut body: Map<String, Value> = parts.collect();
            if let Some(lane) = chosen.lane {
                body.insert("lane".to_owned(), lane.into());
            }
            body.insert("id".to_owned(), id.clone().into());
            let told = daemon.send("POST", "v1/dead-letters/send-again", Some(&Value::Object(body)));
            let told = told.map_err(|error| format!("{error}; the same command with `--id {id}` takes effect once"))?;
            daemon.show::<SentAgain>(told.sound()?, sent)
        }
    }
}

fn filters(chosen: &ChosenLetters) -> [(&'static str, Option<String>); 5] {
    let ChosenLetters { connector, merchant, lane, code, since } = chosen;
    [
        ("connector", connector.clone()),
        ("merchant", merchant.clone()),
        ("lane", lane.map(|lane| lane.to_string())),
        ("code", code.clone()),
        ("since", since.clone()),
    ]
}

fn page(page: &LetterPage) -> String {
    let rows: Vec<Vec<String>> = page
        .dead_letters
        .iter()
        .map(|letter| {
            let place = format!("{}/{}={}", letter.topic, letter.partition, letter.offset);
            let lane = letter.lane.map_or_else(|| "?".to_owned(), |lane| lane.to_string());
            let merchant = letter.merchant.as_deref().unwrap_or("-");
            let texts = [merchant, &letter.connector, &lane, &place, &letter.code, &letter.message];
            texts.into_iter().map(plain).collect()
        })
        .collect();
    let head = ["MERCHANT", "CONNECTOR", "LANE", "RECORD", "CODE", "WHY"];
    let more = match &page.next {
        Some(next) => format!("\nmore: --after {}\n", plain(next)),
        None => String::new(),
    };
    format!("{}{} letters looked at{more}\n", table(&head.map(str::to_owned), &rows), page.looked_at)
}

fn sent(sent: &SentAgain) -> String {
    let mut text = match sent.revision {
        Some(revision) => {
            format!(
                "{} rows are sent again to lanes {:?} (revision {revision}, id {})\n",
                sent.rows, sent.lanes, sent.id
            )
        }
        None if sent.repeated => format!("asked for before, with id {}: nothing is done\n", plain(&sent.id)),
        None => "nothing is to be sent\n".to_owned(),
    };
    if sent.delivered > 0 {
        text += &format!("{} were delivered since, or wait for an outcome: ask again in a moment\n", sent.delivered);
    }
    for (why, rows) in &sent.left {
        text += &format!("{rows} are left: {}\n", plain(why));
    }
    text
}
