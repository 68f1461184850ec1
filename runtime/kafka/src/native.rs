//! librdkafka's C interface, where the Rust client has no equal: messages in bulk (about 100 ns each instead of 250 to
//! 450), and the ids of topics. The only unsafe code of the workspace; nothing outside can break it.

use crate::log::{ClientLog, forward};
use rdkafka::{
    client::NativeClient,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
};
use rdkafka_sys::{
    self as sys, RDKafkaAdminOp, RDKafkaRespErr, rd_kafka_AclOperation_t as Operation,
    rd_kafka_consumer_group_state_t as State,
};
use std::{
    borrow::Cow,
    ffi::{CStr, CString, c_char, c_int, c_void},
    marker::PhantomData,
    ptr::{self, NonNull},
    time::Duration,
};

fn milliseconds(wait: Duration) -> c_int {
    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
}

/// # Safety
/// `text` is null or a C string that lives as long as the answer is used.
unsafe fn text<'a>(text: *const c_char) -> Cow<'a, str> {
    if text.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// A queue of librdkafka's that is ours to destroy.
struct Queue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues are locked inside; any thread may use and destroy them.
unsafe impl Send for Queue {}

impl Queue {
    fn of_consumer(client: &NativeClient) -> Queue {
        // SAFETY: the client is alive; a consumer with a group has this queue, else null is answered and refused here.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(client.ptr()) };
        Queue(NonNull::new(queue).expect("a consumer with a group id has a queue"))
    }

    fn new(client: &NativeClient) -> Queue {
        // SAFETY: the client is alive.
        Queue(NonNull::new(unsafe { sys::rd_kafka_queue_new(client.ptr()) }).expect("librdkafka aborts without memory"))
    }

    fn poll(&self, wait: Duration) -> Option<Event> {
        // SAFETY: the queue is ours; what is answered is null or an event that is ours to destroy.
        NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.0.as_ptr(), milliseconds(wait)) }).map(Event)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: ours, and destroyed once.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

struct Event(NonNull<sys::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours, and destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

impl Event {
    fn log_line(&self) -> Option<(i32, String)> {
        let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the event is alive; another kind of event answers -1 and writes nothing.
        let answer = unsafe { sys::rd_kafka_event_log(self.0.as_ptr(), &mut facility, &mut line, &mut level) };
        // SAFETY: the line lives as long as the event; it is copied here.
        (answer == 0).then(|| (level, unsafe { text(line) }.into_owned()))
    }

    fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        // SAFETY: the event is alive, and its text lives as long; it is copied here.
        let (code, reason) = unsafe {
            let code = sys::rd_kafka_event_error(self.0.as_ptr());
            (code, text(sys::rd_kafka_event_error_string(self.0.as_ptr())).into_owned())
        };
        (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| (code.into(), reason))
    }
}

/// All partitions of a consumer, in bulk. Its log has a queue of its own: what the log said is known before the
/// messages behind it are looked at.
pub(crate) struct BulkQueue {
    // Destroyed before the client, in this order.
    queue: Queue,
    log: Queue,
    consumer: BaseConsumer<ClientLog>,
}

impl BulkQueue {
    pub(crate) fn new(consumer: BaseConsumer<ClientLog>) -> BulkQueue {
        let client = consumer.client().native_client();
        let (queue, log) = (Queue::of_consumer(client), Queue::new(client));
        // SAFETY: client and queue are alive; the client keeps its own reference to the queue.
        unsafe { sys::rd_kafka_set_log_queue(client.ptr(), log.0.as_ptr()) };
        // What was logged before went to the consumer's queue, where the bulk call would print it.
        while let Some(event) = queue.poll(Duration::ZERO) {
            event.log_line().iter().for_each(|(level, line)| forward(*level, line));
        }
        BulkQueue { queue, log, consumer }
    }

    pub(crate) fn consumer(&self) -> &BaseConsumer<ClientLog> {
        &self.consumer
    }

    pub(crate) fn log_lines(&self) -> impl Iterator<Item = (i32, String)> {
        std::iter::from_fn(|| self.log.poll(Duration::ZERO)).filter_map(|event| event.log_line())
    }

    /// Waits for the first message alone: the call for many would wait until all have come.
    pub(crate) fn fetch(&self, wait: Duration, most: usize) -> Batch<'_> {
        let mut batch = Batch { messages: Vec::new(), queue: PhantomData };
        if self.take(wait, 1, &mut batch.messages) == 1 {
            self.take(Duration::ZERO, most - 1, &mut batch.messages);
        }
        batch
    }

    fn take(&self, wait: Duration, most: usize, messages: &mut Vec<*mut sys::rd_kafka_message_t>) -> usize {
        messages.reserve(most);
        let room = messages.spare_capacity_mut().as_mut_ptr().cast::<*mut sys::rd_kafka_message_t>();
        // SAFETY: the queue is alive and there is room for `most` pointers.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(self.queue.0.as_ptr(), milliseconds(wait), room, most) };
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: so many pointers were written behind the old length.
        unsafe { messages.set_len(messages.len() + count) };
        count
    }
}

/// Messages and errors of partitions, in the order in which they came; destroyed together.
pub(crate) struct Batch<'q> {
    messages: Vec<*mut sys::rd_kafka_message_t>,
    queue: PhantomData<&'q BulkQueue>,
}

impl Batch<'_> {
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn get(&self, index: usize) -> RawMessage<'_> {
        // SAFETY: librdkafka gave the pointer, and the message is destroyed when the batch is, not before.
        RawMessage(unsafe { &*self.messages[index] })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in self.messages.drain(..) {
            // SAFETY: each is ours, and destroyed once, before the client that the batch borrows.
            unsafe { sys::rd_kafka_message_destroy(message) }
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct RawMessage<'a>(&'a sys::rd_kafka_message_t);

impl<'a> RawMessage<'a> {
    pub(crate) fn is_of_same_partition(self, other: RawMessage<'_>) -> bool {
        self.0.rkt == other.0.rkt && self.0.partition == other.0.partition
    }

    /// `None`: an error of the client itself, not of a topic.
    pub(crate) fn topic(self) -> Option<Cow<'a, str>> {
        // SAFETY: the message holds its topic, which holds its name.
        (!self.0.rkt.is_null()).then(|| unsafe { text(sys::rd_kafka_topic_name(self.0.rkt)) })
    }

    pub(crate) fn partition(self) -> i32 {
        self.0.partition
    }

    pub(crate) fn offset(self) -> i64 {
        self.0.offset
    }

    pub(crate) fn error(self) -> Option<RDKafkaErrorCode> {
        (self.0.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| self.0.err.into())
    }

    pub(crate) fn error_text(self) -> Cow<'a, str> {
        // SAFETY: the text lives as long as the message.
        unsafe { text(sys::rd_kafka_message_errstr(self.0)) }
    }

    pub(crate) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: null, or so many bytes that live as long as the message.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub(crate) fn value(self) -> Option<&'a [u8]> {
        // SAFETY: null, or so many bytes that live as long as the message.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    pub(crate) fn timestamp_ms(self) -> i64 {
        // SAFETY: the message is alive; the kind of timestamp is optional.
        unsafe { sys::rd_kafka_message_timestamp(self.0, ptr::null_mut()) }
    }

    pub(crate) fn headers(self) -> Vec<(Cow<'a, str>, Option<&'a [u8]>)> {
        let mut list = ptr::null_mut();
        // SAFETY: the message is alive; without headers an error is answered and the list stays null.
        unsafe { sys::rd_kafka_message_headers(self.0, &mut list) };
        if list.is_null() {
            return Vec::new();
        }
        let header = |index: usize| {
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the message owns the list; name and value live as long as the message.
            unsafe {
                let answer = sys::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut length);
                (answer == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| (text(name), bytes(value, length)))
            }
        };
        (0..).map_while(header).collect()
    }
}

/// # Safety
/// `start` is null or the start of `length` bytes that live and stay as they are for `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: promised by the caller.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) found: Result<DescribedTopic, RDKafkaErrorCode>,
}

#[derive(Clone, Copy)]
pub(crate) struct DescribedTopic {
    pub(crate) id: u128,
    pub(crate) partitions: u32,
    pub(crate) may_read: bool,
    pub(crate) may_write: bool,
}

/// Ids, partitions and our rights. The Rust client has no call for it.
pub(crate) fn describe_topics(
    client: &NativeClient,
    names: &[&str],
    limit: Duration,
) -> Result<Vec<Described>, (RDKafkaErrorCode, String)> {
    let names: Vec<CString> = names.iter().filter_map(|name| CString::new(*name).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let queue = Queue::new(client);
    // SAFETY: all arguments live through the calls, which copy what they keep; what they make is destroyed here, once.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(client.ptr(), RDKafkaAdminOp::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut refusal = [0; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds(limit), refusal.as_mut_ptr(), 256);
        let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            sys::rd_kafka_error_destroy(refused);
        }
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        sys::rd_kafka_DescribeTopics(client.ptr(), topics, options, queue.0.as_ptr());
        sys::rd_kafka_TopicCollection_destroy(topics);
        sys::rd_kafka_AdminOptions_destroy(options);
    }
    let Some(event) = queue.poll(limit + Duration::from_secs(1)) else {
        return Err((RDKafkaErrorCode::OperationTimedOut, "no answer".to_owned()));
    };
    event.error().map_or_else(|| Ok(read_descriptions(&event)), Err)
}

fn read_descriptions(event: &Event) -> Vec<Described> {
    let mut count = 0;
    // SAFETY: the event is alive, and so is all that is reached from it; an event of another kind answers null. The
    // strings are copied before it goes.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
        if result.is_null() {
            return Vec::new();
        }
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        (0..count).map(|index| read_description(PhantomData, *topics.add(index))).collect()
    }
}

/// # Safety
/// `topic` is a description that belongs to the event.
unsafe fn read_description(_of: PhantomData<&Event>, topic: *const sys::rd_kafka_TopicDescription_t) -> Described {
    // SAFETY: promised by the caller; lists are read up to the counts that are answered with them.
    unsafe {
        let name = text(sys::rd_kafka_TopicDescription_name(topic)).into_owned();
        let error = sys::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() && sys::rd_kafka_error_code(error) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Described { name, found: Err(sys::rd_kafka_error_code(error).into()) };
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let [high, low] = [
            sys::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned(),
            sys::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned(),
        ];
        let (mut partitions, mut count) = (0, 0);
        sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        let operations = sys::rd_kafka_TopicDescription_authorized_operations(topic, &mut count);
        let may = |wanted: Operation| operations.is_null() || (0..count).any(|at| *operations.add(at) == wanted);
        let found = DescribedTopic {
            id: u128::from(high) << 64 | u128::from(low),
            partitions: u32::try_from(partitions).unwrap_or(0),
            may_read: may(Operation::RD_KAFKA_ACL_OPERATION_READ),
            may_write: may(Operation::RD_KAFKA_ACL_OPERATION_WRITE),
        };
        Described { name, found: Ok(found) }
    }
}

/// Groups that somebody is in, or may be in, of any protocol. The Rust client's own list does not know the newer one.
pub(crate) fn busy_groups(client: &NativeClient, limit: Duration) -> Result<Vec<String>, (RDKafkaErrorCode, String)> {
    let queue = Queue::new(client);
    // SAFETY: all arguments live through the calls, which copy what they keep; the options are destroyed here, once.
    unsafe {
        let options =
            sys::rd_kafka_AdminOptions_new(client.ptr(), RDKafkaAdminOp::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS);
        let mut refusal = [0; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds(limit), refusal.as_mut_ptr(), 256);
        sys::rd_kafka_ListConsumerGroups(client.ptr(), options, queue.0.as_ptr());
        sys::rd_kafka_AdminOptions_destroy(options);
    }
    let Some(event) = queue.poll(limit + Duration::from_secs(1)) else {
        return Err((RDKafkaErrorCode::OperationTimedOut, "no answer".to_owned()));
    };
    event.error().map_or_else(|| Ok(read_busy_groups(&event)), Err)
}

fn read_busy_groups(event: &Event) -> Vec<String> {
    let mut count = 0;
    // SAFETY: as in `read_descriptions`.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroups_result(event.0.as_ptr());
        if result.is_null() {
            return Vec::new();
        }
        let groups = sys::rd_kafka_ListConsumerGroups_result_valid(result, &mut count);
        let busy = |group: &*const sys::rd_kafka_ConsumerGroupListing_t| {
            let state = sys::rd_kafka_ConsumerGroupListing_state(*group);
            !matches!(state, State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY | State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD)
        };
        let name = |group| text(sys::rd_kafka_ConsumerGroupListing_group_id(group)).into_owned();
        (0..count).map(|index| *groups.add(index)).filter(busy).map(name).collect()
    }
}
