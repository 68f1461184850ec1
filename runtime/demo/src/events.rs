use crate::{
    json::Json,
    merchants::{Merchant, Merchants},
    order::Basket,
    products::{Product, products},
    shoppers::Shopper,
};
use fastrand::Rng;

const PAGES: [&str; 6] = ["home", "category", "search", "cart", "checkout", "account"];
const REFERRERS: [&str; 5] = [
    "https://www.google.com/",
    "https://www.instagram.com/",
    "https://duckduckgo.com/",
    "https://news.example.org/gift-guide",
    "",
];
const CAMPAIGNS: [&str; 4] = ["cyberweek", "newsletter-47", "retargeting-eu", "brand"];

/// What happened; each kind has its own topic and its own connector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Order,
    Cart,
    PageView,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Order, Kind::Cart, Kind::PageView];

    pub fn topic(self) -> &'static str {
        match self {
            Kind::Order => "commerce.orders",
            Kind::Cart => "commerce.carts",
            Kind::PageView => "commerce.page_views",
        }
    }
}

/// What was written, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    pub kind: Kind,
    /// For [`Events::key`].
    pub merchant: u32,
}

/// Events by number, each told by the seed and its number alone: who was interrupted goes on at a number.
pub struct Events {
    seed: u64,
    number: u64,
    merchants: Merchants,
    products: Vec<Product>,
}

impl Events {
    /// # Panics
    /// If there are no merchants.
    pub fn new(seed: u64, merchants: u32) -> Events {
        assert!(merchants > 0, "somebody must sell");
        Events { seed, number: 0, merchants: Merchants::new(merchants), products: products() }
    }

    /// The number of the next event.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn skip_to(&mut self, number: u64) {
        self.number = number;
    }

    /// The record's key: the merchant's number as text.
    pub fn key(&self, event: Event) -> &[u8] {
        self.merchants.get(event.merchant).key.as_bytes()
    }

    /// Appends the next event, which happened at `now_ms` (milliseconds since 1970), as one JSON object.
    pub fn append(&mut self, now_ms: i64, out: &mut Vec<u8>) -> Event {
        let number = self.number;
        self.number += 1;
        let mut random = Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let kind = match random.u32(0..10) {
            0 => Kind::Order,
            1 | 2 => Kind::Cart,
            _ => Kind::PageView,
        };
        let index = self.merchants.pick(&mut random);
        let merchant = self.merchants.get(index);
        let shopper = Shopper::pick(&mut random);
        let json = &mut Json(out);
        json.raw(r#"{"event_id":""#).hex(self.seed).raw("-").hex(number);
        json.raw(r#"","store_id":"#).number(u64::from(merchant.id)).raw(r#","created_at":""#).time(now_ms);
        json.raw(r#"","event_type":"#);
        match kind {
            Kind::Order => {
                json.raw(r#""order_created""#);
                let basket = Basket::pick(&self.products, &mut random);
                basket.order(json, &shopper, merchant.currency, 10_000_000 + number);
            }
            Kind::Cart => {
                let checkout = random.u32(0..4) == 0;
                json.raw(if checkout { r#""checkout_started""# } else { r#""cart_updated""# });
                Basket::pick(&self.products, &mut random).cart(json, &shopper, merchant.currency, checkout);
            }
            Kind::PageView => {
                json.raw(r#""page_view""#);
                let product = &self.products[random.usize(0..self.products.len())];
                page_view(json, merchant, product, &shopper, &mut random);
            }
        }
        json.raw("}");
        Event { kind, merchant: index }
    }
}

/// The fields of a page view, after those that every event has.
fn page_view(json: &mut Json<'_>, merchant: &Merchant, product: &Product, shopper: &Shopper, random: &mut Rng) {
    json.raw(",");
    shopper.visitor(json);
    json.raw(r#","session_id":""#).hex(random.u64(..)).raw(r#"","page":{"#);
    let on_product = random.u32(0..3) > 0;
    let page = PAGES[random.usize(0..PAGES.len())];
    let (page, place) = if on_product { ("product", product.slug.as_str()) } else { (page, page) };
    json.raw(r#""type":""#).raw(page).raw(r#"","url":""#).raw(&merchant.host).raw("/").raw(place);
    json.raw("?utm_source=email&utm_campaign=").raw(CAMPAIGNS[random.usize(0..CAMPAIGNS.len())]);
    json.raw(r#"","title":""#).raw(if on_product { &product.title } else { page });
    json.raw(r#"","referrer":""#).raw(REFERRERS[random.usize(0..REFERRERS.len())]).raw(r#""},"product":"#);
    if on_product {
        json.raw("{").raw(&product.fields).raw(r#","price":"#).money(product.cents).raw("},");
    } else {
        json.raw("null,");
    }
    shopper.device(json);
    json.raw(",");
    shopper.geo(json);
    json.raw(r#","load_ms":"#).number(80 + random.u64(0..900)).raw(r#","scroll_depth":0."#);
    json.two(random.u64(0..100)).raw(r#","logged_in":"#).raw(if random.bool() { "true" } else { "false" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const NOW: i64 = 1_795_766_400_000;

    #[test]
    fn seed_and_number_tell_the_event() {
        let (mut one, mut other) = (Events::new(7, 300), Events::new(7, 300));
        let (mut first, mut second, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        one.append(NOW, &mut skipped);
        other.skip_to(1);
        for _ in 0..100 {
            assert_eq!(one.append(NOW, &mut first), other.append(NOW, &mut second));
        }
        assert_eq!(first, second);
        let mut elsewhere = Vec::new();
        Events::new(8, 300).append(NOW, &mut elsewhere);
        assert_ne!(elsewhere, skipped);
    }

    #[test]
    fn the_mix_is_that_of_a_shop_platform() {
        let mut events = Events::new(7, 300);
        let (mut out, mut counts, total) = (Vec::new(), [0u32; 3], 100_000);
        let started = Instant::now();
        for _ in 0..total {
            counts[events.append(NOW, &mut out).kind as usize] += 1;
        }
        let mean = out.len() / total as usize;
        println!("{mean} bytes an event, {:?} an event", started.elapsed() / total);
        assert!((770..=800).contains(&mean), "{mean} bytes an event");
        let near = |count: u32, percent: u32| count.abs_diff(total / 100 * percent) < total / 100;
        assert!(near(counts[0], 10) && near(counts[1], 20) && near(counts[2], 70), "{counts:?}");
    }
}
