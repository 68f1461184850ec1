use crate::json::Json;
use fastrand::Rng;

const FIRST_NAMES: [&str; 16] = [
    "Emma", "Liam", "Sofia", "Noah", "Mila", "Lucas", "Aisha", "Mateo", "Hannah", "Kenji", "Chloe", "Omar", "Ingrid",
    "Diego", "Priya", "Thomas",
];
const LAST_NAMES: [&str; 16] = [
    "Schmidt",
    "Garcia",
    "Johnson",
    "Nguyen",
    "Rossi",
    "Kowalski",
    "Müller",
    "Silva",
    "Andersson",
    "Dubois",
    "Tanaka",
    "Okafor",
    "Patel",
    "Novak",
    "Martin",
    "O'Brien",
];
const STREETS: [&str; 8] = [
    "Main Street",
    "Oak Avenue",
    "Hauptstraße",
    "Rue de la Paix",
    "Station Road",
    "Maple Drive",
    "Via Roma",
    "King Street",
];
const PLACES: [Place; 10] = [
    Place { city: "Berlin", region: "BE", country: "DE", postcode: 10115 },
    Place { city: "Austin", region: "TX", country: "US", postcode: 73301 },
    Place { city: "London", region: "LND", country: "GB", postcode: 20500 },
    Place { city: "São Paulo", region: "SP", country: "BR", postcode: 10310 },
    Place { city: "Toronto", region: "ON", country: "CA", postcode: 41550 },
    Place { city: "Lyon", region: "ARA", country: "FR", postcode: 69001 },
    Place { city: "Portland", region: "OR", country: "US", postcode: 97035 },
    Place { city: "Sydney", region: "NSW", country: "AU", postcode: 20000 },
    Place { city: "New York", region: "NY", country: "US", postcode: 10001 },
    Place { city: "Kraków", region: "MA", country: "PL", postcode: 30063 },
];
const AGENTS: [(&str, &str); 6] = [
    (
        "mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                Version/18.1 Mobile/15E148 Safari/604.1",
    ),
    (
        "mobile",
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 \
                Mobile Safari/537.36",
    ),
    (
        "desktop",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 \
                 Safari/537.36",
    ),
    (
        "desktop",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.0 Safari/605.1.15",
    ),
    ("desktop", "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"),
    (
        "tablet",
        "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                Version/17.7 Mobile/15E148 Safari/604.1",
    ),
];

#[derive(Clone, Copy)]
struct Place {
    city: &'static str,
    region: &'static str,
    country: &'static str,
    postcode: u64,
}

/// Somebody who comes again and again: all that is said of a shopper follows from the number.
pub struct Shopper {
    pub number: u64,
    traits: Rng,
}

impl Shopper {
    pub fn pick(random: &mut Rng) -> Shopper {
        let number = random.u64(0..500_000);
        Shopper { number, traits: Rng::with_seed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) }
    }

    fn choose<T: Copy>(&self, what: u32, all: &[T]) -> T {
        all[(self.traits.get_seed().rotate_left(what * 11) % all.len() as u64) as usize]
    }

    /// `"visitor_id":"…"`
    pub fn visitor(&self, json: &mut Json<'_>) {
        json.raw(r#""visitor_id":""#).hex(self.traits.get_seed()).raw("\"");
    }

    /// `"ip":"…"`, from the range that is kept for documentation.
    pub fn ip(&self, json: &mut Json<'_>) {
        json.raw(r#""ip":"203.0.113."#).number(self.number % 254 + 1).raw("\"");
    }

    /// `"device":{…}`
    pub fn device(&self, json: &mut Json<'_>) {
        let (kind, agent) = self.choose(1, &AGENTS);
        json.raw(r#""device":{"type":""#).raw(kind).raw(r#"","user_agent":""#).raw(agent).raw("\"}");
    }

    /// `"geo":{…}`
    pub fn geo(&self, json: &mut Json<'_>) {
        let place = self.choose(2, &PLACES);
        json.raw(r#""geo":{"country":""#).raw(place.country).raw(r#"","region":""#).raw(place.region);
        json.raw(r#"","city":""#).raw(place.city).raw("\"}");
    }

    /// `"customer":{…}`
    pub fn customer(&self, json: &mut Json<'_>) {
        let (first, last) = (self.choose(3, &FIRST_NAMES), self.choose(4, &LAST_NAMES));
        json.raw(r#""customer":{"id":"#).number(70_000 + self.number).raw(r#","email":""#);
        json.raw(first).raw(".").number(self.number).raw(r#"@example.com","first_name":""#).raw(first);
        json.raw(r#"","last_name":""#).raw(last).raw(r#"","phone":"+1555"#).number(1_000_000 + self.number);
        json.raw(r#"","accepts_marketing":"#).raw(if self.number.is_multiple_of(3) { "true}" } else { "false}" });
    }

    /// `"name":{…}` under the given name.
    pub fn address(&self, name: &str, json: &mut Json<'_>) {
        let (place, street) = (self.choose(2, &PLACES), self.choose(5, &STREETS));
        json.raw("\"").raw(name).raw(r#"":{"name":""#).raw(self.choose(3, &FIRST_NAMES)).raw(" ");
        json.raw(self.choose(4, &LAST_NAMES)).raw(r#"","street":""#).raw(street).raw(" ");
        json.number(self.number % 190 + 1).raw(r#"","city":""#).raw(place.city).raw(r#"","region":""#);
        json.raw(place.region).raw(r#"","postcode":""#).number(place.postcode).raw(r#"","country":""#);
        json.raw(place.country).raw("\"}");
    }
}
