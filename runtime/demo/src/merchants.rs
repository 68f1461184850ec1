use fastrand::Rng;

/// The first merchant's number; the others follow.
pub const FIRST: u32 = 1001;
const CURRENCIES: [&str; 6] = ["USD", "USD", "USD", "EUR", "GBP", "CAD"];

/// Merchants by Zipf's law: the largest sells twice as much as the second, three times as much as the third.
pub struct Merchants {
    all: Vec<Merchant>,
    /// Walker's alias table, one slot per merchant: with chance `keep` (of 2^32) the slot's own, else its alias.
    slots: Vec<Slot>,
}

pub struct Merchant {
    pub id: u32,
    /// As text, the key of its records.
    pub key: String,
    pub host: String,
    pub currency: &'static str,
}

struct Slot {
    keep: u64,
    alias: u32,
}

impl Merchants {
    pub fn new(count: u32) -> Merchants {
        let merchant = |index: u32| Merchant {
            id: FIRST + index,
            key: (FIRST + index).to_string(),
            host: format!("https://shop-{}.example.com", FIRST + index),
            currency: CURRENCIES[index as usize % CURRENCIES.len()],
        };
        Merchants { all: (0..count).map(merchant).collect(), slots: slots(count) }
    }

    pub fn pick(&self, random: &mut Rng) -> u32 {
        let index = random.u32(0..self.all.len() as u32);
        let slot = &self.slots[index as usize];
        if u64::from(random.u32(..)) < slot.keep { index } else { slot.alias }
    }

    pub fn get(&self, index: u32) -> &Merchant {
        &self.all[index as usize]
    }
}

fn slots(count: u32) -> Vec<Slot> {
    let total: f64 = (1..=count).map(|rank| 1.0 / f64::from(rank)).sum();
    let share = |rank: u32| f64::from(count) / (f64::from(rank) * total);
    let mut shares: Vec<f64> = (1..=count).map(share).collect();
    let mut slots: Vec<Slot> = (0..count).map(|alias| Slot { keep: 1 << 32, alias }).collect();
    let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..count).partition(|index| shares[*index as usize] < 1.0);
    while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
        let missing = 1.0 - shares[poor as usize];
        slots[poor as usize] = Slot { keep: (shares[poor as usize] * f64::from(u32::MAX)) as u64, alias: rich };
        shares[rich as usize] -= missing;
        if shares[rich as usize] < 1.0 {
            small.extend(large.pop());
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_merchant_sells_twice_as_much_as_the_second() {
        let merchants = Merchants::new(300);
        let mut random = Rng::with_seed(7);
        let mut counts = [0u32; 300];
        for _ in 0..1_000_000 {
            counts[merchants.pick(&mut random) as usize] += 1;
        }
        let ratio = |other: usize| f64::from(counts[0]) / f64::from(counts[other]);
        assert!((1.9..2.1).contains(&ratio(1)), "{}", ratio(1));
        assert!((9.0..11.0).contains(&ratio(9)), "{}", ratio(9));
        assert!(counts.iter().all(|count| *count > 0), "every merchant sells something");
    }
}
