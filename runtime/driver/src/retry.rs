use backon::{BackoffBuilder, ExponentialBuilder};
use outflow_api::{Fault, Verdict};
use std::time::Duration;

/// The waits between repeats of a call: doubled, jittered, without end. Who calls decides when enough is enough.
pub(crate) struct Waits(Box<dyn Iterator<Item = Duration> + Send>);

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(20);

impl Waits {
    pub fn new() -> Waits {
        let waits = ExponentialBuilder::default().with_min_delay(FIRST).with_max_delay(LONGEST).with_jitter();
        Waits(Box::new(waits.without_max_times().build()))
    }

    pub fn next(&mut self, fault: &Fault) -> Duration {
        let own = self.0.next().unwrap_or(LONGEST);
        match fault.verdict {
            Verdict::Retry { after: Some(asked) } => asked.max(own),
            // A parked reveal is tried on as well: it is decided and will be done.
            Verdict::Park => LONGEST,
            Verdict::Retry { after: None } | Verdict::Fence | Verdict::Halt => own,
        }
    }
}
