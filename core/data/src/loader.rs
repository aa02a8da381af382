//! Prefetching: background threads make batches, neighbour lists included, ahead of the model.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Batches that each worker may have ready before it waits for the model.
const AHEAD: usize = 2;

/// Batches of each worker that are in memory: those ahead, and one that waits or is in the making.
pub const BATCHES_OF_WORKER: usize = AHEAD + 1;

/// Makes the batch of a number.
pub type MakeBatch<T, E = Error> = dyn Fn(usize) -> Result<T, E> + Send + Sync;

/// An iterator over batches that are made by background threads, in the given order.
pub struct Loader<T, E = Error> {
    channels: Vec<Receiver<Result<T, E>>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
    count: usize,
    waited: Duration,
}

impl<T: Send + 'static, E: Send + 'static> Loader<T, E> {
    /// Starts `workers` threads that make the batches of these numbers. Of the first number f, worker w makes the batches
    /// f + w, f + w + workers, ... and the iterator takes them in turn, so the order is kept.
    pub fn new(make: Arc<MakeBatch<T, E>>, batches: Range<usize>, workers: usize) -> Self {
        let workers = workers.clamp(1, batches.len().max(1));
        let count = batches.len();
        let mut loader = Self { channels: Vec::new(), workers: Vec::new(), next: 0, count, waited: Duration::ZERO };
        for worker in 0..workers {
            let (send, receive) = sync_channel(AHEAD);
            let (make, own) = (make.clone(), batches.clone().skip(worker).step_by(workers));
            loader.channels.push(receive);
            loader.workers.push(std::thread::spawn(move || {
                for batch in own {
                    // The receiver is gone when training stopped early: so does the worker.
                    if send.send(make(batch)).is_err() {
                        return;
                    }
                }
            }));
        }
        loader
    }

    /// How long the iterator has waited for workers so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<T, E: From<Error>> Iterator for Loader<T, E> {
    type Item = Result<T, E>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            return None;
        }
        let channel = &self.channels[self.next % self.channels.len()];
        self.next += 1;
        let start = Instant::now();
        let batch = channel.recv();
        self.waited += start.elapsed();
        Some(batch.unwrap_or_else(|_| Err(Error::Internal("a data worker stopped early".into()).into())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count - self.next, Some(self.count - self.next))
    }
}

impl<T, E> Drop for Loader<T, E> {
    fn drop(&mut self) {
        self.channels.clear();
        for worker in self.workers.drain(..) {
            // A panic of a worker has already surfaced as a missing batch.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares() -> Arc<MakeBatch<usize>> {
        Arc::new(|batch| match batch {
            13 => Err(Error::Internal("thirteen".into())),
            other => Ok(other * other),
        })
    }

    #[test]
    fn the_order_does_not_depend_on_the_number_of_workers() {
        for workers in [1, 2, 3, 50] {
            let found: Vec<_> = Loader::new(squares(), 14..27, workers).map(Result::unwrap).collect();
            assert_eq!(found, (14..27).map(|batch| batch * batch).collect::<Vec<_>>());
        }
    }

    #[test]
    fn errors_arrive_and_an_early_end_does_not_hang() {
        let mut loader = Loader::new(squares(), 0..100, 2);
        assert!(loader.nth(13).unwrap().is_err());
        drop(loader);
        assert!(Loader::new(squares(), 7..7, 2).next().is_none());
    }
}
