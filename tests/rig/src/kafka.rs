//! A real Apache Kafka broker: one node, KRaft, on a JDK 17.

use crate::{Process, maven_jars, wait_until};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

const JARS: [&str; 4] = [
    "org.apache.kafka:kafka_2.13:4.3.1",
    "org.apache.kafka:kafka-tools:4.3.1",
    "org.apache.logging.log4j:log4j-core:2.25.1",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.1",
];

/// Starting takes 4-10 s on a quiet machine, after `kill -9` some seconds more.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Small logs of its own topics: a start after `kill -9` recovers each of them.
const PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
num.recovery.threads.per.data.dir=2
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.backoff.ms=1000
";

const LOGGING: &str = "\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %m (%c{1})%n%throwable{5}
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
";

/// Passwords of the users of a broker with a secure listener.
const USERS: [(&str, &str); 2] = [("outflow", "outflow-secret"), ("stranger", "stranger-secret")];

pub struct Kafka {
    folder: PathBuf,
    process: Mutex<Process>,
    port: u16,
    secure_port: Option<u16>,
    door_port: Option<u16>,
}

/// Listeners beside the plain one.
#[derive(Clone, Copy, Default)]
struct Listeners {
    secure: Option<u16>,
    /// Own port, and the one that is told to clients.
    door: Option<(u16, u16)>,
}

impl Kafka {
    /// # Panics
    /// If it cannot be started.
    pub fn start(folder: &Path) -> Kafka {
        Kafka::launch(folder, Listeners::default())
    }

    /// Has a second listener, [`Kafka::secure_bootstrap`], with TLS, SASL (PLAIN and SCRAM-SHA-256) and rights: its
    /// users may do what [`Kafka::allow`] says. The plain listener may do everything.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_secure(folder: &Path) -> Kafka {
        make_certificate(folder);
        Kafka::launch(folder, Listeners { secure: Some(lasting_port()), ..Listeners::default() })
    }

    /// Has a second listener, [`Kafka::door`], whose clients are told that the broker is at `outside`: whoever listens
    /// there sees all that is said, and can misbehave.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_behind(folder: &Path, outside: u16) -> Kafka {
        Kafka::launch(folder, Listeners { door: Some((lasting_port(), outside)), ..Listeners::default() })
    }

    /// The broker that all tests of this process share; they neither kill nor pause it.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Kafka::start(&shared_folder()))
    }

    fn launch(folder: &Path, listeners: Listeners) -> Kafka {
        let (port, controller) = (lasting_port(), lasting_port());
        fs::write(folder.join("log4j2.properties"), LOGGING).expect("the folder can be written");
        fs::write(folder.join("server.properties"), properties(folder, port, controller, listeners))
            .expect("the folder can be written");
        format_storage(folder, listeners.secure.is_some());
        let process = Mutex::new(run(folder));
        let (secure_port, door_port) = (listeners.secure, listeners.door.map(|(own, _)| own));
        let kafka = Kafka { folder: folder.to_owned(), process, port, secure_port, door_port };
        kafka.wait_until_it_answers();
        kafka
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// # Panics
    /// If the broker was not started with a secure listener.
    pub fn secure_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.secure_port.expect("started by start_secure"))
    }

    /// # Panics
    /// If the broker was not started behind a door.
    pub fn door(&self) -> u16 {
        self.door_port.expect("started by start_behind")
    }

    /// What a client of the secure listener trusts.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// Name and password of the secure listener's user; he may do nothing yet.
    pub fn user(&self) -> (&'static str, &'static str) {
        USERS[0]
    }

    /// # Panics
    /// If the broker refuses.
    pub fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = configs.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let answer = futures::executor::block_on(self.admin().create_topics([&topic], &options()));
        answer.expect("the broker answers").remove(0).expect("the topic can be made");
        let client = self.client();
        wait_until(&format!("topic {name}"), Duration::from_secs(20), || {
            let metadata = client.fetch_metadata(Some(name), Duration::from_secs(5)).ok();
            let led = |topic: &rdkafka::metadata::MetadataTopic| {
                topic.error().is_none()
                    && topic.partitions().len() == usize::try_from(partitions).unwrap_or(0)
                    && topic.partitions().iter().all(|partition| partition.leader() >= 0)
            };
            metadata.is_some_and(|metadata| metadata.topics().iter().all(led))
        });
    }

    /// # Panics
    /// If the broker refuses.
    pub fn delete_topic(&self, name: &str) {
        let answer = futures::executor::block_on(self.admin().delete_topics(&[name], &options()));
        answer.expect("the broker answers").remove(0).expect("the topic can be deleted");
        let client = self.client();
        wait_until(&format!("topic {name} to go"), Duration::from_secs(20), || {
            let metadata = client.fetch_metadata(Some(name), Duration::from_secs(5));
            metadata.is_ok_and(|metadata| metadata.topics().iter().all(|topic| topic.error().is_some()))
        });
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().expect("the settings are valid")
    }

    /// Settings of a client on the plain listener.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap()).set("reconnect.backoff.max.ms", "500");
        config
    }

    fn client(&self) -> BaseConsumer {
        self.config().create().expect("the settings are valid")
    }

    /// Grants the secure listener's user an operation (`Read`, `Write`, `Describe`, `Create`, …) on a resource, such as
    /// `["--topic", "orders"]`, `["--group", "g"]`, `["--transactional-id", "t"]`, `["--cluster"]`.
    ///
    /// # Panics
    /// If the broker refuses.
    pub fn allow(&self, operations: &[&str], resource: &[&str]) {
        let principal = format!("User:{}", self.user().0);
        let operations = operations.iter().flat_map(|operation| ["--operation", operation]);
        let mut args = vec!["--add", "--allow-principal", &principal];
        args.extend(operations.chain(resource.iter().copied()));
        let bootstrap = self.bootstrap();
        args.extend(["--bootstrap-server", &bootstrap]);
        self.tool("org.apache.kafka.tools.AclCommand", &args);
    }

    /// Runs one of Kafka's own command line tools and answers what it prints.
    ///
    /// # Panics
    /// If it fails.
    pub fn tool(&self, class: &str, args: &[&str]) -> String {
        tool(&self.folder, class, args)
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// On the same ports and data.
    pub fn restart(&self) {
        let mut process = self.process();
        process.kill();
        *process = run(&self.folder);
        drop(process);
        self.wait_until_it_answers();
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn pause(&self) {
        self.process().signal("STOP");
    }

    pub fn resume(&self) {
        self.process().signal("CONT");
    }

    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    pub fn log(&self) -> String {
        self.process().log()
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wait_until_it_answers(&self) {
        let client = self.client();
        let process = self.process();
        process.wait_ready(START_LIMIT, || {
            let metadata = client.fetch_metadata(None, Duration::from_secs(1));
            metadata.is_ok_and(|metadata| !metadata.brokers().is_empty()) && process.holds_port(self.port)
        });
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(Duration::from_secs(20))).request_timeout(Some(Duration::from_secs(30)))
}

fn properties(folder: &Path, port: u16, controller: u16, listeners: Listeners) -> String {
    let Listeners { secure, door } = listeners;
    let data = folder.join("data");
    let plain = format!("CLIENT://127.0.0.1:{port}");
    let secure_listener = secure.map(|port| format!(",SECURE://127.0.0.1:{port}")).unwrap_or_default();
    let door_listener = |port: u16| format!(",DOOR://127.0.0.1:{port}");
    let [own, told] = [door.map(|(own, _)| own), door.map(|(_, told)| told)];
    let [own, told] = [own, told].map(|port| port.map(door_listener).unwrap_or_default());
    let mut text = format!(
        "{PROPERTIES}log.dirs={}\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners={plain},CONTROLLER://127.0.0.1:{controller}{secure_listener}{own}\n\
         advertised.listeners={plain}{secure_listener}{told}\n\
         listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,DOOR:PLAINTEXT,SECURE:SASL_SSL\n",
        data.display()
    );
    if secure.is_some() {
        let users: String = USERS.iter().map(|(user, password)| format!(" user_{user}=\"{password}\"")).collect();
        text += &format!(
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS\nallow.everyone.if.no.acl.found=false\n\
             listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\n\
             listener.name.secure.plain.sasl.jaas.config=\
             org.apache.kafka.common.security.plain.PlainLoginModule required{users};\n\
             listener.name.secure.scram-sha-256.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             listener.name.secure.ssl.keystore.type=PKCS12\nlistener.name.secure.ssl.keystore.password=rig-secret\n\
             listener.name.secure.ssl.keystore.location={}\n",
            folder.join("keys.p12").display()
        );
    }
    text
}

fn java(folder: &Path, class: &str, args: &[&str]) -> Vec<String> {
    let jars = maven_jars("kafka-4.3.1", &JARS);
    let logging = format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display());
    let classpath = format!("{}/*", jars.display());
    let mut all = vec!["-Xmx512m".to_owned(), "-XX:+UseSerialGC".to_owned(), logging, "-cp".to_owned(), classpath];
    all.push(class.to_owned());
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    all
}

fn run(folder: &Path) -> Process {
    let settings = folder.join("server.properties").display().to_string();
    Process::start("kafka", folder, "java", &java(folder, "kafka.Kafka", &[&settings]), &[])
}

fn tool(folder: &Path, class: &str, args: &[&str]) -> String {
    let output = Command::new("java").args(java(folder, class, args)).output().expect("a JDK 17 is installed");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{class} {args:?} failed: {text}");
    text
}

fn format_storage(folder: &Path, secure: bool) {
    let settings = folder.join("server.properties").display().to_string();
    let scram = USERS.map(|(user, password)| format!("SCRAM-SHA-256=[name={user},password={password}]"));
    let mut args = vec!["format", "--cluster-id", "outflowRigClusterIdAAA", "--config", &settings];
    if secure {
        args.extend(scram.iter().flat_map(|user| ["--add-scram", user]));
    }
    tool(folder, "kafka.tools.StorageTool", &args);
}

/// Free, and not from the range that the system gives to outgoing connections: a client that dials a dead broker again
/// and again would one day be given the broker's own port, and the broker could not come back.
pub(crate) fn lasting_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = 20_000 + std::process::id() % 9_973;
    let mut ports = (0..2_000).map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000);
    let free = ports.find_map(|port| {
        let port = u16::try_from(port).expect("below 32,000");
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    });
    free.expect("one of 2,000 ports is free")
}

/// Self-signed, for the loopback address.
fn make_certificate(folder: &Path) {
    let keytool = |args: &[&str]| {
        let output = Command::new("keytool").args(args).current_dir(folder).output().expect("a JDK 17 is installed");
        assert!(output.status.success(), "keytool failed: {}", String::from_utf8_lossy(&output.stdout));
    };
    let store = ["-keystore", "keys.p12", "-storetype", "PKCS12", "-storepass", "rig-secret", "-alias", "broker"];
    let make = ["-genkeypair", "-keyalg", "RSA", "-keysize", "2048", "-validity", "30", "-dname", "CN=localhost"];
    keytool(&[&make[..], &["-ext", "san=ip:127.0.0.1,dns:localhost"], &store[..]].concat());
    keytool(&[&["-exportcert", "-rfc", "-file", "certificate.pem"][..], &store[..]].concat());
}

/// Statics are never dropped: whoever comes next removes the folders of test processes that are gone.
fn shared_folder() -> PathBuf {
    const PREFIX: &str = "outflow-rig-kafka-";
    let temporary = std::env::temp_dir();
    for entry in fs::read_dir(&temporary).expect("the temporary folder can be read").flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let folder = temporary.join(format!("{PREFIX}{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    #[test]
    fn a_broker_keeps_its_topics_over_kill_9() {
        let folder = tempfile::tempdir().expect("a folder");
        let kafka = Kafka::start(folder.path());
        kafka.create_topic("orders", 2, &[("cleanup.policy", "compact")]);
        let producer: BaseProducer = kafka.config().create().expect("the settings are valid");
        producer.send(BaseRecord::to("orders").partition(1).key("k").payload("v")).expect("there is room");
        producer.flush(Duration::from_secs(20)).expect("the broker answers");
        kafka.kill();
        kafka.restart();
        let watermarks = kafka.client().fetch_watermarks("orders", 1, Duration::from_secs(20));
        assert_eq!(watermarks.expect("the broker answers"), (0, 1));
        kafka.delete_topic("orders");
    }
}
