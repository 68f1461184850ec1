use crate::{Kafka, Process, free_port, http::request, maven_jars};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const JARS: [&str; 9] = [
    "org.apache.kafka:connect-runtime:4.3.1",
    "org.apache.kafka:connect-file:4.3.1",
    "org.apache.kafka:connect-json:4.3.1",
    "org.apache.logging.log4j:log4j-core:2.25.1",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.1",
    "org.apache.iceberg:iceberg-kafka-connect:1.12.0",
    "org.apache.iceberg:iceberg-parquet:1.12.0",
    "org.apache.hadoop:hadoop-client-api:3.4.2",
    "org.apache.hadoop:hadoop-client-runtime:3.4.2",
];

const START_LIMIT: Duration = Duration::from_secs(120);
const INTERNAL_TOPICS: [(&str, i32); 3] = [("connect-configs", 1), ("connect-offsets", 4), ("connect-status", 2)];

/// As Kafka's own start scripts set them.
const JAVA_OPTIONS: [&str; 5] =
    ["-Xms256M", "-Xmx2G", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"];

const CREATE_TABLE: &str = include_str!("../java/CreateTable.java");

const LOGGING: &str = "\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %m (%c{1})%n%throwable{15}
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
";

/// A Kafka Connect worker in distributed mode, with the Iceberg sink and a sink to a file among its connectors.
pub struct Connect {
    process: Process,
    port: u16,
}

impl Connect {
    /// # Panics
    /// If it cannot be started.
    pub fn start(folder: &Path, kafka: &Kafka) -> Connect {
        for (name, partitions) in INTERNAL_TOPICS {
            kafka.create_topic(name, partitions, &[("cleanup.policy", "compact")]);
        }
        let port = free_port();
        fs::write(folder.join("log4j2.properties"), LOGGING).expect("the folder can be written");
        fs::write(folder.join("worker.properties"), properties(&kafka.bootstrap(), port))
            .expect("the folder can be written");
        let logging = format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display());
        let mut args: Vec<String> = JAVA_OPTIONS.map(str::to_owned).into();
        args.extend([logging, "-cp".to_owned(), classpath()]);
        args.push("org.apache.kafka.connect.cli.ConnectDistributed".to_owned());
        args.push(folder.join("worker.properties").display().to_string());
        let process = Process::start("connect", folder, "java", &args, &[]);
        let connect = Connect { process, port };
        connect.process.wait_ready(START_LIMIT, || {
            connect.process.holds_port(port) && connect.request("GET", "/connectors", "").is_ok()
        });
        connect
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Asks over REST; an answer of 4xx or 5xx is an error.
    pub fn request(&self, method: &str, path: &str, json: &str) -> Result<String, String> {
        request(self.port, method, path, json)
    }
}

/// Makes an Iceberg table in a Hadoop catalog below `warehouse`; `schema` is Iceberg's own JSON.
///
/// # Panics
/// If it cannot be made.
pub fn create_iceberg_table(warehouse: &Path, table: &str, schema: &str) {
    fs::create_dir_all(warehouse).expect("the warehouse can be made");
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a temporary folder can be written");
        path
    };
    write("log4j2.properties", LOGGING);
    let program = write("CreateTable.java", CREATE_TABLE);
    let schema = write("schema.json", schema);
    let mut command = Command::new("java");
    command.args(["-Dlog4j2.configurationFile=log4j2.properties", "-cp", &classpath()]).current_dir(folder.path());
    let output = command.arg(program).arg(warehouse).arg(table).arg(schema).output().expect("a JDK 17 is installed");
    assert!(output.status.success(), "the table cannot be made: {}", String::from_utf8_lossy(&output.stderr));
}

fn classpath() -> String {
    format!("{}/*", maven_jars("connect-4.3.1", &JARS).display())
}

fn properties(bootstrap: &str, port: u16) -> String {
    let topics = ["config", "offset", "status"].iter().zip(INTERNAL_TOPICS);
    let topics: String = topics
        .map(|(name, (topic, _))| format!("{name}.storage.topic={topic}\n{name}.storage.replication.factor=1\n"))
        .collect();
    // A sink's task sleeps for this long when its topic has nothing new, also where it should answer a commit.
    let flush_ms = 5_000;
    format!(
        "bootstrap.servers={bootstrap}\ngroup.id=connect\nlisteners=http://127.0.0.1:{port}\n\
         offset.flush.interval.ms={flush_ms}\n\
         key.converter=org.apache.kafka.connect.storage.StringConverter\n\
         value.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.schemas.enable=false\n{topics}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_offers_the_iceberg_sink_and_a_table_can_be_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let kafka = Kafka::start(folder.path());
        let worker = tempfile::tempdir().expect("a folder");
        let connect = Connect::start(worker.path(), &kafka);
        let plugins = connect.request("GET", "/connector-plugins", "").expect("it answers");
        assert!(plugins.contains("org.apache.iceberg.connect.IcebergSinkConnector"), "{plugins}");
        assert!(connect.request("GET", "/connectors/none/status", "").is_err());
        let schema = r#"{"type":"struct","schema-id":0,"fields":
            [{"id":1,"name":"a","required":false,"type":"long"}]}"#;
        create_iceberg_table(worker.path(), "bench.events", schema);
        assert!(worker.path().join("bench/events/metadata/v1.metadata.json").exists());
    }
}
