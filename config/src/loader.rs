use crate::{
    agree,
    connector::ConnectorConfig,
    files::{bases, files},
    limits,
    merchant::{Checks, MerchantConfig, Names},
    problem::{Problem, Problems},
    reference::{self, Environment},
    source::{self, Content, Source, Unread, is_unchanged, read_bytes},
    worker::{self, ClusterConfig, Worker},
    yaml,
};
use outflow_api::SinkDescriptor;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use twox_hash::XxHash3_128;

/// All that a worker is told.
#[derive(Clone, Debug)]
pub struct Config {
    pub worker: Worker,
    /// By name.
    pub connectors: Vec<ConnectorConfig>,
    /// In the order of their files, and in each of them as they stand.
    pub merchants: Vec<Arc<MerchantConfig>>,
    pub refused: Refused,
}

/// Merchants that are wrong. Nobody else waits for them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Refused {
    /// In the order of files; empty if nothing was refused.
    pub problems: Vec<Problem>,
    /// Files of which something was refused, as `MerchantConfig::file` names them: what they said before stays in
    /// force.
    pub files: BTreeSet<Arc<str>>,
    /// Those of whom it is known who they are.
    pub merchants: BTreeSet<Box<str>>,
}

/// One look at the files.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Since the last look that answered a configuration.
    pub changed: bool,
    /// Hex of a 128-bit hash over names and contents of all files but the worker's own: workers with the same digest
    /// have the same connectors and merchants.
    pub digest: String,
    /// How many files were read; the others are known by their stamp.
    pub read: usize,
}

/// Reads the files once; see [`Loader`] to look again.
pub fn load(path: &Path, sinks: &[&SinkDescriptor], environment: &dyn Environment) -> Result<Config, Problems> {
    Loader::new(path, sinks, environment).load().map(|loaded| loaded.config)
}

/// Reads the worker's file and those that it names, as often as asked, and only what changed. Finds out whether all
/// references can be resolved, and keeps none of the values.
pub struct Loader<'a> {
    path: PathBuf,
    sinks: &'a [&'a SinkDescriptor],
    environment: &'a dyn Environment,
    names: Names,
    /// Sorted by path; a list, as there are tens of thousands.
    sources: Vec<(PathBuf, Source)>,
    patterns: Vec<String>,
    last: Option<Loaded>,
    /// `last` is what `sources` come to.
    current: bool,
}

/// Reading fifty thousand files is waiting and parsing; more threads would take the cores from what is running.
const THREADS: usize = 2;

impl<'a> Loader<'a> {
    pub fn new(
        path: impl Into<PathBuf>,
        sinks: &'a [&'a SinkDescriptor],
        environment: &'a dyn Environment,
    ) -> Loader<'a> {
        let (names, sources) = (Names::default(), Vec::new());
        Loader {
            path: path.into(),
            sinks,
            environment,
            names,
            sources,
            patterns: Vec::new(),
            last: None,
            current: false,
        }
    }

    /// A mistake in the worker's file or in a connector's is an error; one of a merchant's is in `Config::refused`.
    pub fn load(&mut self) -> Result<Loaded, Problems> {
        let worker = self.worker()?;
        self.patterns.clone_from(&worker.config);
        let in_worker = |problem: Problem| Problems::from(problem.in_file(self.path.display().to_string()));
        let paths = files(self.folder(), &worker.config).map_err(in_worker)?;
        let (files_before, current) = (self.sources.len(), std::mem::take(&mut self.current));
        let read = self.look(paths);
        let last = self.last.as_ref().filter(|last| last.config.worker == worker);
        if let (0, true, Some(last)) = (read, current && files_before == self.sources.len(), last) {
            self.current = true;
            return Ok(Loaded { changed: false, read, ..last.clone() });
        }
        let mut refused = Refused::default();
        let merchants = self.merchants(&mut refused);
        let mut connectors = self.connectors(&worker, &mut refused)?;
        connectors.sort_by(|one, other| one.name.cmp(&other.name));
        let merchants = agreed(&worker, &connectors, merchants, &mut refused);
        let digest = self.digest();
        let changed = !last.is_some_and(|last| last.digest == digest && last.config.refused == refused);
        let loaded = Loaded { config: Config { worker, connectors, merchants, refused }, changed, digest, read };
        self.last = Some(loaded.clone());
        self.current = true;
        Ok(loaded)
    }

    /// Folders in which a change may matter, as far as is known after the last look.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = bases(self.folder(), &self.patterns);
        folders.insert(self.folder().to_owned());
        let lists = self.sources.iter().filter_map(|(_, source)| source.list.as_ref()).map(|list| &list.path);
        let files = self.sources.iter().map(|(path, _)| path);
        let tls = self.last.iter().filter_map(|last| last.config.worker.rest.tls.as_ref());
        let keys = tls.flat_map(|tls| [&tls.certificate, &tls.key]);
        folders.extend(files.chain(lists).chain(keys).filter_map(|path| path.parent()).map(Path::to_owned));
        folders
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    fn worker(&self) -> Result<Worker, Problems> {
        let file = self.path.display().to_string();
        let wrong = |problem: Problem| Problems::from(problem.in_file(file.as_str()));
        let (_, bytes) = read_bytes(&self.path, limits::FILE_BYTES_MAX).map_err(|unread| match unread {
            Unread::Gone => wrong(Problem::new("the file can't be read: there is no such file")),
            Unread::Wrong(problem) => wrong(problem),
        })?;
        let text = String::from_utf8(bytes).map_err(|_| wrong(Problem::new("the file is not UTF-8")))?;
        let mut worker = yaml::read(&file, &text, |report, node| {
            reference::all_resolve(report, node, self.environment);
            worker::check(report, node)
        })?;
        if let ClusterConfig::Local { folder } = &mut worker.cluster {
            *folder = self.folder().join(&*folder);
        }
        let rest = &mut worker.rest;
        let tls = rest.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        for path in tls.chain(&mut rest.peers.ca) {
            *path = self.folder().join(&*path);
        }
        Ok(worker)
    }

    /// Brings `sources` up to date; answers how many files were read.
    fn look(&mut self, paths: Vec<PathBuf>) -> usize {
        let before = std::mem::take(&mut self.sources);
        let known = |path: &Path| {
            let found = before.binary_search_by(|(known, _)| known.as_path().cmp(path)).ok()?;
            before.get(found).map(|(_, source)| source)
        };
        let checks = Checks { sinks: self.sinks, environment: self.environment, names: &self.names };
        let next = AtomicUsize::new(0);
        let work = || {
            let mut read = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(path) = paths.get(index) else { return read };
                if !known(path).is_some_and(|source| is_unchanged(source, path)) {
                    read.push((index, source::read(path, &checks)));
                }
            }
        };
        let mut read: Vec<(usize, Option<Source>)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("checking a file does not panic")).collect()
        });
        read.sort_unstable_by_key(|(index, _)| *index);
        let count = read.len();
        self.sources = merged(before, paths, read);
        count
    }

    fn merchants(&self, refused: &mut Refused) -> Vec<Arc<MerchantConfig>> {
        let mut merchants: Vec<Arc<MerchantConfig>> = Vec::new();
        for (path, source) in &self.sources {
            let Content::Merchants(made) = &source.content else { continue };
            let name = || path.display().to_string();
            if !made.problems.is_empty() {
                refused.files.insert(name().into());
                refused.problems.extend(made.problems.iter().cloned());
                refused.merchants.extend(made.refused.iter().cloned());
            }
            let room = limits::MERCHANTS_MAX.saturating_sub(merchants.len());
            merchants.extend(made.merchants.iter().take(room).cloned());
            let beyond = made.merchants.get(room..).unwrap_or_default();
            if !beyond.is_empty() {
                let problem = Problem::new(format!("the last {} merchants of this file are too many", beyond.len()));
                let problem = problem.allowed(format!("at most {} in all files", limits::MERCHANTS_MAX));
                refused.problems.push(problem.in_file(name()));
                refused.files.insert(name().into());
                refused.merchants.extend(beyond.iter().map(|merchant| merchant.id.clone()));
            }
        }
        merchants
    }

    /// A file that can't be told counts as a connector's if its folder holds one: no connector may vanish unseen.
    fn connectors(&self, worker: &Worker, refused: &mut Refused) -> Result<Vec<ConnectorConfig>, Problems> {
        let mut problems = Vec::new();
        let mut connectors: Vec<(&Path, &ConnectorConfig)> = Vec::new();
        let mut folders = BTreeSet::new();
        for (path, source) in &self.sources {
            if let Content::Connector(connector) = &source.content {
                folders.insert(path.parent());
                match connector {
                    Ok(connector) => connectors.push((path, connector)),
                    Err(found) => problems.extend(found.0.iter().cloned()),
                }
            }
        }
        for (path, source) in &self.sources {
            if let Content::Unclear(found) = &source.content {
                let held_back = if folders.contains(&path.parent()) { &mut problems } else { &mut refused.problems };
                held_back.extend(found.iter().cloned());
                refused.files.insert(path.display().to_string().into());
            }
        }
        if connectors.is_empty() && problems.is_empty() && !worker.config.is_empty() {
            let problem = Problem::new("no connector file was found").in_file(self.path.display().to_string());
            problems.push(problem.hint(format!("put one where `config` looks: {}", worker.config.join(", "))));
        }
        problems.extend(agree::connectors(worker, &connectors));
        if problems.is_empty() {
            return Ok(connectors.into_iter().map(|(_, connector)| connector.clone()).collect());
        }
        problems.append(&mut refused.problems);
        Err(Problems(problems))
    }

    fn digest(&self) -> String {
        let mut hasher = XxHash3_128::new();
        let mut add = |path: &Path, hash: u128| {
            let name = path.strip_prefix(self.folder()).unwrap_or(path).as_os_str().as_encoded_bytes();
            hasher.write(&(name.len() as u64).to_le_bytes());
            hasher.write(name);
            hasher.write(&hash.to_le_bytes());
        };
        for (path, source) in &self.sources {
            add(path, source.hash);
            if let Some(list) = &source.list {
                add(&list.path, list.hash);
            }
        }
        format!("{:032x}", hasher.finish_128())
    }
}

/// What is known of each path; all three are in the order of paths.
fn merged(
    before: Vec<(PathBuf, Source)>,
    paths: Vec<PathBuf>,
    read: Vec<(usize, Option<Source>)>,
) -> Vec<(PathBuf, Source)> {
    let (mut before, mut read) = (before.into_iter().peekable(), read.into_iter().peekable());
    let mut sources = Vec::with_capacity(paths.len());
    for (index, path) in paths.into_iter().enumerate() {
        while before.next_if(|(known, _)| *known < path).is_some() {}
        let known = before.next_if(|(known, _)| *known == path).map(|(_, source)| source);
        let source = match read.next_if(|(read, _)| *read == index) {
            Some((_, source)) => source.map(|source| still_a_connector(source, known.as_ref())),
            None => known,
        };
        sources.extend(source.map(|source| (path, source)));
    }
    sources
}

/// A connector whose file can't be read any more is broken, not gone.
fn still_a_connector(source: Source, before: Option<&Source>) -> Source {
    match (source.content, before.map(|source| &source.content)) {
        (Content::Unclear(problems), Some(Content::Connector(_))) => {
            Source { content: Content::Connector(Err(Problems(problems))), ..source }
        }
        (content, _) => Source { content, ..source },
    }
}

/// Those with whom all others agree.
fn agreed(
    worker: &Worker,
    connectors: &[ConnectorConfig],
    merchants: Vec<Arc<MerchantConfig>>,
    refused: &mut Refused,
) -> Vec<Arc<MerchantConfig>> {
    let mut wrong = agree::merchants(worker, connectors, &merchants);
    if wrong.is_empty() {
        return merchants;
    }
    let mut right = Vec::with_capacity(merchants.len());
    for (index, merchant) in merchants.into_iter().enumerate() {
        match wrong.remove(&index) {
            None => right.push(merchant),
            Some(problems) => {
                refused.problems.extend(problems);
                refused.files.insert(Arc::clone(&merchant.file));
                refused.merchants.insert(merchant.id.clone());
            }
        }
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEnvironment;
    use std::fs;

    fn merchant(id: &str) -> String {
        format!(
            "merchant: {id}\ndeliver: [ {{ connector: orders, sink: {{ type: object_store, url: /lake/{id} }} }} ]\n"
        )
    }

    const ORDERS: &str = "connector: orders\ntopics: [orders]\nformat: json\nmerchant: { key: true }\n\
                          model: { columns: [ { name: id, type: BIGINT } ] }\n";

    #[test]
    fn only_what_changed_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("outflow.yaml", "local: { folder: data }\nconfig: [ '[cm]_*.yaml' ]\n");
        write("c_orders.yaml", ORDERS);
        for id in ["1", "2", "3"] {
            write(&format!("m_{id}.yaml"), &merchant(id));
        }
        let mut loader = Loader::new(folder.path().join("outflow.yaml"), outflow_registry::sinks(), &SystemEnvironment);
        let mut look = || loader.load().map(|loaded| (loaded.read, loaded.changed, loaded.config.merchants));
        let (read, changed, first) = look().expect("right");
        assert_eq!((read, changed, first.len()), (4, true, 3));
        assert_eq!(look().expect("right"), (0, false, first.clone()));
        write("m_2.yaml", &merchant("4"));
        let (read, changed, second) = look().expect("right");
        assert_eq!((read, changed, second[1].id.as_ref()), (1, true, "4"));
        assert!(Arc::ptr_eq(&first[0], &second[0]), "who did not change is the same as before");
        fs::remove_file(folder.path().join("m_3.yaml")).expect("removed");
        assert!(matches!(look().expect("right"), (0, true, left) if left.len() == 2));
        write("m_1.yaml", "merchant: 1\n");
        assert!(matches!(look().expect("right"), (1, true, left) if left.len() == 1));
        assert!(matches!(look().expect("right"), (0, false, left) if left.len() == 1), "wrong, and known to be");
        // Two connectors that can't be there together are refused at every look, though each was read.
        write("c_twice.yaml", ORDERS);
        look().expect_err("twice");
        look().expect_err("still");
        fs::remove_file(folder.path().join("c_twice.yaml")).expect("removed");
        assert!(matches!(look().expect("right"), (0, false, left) if left.len() == 1));
    }

    #[test]
    fn a_secret_that_comes_later_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        let secret = format!("${{file:{}}}", folder.path().join("secret").display());
        write("outflow.yaml", "local: { folder: data }\nconfig: [ '[cm]_*.yaml' ]\n");
        write("c_orders.yaml", ORDERS);
        let keys = format!("s3://lake/1, access_key_id: \"{secret}\", secret_access_key: \"{secret}\"");
        write("m_1.yaml", &merchant("1").replace("/lake/1", &keys));
        let mut loader = Loader::new(folder.path().join("outflow.yaml"), outflow_registry::sinks(), &SystemEnvironment);
        assert_eq!(loader.load().expect("it starts").config.merchants.len(), 0);
        write("secret", "hunter2");
        let loaded = loader.load().expect("right");
        assert_eq!(
            (loaded.changed, loaded.config.merchants.len(), loaded.config.refused),
            (true, 1, Refused::default())
        );
    }
}
