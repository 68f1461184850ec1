use super::{plain, table};
use outflow_control::{Event, EventPage};

const HEAD: [&str; 6] = ["WHEN", "WORKER", "LEVEL", "KIND", "OF", "WHAT"];

pub fn events(page: &EventPage) -> String {
    let mut text = match page.events.is_empty() {
        true => "nothing happened that was asked for\n".to_owned(),
        false => table(&HEAD.map(str::to_owned), &page.events.iter().map(row).collect::<Vec<_>>()),
    };
    if let Some(next) = &page.next {
        text += &format!("\nmore behind: --after {}\n", plain(next));
    }
    text + &format!("\nall since {} of {}\n", plain(&page.since), plain(&page.workers.join(", ")))
}

fn row(event: &Event) -> Vec<String> {
    let Event { at, worker, level, kind, code, connector, merchant, lane, shard, message, fields, .. } = event;
    let numbers = [("lane", lane), ("shard", shard)];
    let numbers = numbers.into_iter().filter_map(|(what, number)| Some(format!("{what} {}", number.as_ref()?)));
    let of: Vec<String> = connector.iter().chain(merchant).cloned().chain(numbers).collect();
    let mut what = message.clone();
    what += &code.as_ref().map_or_else(String::new, |code| format!(" ({code})"));
    fields.iter().for_each(|(key, value)| what += &format!(" {key}={value}"));
    [at, worker, level, kind, &of.join(", "), &what].map(|cell| plain(cell)).to_vec()
}
