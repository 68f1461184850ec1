use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// What a server answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    pub body: String,
}

/// Asks a server on a port of loopback; `headers` are whole lines.
///
/// # Errors
/// If there is no answer.
pub fn ask(port: u16, method: &str, path: &str, headers: &[&str], body: &str) -> Result<Answer, String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{lines}Content-Length: {length}\r\n\r\n{body}")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = exchange().map_err(|error| format!("{method} {path}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("{method} {path}: no status in {head:?}"))?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// The body of an answer to JSON. `Err` says what went wrong, or what the server answered but for 2xx.
///
/// # Errors
/// If there is no answer, or one that is not 2xx.
pub fn request(port: u16, method: &str, path: &str, json: &str) -> Result<String, String> {
    let Answer { status, head, body } = ask(port, method, path, &["Content-Type: application/json"], json)?;
    if (200..300).contains(&status) { Ok(body) } else { Err(format!("{method} {path}: {head} {body}")) }
}
