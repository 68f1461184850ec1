use crate::common::Folder;
use outflow_config::Config;

const TEMPLATE: &str = "template: { list: shops.csv }
merchant: \"${row:id}\"
deliver:
  - connector: orders
    sink: { type: object_store, url: \"s3://${row:bucket}/orders\", access_key: \"${file:/run/secrets/${row:id}}\" }
    schedule: hourly
";

fn with(template: &str, name: &str, list: impl AsRef<[u8]>) -> Folder {
    let folder = Folder::new();
    folder.write("merchants/shops.yaml", template);
    folder.write(&format!("merchants/{name}"), list);
    folder
}

fn csv(list: &str) -> Folder {
    with(TEMPLATE, "shops.csv", list)
}

fn ids(config: &Config) -> Vec<&str> {
    config.merchants.iter().map(|merchant| merchant.id.as_ref()).collect()
}

/// Line and message of each.
fn told(folder: &Folder, file: &str) -> Vec<(usize, String)> {
    let problems = folder.refused();
    assert!(problems.iter().all(|problem| problem.file == file), "{problems:#?}");
    problems.into_iter().map(|problem| (problem.line, problem.message)).collect()
}

#[test]
fn each_row_of_a_list_is_a_merchant() {
    let folder = csv("id,bucket,note\n1001,skull,\"a, b\"\n\n1002,\"can\ndy\",\r\n0042,z,\n");
    let config = folder.right();
    assert_eq!(config.refused.problems, []);
    assert_eq!(ids(&config), ["1001", "1002", "0042"]);
    assert_eq!(config.merchants.iter().map(|merchant| merchant.line).collect::<Vec<_>>(), [2, 4, 6]);
    let settings = config.merchants[0].deliver[0].settings.as_ref();
    assert_eq!(settings, r#"{"access_key":"${file:/run/secrets/1001}","url":"s3://skull/orders"}"#);
    assert!(config.merchants[0].file.ends_with("shops.yaml"));
    assert!(config.merchants[0].list.as_deref().is_some_and(|list| list.ends_with("shops.csv")));
}

#[test]
fn a_list_may_be_lines_of_json() {
    let list = [
        r#"{"id": 1001, "bucket": "a", "live": true, "x": null}"#,
        "",
        r#"{"id": "1002", "bucket": "b"}"#,
        r#"{"id": "1003"}"#,
        r#"{"id": [], "bucket": "c"}"#,
        "[1]",
        r#"{"id": "1004", "bucket": "d"}"#,
    ]
    .join("\n");
    let folder = with(&TEMPLATE.replace("shops.csv", "shops.ndjson"), "shops.ndjson", list);
    assert_eq!(ids(&folder.right()), ["1001", "1002", "1004"]);
    let told = told(&folder, "merchants/shops.ndjson");
    assert_eq!(told[0], (4, "the row has no `bucket`, which the template asks for".to_owned()));
    assert_eq!(told[1], (5, "`id` of the row is no scalar".to_owned()));
    assert!(told[2].1.contains("no JSON object"), "{told:?}");
}

#[test]
fn a_broken_row_is_refused_alone() {
    let rows = ["1001,a", "1002", "1003,c,c", ",d", "1005,e", "1006,", "1007,${env:HOME}", "../1008,h", "1009,i"];
    let folder = csv(&format!("id,bucket\n{}", rows.join("\n")));
    assert_eq!(ids(&folder.right()), ["1001", "1005", "1009"]);
    let told = told(&folder, "merchants/shops.csv");
    let lines: Vec<usize> = told.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 4, 5, 7, 8, 9], "{told:#?}");
    assert_eq!(told[0].1, "the row has 1 fields");
    assert_eq!(told[2].1, "`id` of the row is empty");
    assert_eq!(told[4].1, "a value of the row brings a reference (`${`) with it");
    assert!(told[5].1.contains("no plain name"), "{told:#?}");
    let problems = folder.refused();
    assert!(problems.iter().all(|problem| problem.allowed.is_some() || problem.hint.is_some()), "{problems:#?}");
}

#[test]
fn rows_that_exclude_each_other_name_their_lines() {
    let folder = csv("id,bucket\n1001,a\n1002,b\n1001,c\n1003,b\n");
    let told = told(&folder, "merchants/shops.csv");
    assert!(folder.right().merchants.is_empty());
    let same_id = "merchant `1001` is there twice for `orders`, also in merchants/shops.csv";
    let same_place = "merchants `1002` (`orders`) and `1003` (`orders`) deliver to the same place, also in";
    let expected = [
        (2, format!("{same_id}:4")),
        (3, format!("{same_place} merchants/shops.csv:5")),
        (4, format!("{same_id}:2")),
        (5, format!("{same_place} merchants/shops.csv:3")),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_template_that_no_row_can_fill_is_refused_at_its_own_line() {
    let folder = csv("id,buket\n1001,a\n1002,b\n");
    let problems = folder.refused();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!((problems[0].file.as_str(), problems[0].line), ("merchants/shops.yaml", 5));
    assert_eq!(problems[0].message, "the list has no column `bucket`");
    assert_eq!(problems[0].hint.as_deref(), Some("did you mean `${row:buket}`?"));
    let one = |folder: Folder| {
        let problems = folder.refused();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems[0].message.clone()
    };
    assert_eq!(one(csv("")), "the list has no line of names");
    assert_eq!(one(csv("id,id\n1,2\n")), "column `id` is there twice");
    assert_eq!(one(with(TEMPLATE, "other.csv", "")), "there is no such list");
    assert_eq!(one(with(&TEMPLATE.replace(".csv", ".txt"), "shops.txt", "")), "`template.list` can't be `shops.txt`");
    assert_eq!(csv("name\n").refused().len(), 3, "each place that asks, though there are no rows");
    assert_eq!(one(with("template: {}\nmerchant: \"${row:id}\"\n", "x", "")), "`template.list` is missing");
    assert!(
        one(with(
            "merchant: \"${row:id}\"\ndeliver: [ { connector: orders, sink: { type: object_store, url: /a } } ]\n",
            "x",
            ""
        ))
        .contains("must be explicit")
    );
}

#[test]
fn a_mistake_of_the_template_is_not_told_for_every_row() {
    let rows: String = (0..1_000).map(|row| format!("{row},b{row}\n")).collect();
    let folder = with(&TEMPLATE.replace("hourly", "weekly"), "shops.csv", format!("id,bucket\n{rows}"));
    let problems = folder.refused();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert_eq!(problems[0].message, "`deliver[0].schedule` can't be `weekly` (merchant `0`)");
    assert!(problems[0].hint.as_ref().is_some_and(|hint| hint.contains("shops.yaml:6:15")), "{}", problems[0]);
    assert_eq!(problems[1].message, "999 more mistakes are in rows of this list");
    assert_eq!(folder.right().refused.merchants.len(), 1_000);
}

#[test]
fn no_list_brings_down_the_start() {
    for list in
        [&b"\xff\xfe\n"[..], b"id,bucket\n\xff,a\n1002,b\n", b"id,bucket\n\"1001,a\n1002,b\n", b"\n\n", b"\0\0\0"]
    {
        let folder = with(TEMPLATE, "shops.csv", list);
        assert!(!folder.refused().is_empty(), "{list:?}");
    }
    let folder = with(TEMPLATE, "shops.csv", b"id,bucket\n\xff,a\n1002,b\n");
    assert_eq!(ids(&folder.right()), ["1002"]);
    assert_eq!(told(&folder, "merchants/shops.csv"), [(2, "the row is not UTF-8".to_owned())]);
}
