use crate::{
    KafkaSettings, fault,
    log::{ClientLog, forward},
};
use outflow_api::{Fault, Membership, MembershipEvent, RevokeDone, Shard};
use rdkafka::{
    ClientContext, Offset as Place, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode as Code},
    types::RDKafkaRespErr,
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// The others wait for a shard that is handed over; not for ever.
const REVOKE_LIMIT: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);

/// A member of the workers' group, subscribed to the journal topic: its partitions are the shards. Nothing is read
/// here. An assignment is no proof of ownership; the journal's fence is.
pub(crate) struct KafkaMembership {
    consumer: BaseConsumer<Callbacks>,
    topic: String,
    shards: u32,
    /// Told to the caller, who has not answered yet.
    leaving: Vec<Leaving>,
}

struct Leaving {
    partitions: TopicPartitionList,
    done: Arc<AtomicBool>,
    deadline: Instant,
}

/// Notes what the group decided; it is carried out between polls, so that a slow hand-over blocks no heartbeat.
#[derive(Default)]
struct Callbacks {
    log: ClientLog,
    decided: Mutex<VecDeque<Decided>>,
    /// Nobody is there any more to carry anything out.
    closing: AtomicBool,
}

enum Decided {
    Assign(TopicPartitionList),
    Revoke { partitions: TopicPartitionList, lost: bool },
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, line: &str) {
        forward(level as i32, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ConsumerContext for Callbacks {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            return answer(consumer, assigned, partitions);
        }
        let partitions = partitions.clone();
        let decided = match assigned {
            true => Decided::Assign(partitions),
            false => Decided::Revoke { partitions, lost: consumer.assignment_lost() },
        };
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).push_back(decided);
    }
}

/// The group waits for it, also while we are leaving.
fn answer(consumer: &BaseConsumer<Callbacks>, assigned: bool, partitions: &TopicPartitionList) {
    let answered = match assigned {
        true => consumer.incremental_assign(partitions),
        false => consumer.incremental_unassign(partitions),
    };
    if let Err(error) = answered {
        tracing::debug!("leaving the group: {error}");
    }
}

impl KafkaMembership {
    pub(crate) fn new(settings: &KafkaSettings) -> Result<KafkaMembership, Fault> {
        let callbacks = Callbacks::default();
        let log = callbacks.log.clone();
        let trouble = |error| fault::of_error(error, &format!("joining group {}", settings.group), &log);
        let made = settings.member().create_with_context(callbacks);
        let consumer: BaseConsumer<Callbacks> = made.map_err(trouble)?;
        consumer.subscribe(&[&settings.journal_topic]).map_err(trouble)?;
        let (topic, shards) = (settings.journal_topic.clone(), settings.shards);
        Ok(KafkaMembership { consumer, topic, shards, leaving: Vec::new() })
    }

    fn carry_out(&mut self, events: &mut Vec<MembershipEvent>) -> Result<(), Fault> {
        loop {
            let next = self.consumer.context().decided.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match next {
                None => return Ok(()),
                Some(Decided::Assign(partitions)) => self.assign(&partitions, events)?,
                Some(Decided::Revoke { partitions, lost: true }) => {
                    answer(&self.consumer, false, &partitions);
                    push(events, shards(&partitions), MembershipEvent::Lost);
                }
                Some(Decided::Revoke { partitions, lost: false }) => self.hand_over(partitions, events),
            }
        }
    }

    /// Paused at the end: no record is fetched, ever.
    fn assign(&self, partitions: &TopicPartitionList, events: &mut Vec<MembershipEvent>) -> Result<(), Fault> {
        let trouble = |error| fault::of_error(error, "taking an assignment", &self.consumer.context().log);
        let mut at_end = partitions.clone();
        at_end.set_all_offsets(Place::End).map_err(trouble)?;
        self.consumer.incremental_assign(&at_end).map_err(trouble)?;
        if partitions.count() > 0 {
            self.consumer.pause(partitions).map_err(trouble)?;
        }
        push(events, shards(partitions), MembershipEvent::Assigned);
        Ok(())
    }

    fn hand_over(&mut self, partitions: TopicPartitionList, events: &mut Vec<MembershipEvent>) {
        let shards = shards(&partitions);
        if shards.is_empty() {
            return answer(&self.consumer, false, &partitions);
        }
        let done = Arc::new(AtomicBool::new(false));
        let answer = Arc::clone(&done);
        let answer = RevokeDone::new(move || answer.store(true, Ordering::Release));
        events.push(MembershipEvent::Revoked(shards, answer));
        self.leaving.push(Leaving { partitions, done, deadline: Instant::now() + REVOKE_LIMIT });
    }

    fn release(&mut self) {
        let now = Instant::now();
        let over = |leaving: &mut Leaving| leaving.done.load(Ordering::Acquire) || now >= leaving.deadline;
        for leaving in self.leaving.extract_if(.., over).collect::<Vec<_>>() {
            answer(&self.consumer, false, &leaving.partitions);
        }
    }

    /// Answers what the group still waits for, and everything that is to come.
    fn settle(&mut self) {
        self.consumer.context().closing.store(true, Ordering::Release);
        let noted =
            std::mem::take(&mut *self.consumer.context().decided.lock().unwrap_or_else(PoisonError::into_inner));
        for decided in noted {
            match decided {
                Decided::Assign(partitions) => answer(&self.consumer, true, &partitions),
                Decided::Revoke { partitions, .. } => answer(&self.consumer, false, &partitions),
            }
        }
        for leaving in self.leaving.drain(..) {
            answer(&self.consumer, false, &leaving.partitions);
        }
    }

    fn complain(&self, error: KafkaError) -> Result<(), Fault> {
        let ours = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::FencedInstanceId
                    | Code::GroupAuthorizationFailed
                    | Code::TopicAuthorizationFailed
                    | Code::Authentication
                    | Code::UnknownTopicOrPartition
                    | Code::Fatal
            )
        );
        if ours || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(fault::of_error(
                error,
                &format!("group on topic {}", self.topic),
                &self.consumer.context().log,
            ));
        }
        tracing::debug!("group on topic {}: {error}", self.topic);
        Ok(())
    }
}

fn shards(partitions: &TopicPartitionList) -> Vec<Shard> {
    partitions.elements().iter().map(|element| Shard(element.partition().cast_unsigned())).collect()
}

/// Rebalances often concern nobody.
fn push(events: &mut Vec<MembershipEvent>, shards: Vec<Shard>, event: fn(Vec<Shard>) -> MembershipEvent) {
    if !shards.is_empty() {
        events.push(event(shards));
    }
}

impl Membership for KafkaMembership {
    fn poll(&mut self, wait: Duration) -> Result<Vec<MembershipEvent>, Fault> {
        let (deadline, mut events) = (Instant::now() + wait, Vec::new());
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let step = if self.leaving.is_empty() { left } else { left.min(STEP) };
            if let Some(Err(error)) = self.consumer.poll(step) {
                self.complain(error)?;
            }
            self.carry_out(&mut events)?;
            self.release();
            if !events.is_empty() || Instant::now() >= deadline {
                return Ok(events);
            }
        }
    }

    fn shards(&self) -> u32 {
        self.shards
    }

    fn leave(&mut self) {
        self.settle();
        self.consumer.unsubscribe();
        self.consumer.poll(STEP);
    }
}

impl Drop for KafkaMembership {
    /// Closing waits for the group's last callback, which is answered by itself from now on.
    fn drop(&mut self) {
        self.settle();
    }
}
