use crate::{Process, free_port, go::go_program};
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

/// Google Cloud Storage as far as fake-gcs-server has it: whole objects with conditions, reading, listing, deleting.
/// It takes uploads by the JSON API only, and knows no XML multipart uploads.
pub struct Gcs {
    process: Process,
    port: u16,
}

const PACKAGE: &str = "github.com/fsouza/fake-gcs-server";
const VERSION: &str = "v1.56.1";

impl Gcs {
    /// # Panics
    /// If the server cannot be built or started.
    pub fn start(folder: &Path) -> Gcs {
        let program = go_program(PACKAGE, VERSION).display().to_string();
        let port = free_port();
        let args = ["-scheme", "http", "-host", "127.0.0.1", "-port", &port.to_string()];
        // Without a port of its own, the public host is this machine by any port: a server in front may have another.
        let rest = ["-public-host", "127.0.0.1", "-backend", "memory", "-log-level", "warn"];
        let args: Vec<String> = args.into_iter().chain(rest).map(str::to_owned).collect();
        let process = Process::start("gcs", folder, &program, &args, &[]);
        process.wait_ready(Duration::from_secs(30), || process.holds_port(port));
        Gcs { process, port }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// # Panics
    /// If the server refuses.
    pub fn create_bucket(&self, name: &str) {
        let body = format!("{{\"name\":\"{name}\"}}");
        let request = format!(
            "POST /storage/v1/b HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_can_be_made() {
        let folder = tempfile::tempdir().expect("a folder");
        Gcs::start(folder.path()).create_bucket("lake");
    }
}
