//! A strict server that stands for BigQuery: the Storage Write service (pending and committed streams, changes by
//! the default stream), that for tables and load jobs, and files for them, in memory, written from what their
//! documentation says. It refuses whatever the real one is said to refuse, and it misbehaves by a seed.

mod append;
mod changes;
mod columns;
mod jobs;
pub mod message;
mod objects;
mod rest;
mod storm;
mod values;
mod warehouse;
mod wire;
mod write;

pub use warehouse::Warehouse;

use axum::serve;
use futures::stream;
use std::sync::Arc;
use tokio::net::TcpListener;
use tonic::transport::Server as Grpc;
use wire::{Cuts, Wire};
use write::WriteService;

pub struct Server {
    pub warehouse: Arc<Warehouse>,
    grpc: u16,
    rest: u16,
}

impl Server {
    /// Until the test's runtime ends.
    pub async fn start(seed: u64) -> Server {
        let cuts = Cuts::default();
        let warehouse = Arc::new(Warehouse::new(seed, cuts.clone()));
        let (grpc, rest) = (listener().await, listener().await);
        let ports = [&grpc, &rest].map(|listener| listener.local_addr().expect("it is bound").port());
        let service = WriteService(Arc::clone(&warehouse));
        let incoming = stream::unfold(grpc, move |listener| {
            let cuts = cuts.clone();
            async move {
                let accepted = listener.accept().await.map(|(stream, _)| Wire::new(stream, cuts));
                Some((accepted, listener))
            }
        });
        tokio::spawn(Grpc::builder().add_service(service).serve_with_incoming(incoming));
        let app = rest::app(Arc::clone(&warehouse)).merge(objects::app(Arc::clone(&warehouse)));
        tokio::spawn(async move { serve(rest, app).await });
        Server { warehouse, grpc: ports[0], rest: ports[1] }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    pub fn rest_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest)
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port of this machine")
}
