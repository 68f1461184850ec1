use crate::limits;

/// Names of connectors and groups stand in object keys, metrics, transactional ids and topic names.
pub fn name(text: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match text.chars().next() {
        Some(first) if first.is_ascii_alphanumeric() => (),
        _ => return Err("a name that starts with a letter or digit".to_owned()),
    }
    if text.len() > limits::NAME_MAX || !text.chars().all(allowed) {
        return Err(format!("at most {} of a-z A-Z 0-9 . _ -", limits::NAME_MAX));
    }
    Ok(())
}

/// As Kafka has it.
pub fn topic(text: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let sound = !text.is_empty() && text.len() <= limits::TOPIC_NAME_MAX && text.chars().all(allowed);
    if sound && text != "." && text != ".." {
        return Ok(());
    }
    Err(format!("a topic's name: 1 to {} of a-z A-Z 0-9 . _ -", limits::TOPIC_NAME_MAX))
}

pub fn merchant(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > limits::MERCHANT_ID_MAX || text.chars().any(char::is_control) {
        return Err(format!("1 to {} bytes without control characters", limits::MERCHANT_ID_MAX));
    }
    Ok(())
}

/// Kafka takes any text.
pub fn header(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > limits::HEADER_NAME_MAX || text.chars().any(char::is_control) {
        return Err(format!("a header's name: 1 to {} bytes without control characters", limits::HEADER_NAME_MAX));
    }
    Ok(())
}

pub fn not_empty(text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err("some text".to_owned()) } else { Ok(()) }
}
