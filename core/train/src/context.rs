//! One rank among others.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use isograd_comm::{Communicator, Solo};

use crate::Backend;

/// One rank among others.
pub struct RankContext<B: Backend> {
    /// The ranks.
    pub comm: Arc<dyn Communicator<B>>,
    /// Set from outside when training is to end after a snapshot; one rank's suffices.
    pub stop: Arc<AtomicBool>,
    /// Threads that this rank computes on, if it does so on the CPU.
    pub threads: usize,
}

impl<B: Backend> RankContext<B> {
    /// The only rank, which nobody stops.
    pub fn alone() -> Self {
        Self::of_process(Arc::new(Solo), Arc::default())
    }

    /// A rank that has the threads of this process to itself.
    pub fn of_process(comm: Arc<dyn Communicator<B>>, stop: Arc<AtomicBool>) -> Self {
        Self { comm, stop, threads: threads_of_each(1) }
    }
}

/// Threads of each of so many ranks in this process.
pub(crate) fn threads_of_each(ranks: usize) -> usize {
    (rayon::current_num_threads() / ranks).max(1)
}
