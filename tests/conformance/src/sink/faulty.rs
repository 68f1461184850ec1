use super::Random;
use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Result, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Stands before a real HTTP server and misbehaves as networks and providers do, by a seed. What the server itself
/// does stays real.
pub struct FaultyServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// For a real server that speaks another dialect than the one tested: a request, and then its answer, as they go on.
#[derive(Clone, Copy)]
pub struct Translation {
    pub request: fn(Vec<u8>) -> Vec<u8>,
    pub answer: fn(Vec<u8>) -> Vec<u8>,
}

struct Shared {
    upstream: SocketAddr,
    translation: Option<Translation>,
    rages: AtomicBool,
    stopped: AtomicBool,
    random: Mutex<Random>,
    faults: AtomicU64,
}

/// What happens to one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Served,
    /// Before any effect: an answer that says so, or none.
    Refused,
    Unheard,
    /// The server sees half of it, the client hears nothing.
    Half,
    /// The server does it, the client hears nothing.
    AnswerLost,
    /// The server does it long after the client has given up: the zombie.
    Late,
    Slow,
}

const HEAD_BYTES_MAX: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
const LATE: Duration = Duration::from_millis(40);
const REFUSAL: &str =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 1\r\n\r\n";

impl FaultyServer {
    /// # Panics
    /// If loopback has no free port.
    pub fn start(upstream_port: u16, seed: u64) -> FaultyServer {
        FaultyServer::listen(upstream_port, seed, None)
    }

    /// # Panics
    /// If loopback has no free port.
    pub fn translating(upstream_port: u16, seed: u64, translation: Translation) -> FaultyServer {
        FaultyServer::listen(upstream_port, seed, Some(translation))
    }

    fn listen(upstream_port: u16, seed: u64, translation: Option<Translation>) -> FaultyServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            upstream: SocketAddr::from(([127, 0, 0, 1], upstream_port)),
            translation,
            rages: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            random: Mutex::new(Random::new(seed)),
            faults: AtomicU64::new(0),
        });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if server.stopped.load(Ordering::Relaxed) {
                    break;
                }
                let server = Arc::clone(&server);
                // A broken connection is what this is for.
                thread::spawn(move || drop(server.serve(client)));
            }
        });
        FaultyServer { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn storm(&self, rages: bool) {
        self.shared.rages.store(rages, Ordering::Relaxed);
    }

    /// Requests that did not go as they should.
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn fate(&self) -> Fate {
        if !self.rages.load(Ordering::Relaxed) {
            return Fate::Served;
        }
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = match random.below(16) {
            0 => Fate::Refused,
            1 => Fate::Unheard,
            2 => Fate::Half,
            3 | 4 => Fate::AnswerLost,
            5 => Fate::Late,
            6 => Fate::Slow,
            _ => Fate::Served,
        };
        self.faults.fetch_add(u64::from(fate != Fate::Served), Ordering::Relaxed);
        fate
    }

    /// One request: connections are closed behind each, so that a fate is one request's own.
    fn serve(&self, mut client: TcpStream) -> Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        let request = read_request(&client)?;
        match self.fate() {
            Fate::Served => self.answer(&request, &mut client),
            Fate::Refused => client.write_all(REFUSAL.as_bytes()),
            Fate::Unheard => client.shutdown(Shutdown::Both),
            Fate::Half => {
                client.shutdown(Shutdown::Both)?;
                self.connect()?.write_all(&request[..request.len() / 2])
            }
            Fate::AnswerLost => {
                self.forward(&request)?;
                client.shutdown(Shutdown::Both)
            }
            Fate::Late => {
                client.shutdown(Shutdown::Both)?;
                thread::sleep(LATE);
                self.forward(&request).map(drop)
            }
            Fate::Slow => {
                thread::sleep(LATE);
                self.answer(&request, &mut client)
            }
        }
    }

    fn answer(&self, request: &[u8], client: &mut TcpStream) -> Result<()> {
        client.write_all(&self.forward(request)?)
    }

    fn forward(&self, request: &[u8]) -> Result<Vec<u8>> {
        let mut server = self.connect()?;
        match self.translation {
            Some(translation) => server.write_all(&(translation.request)(request.to_vec()))?,
            None => server.write_all(request)?,
        }
        let mut answer = Vec::new();
        let read = server.read_to_end(&mut answer);
        if let Some(translation) = self.translation {
            answer = (translation.answer)(answer);
        }
        match read {
            // A server that resets the connection behind its answer has answered.
            Err(error) if answer.is_empty() || error.kind() != ErrorKind::ConnectionReset => Err(error),
            _ => Ok(answer),
        }
    }

    fn connect(&self) -> Result<TcpStream> {
        let server = TcpStream::connect(self.upstream)?;
        server.set_read_timeout(Some(PATIENCE))?;
        Ok(server)
    }
}

/// Head and body, with the connection to be closed behind the answer: its end is then the end of the stream.
fn read_request(client: &TcpStream) -> Result<Vec<u8>> {
    let mut reader = BufReader::new(client);
    let mut head = Vec::new();
    let mut body_bytes = 0;
    let mut limited = (&mut reader).take(HEAD_BYTES_MAX);
    loop {
        let mut line = String::new();
        if limited.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(length) = lower.strip_prefix("content-length:") {
            body_bytes = length.trim().parse().map_err(|_| ErrorKind::InvalidData)?;
        }
        if !lower.starts_with("connection:") {
            head.extend_from_slice(line.as_bytes());
        }
    }
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    let start = head.len();
    head.resize(start + body_bytes, 0);
    reader.read_exact(&mut head[start..])?;
    Ok(head)
}
