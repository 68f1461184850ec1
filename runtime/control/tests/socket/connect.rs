//! Kafka Connect's paths, as its clients ask.

use crate::{Running, json, start, working};
use outflow_control::{Expected, Phase, Put, Standing, Status};
use proptest::prelude::*;
use serde_json::json;

const JSON: &str = "Content-Type: application/json";

async fn answers(running: &Running, method: &str, path: &str, body: &str) -> (u16, String) {
    running.ask(method, path, &[JSON], body).await
}

#[tokio::test]
async fn a_connector_is_made_once_and_changed_as_often_as_asked() {
    let running = start().await;
    let body =
        r#"{"name": " carts ", "config": {"topics": "carts", "tasks.max": 3, "a": true}, "initial_state": "paused"}"#;
    let (status, answer) = answers(&running, "POST", "/connectors", body).await;
    assert_eq!((status, &json(&answer)["type"]), (201, &json!("sink")));
    let config = [("topics", "carts"), ("tasks.max", "3"), ("a", "true")];
    let config = config.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
    let (expected, standing) = (Expected::Nothing, Standing::Paused);
    assert_eq!(running.double.asked().puts, [Put { name: "carts".to_owned(), config, expected, standing }]);
    assert_eq!(answers(&running, "POST", "/connectors/", r#"{"name": "orders", "config": {}}"#).await.0, 409);
    assert_eq!(answers(&running, "PUT", "/connectors/orders/config", r#"{"topics": "o"}"#).await.0, 200);
    assert_eq!(answers(&running, "PUT", "/connectors/new%2Fone/config/", r#"{"topics": "o"}"#).await.0, 201);
    assert_eq!(running.double.asked().puts.last().map(|put| put.name.clone()), Some("new/one".to_owned()));
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_takes_away_what_is_null_if_nobody_else_was_faster() {
    let running = start().await;
    let (status, _) = answers(&running, "PATCH", "/connectors/orders/config", r#"{"flush.age": null, "x": "1"}"#).await;
    assert_eq!(status, 200);
    let put = running.double.asked().puts.pop().expect("it was put");
    assert_eq!(put.config.keys().collect::<Vec<_>>(), ["name", "topics", "x"]);
    assert_eq!(put.expected, Expected::Revision(9));
    let tagged = ["If-Match: \"7\"", JSON];
    assert_eq!(running.ask("PUT", "/connectors/orders/config", &tagged, "{}").await.0, 200);
    assert_eq!(running.double.asked().puts.pop().map(|put| put.expected), Some(Expected::Revision(7)));
    assert_eq!(running.ask("PUT", "/connectors/orders/config", &["If-Match: x", JSON], "{}").await.0, 400);
}

#[tokio::test]
async fn what_clients_rely_on_to_the_letter_is_answered_to_the_letter() {
    let running = start().await;
    running.board.publish(working());
    let codes = [
        ("PUT", "/connectors/orders/pause", 202),
        ("PUT", "/connectors/orders/resume", 202),
        ("PUT", "/connectors/orders/stop", 204),
        ("DELETE", "/connectors/orders", 204),
        ("POST", "/connectors/orders/restart", 204),
        ("POST", "/connectors/orders/restart?includeTasks=true", 202),
        ("POST", "/connectors/orders/tasks/1/restart", 204),
        ("POST", "/connectors/orders/tasks/9/restart", 404),
        ("GET", "/connectors/orders/tasks/1/status", 200),
        ("GET", "/connectors/orders/tasks/x/status", 404),
        ("GET", "/connectors/none/status", 404),
        ("PUT", "/connectors/orders/topics/reset", 403),
        ("GET", "/connector-plugins/None/config", 404),
        ("GET", "/admin/loggers/none", 404),
        ("GET", "/health", 200),
    ];
    for (method, path, code) in codes {
        let (status, body) = answers(&running, method, path, "").await;
        assert_eq!(status, code, "{method} {path}: {body}");
        if status >= 400 {
            assert_eq!(json(&body)["error_code"], code, "{method} {path}: {body}");
        }
    }
    let (_, body) = answers(&running, "GET", "/connectors?expand=info&expand=status&expand=x", "").await;
    let all = json(&body);
    assert_eq!(all["orders"]["info"]["tasks"][1], json!({ "connector": "orders", "task": 1 }));
    assert_eq!(
        all["orders"]["status"]["tasks"][0],
        json!({ "id": 0, "state": "RUNNING", "worker_id": "127.0.0.1:8083", "version": "1.2.3" })
    );
    assert_eq!(all["orders"]["status"]["tasks"][1]["trace"], "bucket-missing");
    let (_, body) = answers(&running, "POST", "/connectors/orders/restart?includeTasks=true&onlyFailed=true", "").await;
    let states =
        |body: &str| [&json(body)["tasks"][0]["state"], &json(body)["tasks"][1]["state"]].map(ToString::to_string);
    assert_eq!(states(&body), ["\"RUNNING\"", "\"RESTARTING\""]);
    running.board.publish(Status { phase: Phase::Starting, ..Status::default() });
    let (status, body) = answers(&running, "GET", "/health", "").await;
    assert_eq!((status, &json(&body)["status"]), (503, &json!("starting")));
}

#[tokio::test]
async fn offsets_are_read_put_back_and_reset() {
    let running = start().await;
    let (_, body) = answers(&running, "GET", "/connectors/orders/offsets", "").await;
    let at =
        json!({ "partition": { "kafka_topic": "orders", "kafka_partition": 3 }, "offset": { "kafka_offset": 17 } });
    assert_eq!(json(&body), json!({ "offsets": [at] }));
    let one = |partition: &str, offset: &str| {
        format!(
            r#"{{"offsets": [{{"partition": {{"kafka_topic": "o", "kafka_partition": {partition}}},
                "offset": {offset}}}]}}"#
        )
    };
    for (partition, offset) in [("3", r#"{"kafka_offset": 5}"#), ("\"3\"", r#"{"kafka_offset": "5"}"#), ("3", "null")] {
        let (status, body) = answers(&running, "PATCH", "/connectors/orders/offsets", &one(partition, offset)).await;
        assert_eq!(status, 200, "{body}");
    }
    for wrong in
        [one("-1", "null"), one("3", "{}"), one("3", r#"{"kafka_offset": -5}"#), r#"{"offsets": []}"#.to_owned()]
    {
        assert_eq!(answers(&running, "PATCH", "/connectors/orders/offsets", &wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(answers(&running, "DELETE", "/connectors/orders/offsets", "").await.0, 200);
    let others = running.double.asked().others;
    assert_eq!((others.len(), others.last().map(String::as_str)), (4, Some("alter orders None")));
}

#[tokio::test]
async fn a_merchant_is_put_read_and_removed_and_the_path_says_who_he_is() {
    let running = start().await;
    let deliver = r#"{"deliver": []}"#;
    assert_eq!(answers(&running, "PUT", "/v1/merchants/7", deliver).await.0, 201);
    assert_eq!(answers(&running, "PUT", "/v1/merchants/1001", deliver).await.0, 200);
    assert_eq!(answers(&running, "PUT", "/v1/merchants/7", r#"{"merchant": "8", "deliver": []}"#).await.0, 400);
    assert_eq!(answers(&running, "POST", "/v1/merchants", r#"{"merchant": 8, "deliver": []}"#).await.0, 201);
    assert_eq!(answers(&running, "POST", "/v1/merchants", deliver).await.0, 400);
    assert_eq!(json(&answers(&running, "GET", "/v1/merchants/1001/config", "").await.1)["merchant"], "1001");
    assert_eq!(answers(&running, "DELETE", "/v1/merchants/1001?undelivered=drop", "").await.0, 204);
    assert_eq!(answers(&running, "DELETE", "/v1/merchants/1001?undelivered=burn", "").await.0, 400);
    assert_eq!(answers(&running, "POST", "/v1/merchants/1001/test?connector=orders", "").await.0, 200);
    let last = running.double.asked().others.pop();
    assert_eq!(last.as_deref(), Some("test 1001 Some(\"orders\")"));
}

#[tokio::test]
async fn a_logger_is_set_to_a_level_that_there_is() {
    let running = start().await;
    let set = async |body: &str| answers(&running, "PUT", "/admin/loggers/outflow_kafka", body).await;
    assert_eq!(set(r#"{"level": "debug"}"#).await, (200, r#"["outflow_kafka"]"#.to_owned()));
    assert_eq!(set(r#"{"level": "loud"}"#).await.0, 404);
    assert_eq!(set("{}").await.0, 400);
    let path = "/admin/loggers/outflow_kafka?scope=cluster";
    let everywhere = async |body: &str| answers(&running, "PUT", path, body).await;
    assert_eq!(everywhere(r#"{"level": "warn"}"#).await, (204, String::new()));
    assert_eq!(everywhere(r#"{"level": "loud"}"#).await.0, 404);
    assert_eq!(running.double.asked().others, ["log outflow_kafka DEBUG", "log outflow_kafka WARN everywhere"]);
}

const PATHS: &str = "/(connectors|connector-plugins|admin/loggers|v1/merchants)\
                     (/([a-z0-9._~!$&'()*+,;=:@-]|%[2-7][0-9a-f]){0,12}){0,4}";

/// Nearly right, or nothing at all.
fn bodies() -> impl Strategy<Value = String> {
    let value = prop_oneof!["[0-9]{1,3}", "\"[a-z]{0,3}\"", Just("[{}]".to_owned()), Just("{\"a\": {}}".to_owned())];
    let key = prop::sample::select(vec!["config", "offsets", "level", "deliver", "name", "merchant"]);
    prop_oneof![
        any::<Vec<u8>>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        "\\PC*",
        (key, value).prop_map(|(key, value)| format!("{{\"{key}\": {value}}}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is sent, it is the sender's mistake.
    #[test]
    fn no_body_and_no_path_makes_a_fault_of_ours(
        path in PATHS,
        method in prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
        body in bodies(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (status, answer) = runtime.block_on(async {
            let running = start().await;
            answers(&running, method, &path, &body).await
        });
        prop_assert!(status < 500, "{} {} {:?}: {} {}", method, path, body, status, answer);
        if status >= 400 && method != "HEAD" {
            prop_assert_eq!(json(&answer)["error_code"].as_u64(), Some(u64::from(status)), "{}", answer);
        }
    }
}
