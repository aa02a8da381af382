//! Training as one of several ranks, or alone.

use std::path::PathBuf;
use std::sync::Arc;

use isograd_comm::Failure;
use isograd_data::formats::Formats;
use isograd_models::Registry;

use crate::committee::{FinishedCommittee, member_configs, sum_up};
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
    /// As the config says, of several models.
    Committee(Box<FinishedCommittee>),
    /// It was stopped, and can go on from here.
    Stopped {
        /// Steps made.
        step: usize,
        /// The snapshot.
        snapshot: PathBuf,
    },
}

/// Trains one model as the config says, in the run directory it names; with `resume`, goes on from the latest
/// snapshot there, if there is one.
///
/// # Errors
/// Whatever is wrong with data, directory or snapshot; [`Error::Diverged`] if the loss becomes NaN; [`Error::Config`] where
/// the config asks for several models.
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
    if config.train.seeds > 1 {
        let message =
            format!("is {}: several models, which `train_threads` and `train_rank` train", config.train.seeds);
        return Err(Error::Config { place: "train.seeds".into(), message });
    }
    match train_rank(config, resume, registry, &RankContext::<B>::alone(), device, observer, data)? {
        Outcome::Finished(finished) => Ok(*finished),
        Outcome::Stopped { .. } | Outcome::Committee(_) => {
            Err(Error::Internal("training one model has not ended with it".into()))
        }
    }
}

/// As [`train`], as one of several ranks, all of which call this together; or several models one after the other, where
/// `train.seeds` asks for them. `data` makes or shares the data.
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
        let given = Given { prepared: &prepared, data: &data, resident: &resident, ranks, device };
        let is_first = ranks.comm.rank() == 0;
        if is_first {
            RunDirectory::check_kind(&config.run.out, config.train.seeds > 1)?;
        }
        if config.train.seeds == 1 {
            return train_one(config, resume, registry, &given, observer);
        }
        let root = &config.run.out;
        let _lock = if is_first { Some(RunDirectory::lock(root)?) } else { None };
        if is_first {
            RunDirectory::create_committee(root, config)?;
        }
        let members = member_configs(config);
        let mut finished = Vec::with_capacity(members.len());
        for (member, number) in members.iter().zip(1..) {
            observer.event(Event::Member { number, of: members.len(), seed: member.train.seed });
            match train_one(member, resume, registry, &given, observer)? {
                Outcome::Finished(own) => finished.push(*own),
                other => return Ok(other),
            }
        }
        let run = RunDirectory::shared(root)?;
        let summary = match is_first {
            true => Some(sum_up::<B>(&run, &finished, &members, &prepared, registry, device)?),
            false => None,
        };
        ranks.comm.barrier()?;
        Ok(Outcome::Committee(Box::new(FinishedCommittee { run, members: finished, summary })))
    };
    work().inspect_err(|error| {
        if !matches!(error, Error::Ranks(_)) {
            ranks.comm.fail(Failure { message: error.to_string(), input: error.is_input() });
        }
    })
}

/// What all members of a committee have in common.
struct Given<'a, B: Backend> {
    prepared: &'a Prepared,
    /// Hash of all samples.
    data: &'a str,
    resident: &'a Resident,
    ranks: &'a RankContext<B>,
    device: &'a B::Device,
}

/// Trains one model.
fn train_one<B: Backend>(
    config: &Config,
    resume: bool,
    registry: &Registry,
    given: &Given<'_, B>,
    observer: &mut impl Observer,
) -> Result<Outcome> {
    let &Given { prepared, data, resident, ranks, device } = given;
    let root = &config.run.out;
    let _lock = if ranks.comm.rank() == 0 { Some(RunDirectory::lock(root)?) } else { None };
    if ranks.comm.rank() == 0 && !(resume && RunDirectory::open(root).is_ok()) {
        RunDirectory::create(root, config)?;
    }
    ranks.comm.barrier()?;
    let run = RunDirectory::shared(root)?;
    let job = Job { config, run: &run, prepared, data, resident, ranks, device };
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
}
