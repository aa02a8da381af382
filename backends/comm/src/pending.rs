//! Collectives that are under way, and what they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::CommError;

/// What communication has taken.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Seconds in which this rank had nothing to do but wait for a collective.
    pub waited: f64,
    /// Seconds in which a collective was under way, whether or not the rank computed meanwhile.
    pub busy: f64,
    /// Bytes sent to other ranks.
    pub sent: u64,
}

/// Counts usage from several threads.
#[derive(Debug, Default)]
pub(super) struct Meter {
    waited: AtomicU64,
    busy: AtomicU64,
    sent: AtomicU64,
}

impl Meter {
    pub(super) fn wait(&self, time: Duration) {
        self.waited.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    pub(super) fn work(&self, time: Duration) {
        self.busy.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    pub(super) fn send(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn usage(&self) -> Usage {
        let seconds = |counter: &AtomicU64| counter.load(Relaxed) as f64 * 1e-9;
        Usage { waited: seconds(&self.waited), busy: seconds(&self.busy), sent: self.sent.load(Relaxed) }
    }
}

/// The result of a collective that may still be under way.
#[must_use]
pub struct Pending<T>(State<T>);

enum State<T> {
    Ready(Result<T, CommError>),
    Later(Box<dyn FnOnce() -> Result<T, CommError> + Send>),
}

impl<T: Send + 'static> Pending<T> {
    /// A result that is there already.
    pub fn ready(result: Result<T, CommError>) -> Self {
        Self(State::Ready(result))
    }

    /// A result that `wait` waits for.
    pub(super) fn later(wait: impl FnOnce() -> Result<T, CommError> + Send + 'static) -> Self {
        Self(State::Later(Box::new(wait)))
    }

    pub(super) fn received(result: Receiver<Result<T, CommError>>, meter: Arc<Meter>) -> Self {
        Self::later(move || {
            let start = Instant::now();
            let result = result.recv();
            meter.wait(start.elapsed());
            // The thread that communicates answers every request, unless it panicked.
            result.unwrap_or_else(|_| Err(CommError::Launch("the communication thread ended early".into())))
        })
    }

    /// What is made of the result when it is there.
    pub fn map<U: Send + 'static>(self, change: impl FnOnce(T) -> U + Send + 'static) -> Pending<U> {
        Pending(match self.0 {
            State::Ready(result) => State::Ready(result.map(change)),
            State::Later(wait) => State::Later(Box::new(move || wait().map(change))),
        })
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// Those of the collective.
    pub fn wait(self) -> Result<T, CommError> {
        match self.0 {
            State::Ready(result) => result,
            State::Later(wait) => wait(),
        }
    }
}
