use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Of a server on loopback, signed by itself: who trusts this one file, trusts that server.
pub struct Certificate {
    pub file: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// # Panics
    /// If `openssl` is not there, or fails.
    pub fn make(folder: &Path, name: &str) -> Certificate {
        let [file, key] = ["pem", "key"].map(|extension| folder.join(format!("{name}.{extension}")));
        let what = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
                    -addext subjectAltName=IP:127.0.0.1,DNS:localhost -addext basicConstraints=critical,CA:FALSE";
        let mut command = Command::new("openssl");
        command.args(what.split_whitespace()).arg("-keyout").arg(&key).arg("-out").arg(&file);
        let output = command.output().expect("openssl is installed");
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
        Certificate { file, key }
    }
}
