//! What the server or its owner does not allow: which lane parks, under what code, and by what it is mended.

use crate::{client, settings, shape::Shape, with};
use outflow_api::{Delivered, Fault, Reach, Verdict};
use outflow_rig::Postgres;
use serde_json::{Value, json};

const SHAPE: Shape<'_> = Shape(&[("number", "BIGINT"), ("name", "VARCHAR")]);
const RECORDS: [&str; 2] = [r#"{"number": 1, "name": "a"}"#, r#"{"number": 2}"#];

async fn execute(statements: &str) {
    client().await.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
}

async fn number(question: &str) -> i64 {
    client().await.query_one(question, &[]).await.expect("it answers").get(0)
}

async fn refused(settings: &Value) -> Fault {
    let fault = SHAPE.try_deliver(settings, &SHAPE.sealed(&RECORDS)).await.expect_err("it cannot be taken");
    assert_eq!(fault.verdict, Verdict::Park, "{fault}");
    let examined = SHAPE.open(settings).examine().await;
    let told = examined.iter().find_map(|finding| finding.result.as_ref().err()).expect("a check finds it, too");
    assert_eq!(told.code, fault.code, "{told}");
    for secret in [Postgres::PASSWORD, "wrong-secret"] {
        assert!(!fault.to_string().contains(secret) && !format!("{fault:?}").contains(secret), "a secret is told");
    }
    fault
}

/// The hint names a statement: it is executed as it stands there, and all is well.
async fn mended_by(settings: &Value, code: &str, statement: &str) {
    let fault = refused(settings).await;
    assert_eq!(fault.code, code, "{fault}");
    execute(self::statement(&fault.hint, statement)).await;
    SHAPE.deliver(settings, &SHAPE.sealed(&RECORDS)).await;
}

fn statement<'a>(hint: &'a str, begin: &str) -> &'a str {
    const END: [&str; 4] = [" (SQLSTATE", "; or set", ", or set", "), or set"];
    let rest = &hint[hint.find(begin).unwrap_or_else(|| panic!("no {begin} in: {hint}"))..];
    &rest[..END.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_or_column_that_is_missing_is_made_or_its_statement_is_told_by_policy() {
    let strict = |table: &str| with(&settings(table), &json!({ "create": false, "add_columns": false }));
    SHAPE.deliver(&settings("made"), &SHAPE.sealed(&RECORDS)).await;
    mended_by(&strict("not made"), "table-missing", "CREATE TABLE").await;
    execute("CREATE TABLE narrow (number bigint, theirs text)").await;
    mended_by(&strict("narrow"), "column-missing", "ALTER TABLE").await;
    execute("CREATE TABLE widened (theirs text, number bigint)").await;
    SHAPE.deliver(&settings("widened"), &SHAPE.sealed(&RECORDS)).await;
    assert_eq!(number("SELECT count(*) FROM widened WHERE name = 'a' AND theirs IS NULL").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_another_type_parks_with_the_statement_that_mends_it() {
    execute("CREATE TABLE small (number integer, name text)").await;
    mended_by(&settings("small"), "column-type", "ALTER TABLE").await;
    execute("CREATE TABLE short (number bigint, name varchar(3))").await;
    mended_by(&settings("short"), "column-type", "ALTER TABLE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_parks_with_its_credential_and_tells_no_password() {
    let fault = refused(&with(&settings("t"), &json!({ "password": "wrong-secret" }))).await;
    assert_eq!((fault.code, fault.reach), ("not-accepted", Reach::Credential));
    let fault = refused(&with(&settings("t"), &json!({ "user": "nobody here" }))).await;
    assert_eq!((fault.code, fault.reach), ("not-accepted", Reach::Credential));
    let fault = refused(&with(&settings("t"), &json!({ "password": null }))).await;
    assert_eq!((fault.code, fault.reach), ("not-accepted", Reach::Credential), "{fault}");
    let fault = refused(&with(&settings("t"), &json!({ "database": "no such" }))).await;
    assert_eq!((fault.code, fault.reach), ("database-missing", Reach::Lane));
    let fault = refused(&with(&settings("t"), &json!({ "schema": "no such" }))).await;
    assert_eq!((fault.code, fault.reach), ("schema-missing", Reach::Lane));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_is_told_the_grant() {
    let as_user = |user: &str, table: &str, more: &Value| {
        let own = json!({ "schema": "guarded", "user": user, "password": "other-secret" });
        with(&with(&settings(table), &own), more)
    };
    execute(
        "CREATE SCHEMA guarded; CREATE ROLE \"a reader\" LOGIN PASSWORD 'other-secret'; \
         CREATE ROLE maker LOGIN PASSWORD 'other-secret'; GRANT USAGE ON SCHEMA guarded TO maker; \
         CREATE ROLE frozen LOGIN PASSWORD 'other-secret'; ALTER ROLE frozen SET default_transaction_read_only = on; \
         GRANT USAGE ON SCHEMA guarded TO frozen",
    )
    .await;
    let owned = with(&settings("given"), &json!({ "schema": "guarded" }));
    SHAPE.deliver(&owned, &SHAPE.sealed(&RECORDS)).await;
    execute("GRANT USAGE ON SCHEMA guarded TO \"a reader\"; GRANT SELECT ON guarded.given TO \"a reader\"").await;
    execute("GRANT SELECT, INSERT ON guarded.given, guarded.outflow_batches TO frozen").await;
    mended_by(&as_user("a reader", "given", &json!({})), "denied", "GRANT USAGE ON SCHEMA").await;
    who_may_append_is_told_the_grant_to_remove(&as_user("a reader", "given", &json!({}))).await;
    let upsert = json!({ "mode": "upsert", "key": "number", "version": "_timestamp", "deleted": "gone" });
    let shape = Shape(&[("number", "BIGINT"), ("gone", "BOOLEAN")]);
    shape
        .deliver(&with(&with(&settings("kept"), &json!({ "schema": "guarded" })), &upsert), &shape.sealed(&RECORDS))
        .await;
    let fault = shape.try_deliver(&as_user("a reader", "kept", &upsert), &shape.sealed(&RECORDS)).await;
    let hint = fault.expect_err("it may only append").hint;
    assert!(hint.contains("GRANT SELECT, INSERT, UPDATE, DELETE ON \"guarded\".\"kept\", "), "{hint}");
    assert!(hint.contains("\"guarded\".\"kept_deleted\" TO \"a reader\""), "{hint}");
    let fault = refused(&as_user("frozen", "given", &json!({}))).await;
    assert_eq!(fault.code, "read-only");
    execute("GRANT SELECT, INSERT ON guarded.outflow_batches TO maker").await;
    mended_by(&as_user("maker", "new", &json!({})), "denied", "GRANT USAGE, CREATE ON SCHEMA").await;
}

async fn who_may_append_is_told_the_grant_to_remove(settings: &Value) {
    let (sink, batch) = (SHAPE.open(settings), SHAPE.sealed(&RECORDS));
    SHAPE.deliver(settings, &batch).await;
    let prepared = sink.prepare(batch.id, &sink.encode(&batch).expect("as before")).await.expect("nothing is sent");
    let prepared = prepared.prepared().expect("no row is refused");
    let old = Delivered { id: batch.id, receipt: sink.receipt(&prepared) };
    let fault = sink.remove(&old).await.expect_err("it may only append");
    assert_eq!(fault.code, "denied", "{fault}");
    execute(statement(&fault.hint, "GRANT DELETE ON")).await;
    sink.remove(&old).await.expect("now it may");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_table_may_hold_twice_parks_with_the_index_that_it_needs() {
    execute("CREATE TABLE twice (number bigint, name text)").await;
    let settings = with(&settings("twice"), &json!({ "mode": "upsert", "key": "number", "version": "_timestamp" }));
    mended_by(&settings, "key-not-unique", "CREATE UNIQUE INDEX").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_or_an_encoding_that_refuses_a_row_parks_and_tells_no_value() {
    execute("CREATE TABLE choosy (number bigint CHECK (number < 2), name text)").await;
    let fault = SHAPE.try_deliver(&settings("choosy"), &SHAPE.sealed(&RECORDS)).await.expect_err("it is refused");
    assert_eq!((fault.code, fault.verdict), ("constraint-violated", Verdict::Park), "{fault}");
    execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0").await;
    let latin = with(&settings("t"), &json!({ "database": "latin" }));
    let fault = SHAPE.try_deliver(&latin, &SHAPE.sealed(&[r#"{"name": "🛒"}"#])).await.expect_err("it is refused");
    assert_eq!((fault.code, fault.verdict), ("encoding", Verdict::Park), "{fault}");
    assert!(!fault.to_string().contains("🛒"));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_what_they_are_whatever_they_hold() {
    const ODD: &str = "a \"b\"; DROP TABLE x; --";
    let quoted = "\"a \"\"b\"\"; DROP TABLE x; --\"";
    execute(&format!("CREATE SCHEMA {quoted}; CREATE ROLE {quoted} LOGIN PASSWORD 'p''w'; ")).await;
    execute(&format!("GRANT USAGE, CREATE ON SCHEMA {quoted} TO {quoted}")).await;
    let shape = Shape(&[(ODD, "VARCHAR"), ("Select", "BIGINT"), ("gone?", "BOOLEAN")]);
    let own = json!({ "schema": ODD, "user": ODD, "password": "p'w" });
    let records = [format!("{{{}: \"v'\", \"Select\": 1}}", json!(ODD)), format!("{{{}: \"w\"}}", json!(ODD))];
    let upsert = json!({ "mode": "upsert", "key": [ODD], "version": "_timestamp", "deleted": "gone?" });
    for (table, mode) in [(ODD, json!({})), ("Upserted \"", upsert)] {
        let settings = with(&with(&settings(table), &own), &mode);
        shape.deliver(&settings, &shape.sealed(&records)).await;
        assert!(shape.open(&settings).examine().await.iter().all(|finding| finding.result.is_ok()));
        let table = table.replace('"', "\"\"");
        assert_eq!(
            number(&format!("SELECT count(*) FROM {quoted}.\"{table}\" WHERE {quoted} IN ('v''', 'w')")).await,
            2
        );
    }
}
