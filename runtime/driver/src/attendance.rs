use outflow_api::{Fault, Membership, MembershipEvent};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

const POLL: Duration = Duration::from_millis(200);

/// Calls the membership on and on, which is what proves that we are alive, until `left` says so: a thread of its own
/// does nothing else. Ends with the first fault.
pub(crate) fn attend(
    mut membership: Box<dyn Membership>,
    left: Arc<AtomicBool>,
    tell: impl Fn(Result<MembershipEvent, Fault>) + Send + 'static,
) -> JoinHandle<()> {
    let poll = move || {
        while !left.load(Ordering::Relaxed) {
            match membership.poll(POLL) {
                Ok(events) => events.into_iter().for_each(|event| tell(Ok(event))),
                Err(fault) => return tell(Err(fault)),
            }
        }
        membership.leave();
    };
    thread::Builder::new().name("membership".into()).spawn(poll).expect("a thread can be started")
}
