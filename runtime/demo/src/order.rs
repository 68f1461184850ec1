use crate::{json::Json, products::Product, shoppers::Shopper};
use fastrand::Rng;

const METHODS: [(&str, &str); 5] =
    [("card", "stripe"), ("card", "adyen"), ("paypal", "paypal"), ("apple_pay", "stripe"), ("invoice", "klarna")];
const CHANNELS: [&str; 4] = ["web", "web", "app", "marketplace"];
const COUPONS: [&str; 4] = ["WELCOME10", "CYBERWEEK", "FREESHIP", "VIP15"];
const LINES_MAX: usize = 5;
const SHIPPING_CENTS: u64 = 595;
const TAX_PERCENT: u64 = 19;

/// What a cart and an order have in common: chosen lines and what they cost.
pub struct Basket<'a> {
    products: [(&'a Product, u64); LINES_MAX],
    count: usize,
    coupon: Option<&'static str>,
    channel: &'static str,
}

impl<'a> Basket<'a> {
    pub fn pick(products: &'a [Product], random: &mut Rng) -> Basket<'a> {
        let count = 1 + random.usize(0..3) + if random.u32(0..4) == 0 { LINES_MAX - 3 } else { 0 };
        let mut line = |_| (&products[random.usize(0..products.len())], 1 + random.u64(0..3) / 2);
        let chosen = std::array::from_fn(&mut line);
        let coupon = (random.u32(0..4) == 0).then(|| COUPONS[random.usize(0..COUPONS.len())]);
        Basket { products: chosen, count, coupon, channel: CHANNELS[random.usize(0..CHANNELS.len())] }
    }

    fn chosen(&self) -> &[(&'a Product, u64)] {
        &self.products[..self.count]
    }

    fn subtotal(&self) -> u64 {
        self.chosen().iter().map(|(product, quantity)| product.cents * quantity).sum()
    }

    fn discount(&self) -> u64 {
        if self.coupon.is_some() { self.subtotal() / 10 } else { 0 }
    }

    /// `"line_items":[…]`, each with what `more` adds to it.
    fn lines(&self, json: &mut Json<'_>, more: impl Fn(&mut Json<'_>, usize, &Product, u64)) {
        json.raw(r#""line_items":["#);
        for (index, (product, quantity)) in self.chosen().iter().enumerate() {
            json.raw(if index == 0 { "{" } else { ",{" }).raw(&product.fields);
            json.raw(r#","quantity":"#).number(*quantity).raw(r#","price":"#).money(product.cents);
            more(json, index, product, *quantity);
            json.raw("}");
        }
        json.raw("]");
    }

    /// `"coupons":[…],"channel":"…"`
    fn extras(&self, json: &mut Json<'_>) {
        json.raw(r#""coupons":["#);
        if let Some(coupon) = self.coupon {
            json.raw("\"").raw(coupon).raw("\"");
        }
        json.raw(r#"],"channel":""#).raw(self.channel).raw("\"");
    }

    /// The fields of a cart, after those that every event has.
    pub fn cart(&self, json: &mut Json<'_>, shopper: &Shopper, currency: &str, checkout: bool) {
        json.raw(r#","cart_id":""#).hex(shopper.number.wrapping_mul(0xd134_2543_de82_ef95)).raw("\",");
        shopper.visitor(json);
        json.raw(r#","customer_id":"#);
        match checkout {
            true => json.number(70_000 + shopper.number).raw(r#","checkout_step":"shipping""#),
            false => json.raw(r#"null,"checkout_step":null"#),
        };
        json.raw(r#","currency":""#).raw(currency).raw(r#"","subtotal":"#).money(self.subtotal());
        json.raw(r#","discount":"#).money(self.discount()).raw(",");
        self.lines(json, |_, _, _, _| ());
        json.raw(",");
        self.extras(json);
        json.raw(",");
        shopper.device(json);
    }

    /// The fields of an order, after those that every event has.
    pub fn order(&self, json: &mut Json<'_>, shopper: &Shopper, currency: &str, id: u64) {
        let (subtotal, discount) = (self.subtotal(), self.discount());
        let tax = (subtotal - discount) * TAX_PERCENT / 100;
        json.raw(r#","id":"#).number(id).raw(r#","status":"awaiting_fulfillment","currency":""#).raw(currency);
        json.raw(r#"","subtotal":"#).money(subtotal).raw(r#","discount":"#).money(discount);
        json.raw(r#","shipping":"#).money(SHIPPING_CENTS).raw(r#","tax":"#).money(tax);
        json.raw(r#","total_inc_tax":"#).money(subtotal - discount + SHIPPING_CENTS + tax).raw(",");
        shopper.customer(json);
        json.raw(",");
        shopper.address("billing_address", json);
        json.raw(",");
        shopper.address("shipping_address", json);
        json.raw(",");
        self.lines(json, |json, index, product, quantity| {
            let total = product.cents * quantity;
            json.raw(r#","id":"#).number(id * 10 + index as u64).raw(r#","total":"#).money(total);
            json.raw(r#","tax":"#).money(total * TAX_PERCENT / 100).raw(",").raw(&product.options);
        });
        let (method, provider) = METHODS[(shopper.number % METHODS.len() as u64) as usize];
        json.raw(r#","payment":{"method":""#).raw(method).raw(r#"","provider":""#).raw(provider);
        json.raw(r#"","captured":true},"#);
        self.extras(json);
        json.raw(",");
        shopper.ip(json);
        json.raw(r#","attributes":{"gift_wrap":""#).raw(if id.is_multiple_of(9) { "yes" } else { "no" });
        json.raw(r#"","delivery":""#).raw(if id.is_multiple_of(4) { "express" } else { "standard" }).raw("\"}");
    }
}
