use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
};

/// Drops the call at its `awaits`th await, as a time-out or a shutdown does.
pub async fn cut_off<T>(call: impl Future<Output = T>, awaits: usize) -> Option<T> {
    CutOff { call: pin!(call), left: awaits }.await
}

struct CutOff<'f, F> {
    call: Pin<&'f mut F>,
    left: usize,
}

impl<F: Future> Future for CutOff<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.call.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => {
                self.left -= 1;
                Poll::Pending
            }
        }
    }
}
