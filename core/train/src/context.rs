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
}

impl<B: Backend> RankContext<B> {
    /// The only rank, which nobody stops.
    pub fn alone() -> Self {
        Self { comm: Arc::new(Solo), stop: Arc::default() }
    }
}
