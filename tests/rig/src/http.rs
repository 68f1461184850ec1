use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// Asks a server on a port of loopback. `Err` says what went wrong, or what the server answered but for 2xx.
///
/// # Errors
/// If there is no answer, or one that is not 2xx.
pub fn request(port: u16, method: &str, path: &str, json: &str) -> Result<String, String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{json}",
            json.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| format!("{method} {path}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        Ok(body.to_owned())
    } else {
        Err(format!("{method} {path}: {head} {body}"))
    }
}
