//! Training as one of several ranks, or alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use isograd_backends::comm::{Communicator, Failure, Solo};
use isograd_backends::memory::MeasuredBackend;

use super::data::{Prepared, prepare};
use super::events::{Event, Observer};
use super::finish::Finished;
use super::session::Session;
use crate::config::Config;
use crate::run::RunDirectory;
use crate::shard::agree;
use crate::{Error, Result};

/// Where a rank sits among others.
pub struct Seat<B: MeasuredBackend> {
    /// The ranks.
    pub comm: Arc<dyn Communicator<B>>,
    /// Set from outside when training is to end after a snapshot; one rank's suffices.
    pub stop: Arc<AtomicBool>,
}

impl<B: MeasuredBackend> Seat<B> {
    /// The only rank, which nobody stops.
    pub fn alone() -> Self {
        Self { comm: Arc::new(Solo), stop: Arc::default() }
    }
}

/// How training ended.
pub enum Outcome {
    /// As the config says.
    Finished(Box<Finished>),
    /// It was stopped, and can go on from here.
    Stopped {
        /// Steps made.
        step: usize,
        /// The snapshot.
        snapshot: PathBuf,
    },
}

/// Trains as the config says, in the run directory it names; with `resume`, goes on from the latest
/// snapshot there, if there is one.
///
/// # Errors
/// Whatever is wrong with data, directory or snapshot; [`Error::Diverged`] if the loss becomes NaN.
pub fn train<B: MeasuredBackend<FloatElem = f32>>(
    config: &Config,
    resume: bool,
    device: &B::Device,
    observer: &mut impl Observer,
) -> Result<Finished> {
    let free = || if resume { Ok(()) } else { RunDirectory::check_free(&config.run.out) };
    let outcome = train_rank(config, resume, &Seat::<B>::alone(), device, observer, || {
        free()?;
        prepare(config).map(Arc::new)
    })?;
    match outcome {
        Outcome::Finished(finished) => Ok(*finished),
        Outcome::Stopped { .. } => Err(Error::Internal("training was stopped by nobody".into())),
    }
}

/// As [`train`], as one of several ranks, all of which call this together. `data` makes or shares the data.
/// Where one rank has an error, the others end with [`Error::Ranks`], which names it.
///
/// # Errors
/// As [`train`], and [`Error::Config`] where ranks were started differently.
pub fn train_rank<B: MeasuredBackend<FloatElem = f32>>(
    config: &Config,
    resume: bool,
    seat: &Seat<B>,
    device: &B::Device,
    observer: &mut impl Observer,
    data: impl FnOnce() -> Result<Arc<Prepared>>,
) -> Result<Outcome> {
    let work = || -> Result<Outcome> {
        // Data first: what cannot be trained on leaves no run directory behind.
        let prepared = data()?;
        let hash = [&prepared.training, &prepared.validation].map(|set| set.hash().to_hex().to_string());
        agree::same_start(&*seat.comm, &config.common()?, &hash.concat())?;
        let root = &config.run.out;
        if seat.comm.rank() == 0 && !(resume && RunDirectory::open(root).is_ok()) {
            RunDirectory::create(root, config)?;
        }
        seat.comm.barrier()?;
        let run = RunDirectory::shared(root)?;
        observer.event(Event::Prepared(&prepared));
        let mut session = Session::<B>::start(config, &run, &prepared, resume, seat, device, observer)?;
        while session.goes_on() {
            session.epoch(observer)?;
        }
        if let Some(step) = session.stopped_at() {
            return Ok(Outcome::Stopped { step, snapshot: run.snapshots().join(format!("step-{step}")) });
        }
        let finished = session.finish()?;
        observer.event(Event::Finished(&finished));
        Ok(Outcome::Finished(Box::new(finished)))
    };
    work().inspect_err(|error| {
        if !matches!(error, Error::Ranks(_)) {
            seat.comm.fail(Failure { message: error.to_string(), input: error.is_input() });
        }
    })
}
