use crate::{PARTITIONS, open, reader::rows_of};
use async_trait::async_trait;
use outflow_api::{CommitOutcome, CommitPermit, Sink};
use outflow_conformance::sink::{self, Batch, Destination, Size};
use serde_json::json;
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};
use tempfile::TempDir;

struct Folder {
    folder: TempDir,
    partition_by: Option<&'static str>,
}

impl Folder {
    fn new(partition_by: Option<&'static str>) -> Arc<Folder> {
        Arc::new(Folder { folder: tempfile::tempdir().expect("a folder"), partition_by })
    }

    fn sink(&self, name: &str) -> Arc<dyn Sink> {
        let url = self.folder.path().join(name).display().to_string();
        open(&json!({ "type": "object_store", "url": url, "partition_by": self.partition_by }))
    }
}

#[async_trait]
impl Destination for Folder {
    fn open(&self) -> Arc<dyn Sink> {
        self.sink("lake")
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        self.sink("other")
    }

    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        let mut found = BTreeMap::new();
        collect(&self.folder.path().join("lake"), &mut found);
        found
    }
}

/// As `**/*.parquet` finds them, also in hidden folders.
fn collect(folder: &Path, found: &mut BTreeMap<String, Vec<i64>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = path.display().to_string();
        if path.is_dir() {
            collect(&path, found);
        } else if name.ends_with(".parquet") {
            let file = fs::read(&path).expect("what is visible stays");
            found.insert(name.clone(), rows_of(&name, file.into()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_the_contract() {
    for partition_by in PARTITIONS {
        sink::all(&*Folder::new(partition_by)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sequence_of_calls_loses_or_doubles_a_row_in_a_folder() {
    for seed in 0..6 {
        let destination = Folder::new(PARTITIONS[seed as usize % 2]);
        println!("seed {seed}: {:?}", sink::chaos(destination, seed, 100).await);
    }
}

#[tokio::test]
async fn a_folder_that_is_closed_names_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "in the way").expect("the folder is ours");
    let findings = open(&json!({ "url": file.display().to_string() })).examine().await;
    let fault = findings.into_iter().find_map(|finding| finding.result.err()).expect("a file is no folder");
    assert_eq!(fault.code, "not-a-folder");
    assert!(fault.hint.contains(&file.display().to_string()));
}

#[tokio::test]
async fn staged_files_that_are_gone_are_written_again_from_their_rows() {
    let folder = Folder::new(PARTITIONS[1]);
    let (sink, batch) = (folder.open(), Batch::new(Size::Small, 1));
    let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
    let prepared = sink.prepare(batch.id, &encoded).await.expect("calm").prepared().expect("no row is refused");
    fs::remove_dir_all(folder.folder.path().join("lake/.outflow-staging")).expect("it is there");
    let permit = CommitPermit::mint(prepared);
    assert_eq!(sink.commit(&permit, None).await.expect("calm"), CommitOutcome::NeedsRows);
    assert_eq!(sink.commit(&permit, Some(&encoded)).await.expect("calm"), CommitOutcome::Committed);
    assert_eq!(folder.open().commit(&permit, None).await.expect("calm"), CommitOutcome::AlreadyCommitted);
    assert!(sink::settled(&folder.visible().await, &batch));
}

#[tokio::test]
async fn ndjson_is_a_line_for_each_row_and_the_same_file_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().display().to_string();
    let sink = open(&json!({ "url": url, "file": { "type": "ndjson", "compression": "none" } }));
    let batch = Batch::new(Size::Small, 1);
    let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
    let prepared = sink.prepare(batch.id, &encoded).await.expect("calm").prepared().expect("no row is refused");
    sink.commit(&CommitPermit::mint(prepared), None).await.expect("calm");
    let text = fs::read_to_string(folder.path().join(format!("{}.ndjson", batch.id))).expect("it is visible");
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON"));
    let rows: Vec<i64> = rows.map(|row| row["row"].as_i64().expect("every row has it")).collect();
    assert_eq!(rows, batch.rows.collect::<Vec<_>>());
}
