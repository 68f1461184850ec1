//! Threads that encode: as many as cores, and always the same ones, so that the memory of one batch is there for the
//! next. A pool that starts threads at will leaves each of them with pages of its own.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Clone)]
pub(crate) struct Compute(mpsc::Sender<Work>);

impl Compute {
    /// The threads end when the last handle is gone.
    pub fn start(threads: usize) -> Compute {
        let (sender, queue) = mpsc::channel::<Work>();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let run = move || {
                while let Ok(work) = next() {
                    work();
                }
            };
            thread::Builder::new().name(format!("encode-{number}")).spawn(run).expect("a thread can be started");
        }
        Compute(sender)
    }

    /// `None` if the work panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (answer, result) = oneshot::channel();
        let caught = move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            if let Ok(result) = result {
                let _ = answer.send(result);
            }
        };
        let _ = self.0.send(Box::new(caught));
        result.await.ok()
    }
}
