use crate::disk::{io_fault, open};
use outflow_api::{Blame, Fault, Membership, MembershipEvent, Shard, Verdict};
use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::Path,
    time::Duration,
};

/// All shards belong to the one process that holds the folder's lock; a dead process's lock is free at once.
pub(crate) struct LocalMembership {
    held: Option<File>,
    shards: u32,
    told: bool,
}

impl LocalMembership {
    pub fn join(root: &Path, shards: u32) -> Result<LocalMembership, Fault> {
        let path = root.join("lock");
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(io_fault("lock", &path, error)),
            Err(TryLockError::WouldBlock) => return Err(in_use(root)),
        }
        let pid = format!("{}\n", std::process::id());
        let noted = file.set_len(0).and_then(|()| file.write_all(pid.as_bytes()));
        noted.map_err(|error| io_fault("write", &path, error))?;
        Ok(LocalMembership { held: Some(file), shards, told: false })
    }
}

/// The process that runs the shards of this folder, if it can be seen.
pub(crate) fn holder(root: &Path) -> Option<u32> {
    let file = File::open(root.join("lock")).ok()?;
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(_) => fs::read_to_string(root.join("lock")).ok()?.trim().parse().ok(),
    }
}

pub(crate) fn in_use(root: &Path) -> Fault {
    let by = holder(root).map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    let hint = format!("{by} runs on the folder {}; stop it, or use another folder", root.display());
    Fault::new(Verdict::Halt, Blame::Us, "folder-in-use", hint)
}

impl Membership for LocalMembership {
    fn poll(&mut self, wait: Duration) -> Result<Vec<MembershipEvent>, Fault> {
        if self.told || self.held.is_none() {
            std::thread::sleep(wait);
            return Ok(Vec::new());
        }
        self.told = true;
        Ok(vec![MembershipEvent::Assigned((0..self.shards).map(Shard).collect())])
    }

    fn shards(&self) -> u32 {
        self.shards
    }

    fn leave(&mut self) {
        self.held = None;
    }
}
