//! What may be asked of merchants.

use crate::{json, start, working};
use outflow_control::{Act, Alarm, Begin, EventLevel, PartitionStatus, Sought, State, Status, Until, Wanted};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[tokio::test]
async fn a_list_is_asked_for_with_every_filter_and_with_nothing_else() {
    let running = start().await;
    let query = "connector=orders&state=parked&alarm=retention&prefix=10&after=10%2F00&limit=5";
    let (status, body) = running.get(&format!("/v1/merchants?{query}")).await;
    assert_eq!((status, &json(&body)["shards"]), (200, &serde_json::json!([0, 2])));
    let first = &json(&body)["merchants"][0];
    let told = ["lag_records", "lag_seconds", "retention_left_seconds", "records_left", "alarm"]
        .map(|key| &first["deliveries"][0][key]);
    let expected = serde_json::json!([5, 90_000, 3_600, null, "retention"]);
    assert_eq!(serde_json::json!(told), expected);
    assert_eq!((&first["merchant"], &first["deliveries"][0]["state"]), (&"1001".into(), &"parked".into()));
    let wanted = Wanted {
        connector: Some("orders".into()),
        state: Some(State::Parked),
        alarm: Some(Alarm::Retention),
        prefix: Some("10".into()),
        after: Some("10/00".into()),
        limit: 5,
        local: false,
    };
    assert_eq!(running.double.asked().lists, [wanted]);
    let wrong = [
        ("state=dead", "live, behind"),
        ("alarm=fire", "retention"),
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1 to 1000"),
        ("page=2", "after"),
    ];
    for (query, allowed) in wrong {
        let (status, body) = running.get(&format!("/v1/merchants?{query}")).await;
        assert!(status == 400 && body.contains(allowed), "{query}: {status} {body}");
    }
}

#[tokio::test]
async fn one_merchant_is_shown_and_an_unknown_one_is_told_with_a_guess() {
    let running = start().await;
    let (status, body) = running.get("/v1/merchants/1001").await;
    assert_eq!((status, &json(&body)["deliveries"][0]["lane"]), (200, &7.into()));
    let (status, body) = running.get("/v1/merchants/1010").await;
    assert_eq!((status, &json(&body)["error_code"]), (404, &404.into()));
    assert!(body.contains("did you mean"), "{body}");
}

#[tokio::test]
async fn what_is_asked_arrives_as_it_was_meant() {
    let running = start().await;
    assert_eq!(running.post("/v1/merchants/1001/pause", "").await.0, 202);
    let body = r#"{"connector":"orders","id":"a","confirm":true}"#;
    assert_eq!(running.post("/v1/merchants/1001/skip", body).await.0, 202);
    let body = r#"{"lane":7,"from":{"timestamp":"1970-01-01T00:00:01Z"},"mode":"again","confirm":true}"#;
    assert_eq!(running.post("/v1/merchants/1001/replay", body).await.0, 202);
    let body = r#"{"from":"earliest","mode":"repair"}"#;
    assert_eq!(running.post("/v1/merchants/1001/replay", body).await.0, 202);
    let body = r#"{"from":{"offsets":{"orders/0":5}},"to":{"offsets":{"orders/0":9}},"mode":"replace","confirm":true}"#;
    assert_eq!(running.post("/v1/merchants/1001/replay", body).await.0, 202);
    let body = r#"{"to":{"offsets":{"orders/0":5}},"confirm":true}"#;
    assert_eq!(running.post("/v1/merchants/1001/reset", body).await.0, 202);
    assert_eq!(running.post("/v1/merchants/1001/reset", r#"{"to":"latest","confirm":true}"#).await.0, 202);
    let acts: Vec<Act> = running.double.asked().requests.into_iter().map(|(_, request)| request.act).collect();
    let replay = |from| Act::Replay { from, to: Until::Now };
    let offsets = Begin::Offsets(BTreeMap::from([("orders/0".to_owned(), 5)]));
    let repair = Act::Repair { from: Begin::Earliest, to: Until::Now };
    let until = Until::Offsets(BTreeMap::from([("orders/0".to_owned(), 9)]));
    let replace = Act::Replace { from: offsets.clone(), to: until };
    let again = replay(Begin::Timestamp(1_000));
    assert_eq!(acts, [Act::Pause, Act::Skip, again, repair, replace, replay(offsets), Act::Skip]);
}

#[tokio::test]
async fn a_wrong_body_is_told_with_what_is_allowed_and_does_nothing() {
    let running = start().await;
    let large = format!("{{\"id\":\"{}\"}}", "x".repeat(1_100_000));
    let wrong = [
        ("pause", "{", 400, "allowed"),
        ("pause", "[1]", 422, "allowed"),
        ("pause", r#"{"conector":"orders"}"#, 422, "connector"),
        ("pause", r#"{"id":""}"#, 422, "id"),
        ("explode", "", 404, "pause, resume"),
        ("skip", "", 409, "never delivered"),
        ("replay", "", 422, "from"),
        ("replay", r#"{"from":"latest","mode":"again"}"#, 422, "earliest"),
        ("replay", r#"{"from":{"offsets":{"t/0":-1}},"mode":"again"}"#, 422, "below 0"),
        ("replay", r#"{"from":{"timestamp":"yesterday"},"mode":"again"}"#, 422, "2026"),
        ("replay", r#"{"from":"earliest","mode":"instead"}"#, 422, "replace"),
        ("replay", r#"{"from":"earliest","mode":"again"}"#, 409, ""),
        ("pause", &large, 413, ""),
    ];
    for (action, body, expected, told) in wrong {
        let (status, answer) = running.post(&format!("/v1/merchants/1001/{action}"), body).await;
        assert!(status == expected && answer.contains(told), "{action} {body:.80}: {status} {answer}");
        assert_eq!(json(&answer)["error_code"], expected, "as Connect tells it");
    }
    assert!(running.double.asked().requests.is_empty(), "nothing was done");
}

#[tokio::test]
async fn a_merchant_sees_where_his_dead_letters_are_and_why_and_not_what_others_may_read_in_them() {
    let running = start().await;
    let (status, all) = running.get("/v1/dead-letters?connector=orders&code=null-value&limit=5").await;
    assert_eq!((status, &json(&all)["dead_letters"][0]["key"]), (200, &serde_json::json!({ "text": "1001" })));
    let (status, own) = running.get("/v1/merchants/1001/dead-letters?merchant=1002&lane=7&after=a/0=1").await;
    let letter = &json(&own)["dead_letters"][0];
    assert_eq!((status, letter["offset"].as_i64(), letter.get("key")), (200, Some(41), None));
    let asked = running.double.asked();
    assert_eq!((asked.letters[0].whole, asked.letters[0].limit), (true, 5));
    assert_eq!((asked.letters[1].whole, asked.letters[1].chosen.merchant.as_deref()), (false, Some("1001")));
    for wrong in ["code=a%0Ab", "since=yesterday", "since=h", "lane=x", "limit=0", "colour=red"] {
        let (status, told) = running.get(&format!("/v1/dead-letters?{wrong}")).await;
        assert!(status == 400 && told.contains("allowed"), "{wrong}: {status} {told}");
    }
}

#[tokio::test]
async fn dead_letters_are_sent_again_as_they_were_chosen_and_a_merchant_chooses_his_own_alone() {
    let running = start().await;
    let body = "{\"connector\": \"orders\", \"since\": \"1970-01-01T00:00:01Z\", \"id\": \"mine\"}";
    assert_eq!(running.post("/v1/dead-letters/send-again", body).await.0, 202);
    assert_eq!(running.post("/v1/merchants/1001/send-again", "").await.0, 202);
    let (status, told) = running.post("/v1/merchants/1001/send-again", "{\"merchant\": \"1002\"}").await;
    assert!(status == 400 && told.contains("another merchant"), "{told}");
    let (status, told) = running.post("/v1/dead-letters/send-again", "{\"colour\": \"red\"}").await;
    assert!(status == 400 && told.contains("allowed"), "{told}");
    let sent = running.double.asked().sent;
    let (chosen, id) = &sent[0];
    assert_eq!(
        (chosen.connector.as_deref(), chosen.since_ms, id.as_deref()),
        (Some("orders"), Some(1_000), Some("mine"))
    );
    assert_eq!((sent.len(), sent[1].0.merchant.as_deref()), (2, Some("1001")));
}

#[tokio::test]
async fn a_page_of_another_site_steers_nothing() {
    let running = start().await;
    let from = |origin: &str| {
        let head = format!("Host: {}\r\nConnection: close\r\nOrigin: {origin}", running.address);
        format!("POST /v1/merchants/1001/pause HTTP/1.1\r\n{head}\r\nContent-Length: 0\r\n\r\n")
    };
    for origin in ["https://evil.example", "null"] {
        assert_eq!(running.send(&from(origin)).await.0, 403, "{origin}");
    }
    assert_eq!(running.send(&from("http://localhost:8083")).await.0, 202);
    assert_eq!(running.double.asked().requests.len(), 1);
}

#[tokio::test]
async fn events_are_asked_for_with_every_filter_and_with_nothing_else() {
    let running = start().await;
    let id = "1764000000000-0000000003-127.0.0.1:8083";
    let query = format!(
        "since=2026-11-01T00:00:00Z&connector=orders&merchant=1001&kind=lane-parked&code=bucket-missing&level=warn&\
         after={id}&limit=5"
    );
    let (status, body) = running.get(&format!("/v1/events?{query}")).await;
    assert_eq!((status, &json(&body)["events"][0]["id"]), (200, &id.into()));
    let wanted = Sought {
        since_ms: Some(1_793_491_200_000),
        connector: Some("orders".into()),
        merchant: Some("1001".into()),
        kind: Some("lane-parked".into()),
        code: Some("bucket-missing".into()),
        level: Some(EventLevel::Warn),
        after: Some(id.into()),
        limit: 5,
        local: false,
    };
    assert_eq!(running.double.asked().sought, [wanted]);
    let wrong = [
        ("since=yesterday", "15m"),
        ("level=loud", "info, warn, error"),
        ("after=7", "`next`"),
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1 to 1000"),
        ("page=2", "after"),
    ];
    for (query, allowed) in wrong {
        let (status, body) = running.get(&format!("/v1/events?{query}")).await;
        assert!(status == 400 && body.contains(allowed), "{query}: {status} {body}");
    }
}

#[tokio::test]
async fn below_a_merchants_path_are_his_own_events_whatever_the_query_says() {
    let running = start().await;
    assert_eq!(running.get("/v1/merchants/10%2F01/events?level=error").await.0, 200);
    assert_eq!(running.get("/v1/merchants/10%2F01/events?merchant=1002").await.0, 400);
    let sought = running.double.asked().sought;
    assert_eq!(sought.iter().map(|one| one.merchant.as_deref()).collect::<Vec<_>>(), [Some("10/01")]);
}

#[tokio::test]
async fn lag_is_told_by_connector_in_total_and_by_partition() {
    let running = start().await;
    let mut status: Status = working();
    for (name, lag_records) in [("orders", 5), ("carts", 7)] {
        let connector = status.connectors.entry(name.to_owned()).or_default();
        (connector.lag_records, connector.lag_seconds, connector.retention_alarms) = (lag_records, Some(60), 2);
    }
    let partition = |partition, floors: &[(&str, i64)]| PartitionStatus {
        topic: "shop".into(),
        partition,
        end: 40,
        floors: floors.iter().map(|(name, floor)| ((*name).to_owned(), *floor)).collect(),
        ..PartitionStatus::default()
    };
    let shard = status.shards.get_mut(&0).expect("it owns one");
    shard.partitions = vec![partition(1, &[("orders", 38), ("carts", 33)]), partition(0, &[("orders", 37)])];
    running.board.publish(status);
    let (_, body) = running.get("/v1/lag?partitions=true").await;
    let own = |name: &str| -> Vec<(i64, i64)> {
        let partitions = json(&body)["connectors"][name]["partitions"].as_array().cloned().unwrap_or_default();
        let number = |one: &serde_json::Value, key: &str| one[key].as_i64().unwrap_or_default();
        partitions.iter().map(|one| (number(one, "partition"), number(one, "lag_records"))).collect()
    };
    assert_eq!((own("orders"), own("carts")), (vec![(0, 3), (1, 2)], vec![(1, 7)]));
    let (status, body) = running.get("/v1/lag").await;
    let lag = json(&body);
    assert!(lag["connectors"]["orders"].get("partitions").is_none(), "only for who asks");
    assert_eq!((status, &lag["lag_records"], &lag["shards"]), (200, &12.into(), &serde_json::json!([0])));
    assert_eq!(lag["connectors"]["carts"]["lag_records"], 7);
    assert_eq!(lag["connectors"]["carts"]["lag_seconds"], 60);
    assert_eq!(json(&running.get("/health/ready").await.1)["alarms"]["retention"], 4);
}

/// Bytes that are nearly a request, or none at all.
fn requests() -> impl Strategy<Value = (String, String)> {
    let action = prop_oneof![
        prop::sample::select(vec!["pause", "skip", "replay", "reset", "abandon"]).prop_map(str::to_owned),
        "[a-z%0-9/.]{0,12}",
    ];
    let id = prop_oneof![Just("1001".to_owned()), "[ -~&&[^ #?\\r\\n]]{1,20}", "(%[0-9a-fA-F]{2}){1,8}"];
    let value = prop_oneof![
        Just("\"earliest\"".to_owned()),
        Just("{\"offsets\":{\"a/0\":99999999999999999999}}".to_owned()),
        Just("{\"timestamp\":\"9999999-01-01T00:00:00Z\"}".to_owned()),
        Just("{\"timestamp\":-9223372036854775808}".to_owned()),
        Just("null".to_owned()),
        "[0-9a-z\"{}\\[\\]:,]{0,20}",
    ];
    let key = prop::sample::select(vec!["from", "to", "mode", "id", "connector", "confirm", "lane", "x"]);
    let object = prop::collection::vec((key, value), 0..5).prop_map(|fields| {
        let fields: Vec<String> = fields.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    });
    let body = prop_oneof![object, "\\PC{0,60}"];
    (id, action, body).prop_map(|(id, action, body)| (format!("/v1/merchants/{id}/{action}"), body))
}

#[test]
fn no_request_however_malformed_is_answered_with_a_500() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let running = runtime.block_on(start());
    proptest!(ProptestConfig::with_cases(400), |((path, body) in requests(), query in "[ -~&&[^ #]]{0,40}")| {
        let (status, answer) = runtime.block_on(running.post(&path, &body));
        prop_assert!(status != 500, "{path} {body}: {answer}");
        let (status, answer) = runtime.block_on(running.get(&format!("/v1/merchants?{query}")));
        prop_assert!(status != 500, "{query}: {answer}");
    });
}
