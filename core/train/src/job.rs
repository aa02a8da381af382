//! What one rank trains, with whom, and where.

use crate::config::Config;
use crate::feed::Resident;
use crate::run::RunDirectory;
use crate::{Backend, Prepared, RankContext};

/// What one rank trains, with whom, and where.
pub(crate) struct Job<'a, B: Backend> {
    pub(crate) config: &'a Config,
    pub(crate) run: &'a RunDirectory,
    pub(crate) prepared: &'a Prepared,
    /// Hashes of what is trained on and of what is held out, and of the model that training starts from, if any.
    pub(crate) data: &'a str,
    pub(crate) resident: &'a Resident,
    pub(crate) ranks: &'a RankContext<B>,
    pub(crate) device: &'a B::Device,
}

// Not derived: a backend need not be `Copy`.
impl<B: Backend> Clone for Job<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Job<'_, B> {}
