//! Over a real socket, with requests written by hand.

use outflow_control::{Access, Asked, Board, ConnectorStatus, Control, Entry, Phase, ShardStatus, Status};
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

mod access;
mod connect;
mod documents;
mod double;
mod dry_run;
mod openapi;
mod steered;

use double::{Alone, Double};

struct Running {
    address: SocketAddr,
    board: Board,
    double: Double,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

async fn start() -> Running {
    start_with(Access::default()).await
}

fn entry(listen: &str, access: Access) -> Entry {
    Entry { listen: listen.parse().expect("an address"), tls: None, access }
}

async fn start_with(access: Access) -> Running {
    let double = Double::default();
    let one = Arc::new(double.clone());
    let control = Control::bind(entry("127.0.0.1:0", access)).await.expect("a free port");
    let (stop, stopped) = oneshot::channel::<()>();
    let (address, board) = (control.address(), Board::default());
    let group = Arc::new(Alone(board.clone()));
    let asked = Asked {
        steering: Arc::clone(&one) as _,
        connectors: Arc::clone(&one) as _,
        dead_letters: Arc::clone(&one) as _,
        documents: Arc::clone(&one) as _,
        dry_runs: Arc::clone(&one) as _,
        events: Arc::clone(&one) as _,
        loggers: one,
        group,
    };
    let shown = board.clone();
    let served = tokio::spawn(async move {
        let stop = async { stopped.await.unwrap_or(()) };
        control.serve(shown, asked, "1.2.3", stop).await.expect("it is served");
    });
    Running { address, board, double, stop, served }
}

impl Running {
    /// Status and body.
    async fn send(&self, request: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.address).await.expect("somebody listens");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await.expect("in time").expect("answered");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            true => (status, unchunked(body)),
            false => (status, body.to_owned()),
        }
    }

    async fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.ask("POST", path, &[], body).await
    }

    /// `headers` are whole lines.
    async fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
        let (address, length) = (self.address, body.len());
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{lines}");
        self.send(&format!("{head}Content-Length: {length}\r\n\r\n{body}")).await
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)).await
    }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, behind)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("the length of a chunk");
        body += &behind[..length];
        rest = behind[length..].strip_prefix("\r\n").expect("a chunk ends");
    }
    body
}

fn working() -> Status {
    Status {
        phase: Phase::Running,
        cluster_id: "c1".to_owned(),
        connectors: [("orders".to_owned(), ConnectorStatus { records_read: 5, ..Default::default() })].into(),
        shards: [(0, ShardStatus { owned: true, generation: 9, ..ShardStatus::default() })].into(),
        ..Status::default()
    }
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn a_worker_is_ready_once_it_owns_a_shard() {
    let running = start().await;
    let (status, body) = running.get("/health/ready").await;
    assert_eq!((status, json(&body)["error_code"].as_u64()), (503, Some(503)));
    assert!(body.contains("no shard is owned yet"), "{body}");
    assert_eq!(running.get("/health/live").await.0, 200);
    running.board.publish(Status { shards: Default::default(), ..working() });
    assert_eq!(running.get("/health/ready").await.0, 503);
    running.board.publish(working());
    let (status, body) = running.get("/health/ready").await;
    assert_eq!((status, json(&body)["shards_owned"].as_u64()), (200, Some(1)));
    running.board.publish(Status { phase: Phase::Draining, ..working() });
    assert!(running.get("/health/ready").await.1.contains("told to stop"));
    let phase = Phase::Failed { code: "log-truncated".to_owned(), hint: "orders/3 fell".to_owned() };
    running.board.publish(Status { phase, ..working() });
    assert_eq!(running.get("/health/live").await.0, 503);
}

#[tokio::test]
async fn what_is_published_is_shown() {
    let running = start().await;
    running.board.publish(working());
    let (status, body) = running.get("/").await;
    let about = serde_json::json!({ "version": "3.9.0-outflow-1.2.3", "commit": "unknown", "kafka_cluster_id": "c1" });
    assert_eq!((status, json(&body)), (200, about));
    let (status, body) = running.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("outflow_records_read_total{connector=\"orders\"} 5\n"), "{body}");
    let (_, body) = running.get("/v1/status").await;
    assert_eq!(json(&body)["shards"]["0"]["generation"], 9);
    assert_eq!(json(&body)["phase"]["name"], "running");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_too_large_is_told_as_connect_tells_it() {
    let running = start().await;
    let not_found = serde_json::json!({ "error_code": 404, "message": "HTTP 404 Not Found" });
    let (status, body) = running.get("/nowhere/../etc").await;
    assert_eq!((status, json(&body)), (404, not_found));
    let head = format!("Host: {}\r\nConnection: close\r\n", running.address);
    assert_eq!(running.send(&format!("POST /metrics HTTP/1.1\r\n{head}\r\n")).await.0, 405);
    let large = format!("GET / HTTP/1.1\r\n{head}X: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(running.send(&large).await.0, 431);
    assert_eq!(running.send(&format!("POST / HTTP/1.1\r\n{head}Content-Length: 9999999\r\n\r\n")).await.0, 413);
}

#[tokio::test]
async fn a_foreign_name_that_points_at_loopback_is_refused() {
    let running = start().await;
    let with_host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(running.send(&with_host("evil.example:8083")).await.0, 403);
    for host in ["localhost", "localhost:8083", "127.0.0.1:8083", "[::1]:8083"] {
        assert_eq!(running.send(&with_host(host)).await.0, 200, "{host}");
    }
}

#[tokio::test]
async fn only_loopback_and_only_a_free_port_is_taken() {
    let bind =
        async |address: &str| Control::bind(entry(address, Access::default())).await.err().expect("refused").code;
    assert_eq!(bind("0.0.0.0:0").await, "not-loopback");
    assert_eq!(bind("[::]:0").await, "not-loopback");
    let running = start().await;
    assert_eq!(bind(&running.address.to_string()).await, "address-in-use");
}

#[tokio::test]
async fn a_stop_is_held_up_by_nobody() {
    let running = start().await;
    let mut half = TcpStream::connect(running.address).await.expect("somebody listens");
    half.write_all(b"GET / HTTP/1.1\r\nHost: ").await.expect("sent");
    running.stop.send(()).expect("it runs");
    timeout(Duration::from_secs(10), running.served).await.expect("in time").expect("no panic");
    assert!(TcpStream::connect(running.address).await.is_err(), "nobody listens any more");
}
