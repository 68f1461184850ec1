//! All that is configured, out and in.

use crate::{json, start, working};

#[tokio::test]
async fn an_export_has_every_document_once_over_its_pages_and_is_taken_as_it_was_given() {
    let running = start().await;
    running.board.publish(working());
    let (status, exported) = running.get("/v1/export").await;
    let lines: Vec<&str> = exported.lines().collect();
    assert_eq!((status, lines.len()), (200, 1_201));
    let first = json(lines[0]);
    assert_eq!((&first["connector"], &first["state"]), (&"orders".into(), &"PAUSED".into()));
    let ids: Vec<String> = lines[1..].iter().map(|line| json(line)["merchant"].to_string()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "each once, by name");
    let (status, told) = running.post("/v1/import?dry_run=true", &exported).await;
    let told: Vec<&str> = told.lines().collect();
    assert_eq!((status, told.len()), (200, 1_202));
    assert_eq!(json(told[0])["outcome"], "same");
    assert_eq!(json(told[1])["reason"], "why not");
    let counts = serde_json::json!({ "created": 0, "changed": 0, "same": 1, "refused": 1_200, "dry_run": true });
    assert_eq!(json(told[1_201]), counts);
}

#[tokio::test]
async fn a_wrong_line_is_refused_with_its_number_before_anything_is_done() {
    let running = start().await;
    running.board.publish(working());
    let good = "{\"merchant\":\"1\",\"config\":{}}\n\n";
    for (bad, why) in [
        ("{\"merchant\":\"1\"", "document 2"),
        ("{\"config\":{}}", "one connector, or of one merchant"),
        ("{\"merchant\":\"1\",\"connector\":\"o\",\"config\":{}}", "one connector, or of one merchant"),
        ("{\"merchant\":\"1\",\"config\":{},\"staet\":\"x\"}", "staet"),
        ("{\"connector\":\"o\",\"config\":{},\"state\":\"SLOW\"}", "RUNNING"),
        ("{\"connector\":\"o\",\"config\":{\"a\":[1]}}", "no text"),
        ("{\"merchant\":\"1\",\"config\":[]}", "allowed"),
    ] {
        let (status, told) = running.post("/v1/import", &format!("{good}{bad}\n")).await;
        assert_eq!(status, 400, "{bad}: {told}");
        assert!(
            told.contains(why) && told.contains("document 2") && told.contains("nothing was done"),
            "{bad}: {told}"
        );
    }
    let (status, told) = running.post("/v1/import?dry_run=perhaps", good).await;
    assert!(status == 400 && told.contains("allowed: true, false"), "{told}");
    let large = format!("{{\"merchant\":\"1\",\"config\":{{\"x\":\"{}\"}}}}", "x".repeat(1024 * 1024));
    let (status, told) = running.post("/v1/import", &large).await;
    assert!(status == 400 && told.contains("1048576"), "{status} {told}");
    assert_eq!(running.double.asked().others, Vec::<String>::new());
}

#[tokio::test]
async fn an_import_takes_more_than_other_bodies_and_not_everything() {
    let running = start().await;
    running.board.publish(working());
    let line = format!("{{\"connector\":\"orders\",\"config\":{{\"x\":\"{}\"}}}}\n", "x".repeat(1024 * 512));
    let (status, told) = running.post("/v1/import", &line.repeat(6)).await;
    assert!(status == 200 && told.ends_with("\"same\":6,\"refused\":0,\"dry_run\":false}\n"), "{status} {told}");
    let head = format!("Host: {}\r\nConnection: close\r\n", running.address);
    let length = 64 * 1024 * 1024 + 1;
    assert_eq!(
        running.send(&format!("POST /v1/import HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n")).await.0,
        413
    );
}
