use crate::common::LAKE;
use outflow_config::{Problem, connector, worker};

const RIGHT: &str = "connector: orders
topics: [commerce.orders]
format: json
model:
  columns:
    - { name: id, type: BIGINT }
    - { name: total, type: \"DECIMAL(18,2)\", path: total_inc_tax }
flush: { age: 5s }
sink:
  type: object_store
  url: /lake/orders
  file: { type: parquet, compression: zstd }
";

/// What is said after one replacement in a file that is right.
fn after(from: &str, to: &str) -> Vec<Problem> {
    assert!(RIGHT.contains(from), "{from}");
    connector("orders.yaml", &RIGHT.replacen(from, to, 1), &[&LAKE]).expect_err(to).0
}

fn one(from: &str, to: &str) -> Problem {
    let problems = after(from, to);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().expect("just counted")
}

#[test]
fn an_unknown_key_is_shown_in_its_line_with_the_key_that_was_meant() {
    connector("orders.yaml", RIGHT, &[&LAKE]).expect("it is right");
    let shown = one("flush:", "flsh:").to_string();
    let expected = "error: unknown key `flsh`
 --> orders.yaml:8:1
  |
8 | flsh: { age: 5s }
  | ^
  = allowed: connector, topics, format, merchant, unknown_merchants, model, flush, dead_letters, sink
  = hint: did you mean `flush`?";
    assert_eq!(shown, expected);
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "connector: \"bad name\"\ntopics: [a, a, \"b c\"]\nformat: avro\nmodel:\n  unknown: kep\n  \
                columns:\n    - { name: id, type: WORD }\n    - { name: ID, type: INT, requird: true }\n    \
                - { type: INT }\n\
                flush: { rows: 0, bytes: 1.5GiB, age: 60 }\nsink: { type: object_stor, url: /lake }\n";
    let problems = connector("c.yaml", text, &[&LAKE]).expect_err("wrong").0;
    let told: Vec<(usize, &str)> = problems.iter().map(|problem| (problem.line, problem.message.as_str())).collect();
    let expected = [
        (1, "`connector` can't be `bad name`"),
        (2, "topic `a` is there twice"),
        (2, "`topics` can't be `b c`"),
        (3, "`format` can't be `avro`"),
        (5, "`model.unknown` can't be `kep`"),
        (7, "`WORD` is no type: unknown type \"WORD\", at its character 1"),
        (8, "unknown key `requird` in `model.columns[1]`"),
        (9, "`model.columns[2].name` is missing"),
        (10, "`flush.rows` can't be `0`"),
        (10, "`flush.bytes` can't be `1.5GiB`"),
        (10, "`flush.age` can't be `60`"),
        (11, "`sink.type` can't be `object_stor`"),
    ];
    assert_eq!(told, expected);
    assert!(problems.iter().all(|problem| problem.allowed.is_some() || problem.hint.is_some()), "{problems:#?}");
}

#[test]
fn what_is_missing_is_named() {
    for (key, from) in
        [("connector", "connector: orders\n"), ("format", "format: json\n"), ("topics", "topics: [commerce.orders]\n")]
    {
        assert_eq!(one(from, "").message, format!("`{key}` is missing"));
    }
    assert_eq!(one("  type: object_store\n", "").message, "`sink.type` is missing");
}

#[test]
fn repeated_keys_are_refused_at_every_level() {
    let problem = one("format: json\n", "format: json\nformat: json\n");
    assert_eq!((problem.line, problem.message.as_str()), (4, "`format` is there twice, first in line 3"));
    assert!(one("age: 5s", "age: 5s, age: 6s").message.contains("`age` is there twice"));
    assert!(one("type: parquet,", "type: parquet, type: parquet,").message.contains("`type` is there twice"));
    assert!(one("{ name: id, type: BIGINT }", "{ name: TOTAL, type: BIGINT }").message.contains("column `total`"));
}

#[test]
fn what_must_be_explicit_takes_no_reference() {
    let problem = one("connector: orders", "connector: \"${env:NAME}\"");
    assert_eq!(problem.message, "`connector` must be explicit, not a reference");
    assert!(one("[commerce.orders]", "[\"${env:T}\"]").message.contains("explicit"));
    let problem = one("/lake/orders", "\"/lake/${env:L}\"");
    assert_eq!((problem.line, problem.column), (11, 8), "the sink's own complaint stands at the setting");
}

#[test]
fn the_sinks_own_words_stand_at_the_setting_they_name() {
    let problem = one("compression: zstd", "compression: rar");
    assert_eq!((problem.line, problem.column), (12, 39));
    assert!(problem.message.contains("file.compression of parquet is one of"));
    let problem = one("compression: zstd", "compresion: zstd");
    assert_eq!(problem.hint.as_deref(), Some("did you mean `compression`?"));
    assert_eq!((problem.line, problem.column), (12, 26));
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let problem = one("  url: /lake/orders\n", "  url: /lake/orders\n  secret_access_key: hunter2\n");
    assert!(problem.message.contains("a secret stands in the file"));
    assert!(!problem.to_string().contains("hunter2"), "{problem}");
    let text = "kafka: { bootstrap: 'b:1', security: { protocol: SASL_SSL, mechanism: PLAN, username: u, \
                password: hunter2 } }\nconfig: [ c.yaml ]\n";
    let problems = worker("outflow.yaml", text).expect_err("wrong");
    assert_eq!(problems.0.len(), 2, "{problems}");
    assert!(!format!("{problems} {problems:?}").contains("hunter2"), "{problems}");
}

#[test]
fn what_is_no_yaml_is_shown_where_it_breaks() {
    let problem = one("topics: [commerce.orders]", "topics: [commerce.orders");
    assert!(problem.message.starts_with("this is not YAML"), "{problem}");
    assert!(problem.line >= 2, "{problem}");
    for text in ["", "- a\n", "just words", "\u{0}", "a: *nowhere", "a: b\n---\nc: d\n", "{{{{", "? [a]\n: b\n"] {
        let problems = connector("c.yaml", text, &[&LAKE]).expect_err(text);
        assert!(!problems.0.is_empty());
    }
    let deep = "[".repeat(100_000);
    connector("c.yaml", &deep, &[&LAKE]).expect_err("too deep");
}

#[test]
fn a_worker_is_told_what_it_may_not_do() {
    let wrong = |text: &str| {
        let problems = worker("outflow.yaml", &format!("{text}\nconfig: [ c.yaml ]\n")).expect_err(text).0;
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems[0].to_string()
    };
    assert!(wrong("group: g").contains("`kafka` is missing"));
    assert!(wrong("local: { folder: d }\nkafka: { bootstrap: 'b:1' }").contains("both"));
    assert!(wrong("local: { folder: d }\nrest: { listen: '10.0.0.1:8083' }").contains("rest.tls, rest.tokens"));
    let token = "{ name: a, role: admin, sha256: '0000000000000000000000000000000000000000000000000000000000000000' }";
    let rest = |more: &str| format!("local: {{ folder: d }}\nrest: {{ tls: {{ certificate: c, key: k }}, {more} }}");
    assert!(wrong(&rest(&format!("tokens: [ {} ]", token.replace("admin", "boss")))).contains("operator"));
    assert!(
        wrong(&rest(&format!("tokens: [ {} ]", token.replace("admin", "merchant")))).contains("`merchant` goes with")
    );
    assert!(wrong(&rest(&format!("tokens: [ {} ]", token.replace("'0", "'")))).contains("64 hex digits"));
    assert!(wrong(&rest(&format!("tokens: [ {token}, {token} ]"))).contains("there twice"));
    assert!(
        wrong(&rest(&format!("listen: '0.0.0.0:8083', tokens: [ {token} ]"))).contains("`rest.advertise` is missing")
    );
    assert!(wrong(&rest("advertise: here")).contains("host:port"));
    assert!(wrong(&rest("peers: { token: hunter2 }")).contains("a secret stands in the file"));
    assert!(wrong("local: { folder: d }\nmemory: 1MiB").contains("64MiB to 1TiB"));
    assert!(wrong("local: { folder: d }\nshards: 0").contains("from 1 to 1024"));
    assert!(wrong("local: { folder: d }\nsession_timeout: 1s").contains("6s to 30m"));
    assert!(wrong("local: { folder: d }\nalarms: { retention_left: 500d }").contains("0ms to 366d"));
    assert!(wrong("local: { folder: d }\nalarms: { retention_lef: 6h }").contains("did you mean `retention_left`"));
    assert!(wrong("local: { folder: d }\ngroup: \"${env:G}\"").contains("explicit"));
    assert!(wrong("local: { folder: d }\njournal: { topic: a, ledger: a }").contains("the same topic"));
    assert!(wrong("kafka: { bootstrap: broker }").contains("host:port"));
    assert!(wrong("kafka: { bootstrap: 'b:1', properties: { acks: 1 } }").contains("exactly once rests on it"));
    assert!(wrong("kafka: { bootstrap: 'b:1', properties: { group.id: x } }").contains("set `group` instead"));
    assert!(wrong("kafka: { bootstrap: 'b:1', security: { username: u } }").contains("under the chosen protocol"));
    assert!(wrong("kafka: { bootstrap: 'b:1', security: { protocol: SASL_SSL } }").contains("mechanism` is missing"));
}

#[test]
fn bounds_of_calls_are_within_what_a_worker_has_and_a_credential_takes_no_more_than_its_host() {
    let calls = |text: &str| {
        let text = format!("local: {{ folder: data }}\nconfig: [ c.yaml ]\n{text}");
        worker("outflow.yaml", &text).map(|worker| (worker.calls.per_host, worker.calls.per_credential))
    };
    let wrong = |text: &str| calls(text).expect_err(text).to_string();
    assert_eq!(calls("").expect("nothing is said"), (192, 64));
    assert_eq!(calls("calls: { per_host: 10 }").expect("a host is enough"), (10, 10));
    assert!(wrong("calls: { per_host: 0 }").contains("a whole number from 1 to 256"));
    let more = wrong("calls: { per_host: 10, per_credential: 11 }");
    assert!(more.contains("`calls.per_credential` from 1 to 10") && more.contains("--> outflow.yaml:3"), "{more}");
    assert!(wrong("calls: { per_hosts: 10 }").contains("did you mean `per_host`?"));
}
