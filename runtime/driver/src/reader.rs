//! The thread that reads the topics, once for everybody. It takes nothing more while the budget is full.

use crate::memory::{Budget, Reserved};
use outflow_api::{Fault, Offset, Source, SourceEvent, TopicPartition};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

const POLL_MAX: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(5);

/// What the reader says to the owner of a partition.
pub(crate) enum Read {
    /// With its bytes of the budget, for as long as anybody holds the block, and for as long as nobody has looked.
    Source(SourceEvent, Arc<Reserved>, Reserved),
}

pub(crate) type ReadSender = Arc<dyn Fn(Read) + Send + Sync>;

enum Command {
    Assign { partitions: Vec<(TopicPartition, Offset)>, to: ReadSender },
    Unassign(Vec<TopicPartition>),
    Stop,
}

#[derive(Clone)]
pub(crate) struct Reader(mpsc::Sender<Command>);

impl Reader {
    /// `failed` hears of a source that is broken as a whole.
    pub fn start(
        source: Box<dyn Source>,
        budget: Budget,
        failed: impl Fn(Fault) + Send + 'static,
    ) -> (Reader, JoinHandle<()>) {
        let (sender, commands) = mpsc::channel();
        let mut reading =
            Reading { source, budget, commands, owners: HashMap::new(), assigned: HashSet::new(), is_paused: false };
        let run = move || {
            if let Err(fault) = reading.run() {
                failed(fault);
            }
        };
        let thread = std::thread::Builder::new().name("reader".into()).spawn(run).expect("a thread can be started");
        (Reader(sender), thread)
    }

    pub fn assign(&self, partitions: Vec<(TopicPartition, Offset)>, to: ReadSender) {
        let _ = self.0.send(Command::Assign { partitions, to });
    }

    pub fn unassign(&self, partitions: Vec<TopicPartition>) {
        let _ = self.0.send(Command::Unassign(partitions));
    }

    pub fn stop(&self) {
        let _ = self.0.send(Command::Stop);
    }
}

struct Reading {
    source: Box<dyn Source>,
    budget: Budget,
    commands: mpsc::Receiver<Command>,
    owners: HashMap<TopicPartition, ReadSender>,
    assigned: HashSet<TopicPartition>,
    is_paused: bool,
}

impl Reading {
    fn run(&mut self) -> Result<(), Fault> {
        let mut events = Vec::new();
        loop {
            while let Some(command) = self.command() {
                match command {
                    Command::Assign { partitions, to } => {
                        let fresh: Vec<_> =
                            partitions.into_iter().filter(|(key, _)| self.assigned.insert(*key)).collect();
                        fresh.iter().for_each(|(key, _)| drop(self.owners.insert(*key, Arc::clone(&to))));
                        self.source.assign(&fresh)?;
                    }
                    Command::Unassign(partitions) => {
                        let gone: Vec<_> = partitions.into_iter().filter(|key| self.assigned.remove(key)).collect();
                        gone.iter().for_each(|key| drop(self.owners.remove(key)));
                        self.source.unassign(&gone);
                    }
                    Command::Stop => return Ok(()),
                }
            }
            if self.holds_breath() {
                continue;
            }
            self.source.poll(POLL_MAX, &mut events)?;
            events.drain(..).for_each(|event| self.hand_over(event));
        }
    }

    /// While nothing is read there is time to wait for a command.
    fn command(&self) -> Option<Command> {
        let command = match self.is_paused {
            true => self.commands.recv_timeout(PAUSE),
            false => self.commands.try_recv().map_err(|error| match error {
                mpsc::TryRecvError::Empty => mpsc::RecvTimeoutError::Timeout,
                mpsc::TryRecvError::Disconnected => mpsc::RecvTimeoutError::Disconnected,
            }),
        };
        match command {
            Ok(command) => Some(command),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => Some(Command::Stop),
        }
    }

    /// Not asking is enough: what the client fetches ahead is bounded. Telling it to pause would throw that away.
    fn holds_breath(&mut self) -> bool {
        self.is_paused = if self.is_paused { !self.budget.has_room() } else { self.budget.is_full() };
        self.is_paused
    }

    fn hand_over(&self, event: SourceEvent) {
        let (partition, bytes) = match &event {
            // Whole blocks wait for large batches, whose columns and files take as much again.
            SourceEvent::Fetched { block, .. } => (block.partition(), block.held_bytes() * 2),
            SourceEvent::AtEnd { partition, .. } | SourceEvent::Failed { partition, .. } => (*partition, 0),
        };
        if let Some(owner) = self.owners.get(&partition) {
            let (memory, arriving) = self.budget.reserve_arriving(bytes);
            owner(Read::Source(event, Arc::new(memory), arriving));
        }
    }
}
