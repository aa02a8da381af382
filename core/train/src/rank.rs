//! Training as one of several ranks, or alone.

use std::path::PathBuf;
use std::sync::Arc;

use isograd_comm::Failure;
use isograd_data::formats::Formats;
use isograd_models::Registry;

use crate::config::Config;
use crate::feed::Resident;
use crate::job::Job;
use crate::run::RunDirectory;
use crate::session::Session;
use crate::{Backend, Dataset, Error, Event, Finished, Observer, Prepared, RankContext, Result, agree, prepare};

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
pub fn train<B: Backend>(
    config: &Config,
    registry: &Registry,
    formats: &Formats,
    resume: bool,
    device: &B::Device,
    observer: &mut impl Observer,
) -> Result<Finished> {
    let free = || if resume { Ok(()) } else { RunDirectory::check_free(&config.run.out) };
    train_on::<B>(config, registry, resume, device, observer, || {
        free()?;
        prepare(config, registry, formats).map(Arc::new)
    })
}

/// As [`train`], on data of your own making, as by [`prepare_structures`](crate::prepare_structures).
///
/// # Errors
/// As [`train`].
pub fn train_on<B: Backend>(
    config: &Config,
    registry: &Registry,
    resume: bool,
    device: &B::Device,
    observer: &mut impl Observer,
    data: impl FnOnce() -> Result<Arc<Prepared>>,
) -> Result<Finished> {
    match train_rank(config, resume, registry, &RankContext::<B>::alone(), device, observer, data)? {
        Outcome::Finished(finished) => Ok(*finished),
        Outcome::Stopped { .. } => Err(Error::Internal("training was stopped by nobody".into())),
    }
}

/// As [`train`], as one of several ranks, all of which call this together. `data` makes or shares the data.
/// Where one rank has an error, the others end with [`Error::Ranks`], which names it.
///
/// # Errors
/// As [`train`], and [`Error::Config`] where ranks were started differently.
pub fn train_rank<B: Backend>(
    config: &Config,
    resume: bool,
    registry: &Registry,
    ranks: &RankContext<B>,
    device: &B::Device,
    observer: &mut impl Observer,
    data: impl FnOnce() -> Result<Arc<Prepared>>,
) -> Result<Outcome> {
    let work = || -> Result<Outcome> {
        // Data first: what cannot be trained on leaves no run directory behind.
        let prepared = data()?;
        let hash = |set: &Dataset| set.hash().map(|hash| hash.to_hex().to_string());
        let mut data = [hash(&prepared.training)?, hash(&prepared.validation)?].concat();
        if let Some(start) = &prepared.start {
            data += &blake3::hash(start.description().as_bytes()).to_hex();
        }
        agree::same_start(&*ranks.comm, &config.common()?, &data)?;
        observer.event(Event::Prepared(&prepared));
        let resident =
            Resident::read(config, &prepared, &*ranks.comm, |holding| observer.event(Event::Holding(holding)))?;
        let root = &config.run.out;
        let _lock = if ranks.comm.rank() == 0 { Some(RunDirectory::lock(root)?) } else { None };
        if ranks.comm.rank() == 0 && !(resume && RunDirectory::open(root).is_ok()) {
            RunDirectory::create(root, config)?;
        }
        ranks.comm.barrier()?;
        let run = RunDirectory::shared(root)?;
        let job = Job { config, run: &run, prepared: &prepared, data: &data, resident: &resident, ranks, device };
        let mut session = Session::<B>::start(job, resume, observer)?;
        while session.goes_on() {
            session.epoch(observer)?;
        }
        if let Some(step) = session.stopped_at() {
            return Ok(Outcome::Stopped { step, snapshot: run.snapshots().join(format!("step-{step}")) });
        }
        let finished = session.finish(registry)?;
        observer.event(Event::Finished(&finished));
        Ok(Outcome::Finished(Box::new(finished)))
    };
    work().inspect_err(|error| {
        if !matches!(error, Error::Ranks(_)) {
            ranks.comm.fail(Failure { message: error.to_string(), input: error.is_input() });
        }
    })
}
