use outflow_formats::{DEPTH_MAX, FieldPath};

fn find(path: &str, record: &str) -> Option<String> {
    let found = FieldPath::parse(path).expect("a path").find(record.as_bytes());
    found.map(|found| String::from_utf8(found.into_owned()).expect("text"))
}

#[test]
fn a_scalar_is_found_wherever_it_stands() {
    let record =
        r#" { "a" : "x\u00e9\n" , "b":[{"id":9},"id\"", "}"],"c":{"d":{"id":-1.5e3},"e":true},"id":17,"n":null} "#;
    let found = |path| find(path, record);
    assert_eq!(found("a").as_deref(), Some("xé\n"));
    assert_eq!(found("id").as_deref(), Some("17"));
    assert_eq!(found("c.d.id").as_deref(), Some("-1.5e3"));
    assert_eq!(found("c.e").as_deref(), Some("true"));
    for path in ["n", "b", "c", "c.d", "missing", "a.b", "n.id", "b.id"] {
        assert_eq!(found(path), None, "{path}");
    }
}

#[test]
fn of_a_repeated_field_the_last_is_found_however_it_is_spelled() {
    assert_eq!(find("id", r#"{"id":1,"x":{"id":2},"id":3,"y":4}"#).as_deref(), Some("3"));
    assert_eq!(find("id", r#"{"id":1,"\u0069d":2}"#).as_deref(), Some("2"));
    assert_eq!(find("id", r#"{"id":1,"id":null}"#), None);
    assert_eq!(find("c.id", r#"{"c":{"id":1},"c":{"x":"id"}}"#), None);
    assert_eq!(find("c.id", r#"{"c":{"id":1,"id":5},"d":{"id":2}}"#).as_deref(), Some("5"));
}

#[test]
fn what_is_broken_up_to_the_field_is_not_found() {
    let broken = [
        "",
        "[]",
        "1",
        "{",
        r#"{"id""#,
        r#"{"id":"#,
        r#"{"id":1x}"#,
        r#"{"id":01}"#,
        r#"{"id":"1"#,
        r#"{"id":"\x"}"#,
        r#"{"id":"\ud800"}"#,
        r#"{"x":[,"id":1}"#,
        r#"{"x":,"id":1}"#,
        "{\"id\":\"a\u{1}\"}",
        r#"{"id":tru}"#,
    ];
    for record in broken {
        assert_eq!(find("id", record), None, "{record}");
    }
    assert_eq!(find("id", r#"{"id":1, what comes behind it is left to the decoder"#).as_deref(), Some("1"));
    let deep = format!(r#"{{"x":{}{},"id":1}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(find("id", &deep).as_deref(), Some("1"));
}

#[test]
fn a_text_that_is_no_path_is_told_what_is_allowed() {
    for path in ["", ".", "a.", ".a", "a..b", &["a"; DEPTH_MAX as usize + 1].join(".")] {
        let error = FieldPath::parse(path).expect_err("no path").to_string();
        assert!(error.contains("as in store_id or customer.id"), "{error}");
    }
}

#[test]
fn names_may_have_dots_themselves() {
    let record = br#"{"a":{"b.c":1},"a.b":{"c":2}}"#;
    let found = |names: &[&str]| FieldPath::of(names).find(record).map(|found| found.into_owned());
    assert_eq!(found(&["a", "b.c"]).as_deref(), Some(&b"1"[..]));
    assert_eq!(found(&["a.b", "c"]).as_deref(), Some(&b"2"[..]));
    assert_eq!(found(&["a", "b", "c"]), None);
}
