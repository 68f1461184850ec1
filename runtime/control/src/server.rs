use crate::{Board, Steering, router::router};
use outflow_api::{Blame, Fault};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::oneshot, time};

/// How long requests that are under way may hold up a stop.
const GRACE: Duration = Duration::from_secs(2);

/// A bound listener, which does not answer yet.
#[derive(Debug)]
pub struct Control {
    listener: TcpListener,
    address: SocketAddr,
}

impl Control {
    /// Port 0 takes any free one.
    pub async fn bind(address: SocketAddr) -> Result<Control, Fault> {
        if !address.ip().is_loopback() {
            let hint = format!(
                "rest.listen is {address}, which others can reach: that needs tokens and TLS, which this version does \
                 not have; listen on 127.0.0.1 or [::1]"
            );
            return Err(Fault::park(Blame::Us, "not-loopback", hint));
        }
        let refused = |error: io::Error| {
            let taken = error.kind() == io::ErrorKind::AddrInUse;
            let code = if taken { "address-in-use" } else { "cannot-listen" };
            let hint = format!("can't listen on {address}: choose another port in rest.listen, or 0 for any free one");
            Fault::park(Blame::Us, code, hint).because(error)
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Control { listener, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is done; then takes no new request and finishes those that are under way.
    pub async fn serve(
        self,
        board: Board,
        steering: Arc<dyn Steering>,
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
        let server = axum::serve(self.listener, router(board, steering, version)).with_graceful_shutdown(signal);
        tracing::info!(address = %self.address, "listening");
        tokio::select! {
            served = server => served.map_err(|error| {
                Fault::halt("listener-failed", format!("the listener on {} failed", self.address)).because(error)
            }),
            () = overdue => Ok(()),
        }
    }
}
