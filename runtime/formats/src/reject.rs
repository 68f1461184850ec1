use outflow_api::RejectedRow;

const MESSAGE_BYTES_MAX: usize = 500;

/// Why a record does not fit. Built on the cold path only; boxed, so that the hot path's results stay one word.
#[derive(Debug)]
pub struct Reject {
    code: &'static str,
    expected: String,
    /// From the innermost field outwards: each level adds its name while the error travels up.
    path: Vec<String>,
}

pub type Step<T = ()> = Result<T, Box<Reject>>;

impl Reject {
    #[cold]
    pub fn new(code: &'static str, expected: impl Into<String>) -> Box<Reject> {
        Box::new(Reject { code, expected: expected.into(), path: Vec::new() })
    }

    #[cold]
    pub fn not_json(at: usize, expected: &str) -> Box<Reject> {
        Reject::new("not-json", format!("byte {at}: {expected}"))
    }

    #[cold]
    pub fn within(mut self: Box<Reject>, segment: &str) -> Box<Reject> {
        self.path.push(segment.to_owned());
        self
    }

    #[cold]
    pub fn row(&self, index: usize) -> RejectedRow {
        let mut message = String::new();
        for segment in self.path.iter().rev() {
            let dot = if message.is_empty() { "field " } else { "." };
            message.push_str(if segment.starts_with(['[', '{']) { "" } else { dot });
            message.push_str(segment);
        }
        message.push_str(if message.is_empty() { "" } else { ": " });
        message.push_str(&self.expected);
        RejectedRow { index, code: self.code, message: shortened(message) }
    }
}

/// Cut at a character's boundary.
fn shortened(mut message: String) -> String {
    const MARK: &str = "…";
    if message.len() > MESSAGE_BYTES_MAX {
        let cut = (0..=MESSAGE_BYTES_MAX - MARK.len()).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(cut.unwrap_or_default());
        message.push_str(MARK);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_path_from_the_outside_in() {
        let reject = Reject::new("wrong-type", "BIGINT expected").within("[2]").within("tags").within("customer");
        assert_eq!(reject.row(7).message, "field customer.tags[2]: BIGINT expected");
    }

    #[test]
    fn a_message_never_outgrows_a_header() {
        let row = Reject::new("unknown-field", "ü".repeat(900)).within(&"é".repeat(900)).row(0);
        assert!(row.message.len() <= MESSAGE_BYTES_MAX && row.message.len() > MESSAGE_BYTES_MAX - 4);
        assert!(row.message.ends_with('…'));
    }
}
