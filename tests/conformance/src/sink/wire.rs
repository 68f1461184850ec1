use super::Random;
use std::{
    io::{Read, Result, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Stands before a real server of any protocol and breaks connections, by a seed: at any byte, in either direction.
/// What the server itself does stays real.
pub struct FaultyWire {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    rages: AtomicBool,
    stopped: AtomicBool,
    random: Mutex<Random>,
    faults: AtomicU64,
}

/// What happens to one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Served,
    Refused,
    /// The server hears so many bytes, and then that nobody is there.
    CutToServer(usize),
    /// The client hears so many bytes; the server hears all that was sent, and nothing of the end for a while: the
    /// zombie.
    CutToClient(usize),
}

const LATE: Duration = Duration::from_millis(40);
/// Within a greeting, within a small batch, and beyond it.
const CUTS_WITHIN: [usize; 3] = [600, 6_000, 60_000];
/// What a server says of one batch.
const ANSWERS_BYTES: usize = 3_000;

impl FaultyWire {
    /// # Panics
    /// If loopback has no free port.
    pub fn start(upstream_port: u16, seed: u64) -> FaultyWire {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            upstream: SocketAddr::from(([127, 0, 0, 1], upstream_port)),
            rages: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            random: Mutex::new(Random::new(seed)),
            faults: AtomicU64::new(0),
        });
        let wire = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if wire.stopped.load(Ordering::Relaxed) {
                    break;
                }
                // A broken connection is what this is for.
                let _ = wire.serve(&client);
            }
        });
        FaultyWire { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn storm(&self, rages: bool) {
        self.shared.rages.store(rages, Ordering::Relaxed);
    }

    /// Connections that did not go as they should.
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyWire {
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
        let within = CUTS_WITHIN[random.below(CUTS_WITHIN.len())];
        let bytes = random.below(within);
        let fate = match random.below(16) {
            0 => Fate::Refused,
            1..4 => Fate::CutToServer(bytes),
            4..7 => Fate::CutToClient(bytes % ANSWERS_BYTES),
            _ => Fate::Served,
        };
        self.faults.fetch_add(u64::from(fate != Fate::Served), Ordering::Relaxed);
        fate
    }

    fn serve(&self, client: &TcpStream) -> Result<()> {
        let fate = self.fate();
        if fate == Fate::Refused {
            return client.shutdown(Shutdown::Both);
        }
        let server = TcpStream::connect(self.upstream)?;
        let both = || Ok::<_, std::io::Error>((client.try_clone()?, server.try_clone()?));
        let (to_server, to_client) = match fate {
            Fate::CutToServer(bytes) => (bytes, usize::MAX),
            Fate::CutToClient(bytes) => (usize::MAX, bytes),
            _ => (usize::MAX, usize::MAX),
        };
        let (from_client, into_server) = both()?;
        thread::spawn(move || {
            let _ = pass(&from_client, &into_server, to_server);
            if to_server < usize::MAX {
                // Before the server complains of half a message: who is gone hears nothing of it.
                let _ = from_client.shutdown(Shutdown::Both);
            }
            let _ = into_server.shutdown(Shutdown::Write);
        });
        let (into_client, from_server) = both()?;
        thread::spawn(move || {
            let _ = pass(&from_server, &into_client, to_client);
            let _ = into_client.shutdown(Shutdown::Both);
            if to_client < usize::MAX {
                // It goes on with what it has heard.
                thread::sleep(LATE);
                let _ = from_server.shutdown(Shutdown::Both);
            }
        });
        Ok(())
    }
}

/// At most so many bytes.
fn pass(mut from: &TcpStream, mut to: &TcpStream, mut left: usize) -> Result<()> {
    let mut buffer = [0; 16 * 1024];
    while left > 0 {
        let room = buffer.len().min(left);
        let read = from.read(&mut buffer[..room])?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read])?;
        left -= read;
    }
    Ok(())
}
