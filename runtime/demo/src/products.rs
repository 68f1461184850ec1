use fastrand::Rng;

const COUNT: usize = 2000;
const ADJECTIVES: [&str; 12] = [
    "Classic",
    "Organic",
    "Waterproof",
    "Vintage",
    "Lightweight",
    "Handmade",
    "Wireless",
    "Reversible",
    "Recycled",
    "Premium",
    "Foldable",
    "Everyday",
];
const MATERIALS: [&str; 10] =
    ["Cotton", "Linen", "Leather", "Merino", "Bamboo", "Denim", "Canvas", "Steel", "Ceramic", "Oak"];
const THINGS: [&str; 16] = [
    "T-Shirt",
    "Hoodie",
    "Backpack",
    "Headphones",
    "Water Bottle",
    "Sneakers",
    "Jacket",
    "Lamp",
    "Notebook",
    "Mug",
    "Scarf",
    "Desk Organizer",
    "Yoga Mat",
    "Wallet",
    "Beanie",
    "Blanket",
];
const SIZES: [&str; 6] = ["XS", "S", "M", "L", "XL", "One size"];
const COLOURS: [&str; 8] = ["Black", "Off White", "Navy", "Forest Green", "Sand", "Burgundy", "Slate", "Coral"];

/// What is sold, with everything that can be written beforehand.
pub struct Product {
    pub cents: u64,
    pub title: String,
    pub slug: String,
    /// `"product_id":…,"sku":"…","name":"…"`
    pub fields: String,
    /// `"options":{"size":"…","colour":"…"}`
    pub options: String,
}

pub fn products() -> Vec<Product> {
    let mut random = Rng::with_seed(1);
    (0..COUNT).map(|index| product(index, &mut random)).collect()
}

fn product(index: usize, random: &mut Rng) -> Product {
    let mut pick = |words: &[&'static str]| words[random.usize(0..words.len())];
    let (adjective, material, thing) = (pick(&ADJECTIVES), pick(&MATERIALS), pick(&THINGS));
    let (size, colour) = (pick(&SIZES), pick(&COLOURS));
    let title = format!("{adjective} {material} {thing}");
    let slug = title.to_lowercase().replace(' ', "-");
    let number = 4000 + index;
    let sku = format!("{}{}-{number:05}-{}", &material[..2], &thing[..2], &colour[..3]).to_uppercase();
    Product {
        cents: random.u64(5..200) * 100 - random.u64(0..2) * 5,
        fields: format!(r#""product_id":{number},"sku":"{sku}","name":"{title}""#),
        options: format!(r#""options":{{"size":"{size}","colour":"{colour}"}}"#),
        title,
        slug,
    }
}
