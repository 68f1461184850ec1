use std::{
    collections::HashSet,
    io::{Read, Result, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Stands between clients and a real broker, and knows when a transaction ends.
pub struct Door {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    /// The next answer to "commit" is held back until `behind` has run.
    armed: AtomicBool,
    behind: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

/// `EndTxn` in Kafka's protocol.
const END_TRANSACTION: [u8; 2] = 26_i16.to_be_bytes();

impl Door {
    pub fn new() -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        Door { listener, shared: Arc::new(Shared { armed: AtomicBool::new(false), behind: Mutex::default() }) }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().expect("a bound socket has an address").port()
    }

    /// From here on connections go to the broker's own port.
    pub fn open(&self, broker: u16) {
        let (listener, shared) = (self.listener.try_clone().expect("a socket can be shared"), Arc::clone(&self.shared));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A broker that is down refuses, and so do we.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", broker)) {
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || pass(client, server, &shared));
                }
            }
        });
    }

    /// `act` runs between the coordinator's next "committed" and the client's hearing of it.
    pub fn behind_next_commit(&self, act: impl FnOnce() + Send + 'static) {
        *self.shared.behind.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(act));
        self.shared.armed.store(true, Ordering::Release);
    }

    pub fn has_acted(&self) -> bool {
        !self.shared.armed.load(Ordering::Acquire)
    }
}

fn pass(client: TcpStream, server: TcpStream, shared: &Shared) {
    let commits = Arc::new(Mutex::new(HashSet::new()));
    let (mut from, mut to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    let asked = Arc::clone(&commits);
    let requests = std::thread::spawn(move || {
        while let Ok(frame) = frame(&mut from) {
            if frame.get(4..6) == Some(&END_TRANSACTION[..]) {
                asked.lock().unwrap_or_else(PoisonError::into_inner).insert(frame[8..12].to_vec());
            }
            if to.write_all(&frame).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
    let (mut from, mut to) = (server, client);
    while let Ok(frame) = frame(&mut from) {
        let answers = commits.lock().unwrap_or_else(PoisonError::into_inner).remove(&frame[4..8]);
        if answers && shared.armed.load(Ordering::Acquire) {
            let act = shared.behind.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(act) = act {
                act();
                shared.armed.store(false, Ordering::Release);
            }
        }
        if to.write_all(&frame).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    let _ = requests.join();
}

/// Its length in front.
fn frame(from: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut frame = vec![0; 4 + u32::from_be_bytes(length) as usize];
    frame[..4].copy_from_slice(&length);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}
