use crate::common::{Folder, ORDERS, merchant};
use outflow_config::{Loaded, Loader};

fn look(loader: &mut Loader<'_>) -> Loaded {
    loader.load().unwrap_or_else(|problems| panic!("{problems}"))
}

fn ids(loaded: &Loaded) -> Vec<&str> {
    loaded.config.merchants.iter().map(|merchant| merchant.id.as_ref()).collect()
}

#[test]
fn each_change_is_seen_at_the_next_look() {
    let folder = Folder::new();
    folder.write("merchants/a.yaml", merchant("a"));
    let mut loader = folder.loader();
    let first = look(&mut loader);
    assert!(first.changed);
    assert!(!look(&mut loader).changed);
    folder.write("merchants/b.yaml", merchant("b"));
    let added = look(&mut loader);
    assert_eq!((ids(&added), added.changed), (vec!["a", "b"], true));
    folder.write("merchants/a.yaml", merchant("c"));
    let renamed = look(&mut loader);
    assert_eq!((ids(&renamed), renamed.changed), (vec!["c", "b"], true));
    folder.remove("merchants/b.yaml");
    folder.write("merchants/a.yaml", merchant("a"));
    let back = look(&mut loader);
    assert_eq!((ids(&back), &back.digest), (vec!["a"], &first.digest), "the same files have the same digest");
    assert_ne!(added.digest, first.digest);
}

#[test]
fn workers_with_the_same_files_have_the_same_digest() {
    let digest = |worker: &str| {
        let folder = Folder::new();
        folder.write("merchants/a.yaml", merchant("a"));
        folder.write("outflow.yaml", format!("local: {{ folder: d }}\nconfig: ['*/*.yaml']\n{worker}"));
        look(&mut folder.loader()).digest
    };
    assert_eq!(digest("instance_id: one"), digest("instance_id: two"));
    assert_eq!(digest("").len(), 32);
}

#[test]
fn a_changed_connector_is_looked_at_with_all_its_merchants() {
    let folder = Folder::new();
    folder.write("merchants/a.yaml", merchant("a").replace("orders,", "orders, hash: [ email ],"));
    let mut loader = folder.loader();
    assert_eq!(ids(&look(&mut loader)), ["a"]);
    folder.write("connectors/orders.yaml", ORDERS.replace("name: email", "name: mail"));
    let loaded = look(&mut loader);
    assert!(loaded.changed && loaded.config.merchants.is_empty());
    assert_eq!(loaded.config.refused.merchants, ["a".into()].into());
}

#[test]
fn a_changed_list_is_read_again() {
    let folder = Folder::new();
    let template = merchant("${row:id}").replacen("merchant", "template: { list: ../lists/shops.csv }\nmerchant", 1);
    folder.write("merchants/shops.yaml", template.replace("/lake/${row:id}", "\"/lake/${row:id}\""));
    folder.write("lists/shops.csv", "id\n1\n2\n");
    let mut loader = folder.loader();
    let first = look(&mut loader);
    assert_eq!(ids(&first), ["1", "2"]);
    folder.write("lists/shops.csv", "id\n1\n3\n");
    let second = look(&mut loader);
    assert_eq!((ids(&second), second.changed), (vec!["1", "3"], true));
    assert_ne!(first.digest, second.digest);
    assert!(loader.folders().iter().any(|folder| folder.ends_with("lists")), "{:?}", loader.folders());
}

#[test]
fn a_connector_that_breaks_is_an_error_and_not_gone() {
    let folder = Folder::new();
    let mut loader = folder.loader();
    look(&mut loader);
    folder.write("connectors/orders.yaml", "");
    loader.load().expect_err("nobody said that the connector goes");
    loader.load().expect_err("still");
    folder.write("connectors/orders.yaml", ORDERS);
    assert!(!look(&mut loader).changed, "it is what it was");
}

#[test]
fn a_broken_merchants_file_is_told_until_it_is_mended() {
    let folder = Folder::new();
    folder.write("merchants/a.yaml", merchant("a"));
    let mut loader = folder.loader();
    look(&mut loader);
    folder.write("merchants/a.yaml", "{{{");
    let broken = look(&mut loader);
    assert!(broken.changed);
    assert_eq!(broken.config.refused.files.len(), 1);
    let still = look(&mut loader);
    assert!(!still.changed);
    assert_eq!(still.config.refused, broken.config.refused);
    folder.write("merchants/a.yaml", merchant("a"));
    assert_eq!(ids(&look(&mut loader)), ["a"]);
}
