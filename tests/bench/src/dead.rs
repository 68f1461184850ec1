use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Reserved, and nobody's: whoever dials it is refused.
const CLOSED_PORT: u16 = 1;
/// Longer than anybody should wait for a destination, shorter than a request's own limit.
pub const SLOW_ANSWER: Duration = Duration::from_secs(15);
/// Deep enough for a request's head and a copying buffer.
const STACK_BYTES: usize = 128 << 10;

/// Stores that fail, each in its way: one refuses connections, one takes requests and never answers, one answers late.
pub struct Dead {
    hanging: Listener,
    slow: Listener,
}

struct Listener {
    port: u16,
    connections: Arc<AtomicU64>,
}

impl Dead {
    /// # Panics
    /// If somebody listens where nobody should.
    pub fn listen() -> Dead {
        assert!(TcpStream::connect(("127.0.0.1", CLOSED_PORT)).is_err(), "port {CLOSED_PORT} is not closed");
        Dead { hanging: Listener::start(hang), slow: Listener::start(answer_late) }
    }

    /// One for each way to fail, with `${row:id}` where a merchant's own place begins.
    pub fn sinks(&self) -> [(&'static str, String); 3] {
        let sink = |way: &str, port: u16| {
            format!(
                "{{ type: object_store, url: \"s3://dead/{way}/${{row:id}}\", endpoint: \"http://127.0.0.1:{port}\", \
                 region: nowhere, allow_http: true, anonymous: true }}"
            )
        };
        [("refusing", CLOSED_PORT), ("hanging", self.hanging.port), ("slow", self.slow.port)]
            .map(|(way, port)| (way, sink(way, port)))
    }

    /// Connections that the hanging and the slow store have taken so far.
    pub fn connections(&self) -> [u64; 2] {
        [&self.hanging, &self.slow].map(|listener| listener.connections.load(Ordering::Relaxed))
    }
}

impl Listener {
    /// A thread for each connection, until its client gives up: there are no more than the client's own limit allows.
    fn start(serve: fn(TcpStream) -> io::Result<()>) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let connections = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
                // A client that goes away ends its connection; a thread that cannot be made ends it as well.
                let _ = thread.spawn(move || serve(stream));
            }
        });
        Listener { port, connections }
    }
}

fn hang(mut stream: TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(|_| ())
}

/// Takes every object, late.
fn answer_late(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(length) = body_length(&mut reader)? {
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        std::thread::sleep(SLOW_ANSWER);
        stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"late\"\r\nContent-Length: 0\r\n\r\n")?;
    }
    Ok(())
}

/// Of the request whose head comes next; none at the end of the connection.
fn body_length(reader: &mut impl BufRead) -> io::Result<Option<u64>> {
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 0 {
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            return Ok(Some(length));
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_where_its_head_says() {
        let mut two = &b"PUT /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n"[..];
        assert_eq!(body_length(&mut two).expect("whole"), Some(3));
        two = &two[3..];
        assert_eq!(body_length(&mut two).expect("whole"), Some(0));
        assert_eq!(body_length(&mut two).expect("whole"), None);
    }
}
