/// `Topic orders changed id from … to …` in the client's log (debug context `topic`): the name and the new id. There is
/// no other word of it: the client goes on at its old offsets in the new topic.
pub(crate) fn changed_id(line: &str) -> Option<(&str, u128)> {
    let (before, change) = line.split_once(" changed id from ")?;
    let (_, name) = before.rsplit_once("Topic ")?;
    let (_, id) = change.split_once(" to ")?;
    Some((name, uuid(id.trim())?))
}

/// 22 digits of base64, in either alphabet.
fn uuid(text: &str) -> Option<u128> {
    let digit = |byte: u8| {
        Some(u128::from(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        }))
    };
    let (last, most) = text.as_bytes().split_last()?;
    let high = most.iter().try_fold(0, |all: u128, byte| Some(all << 6 | digit(*byte)?))?;
    // The last digit carries two bits of the number and four of padding.
    (text.len() == 22).then_some(high << 2 | digit(*last)? >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_about_a_topic_made_anew_is_understood() {
        let line = "[thrd:main]: Topic shop.orders changed id from AAAAAAAAAAAAAAAAAAAAAA to AAAAAAAAAAAAAAAAAAAAKg";
        assert_eq!(changed_id(line), Some(("shop.orders", 42)));
        let most = "Topic a changed id from x to /////////////////////w";
        assert_eq!(changed_id(most), Some(("a", u128::MAX)));
        assert_eq!(changed_id("[thrd:main]: Topic orders [0] Leader 1 Epoch 0"), None);
    }
}
