//! Training on as many ranks as the config says, each a thread of this process.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isograd_comm::{Communicator, Solo, Staged, Threads, Transport, spawn};
use isograd_models::Registry;
use isograd_ops::device::DeviceName;

use crate::config::Config;
use crate::{Backend, Error, Observer, Outcome, Prepared, RankContext, Result, RunOn, dispatch, train_rank};

/// Trains on `parallel.ranks` threads, or on this one where that is one. `train.device` is cut among them as
/// [`DeviceName::of_rank`] says. `data` is called once, and `observer` told by the first rank. Training ends with a snapshot
/// once `stop` is set.
///
/// # Errors
/// As [`train_rank`], and [`Error::Device`] where a rank's device is not there; of several errors the first rank's whose own
/// it is.
pub fn train_threads<O: Observer + Send>(
    config: &Config,
    registry: &Registry,
    resume: bool,
    stop: &Arc<AtomicBool>,
    observer: &mut O,
    data: impl FnOnce() -> Result<Arc<Prepared>>,
) -> Result<Outcome> {
    let shared = Shared { config, registry, resume, stop };
    if config.parallel.ranks == 1 {
        let device = config.train.device.clone();
        return dispatch(&device.clone(), Work { shared, device, thread: None, observer: Some(observer), data })?;
    }
    let data = data()?;
    let observer = Mutex::new(observer);
    let timeout = Duration::from_secs(config.parallel.timeout);
    let outcomes = spawn(config.parallel.ranks, timeout, |thread| {
        let device = config.train.device.of_rank(thread.rank());
        let mut first = (thread.rank() == 0).then(|| observer.lock().unwrap_or_else(PoisonError::into_inner));
        let observer = first.as_mut().map(|observer| &mut ***observer);
        let data = || Ok(data.clone());
        dispatch(&device.clone(), Work { shared, device, thread: Some(thread), observer, data })?
    });
    first_cause(outcomes)
}

/// What ranks end with: the first one's outcome, or the error that the others follow from.
fn first_cause(outcomes: Vec<Result<Outcome>>) -> Result<Outcome> {
    let mut errors = Vec::new();
    let mut first = None;
    for outcome in outcomes {
        match outcome {
            Ok(outcome) => first = first.or(Some(outcome)),
            Err(error) => errors.push(error),
        }
    }
    // A rank's own error, rather than what others were told of it.
    errors.sort_by_key(|error| matches!(error, Error::Ranks(_)));
    match (errors.into_iter().next(), first) {
        (Some(error), _) => Err(error),
        (None, Some(outcome)) => Ok(outcome),
        (None, None) => Err(Error::Internal("no rank has ended".into())),
    }
}

/// What all ranks have.
#[derive(Clone, Copy)]
struct Shared<'a> {
    config: &'a Config,
    registry: &'a Registry,
    resume: bool,
    stop: &'a Arc<AtomicBool>,
}

/// The work of one rank.
struct Work<'a, 'o, O, D> {
    shared: Shared<'a>,
    device: DeviceName,
    /// None of a rank that is alone.
    thread: Option<Threads>,
    /// Of the first rank.
    observer: Option<&'o mut O>,
    data: D,
}

impl<O: Observer, D: FnOnce() -> Result<Arc<Prepared>>> RunOn for Work<'_, '_, O, D> {
    type Output = Result<Outcome>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let Self { shared: Shared { config, registry, resume, stop }, device: name, thread, observer, data } = self;
        let config = config.clone().on_device(name);
        let timeout = Duration::from_secs(config.parallel.timeout);
        let comm: Arc<dyn Communicator<B>> = match thread {
            None => Arc::new(Solo),
            Some(thread) => B::join(Staged::<B>::start(move || Ok(thread))?, &device, timeout)?,
        };
        let ranks = RankContext { comm, stop: stop.clone() };
        match observer {
            Some(observer) => train_rank::<B>(&config, resume, registry, &ranks, &device, observer, data),
            None => train_rank::<B>(&config, resume, registry, &ranks, &device, &mut (), data),
        }
    }
}
