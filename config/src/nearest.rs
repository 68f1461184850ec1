/// The allowed word that was most probably meant, if any is near enough.
pub fn nearest<'a>(written: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', '.', ' '], "_");
    let written = plain(written);
    let scored = allowed.into_iter().map(|word| (distance(&written, &plain(word)), word));
    let bound = written.chars().count().div_ceil(3).max(1);
    scored.min().filter(|(distance, _)| *distance <= bound).map(|(_, word)| word)
}

/// Single letters to insert, drop or change, or neighbours to swap.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(64).collect(), other.chars().take(64).collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    rows[0] = (0..=other.len()).collect();
    for i in 1..=one.len() {
        rows[i][0] = i;
        for j in 1..=other.len() {
            let changed = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            rows[i][j] = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood_and_guesses_are_not_made() {
        let allowed = ["flush", "topics", "dead_letters", "format"];
        assert_eq!(nearest("flsh", allowed), Some("flush"));
        assert_eq!(nearest("topcis", allowed), Some("topics"));
        assert_eq!(nearest("deadLetters", allowed), Some("dead_letters"));
        assert_eq!(nearest("dead-letters", allowed), Some("dead_letters"));
        assert_eq!(nearest("schedule", allowed), None);
    }
}
