//! A future that is polled when it was woken, and not with everything else that its task does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Waits in a task that is polled for each packet of a connection, and costs next to nothing until it is woken.
pub(super) struct Woken<F> {
    future: F,
    bell: Option<Arc<Bell>>,
}

/// Wakes the task, and notes that the future wanted it.
struct Bell {
    task: Waker,
    rang: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl<F> Woken<F> {
    pub(super) const fn new(future: F) -> Self {
        Self { future, bell: None }
    }
}

impl<F: Future + Unpin> Future for Woken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let own = &mut *self;
        // The bell of another task wakes that one.
        let bell = match own.bell.as_ref().filter(|bell| bell.task.will_wake(cx.waker())) {
            Some(bell) if !bell.rang.load(Ordering::Acquire) => return Poll::Pending,
            Some(bell) => Arc::clone(bell),
            None => Arc::new(Bell { task: cx.waker().clone(), rang: AtomicBool::new(false) }),
        };
        // Before the poll: what comes during it is for the next.
        bell.rang.swap(false, Ordering::AcqRel);
        own.bell = Some(Arc::clone(&bell));
        Pin::new(&mut own.future).poll(&mut Context::from_waker(&Waker::from(bell)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicU32);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn only_what_was_woken_is_polled() {
        let (polls, inner) = (AtomicU32::new(0), std::cell::RefCell::new(Waker::noop().clone()));
        let mut woken = Woken::new(std::future::poll_fn(|cx| {
            inner.replace(cx.waker().clone());
            if polls.fetch_add(1, Ordering::Relaxed) < 3 { Poll::Pending } else { Poll::Ready(()) }
        }));
        let (one, other) = (Arc::<Task>::default(), Arc::<Task>::default());
        let mut poll = |task: &Arc<Task>| {
            let ready = Pin::new(&mut woken).poll(&mut Context::from_waker(&Waker::from(Arc::clone(task))));
            (ready.is_ready(), polls.load(Ordering::Relaxed), task.0.load(Ordering::Relaxed))
        };
        assert_eq!(poll(&one), (false, 1, 0), "the first time");
        assert_eq!(poll(&one), (false, 1, 0), "nothing woke it");
        inner.borrow().wake_by_ref();
        assert_eq!(poll(&one), (false, 2, 1));
        assert_eq!(poll(&one), (false, 2, 1));
        assert_eq!(poll(&other), (false, 3, 0), "another task is to be woken");
        inner.borrow().wake_by_ref();
        assert_eq!(poll(&other), (true, 4, 1));
    }
}
