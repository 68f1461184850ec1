//! What would happen, asked over a socket.

use crate::{json, start};
use outflow_control::{Expected, Proposal, Proposed};

#[tokio::test]
async fn a_dry_run_is_of_what_is_in_force_or_of_what_a_put_takes() {
    let running = start().await;
    let asked = [
        ("/v1/dry-run", "{\"merchant\": 1001, \"records\": 0}"),
        ("/v1/dry-run", "{\"merchant\": \"1001\", \"config\": {\"deliver\": []}}"),
        ("/v1/dry-run", "{\"connector\": \"orders\", \"config\": {\"tasks.max\": 3}, \"records\": 1000}"),
        ("/v1/merchants/1001/dry-run", ""),
    ];
    for (path, body) in asked {
        assert_eq!(running.post(path, body).await.0, 200, "{path} {body}");
    }
    let tag = ["If-Match: \"7\"", "Content-Type: application/json"];
    let body = "{\"connector\": \"orders\", \"config\": {}}";
    assert_eq!(running.ask("POST", "/v1/dry-run", &tag, body).await.0, 200);
    let of_merchant = |content, records| {
        let of = Proposed::Merchant { id: "1001".into(), content };
        Proposal { of, expected: Expected::Anything, records }
    };
    let of_connector = |config: &[(&str, &str)], expected, records| {
        let config = config.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        Proposal { of: Proposed::Connector { name: "orders".into(), config: Some(config) }, expected, records }
    };
    let wanted = [
        of_merchant(None, 0),
        of_merchant(Some(serde_json::json!({ "merchant": "1001", "deliver": [] })), 100),
        of_connector(&[("tasks.max", "3")], Expected::Anything, 1_000),
        of_merchant(None, 100),
        of_connector(&[], Expected::Revision(7), 100),
    ];
    assert_eq!(running.double.asked().proposals, wanted);
}

#[tokio::test]
async fn a_row_is_shown_with_all_its_digits() {
    let running = start().await;
    let (_, body) = running.post("/v1/dry-run", "{\"merchant\": \"1001\"}").await;
    assert!(body.contains("{\"total\":12345678901234567.89}"), "{body}");
}

#[tokio::test]
async fn a_dry_run_that_cannot_be_read_says_what_is_allowed() {
    let running = start().await;
    let wrong = [
        ("/v1/dry-run", "", 400, "allowed"),
        ("/v1/dry-run", "{}", 400, "of a merchant or of a connector"),
        ("/v1/dry-run", "{\"merchant\": \"1\", \"connector\": \"orders\"}", 400, "of a merchant or of a connector"),
        ("/v1/dry-run", "{\"merchant\": true}", 400, "no id"),
        ("/v1/dry-run", "{\"merchant\": \"1001\", \"confg\": {}}", 400, "confg"),
        ("/v1/dry-run", "{\"merchant\": \"1001\", \"records\": 1001}", 400, "0 to 1000"),
        ("/v1/dry-run", "{\"merchant\": \"1001\", \"records\": -1}", 400, "allowed"),
        ("/v1/dry-run", "{\"merchant\": \"1001\", \"config\": {\"merchant\": \"1002\"}}", 400, "1002"),
        ("/v1/dry-run", "{\"connector\": \"orders\", \"config\": {\"a\": {}}}", 400, "is no text"),
        ("/v1/dry-run", "{\"connector\": \"order\"}", 404, "order"),
        ("/v1/merchants/1001/dry-run", "{\"config\": {}}", 400, "POST /v1/dry-run"),
        ("/v1/merchants/10/dry-run", "{}", 404, "did you mean"),
    ];
    for (path, body, status, part) in wrong {
        let (answered, told) = running.post(path, body).await;
        let message = json(&told)["message"].as_str().unwrap_or_default().to_owned();
        assert!(answered == status && message.contains(part), "{path} {body}: {answered} {told}");
    }
    let tag = ["If-Match: \"7\"", "Content-Type: application/json"];
    let (status, told) = running.ask("POST", "/v1/dry-run", &tag, "{\"merchant\": \"1001\"}").await;
    assert!(status == 400 && told.contains("If-Match"), "{told}");
    assert!(running.double.asked().proposals.is_empty());
}
