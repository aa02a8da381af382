//! Prefetching: background threads make batches, neighbour lists included, ahead of the model.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Batches that each worker may have ready before it waits for the model.
const AHEAD: usize = 2;

/// Batches of each worker that are in memory: those ahead, and one that waits or is in the making.
pub const BATCHES_OF_WORKER: usize = AHEAD + 1;

/// Makes a batch of the given members of the data set.
pub type MakeBatch<T, E = Error> = dyn Fn(&[usize]) -> Result<T, E> + Send + Sync;

/// An iterator over batches that are made by background threads, in the given order.
pub struct Loader<T, E = Error> {
    channels: Vec<Receiver<Result<T, E>>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
    count: usize,
    waited: Duration,
}

impl<T: Send + 'static, E: Send + 'static> Loader<T, E> {
    /// Starts `workers` threads that make `batches`. Worker w makes the batches w,
    /// w + workers, ... and the iterator takes them in turn, so the order is kept.
    pub fn new(make: Arc<MakeBatch<T, E>>, batches: Vec<Vec<usize>>, workers: usize) -> Self {
        let workers = workers.clamp(1, batches.len().max(1));
        let count = batches.len();
        let batches = Arc::new(batches);
        let mut loader = Self { channels: Vec::new(), workers: Vec::new(), next: 0, count, waited: Duration::ZERO };
        for worker in 0..workers {
            let (send, receive) = sync_channel(AHEAD);
            let (make, batches) = (make.clone(), batches.clone());
            loader.channels.push(receive);
            loader.workers.push(std::thread::spawn(move || {
                for members in batches.iter().skip(worker).step_by(workers) {
                    // The receiver is gone when training stopped early: so does the worker.
                    if send.send(make(members)).is_err() {
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

    fn members() -> Arc<MakeBatch<Vec<usize>>> {
        Arc::new(|members| {
            if members.contains(&13) {
                return Err(Error::Internal("thirteen".into()));
            }
            Ok(members.to_vec())
        })
    }

    #[test]
    fn the_order_does_not_depend_on_the_number_of_workers() {
        let batches: Vec<Vec<usize>> = (0..13).map(|k| vec![k % 13, (k + 5) % 13]).collect();
        for workers in [1, 2, 3, 50] {
            let found: Vec<_> = Loader::new(members(), batches.clone(), workers).map(Result::unwrap).collect();
            assert_eq!(found, batches);
        }
    }

    #[test]
    fn errors_arrive_and_an_early_end_does_not_hang() {
        let mut loader = Loader::new(members(), (0..100).map(|k| vec![k]).collect(), 2);
        assert!(loader.nth(13).unwrap().is_err());
        drop(loader);
        assert!(Loader::new(members(), Vec::new(), 2).next().is_none());
    }
}
