use crate::{
    Access, Board,
    router::{Asked, Site, router},
    tls::{Certificate, TlsListener},
};
use outflow_api::{Blame, Fault};
use std::{future::Future, io, net::SocketAddr, path::PathBuf, time::Duration};
use tokio::{net::TcpListener, sync::oneshot, time};

/// How long requests that are under way may hold up a stop.
const GRACE: Duration = Duration::from_secs(2);

/// Where to listen, and who may ask.
#[derive(Clone)]
pub struct Entry {
    /// Port 0 takes any free one.
    pub listen: SocketAddr,
    pub tls: Option<Tls>,
    pub access: Access,
}

/// PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A bound listener, which does not answer yet.
pub struct Control {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Certificate>,
    access: Access,
}

impl Control {
    pub async fn bind(entry: Entry) -> Result<Control, Fault> {
        let Entry { listen, tls, access } = entry;
        if !listen.ip().is_loopback() && (tls.is_none() || access.is_open()) {
            let hint = format!(
                "rest.listen is {listen}, which others can reach: that needs rest.tls and rest.tokens; or listen on \
                 127.0.0.1 or [::1]"
            );
            return Err(Fault::park(Blame::Us, "not-loopback", hint));
        }
        let tls = tls.as_ref().map(Certificate::read).transpose()?;
        let refused = |error: io::Error| {
            let taken = error.kind() == io::ErrorKind::AddrInUse;
            let code = if taken { "address-in-use" } else { "cannot-listen" };
            let hint = format!("can't listen on {listen}: choose another port in rest.listen, or 0 for any free one");
            Fault::park(Blame::Us, code, hint).because(error)
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Control { listener, address, tls, access })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who may ask, as it can be changed.
    pub fn access(&self) -> Access {
        self.access.clone()
    }

    pub fn certificate(&self) -> Option<Certificate> {
        self.tls.clone()
    }

    /// Answers until `stop` is done; then takes no new request and finishes those that are under way.
    pub async fn serve(
        self,
        board: Board,
        asked: Asked,
        version: &'static str,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Fault> {
        let (stopping, stopped) = oneshot::channel();
        let signal = async move {
            stop.await;
            // Nobody listens any more if the server failed first.
            let _ = stopping.send(());
        };
        let overdue = async {
            if stopped.await.is_ok() {
                time::sleep(GRACE).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let Control { listener, address, tls, access } = self;
        let site = Site { is_loopback: address.ip().is_loopback(), access };
        let router = router(board, asked, version, site);
        tracing::info!(%address, tls = tls.is_some(), event = "worker-listens", "listening");
        let server = async {
            match tls {
                None => axum::serve(listener, router).with_graceful_shutdown(signal).await,
                Some(certificate) => {
                    let listener = TlsListener::new(listener, certificate)?;
                    axum::serve(listener, router).with_graceful_shutdown(signal).await
                }
            }
        };
        tokio::select! {
            served = server => served.map_err(|error| {
                Fault::halt("listener-failed", format!("the listener on {address} failed")).because(error)
            }),
            () = overdue => Ok(()),
        }
    }
}
