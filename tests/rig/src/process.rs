use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A server of ours. Dropping it kills it.
pub struct Process {
    name: String,
    guard: Child,
    pid: u32,
    log: PathBuf,
}

/// Starts the program, notes its process id, and kills it when our end of the pipe closes: statics are never dropped
/// and a test process may be killed, but a pipe always closes.
const GUARD: &str = r#"pidfile=$1; shift; exec 3<&0; "$@" </dev/null & child=$!; echo $child >"$pidfile.new"
mv "$pidfile.new" "$pidfile"; cat <&3 >/dev/null; kill -9 $child 2>/dev/null; wait $child 2>/dev/null"#;

impl Process {
    /// Runs `program args…` with its output in `folder/name.log`.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start(name: &str, folder: &Path, program: &str, args: &[String], env: &[(&str, String)]) -> Process {
        let log = folder.join(format!("{name}.log"));
        let pidfile = folder.join(format!("{name}.pid"));
        let _ = fs::remove_file(&pidfile);
        let output = File::options().create(true).append(true).open(&log).expect("the log can be written");
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&pidfile)
            .arg(program)
            .args(args)
            .envs(env.iter().map(|(key, value)| (*key, value)))
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a file handle can be cloned"))
            .stderr(output)
            .spawn()
            .expect("sh starts");
        let read = || fs::read_to_string(&pidfile).ok().and_then(|text| text.trim().parse().ok());
        wait_until(&format!("{name} to start"), Duration::from_secs(10), || read().is_some());
        let pid = read().expect("just seen");
        Process { name: name.to_owned(), guard, pid, log }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn log_path(&self) -> &Path {
        &self.log
    }

    pub fn is_alive(&self) -> bool {
        is_alive(self.pid)
    }

    /// `KILL`, `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        if self.is_alive() {
            let _ = Command::new("kill").arg(format!("-{signal}")).arg(self.pid.to_string()).status();
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&self) {
        self.signal("KILL");
        wait_until(&format!("{} to die", self.name), Duration::from_secs(20), || !self.is_alive());
    }

    /// `kill -9` of it, and of what it has started.
    pub fn kill_with_children(&self) {
        let children = self.children();
        self.kill();
        for pid in children {
            let _ = Command::new("kill").arg("-KILL").arg(pid.to_string()).stderr(Stdio::null()).status();
            wait_until(&format!("a child of {} to die", self.name), Duration::from_secs(20), || !is_alive(pid));
        }
    }

    fn children(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| parent_of(*pid) == Some(self.pid)).collect()
    }

    /// Waits until `ready` holds; fails with the end of the log if the process dies first.
    ///
    /// # Panics
    /// If the process dies or the time is over.
    pub fn wait_ready(&self, limit: Duration, mut ready: impl FnMut() -> bool) {
        wait_until(&format!("{} to be ready", self.name), limit, || {
            let log = self.log();
            assert!(self.is_alive(), "{} died; its log ends: {}", self.name, &log[floor(&log, 3000)..]);
            ready()
        });
    }

    /// True if this very process (or a child of it) listens on the port: another one may have taken it meanwhile.
    pub fn holds_port(&self, port: u16) -> bool {
        let local = format!(":{port:04X} ");
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let listening = |line: &&str| line.contains(&local) && line.split_whitespace().nth(3) == Some("0A");
        let inodes = tables.iter().flat_map(|table| table.lines()).filter(listening);
        let inodes: Vec<String> =
            inodes.filter_map(|line| line.split_whitespace().nth(9)).map(|inode| format!("socket:[{inode}]")).collect();
        let Ok(files) = fs::read_dir(format!("/proc/{}/fd", self.pid)) else { return false };
        files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
    }
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split_whitespace().nth(1)?.parse().ok()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("KILL");
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn floor(text: &str, tail: usize) -> usize {
    (text.len().saturating_sub(tail)..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Looks again every few milliseconds.
///
/// # Panics
/// If the time is over, saying what was waited for.
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where fetched and built tools are kept: `$OUTFLOW_RIG_CACHE`, or `outflow-rig` in the user's cache folder.
pub fn cache_folder() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let own = std::env::var_os("OUTFLOW_RIG_CACHE").map(PathBuf::from);
    let shared = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let folder = own.or_else(|| shared().map(|cache| cache.join("outflow-rig"))).expect("HOME is set");
    fs::create_dir_all(&folder).expect("the cache folder can be made");
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let process = Process::start("sleeper", folder.path(), "sleep", &["60".to_owned()], &[]);
        assert!(process.is_alive());
        let pid = process.pid();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
