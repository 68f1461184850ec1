use crate::{
    disk::{failed, open, sync_folder},
    frame::{self, Found},
    log::{put_entries, take_entries},
    wire::Take,
};
use outflow_api::{Fault, LedgerRow};
use outflow_journal::{KeyValue, decode_ledger};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const VERSION: u8 = 1;

/// One shard's ledger. Its rows are in the journal too, until the journal is written anew behind a sync of this file.
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Ledger {
    /// Cuts off what a crash left half written above `synced`, and answers the number of the last decision whose rows
    /// are here above it.
    pub fn open(path: &Path, synced: u64) -> Result<(Ledger, u64), Fault> {
        let is_new = !path.exists();
        let file = open(path)?;
        if is_new {
            sync_folder(path.parent().expect("a file is in a folder"))?;
        }
        let bytes = file.metadata().map_err(failed("look at", path))?.len();
        if bytes < synced {
            return Err(damaged(path, bytes, &format!("it ended at byte {synced} before")));
        }
        let (mut position, mut last, mut payload) = (synced, 0, Vec::new());
        while let Found::Frame { next, .. } =
            frame::read(&file, position, bytes, &mut payload).map_err(failed("read", path))?
        {
            (last, _) = take(&payload).ok_or_else(|| damaged(path, position, "rows of an unknown version"))?;
            position = next;
        }
        if position < bytes {
            file.set_len(position).map_err(failed("cut the torn end off", path))?;
        }
        Ok((Ledger { path: path.to_owned(), file, bytes: position }, last))
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn append(&mut self, sequence: u64, rows: &[KeyValue]) -> Result<(), Fault> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        frame::push(&mut out, self.bytes, |out| {
            out.push(VERSION);
            out.extend_from_slice(&sequence.to_le_bytes());
            put_entries(out, rows);
        });
        self.file.write_all_at(&out, self.bytes).map_err(failed("append to", &self.path))?;
        self.bytes += out.len() as u64;
        Ok(())
    }

    pub fn sync(&self) -> Result<(), Fault> {
        self.file.sync_data().map_err(failed("sync", &self.path))
    }
}

/// For whoever wants to know; its owner may be writing.
pub(crate) struct LedgerReader(pub PathBuf);

impl outflow_api::Ledger for LedgerReader {
    fn read(&mut self, each: &mut dyn FnMut(LedgerRow)) -> Result<(), Fault> {
        read(&self.0, each)
    }
}

/// Every whole row, in the order of the decisions.
fn read(path: &Path, each: &mut dyn FnMut(LedgerRow)) -> Result<(), Fault> {
    if !path.exists() {
        return Ok(());
    }
    let file = File::open(path).map_err(failed("open", path))?;
    let bytes = file.metadata().map_err(failed("look at", path))?.len();
    let (mut position, mut payload) = (0, Vec::new());
    loop {
        match frame::read(&file, position, bytes, &mut payload).map_err(failed("read", path))? {
            Found::End => return Ok(()),
            // The end is being written at this moment, or is torn; in the middle nothing may be missing.
            Found::Broken => {
                let later = frame::damage(&file, position, bytes).map_err(failed("read", path))?;
                return match later {
                    Some(_) => Err(damaged(path, position, "rows that are not as they were written")),
                    None => Ok(()),
                };
            }
            Found::Frame { next, .. } => {
                take_each(path, position, &payload, each)?;
                position = next;
            }
        }
    }
}

fn take_each(path: &Path, position: u64, payload: &[u8], each: &mut dyn FnMut(LedgerRow)) -> Result<(), Fault> {
    let (_, rows) = take(payload).ok_or_else(|| damaged(path, position, "rows of an unknown version"))?;
    for KeyValue { key, value } in rows {
        each(decode_ledger(&key, &value.unwrap_or_default())?);
    }
    Ok(())
}

fn take(payload: &[u8]) -> Option<(u64, Vec<KeyValue>)> {
    let mut take = Take(payload);
    if take.byte()? != VERSION {
        return None;
    }
    let sequence = take.u64()?;
    let rows = take_entries(&mut take)?;
    take.end().map(|()| (sequence, rows))
}

fn damaged(path: &Path, position: u64, what: &str) -> Fault {
    let hint = format!("{} is damaged at byte {position}: {what}; restore the folder", path.display());
    Fault::halt("ledger-damaged", hint)
}
