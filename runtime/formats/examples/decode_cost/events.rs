//! Events of a shop platform, the same ones on every run.

use outflow_api::{Column, Model, SqlType, UnknownFields};

pub struct Events {
    pub name: &'static str,
    columns: &'static [(&'static str, &'static str, &'static str)],
    write: fn(u64, &mut Dice) -> String,
}

pub const ALL: [Events; 3] = [
    Events { name: "page views", columns: PAGE_VIEW, write: page_view },
    Events { name: "orders", columns: ORDER, write: order },
    Events { name: "carts", columns: CART, write: cart },
];

impl Events {
    pub fn model(&self) -> Model {
        let column = |(name, sql_type, path): &(&str, &str, &str)| Column {
            name: (*name).to_owned(),
            sql_type: SqlType::parse(sql_type).expect("a valid type"),
            path: path.split('.').map(str::to_owned).collect(),
            required: false,
            hashed: Vec::new(),
        };
        let columns = self.columns.iter().map(column).collect();
        Model { columns, unknown: UnknownFields::Ignore, lineage: true, skipped: Vec::new() }
    }

    pub fn write(&self, count: u64) -> Vec<String> {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        (0..count).map(|index| (self.write)(index, &mut dice)).collect()
    }
}

/// xorshift64*: enough to make events differ.
pub struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % sides
    }

    /// Small numbers are much likelier than large ones, as with merchants and products.
    fn skewed(&mut self, sides: u64) -> u64 {
        let widest = self.roll(sides) + 1;
        self.roll(widest)
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.roll(words.len() as u64) as usize]
    }

    fn price(&mut self) -> String {
        format!("{}.{:02}", self.skewed(500) + 1, self.roll(100))
    }
}

fn moment(index: u64) -> String {
    let millis = index * 54;
    let (seconds, hours) = (millis / 1000 % 60, millis / 3_600_000 % 24);
    format!(
        "2026-11-{:02}T{hours:02}:{:02}:{seconds:02}.{:03}Z",
        1 + index / 1_600_000,
        millis / 60_000 % 60,
        millis % 1000
    )
}

fn identifier(dice: &mut Dice) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        dice.roll(1 << 32),
        dice.roll(1 << 16),
        dice.roll(4096),
        dice.roll(4096),
        dice.roll(1 << 48)
    )
}

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_2) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Safari",
];
const COUNTRIES: [&str; 6] = ["US", "GB", "DE", "AU", "CA", "FR"];
const WORDS: [&str; 8] = ["Canvas", "Leather", "Merino", "Oak", "Steel", "Linen", "Copper", "Walnut"];
const THINGS: [&str; 8] = ["Backpack", "Jacket", "Lamp", "Notebook", "Chair", "Kettle", "Blanket", "Wallet"];

const PAGE_VIEW: &[(&str, &str, &str)] = &[
    ("event_id", "VARCHAR", "event_id"),
    ("store_id", "BIGINT", "store_id"),
    ("occurred_at", "TIMESTAMP", "occurred_at"),
    ("session_id", "VARCHAR", "session.id"),
    ("page_number", "BIGINT", "session.page_number"),
    ("returning", "BOOLEAN", "session.returning"),
    ("url", "VARCHAR", "page.url"),
    ("title", "VARCHAR", "page.title"),
    ("referrer", "VARCHAR", "page.referrer"),
    ("agent", "VARCHAR", "client.agent"),
    ("country", "VARCHAR", "client.country"),
    ("load_seconds", "DOUBLE", "timing.load_seconds"),
    ("experiments", "ARRAY<VARCHAR>", "experiments"),
];

fn page_view(index: u64, dice: &mut Dice) -> String {
    let (word, thing) = (dice.one_of(&WORDS), dice.one_of(&THINGS));
    let product = dice.skewed(40_000);
    format!(
        concat!(
            r#"{{"event_id":"{}","type":"page_view","store_id":{},"occurred_at":"{}","#,
            r#""session":{{"id":"{}","page_number":{},"returning":{}}},"#,
            r#""page":{{"url":"https://shop.example.com/products/{product}-{word}-{thing}?utm_source=ne"#,
            r#"wsletter&utm_campaign=autumn","title":"{word} {thing} | Example Shop","#,
            r#""referrer":"https://search.example.com/?q={thing}"}},"client":{{"agent":"{}","#,
            r#""country":"{}","language":"en-US","viewport":{{"width":{},"height":{}}}}},"#,
            r#""timing":{{"load_seconds":0.{:03},"first_byte_seconds":0.{:03}}},"#,
            r#""experiments":["checkout-{}","search-{}"]}}"#
        ),
        identifier(dice),
        1000 + dice.skewed(10_000),
        moment(index),
        identifier(dice),
        dice.skewed(20),
        dice.roll(2) == 0,
        dice.one_of(&AGENTS),
        dice.one_of(&COUNTRIES),
        320 + dice.roll(1600),
        480 + dice.roll(1000),
        dice.roll(1000),
        dice.roll(1000),
        dice.roll(4),
        dice.roll(4),
        product = product,
        thing = thing,
        word = word,
    )
}

const ORDER: &[(&str, &str, &str)] = &[
    ("order_id", "BIGINT", "id"),
    ("store_id", "BIGINT", "store_id"),
    ("created_at", "TIMESTAMP", "created_at"),
    ("status", "VARCHAR", "status"),
    ("currency", "VARCHAR", "currency"),
    ("total", "DECIMAL(18,2)", "total_inc_tax"),
    ("tax", "DECIMAL(18,2)", "total_tax"),
    ("customer_id", "BIGINT", "customer.id"),
    ("email", "VARCHAR", "customer.email"),
    ("country", "VARCHAR", "customer.address.country"),
    ("city", "VARCHAR", "customer.address.city"),
    ("line_items", "ARRAY<STRUCT<sku VARCHAR, name VARCHAR, quantity BIGINT, price DECIMAL(18,2)>>", "line_items"),
];

fn items(dice: &mut Dice) -> String {
    let one = |dice: &mut Dice| {
        format!(
            r#"{{"sku":"SKU-{:06}","name":"{} {}","quantity":{},"price":{}}}"#,
            dice.skewed(40_000),
            dice.one_of(&WORDS),
            dice.one_of(&THINGS),
            1 + dice.skewed(5),
            dice.price()
        )
    };
    (0..2 + dice.roll(4)).map(|_| one(dice)).collect::<Vec<_>>().join(",")
}

fn order(index: u64, dice: &mut Dice) -> String {
    let customer = dice.skewed(1_000_000);
    format!(
        concat!(
            r#"{{"id":{},"store_id":{},"created_at":"{}","status":"{}","channel":"web","#,
            r#""currency":"USD","total_inc_tax":{},"total_tax":{},"customer":{{"id":{customer},"#,
            r#""email":"customer{customer}@mail.example.com","name":"Customer {customer}","#,
            r#""address":{{"street":"{} Main Street","city":"{}ville","postal_code":"{:05}","#,
            r#""country":"{}"}}}},"line_items":[{}],"payment":{{"method":"card","#,
            r#""provider":"example-pay","captured":true}},"note":null}}"#
        ),
        70_000_000 + index,
        1000 + dice.skewed(10_000),
        moment(index),
        dice.one_of(&["pending", "paid", "shipped"]),
        dice.price(),
        dice.price(),
        1 + dice.roll(999),
        dice.one_of(&WORDS),
        dice.roll(100_000),
        dice.one_of(&COUNTRIES),
        items(dice),
        customer = customer,
    )
}

const CART: &[(&str, &str, &str)] = &[
    ("cart_id", "VARCHAR", "cart_id"),
    ("store_id", "BIGINT", "store_id"),
    ("occurred_at", "TIMESTAMP", "occurred_at"),
    ("action", "VARCHAR", "action"),
    ("customer_id", "BIGINT", "customer_id"),
    ("subtotal", "DECIMAL(18,2)", "subtotal"),
    ("discounts", "MAP<VARCHAR, DECIMAL(18,2)>", "discounts"),
    ("items", "ARRAY<STRUCT<sku VARCHAR, name VARCHAR, quantity BIGINT, price DECIMAL(18,2)>>", "items"),
    ("context", "JSON", "context"),
];

fn cart(index: u64, dice: &mut Dice) -> String {
    format!(
        concat!(
            r#"{{"cart_id":"{}","store_id":{},"occurred_at":"{}","action":"{}","customer_id":{},"#,
            r#""subtotal":{},"discounts":{{"WELCOME10":{},"AUTUMN":{}}},"items":[{}],"#,
            r#""context":{{"agent":"{}","country":"{}"}}}}"#
        ),
        identifier(dice),
        1000 + dice.skewed(10_000),
        moment(index),
        dice.one_of(&["add", "remove", "update"]),
        dice.skewed(1_000_000),
        dice.price(),
        dice.price(),
        dice.price(),
        items(dice),
        dice.one_of(&AGENTS),
        dice.one_of(&COUNTRIES),
    )
}
