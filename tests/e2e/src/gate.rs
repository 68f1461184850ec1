use std::{
    io::copy,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

/// Stands before a server, passes on what comes, and counts connections. While it is shut, it hangs up on everybody.
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    is_shut: AtomicBool,
    is_over: AtomicBool,
    attempts: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Gate {
    /// # Panics
    /// If loopback has no free port.
    pub fn start(upstream_port: u16) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            upstream: SocketAddr::from(([127, 0, 0, 1], upstream_port)),
            is_shut: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            attempts: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if server.is_over.load(Ordering::SeqCst) {
                    break;
                }
                server.attempts.fetch_add(1, Ordering::SeqCst);
                server.pass(&client);
            }
        });
        Gate { address, shared }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks what is connected as well.
    pub fn shut(&self) {
        self.shared.is_shut.store(true, Ordering::SeqCst);
        let open = std::mem::take(&mut *self.shared.open.lock().unwrap_or_else(PoisonError::into_inner));
        open.iter().for_each(hang_up);
    }

    pub fn open(&self) {
        self.shared.is_shut.store(false, Ordering::SeqCst);
    }

    /// Connections that somebody asked for, ever.
    pub fn attempts(&self) -> u64 {
        self.shared.attempts.load(Ordering::SeqCst)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shut();
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn pass(&self, client: &TcpStream) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(server) = TcpStream::connect(self.upstream).ok().filter(|_| !self.is_shut.load(Ordering::SeqCst))
        else {
            return hang_up(client);
        };
        for (from, to) in [(client, &server), (&server, client)] {
            let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return hang_up(client) };
            thread::spawn(move || {
                let _ = copy(&mut from, &mut to);
                hang_up(&from);
                hang_up(&to);
            });
        }
        open.extend(client.try_clone());
    }
}

/// It may be gone already.
fn hang_up(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}
