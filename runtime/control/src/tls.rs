use crate::server::Tls;
use outflow_api::{Blame, Fault};
use sha2::{Digest, Sha256};
use std::{
    fmt::Display,
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};

/// Takes connections and agrees on encryption with many of them at once: one that says nothing holds up nobody.
pub struct TlsListener {
    agreed: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const HANDSHAKES_AT_ONCE: usize = 256;

/// The certificate that new connections see. Those that are open keep what they have agreed on. Cheap to clone.
#[derive(Clone)]
pub struct Certificate(Arc<Mutex<InForce>>);

struct InForce {
    acceptor: TlsAcceptor,
    /// Of what was looked at last, whether it could be used or not.
    seen: [u8; 32],
}

impl Certificate {
    pub(crate) fn read(files: &Tls) -> Result<Certificate, Fault> {
        let (seen, read) = look(files);
        Ok(Certificate(Arc::new(Mutex::new(InForce { acceptor: acceptor(files, read?)?, seen }))))
    }

    /// True if another one is in force now. What cannot be used is an error once, and leaves in force what was before.
    pub fn renew(&self, files: &Tls) -> Result<bool, Fault> {
        let (seen, read) = look(files);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.seen == seen {
            return Ok(false);
        }
        known.seen = seen;
        known.acceptor = acceptor(files, read?)?;
        Ok(true)
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }
}

/// Both files, or why they cannot be read, and a hash of that.
fn look(files: &Tls) -> ([u8; 32], Result<[Vec<u8>; 2], Fault>) {
    let read = |what: &str, path: &Path| fs::read(path).map_err(|error| wrong(what, path, &error));
    let read = read("the certificate", &files.certificate)
        .and_then(|certificate| Ok([certificate, read("the key", &files.key)?]));
    let mut hasher = Sha256::new();
    match &read {
        Ok(contents) => contents.iter().for_each(|content| hasher.update(Sha256::digest(content))),
        Err(fault) => hasher.update(fault.to_string()),
    }
    (hasher.finalize().into(), read)
}

/// From PEM: the certificate with those of its issuers behind it, and its key.
fn acceptor(files: &Tls, [certificate, key]: [Vec<u8>; 2]) -> Result<TlsAcceptor, Fault> {
    let certificates = CertificateDer::pem_slice_iter(&certificate).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| wrong("the certificate", &files.certificate, &error))?;
    let secret = PrivateKeyDer::from_pem_slice(&key).map_err(|error| wrong("the key", &files.key, &error))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, secret);
    let config = config.map_err(|error| wrong("certificate and key", &files.certificate, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn wrong(what: &str, path: &Path, why: &dyn Display) -> Fault {
    Fault::park(Blame::Us, "tls-unusable", format!("{what} of rest.tls, {}: {why}", path.display()))
}

impl TlsListener {
    pub fn new(listener: TcpListener, certificate: Certificate) -> io::Result<TlsListener> {
        let address = listener.local_addr()?;
        let (done, agreed) = mpsc::channel(HANDSHAKES_AT_ONCE);
        tokio::spawn(take(listener, certificate, done));
        Ok(TlsListener { agreed, address })
    }
}

async fn take(listener: TcpListener, certificate: Certificate, done: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            () = done.closed() => return,
        };
        let Ok((stream, peer)) = taken else {
            // Out of file descriptors, most likely: others give theirs back.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, done) = (certificate.acceptor(), done.clone());
        tokio::spawn(async move {
            let _place = place;
            if let Ok(Ok(stream)) = timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                let _ = done.send((stream, peer)).await;
            }
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.agreed.recv().await {
            Some(taken) => taken,
            // The task that takes connections is gone: nobody comes any more.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
