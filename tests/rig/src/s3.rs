use crate::{Process, free_port, go::go_program};
use std::{fs, path::Path, path::PathBuf, time::Duration};

/// An S3 server (versitygw) on a folder: signatures, conditional puts, multipart uploads and their errors as S3 has
/// them; an object of bucket `b` and key `k` is the file `b/k`.
pub struct S3 {
    process: Process,
    port: u16,
    buckets: PathBuf,
}

const PACKAGE: &str = "github.com/versity/versitygw/cmd/versitygw";
const VERSION: &str = "v1.8.0";

impl S3 {
    pub const REGION: &str = "us-east-1";
    pub const ACCESS_KEY_ID: &str = "outflow-rig";
    pub const SECRET_ACCESS_KEY: &str = "outflow-rig-secret";

    /// # Panics
    /// If the server cannot be built or started.
    pub fn start(folder: &Path) -> S3 {
        let program = go_program(PACKAGE, VERSION);
        let buckets = folder.join("s3");
        fs::create_dir_all(&buckets).expect("the folder can be written");
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let args = ["--port", &address, "--region", S3::REGION, "--keep-alive", "--quiet", "posix"].map(str::to_owned);
        let args: Vec<String> = args.into_iter().chain([buckets.display().to_string()]).collect();
        let env = [
            ("ROOT_ACCESS_KEY_ID", S3::ACCESS_KEY_ID.to_owned()),
            ("ROOT_SECRET_ACCESS_KEY", S3::SECRET_ACCESS_KEY.to_owned()),
            ("ROOT_ACCESS_KEY", S3::ACCESS_KEY_ID.to_owned()),
            ("ROOT_SECRET_KEY", S3::SECRET_ACCESS_KEY.to_owned()),
        ];
        let process = Process::start("s3", folder, &program.display().to_string(), &args, &env);
        process.wait_ready(Duration::from_secs(30), || process.holds_port(port));
        S3 { process, port, buckets }
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
    /// If the folder cannot be made.
    pub fn create_bucket(&self, name: &str) {
        fs::create_dir_all(self.buckets.join(name)).expect("the folder can be written");
    }

    /// As a vanished bucket is seen: everything in it is gone at once.
    ///
    /// # Panics
    /// If the folder cannot be removed.
    pub fn remove_bucket(&self, name: &str) {
        fs::remove_dir_all(self.buckets.join(name)).expect("the folder can be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_started_server_holds_its_port() {
        let folder = tempfile::tempdir().expect("a folder");
        let s3 = S3::start(folder.path());
        s3.create_bucket("lake");
        assert!(s3.process.is_alive() && s3.process.holds_port(s3.port()));
    }
}
