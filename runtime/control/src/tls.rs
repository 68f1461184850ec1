use outflow_api::{Blame, Fault};
use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};
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

/// From PEM files: the certificate with those of its issuers behind it, and its key.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Fault> {
    let wrong = |what: &str, path: &Path, why: String| {
        Fault::park(Blame::Us, "tls-unusable", format!("{what} of rest.tls, {}: {why}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| wrong("the certificate", certificate, error.to_string()))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("the key", key, error.to_string()))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, secret);
    let config = config.map_err(|error| wrong("certificate and key", certificate, error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl TlsListener {
    pub fn new(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<TlsListener> {
        let address = listener.local_addr()?;
        let (done, agreed) = mpsc::channel(HANDSHAKES_AT_ONCE);
        tokio::spawn(take(listener, acceptor, done));
        Ok(TlsListener { agreed, address })
    }
}

async fn take(listener: TcpListener, acceptor: TlsAcceptor, done: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
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
        let (acceptor, done) = (acceptor.clone(), done.clone());
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
