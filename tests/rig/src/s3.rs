use crate::{Process, go::go_program, kafka::lasting_port};
use std::{fs, path::Path, path::PathBuf, time::Duration};

/// An S3 server (versitygw) on a folder: signatures, conditional puts, multipart uploads and their errors as S3 has
/// them; an object of bucket `b` and key `k` is the file `b/k`.
pub struct S3 {
    process: Process,
    program: PathBuf,
    folder: PathBuf,
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
        let port = lasting_port();
        let process = run(folder, &program, &buckets, port);
        S3 { process, program, folder: folder.to_owned(), port, buckets }
    }

    /// `kill -9`: connections break, what was put stays.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// On the same port and data.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = run(&self.folder, &self.program, &self.buckets, self.port);
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

    /// The bucket is gone until [`S3::show_bucket`].
    ///
    /// # Panics
    /// If there is no such bucket.
    pub fn hide_bucket(&self, name: &str) {
        fs::rename(self.buckets.join(name), self.hidden(name)).expect("the bucket is there");
    }

    /// # Panics
    /// If the bucket is not hidden, or was made anew meanwhile.
    pub fn show_bucket(&self, name: &str) {
        fs::rename(self.hidden(name), self.buckets.join(name)).expect("the bucket was hidden");
    }

    fn hidden(&self, name: &str) -> PathBuf {
        self.folder.join(format!("hidden-{name}"))
    }

    /// What was staged of multipart uploads, in files of the server's own.
    pub fn staged_files(&self, bucket: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.buckets.join(bucket).join(".sgwtmp")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder { folders.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        files
    }
}

fn run(folder: &Path, program: &Path, buckets: &Path, port: u16) -> Process {
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
    process
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
