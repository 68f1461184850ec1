use crate::{Process, cache_folder, free_port};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Azure Blob Storage as far as Microsoft's emulator has it: blocks and block lists, conditions, signatures.
pub struct Azurite {
    process: Process,
    port: u16,
}

const VERSION: &str = "3.37.0";

/// Signs one request as the account's owner: the emulator makes no container by itself.
const CREATE_CONTAINER: &str = r#"
const [account, key, port, container] = process.argv.slice(1);
const date = new Date().toUTCString();
const path = `/${account}/${container}`;
const text = ["PUT", "", "", "", "", "", "", "", "", "", "", "", `x-ms-date:${date}`, "x-ms-version:2021-08-06",
    `/${account}${path}`, "restype:container"].join("\n");
const signature = require("crypto").createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
fetch(`http://127.0.0.1:${port}${path}?restype=container`, { method: "PUT", headers: { "x-ms-date": date,
    "x-ms-version": "2021-08-06", Authorization: `SharedKey ${account}:${signature}` } })
    .then(async (answer) => { if (answer.status != 201) { console.error(await answer.text()); process.exit(1); } });
"#;

impl Azurite {
    /// The emulator's own, the same everywhere: no secret.
    pub const ACCOUNT: &str = "devstoreaccount1";
    pub const ACCESS_KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// # Panics
    /// If the emulator cannot be fetched or started.
    pub fn start(folder: &Path) -> Azurite {
        let program = program();
        let port = free_port();
        let data = folder.join("azurite").display().to_string();
        let args = [&program.display().to_string(), "--blobHost", "127.0.0.1", "--blobPort", &port.to_string()];
        let options = ["--location", &data, "--silent", "--skipApiVersionCheck", "--disableTelemetry"];
        let args: Vec<String> = args.into_iter().chain(options).map(str::to_owned).collect();
        let process = Process::start("azurite-blob", folder, "node", &args, &[]);
        process.wait_ready(Duration::from_secs(60), || process.holds_port(port));
        Azurite { process, port }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, Azurite::ACCOUNT)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// # Panics
    /// If the emulator refuses.
    pub fn create_container(&self, name: &str) {
        let args = [Azurite::ACCOUNT, Azurite::ACCESS_KEY, &self.port.to_string(), name];
        let output = Command::new("node").args(["-e", CREATE_CONTAINER]).args(args).output().expect("it runs Azurite");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Fetched once per machine; processes that ask at the same time wait for the first one.
fn program() -> PathBuf {
    let cache = cache_folder();
    let lock = File::create(cache.join("azurite.lock")).expect("the cache folder can be written");
    lock.lock().expect("a lock file can be locked");
    let folder = cache.join(format!("azurite-{VERSION}"));
    let program = folder.join("node_modules/azurite/dist/src/blob/main.js");
    if !program.exists() {
        fs::create_dir_all(&folder).expect("the cache folder can be written");
        let output = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&folder)
            .arg(format!("azurite@{VERSION}"))
            .output()
            .expect("npm starts: it comes with the system package `npm`");
        assert!(output.status.success(), "npm failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_can_be_made() {
        let folder = tempfile::tempdir().expect("a folder");
        Azurite::start(folder.path()).create_container("lake");
    }
}
