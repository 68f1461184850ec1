use outflow_api::{Cluster, Fault, Shard};
use outflow_catalogue::Needs;
use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

/// Fewer contents are read faster than forgotten.
pub(crate) const WORTH_IT: usize = 200;
const EVERY: Duration = Duration::from_secs(600);

type AskAll = Arc<dyn Fn() -> Result<Needs, Fault> + Send + Sync>;

/// When the shards are asked what they need: at the start, and every ten minutes. To read all journals takes a
/// while, so a thread of its own does it.
pub(crate) struct Forgetting {
    ask_all: AskAll,
    due: Instant,
    asked: Option<mpsc::Receiver<Result<Needs, Fault>>>,
}

impl Forgetting {
    pub fn new(ask_all: AskAll) -> Forgetting {
        Forgetting { ask_all, due: Instant::now(), asked: None }
    }

    /// What was answered since the last call, if anything. A shard that does not say what it needs may need anything.
    pub fn needs(&mut self, is_current: bool) -> Option<Needs> {
        if let Some(asked) = &self.asked {
            let answer = match asked.try_recv() {
                Err(mpsc::TryRecvError::Empty) => return None,
                Err(mpsc::TryRecvError::Disconnected) => None,
                Ok(Ok(needs)) => Some(needs),
                Ok(Err(fault)) => {
                    tracing::debug!(code = fault.code, %fault, "nothing is forgotten: not every shard was heard");
                    None
                }
            };
            self.asked = None;
            return answer;
        }
        if is_current && Instant::now() >= self.due {
            self.due = Instant::now() + EVERY;
            self.ask();
        }
        None
    }

    fn ask(&mut self) {
        let (answer, asked) = mpsc::channel();
        let ask_all = Arc::clone(&self.ask_all);
        let ask = move || drop(answer.send(ask_all()));
        if std::thread::Builder::new().name("forgetting".into()).spawn(ask).is_ok() {
            self.asked = Some(asked);
        }
    }
}

/// Of all shards, owned or not. One that nobody ever owned needs all.
pub(crate) fn needs_of_all(cluster: &dyn Cluster, shards: u32) -> Result<Needs, Fault> {
    let needs = |shard| Ok(cluster.peek(shard)?.as_ref().map(Needs::of).unwrap_or_default());
    let all: Result<Vec<Needs>, Fault> = (0..shards).map(Shard).map(needs).collect();
    Ok(all?.into_iter().reduce(Needs::and).unwrap_or_default())
}
