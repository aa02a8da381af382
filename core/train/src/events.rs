//! What training tells whoever watches it. This crate prints nothing; the command line does.

use std::fmt;
use std::path::Path;

use isograd_engine::Recompute;
use isograd_tasks::{BySource, Metrics};

use crate::{Finished, Holding, MemoryWorkload, Prepared};

/// One piece of news.
#[non_exhaustive]
pub enum Event<'a> {
    /// The data are read, checked and split.
    Prepared(&'a Prepared),
    /// A member of a committee is trained from here on.
    Member {
        /// Its number, from 1.
        number: usize,
        /// Of how many.
        of: usize,
        /// Its seed.
        seed: u64,
    },
    /// Samples of stores are read into memory.
    Holding(Holding),
    /// What decides the memory that training will take, under this policy.
    Planned(&'a MemoryWorkload, Recompute),
    /// Training goes on from a snapshot.
    Resumed {
        /// Steps made before.
        step: usize,
        /// Epoch it is in, from 0.
        epoch: usize,
        /// What has changed in the settings since then, in words.
        changes: &'a [String],
    },
    /// A step is done.
    Step(&'a Progress),
    /// The held-out structures were predicted.
    Validated {
        /// Epochs done.
        epoch: usize,
        /// Errors of the averaged weights (of the raw ones where there is no average).
        metrics: &'a Metrics,
        /// The same on the structures of each source, where there are several.
        by_source: &'a BySource,
        /// Whether they are the best so far.
        best: bool,
    },
    /// A snapshot is on disk.
    Snapshot(&'a Path),
    /// Training is over and the run directory complete.
    Finished(&'a Finished),
}

/// Where training is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Epochs in all, if that is what limits training.
    pub epochs: Option<usize>,
    /// Steps made.
    pub step: usize,
    /// Share of training done, 0 to 1.
    pub done: f64,
    /// Mean loss over the last steps.
    pub loss: f64,
    /// Atoms per second over the last steps.
    pub atoms_per_second: f64,
    /// Edges per second over the last steps.
    pub edges_per_second: f64,
    /// Seconds trained, over all sessions of the run.
    pub seconds: f64,
}

/// An event in a line.
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepared(Prepared { training, validation, .. }) => {
                let plural = if training.len() == 1 { "" } else { "s" };
                write!(f, "training on {} structure{plural}, validating on {}", training.len(), validation.len())
            }
            Self::Member { number, of, seed } => write!(f, "member {number} of {of}, seed {seed}"),
            Self::Holding(Holding { samples, of, bytes }) => {
                write!(f, "{samples} of {of} samples in memory, {bytes} bytes")
            }
            Self::Planned(work, recompute) => match work.plan(*recompute) {
                Some(plan) => write!(f, "a step is planned to take {} bytes", plan.total),
                None => write!(f, "the memory of a step is not planned"),
            },
            Self::Resumed { step, epoch, changes } => {
                write!(f, "going on from step {step}, in epoch {}", epoch + 1)?;
                changes.iter().try_for_each(|change| write!(f, "; {change}"))
            }
            Self::Step(Progress { epoch, step, loss, edges_per_second, .. }) => {
                write!(f, "epoch {}, step {step}: loss {loss:.4}, {edges_per_second:.3e} edges/s", epoch + 1)
            }
            Self::Validated { epoch, metrics, best, .. } => {
                write!(f, "epoch {epoch}: {metrics}{}", if *best { " (best)" } else { "" })
            }
            Self::Snapshot(path) => write!(f, "snapshot {}", path.display()),
            Self::Finished(finished) => write!(f, "best at step {}", finished.summary.best.step),
        }
    }
}

/// Whoever watches.
pub trait Observer {
    /// Takes note of an event.
    fn event(&mut self, event: Event<'_>);
}

/// A function is told of every event.
impl<F: FnMut(Event<'_>)> Observer for F {
    fn event(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// Watches nothing.
impl Observer for () {
    fn event(&mut self, _event: Event<'_>) {}
}
