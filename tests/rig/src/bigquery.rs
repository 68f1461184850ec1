use crate::{Process, free_port, http, python::environment};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// BigQuery as far as an emulator has it, with DuckDB for SQL: tables, queries, write streams. It knows neither row
/// errors nor that a stream was committed before.
pub struct BigQuery {
    _process: Process,
    rest: u16,
    grpc: u16,
}

const PACKAGES: [&str; 5] = [
    "bqemulator==1.4.0",
    "duckdb==1.5.5",
    "duckdb-extension-spatial==1.5.5",
    "duckdb-extension-avro==1.5.5",
    "numpy==2.4.6",
];
/// Where DuckDB looks for what it would else fetch from a host of its own.
const EXTENSIONS: &str = ".duckdb/extensions/v1.5.5/linux_amd64";

impl BigQuery {
    pub const PROJECT: &str = "shop";

    /// # Panics
    /// If the emulator cannot be fetched or started.
    pub fn start(folder: &Path) -> BigQuery {
        let interpreter = environment("bqemulator", &PACKAGES);
        let home = folder.join("home");
        let extensions = home.join(EXTENSIONS);
        fs::create_dir_all(&extensions).expect("the folder can be written");
        for extension in ["avro", "spatial"] {
            let file = format!("{extension}.duckdb_extension");
            fs::copy(shipped(&interpreter, extension).join(&file), extensions.join(file))
                .expect("the package ships it");
        }
        let (rest, grpc) = (free_port(), free_port());
        let args = ["-m", "bqemulator", "start", "--ephemeral", "--project", BigQuery::PROJECT];
        let ports = ["--rest-port".to_owned(), rest.to_string(), "--grpc-port".to_owned(), grpc.to_string()];
        let args: Vec<String> = args.into_iter().map(str::to_owned).chain(ports).collect();
        let program = interpreter.display().to_string();
        let process = Process::start("bqemulator", folder, &program, &args, &[("HOME", home.display().to_string())]);
        process.wait_ready(Duration::from_secs(60), || process.holds_port(rest) && process.holds_port(grpc));
        BigQuery { _process: process, rest, grpc }
    }

    /// Of write streams.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// Of tables and queries.
    pub fn rest_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest)
    }

    /// # Panics
    /// If the emulator refuses.
    pub fn create_dataset(&self, name: &str) {
        let project = BigQuery::PROJECT;
        let body = format!(r#"{{"datasetReference":{{"projectId":"{project}","datasetId":"{name}"}}}}"#);
        self.post(&format!("/bigquery/v2/projects/{project}/datasets"), &body);
    }

    /// The answer of `jobs.query`, as JSON.
    ///
    /// # Panics
    /// If the emulator refuses.
    pub fn query(&self, sql: &str) -> String {
        let sql = sql.replace('\\', "\\\\").replace('"', "\\\"");
        let body = format!(r#"{{"query":"{sql}","useLegacySql":false,"maxResults":100000}}"#);
        self.post(&format!("/bigquery/v2/projects/{}/queries", BigQuery::PROJECT), &body)
    }
}

impl BigQuery {
    fn post(&self, path: &str, body: &str) -> String {
        http::request(self.rest, "POST", path, body).unwrap_or_else(|refusal| panic!("the emulator refuses: {refusal}"))
    }
}

fn shipped(interpreter: &Path, extension: &str) -> PathBuf {
    let libraries = interpreter.parent().and_then(Path::parent).expect("it is in a folder").join("lib");
    let found = fs::read_dir(libraries).expect("an environment has libraries").flatten();
    let packages = found.map(|python| python.path().join("site-packages")).find(|folder| folder.exists());
    let package = packages.expect("packages were installed").join(format!("duckdb_extension_{extension}"));
    package.join("extensions/v1.5.5")
}
