//! The batches of one rank, in the order of training, made by background threads: of samples that the rank reads itself, or
//! that other ranks hold in memory and have sent before they are needed.

mod exchange;
mod held;
mod node;
mod resident;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::backend::Backend;
use isograd_comm::Communicator;
use isograd_data::{BATCHES_OF_WORKER, Loader};

use self::exchange::{Arrivals, Exchange};
pub(crate) use self::held::Held;
pub(crate) use self::resident::Resident;
use crate::config::TrainConfig;
use crate::{Dataset, Error, Result, Sample};

/// Which samples each rank has of a step, by the step's number: the same on all ranks.
pub(crate) type Shares = dyn Fn(usize) -> Vec<Vec<usize>> + Send + Sync;

/// What is made of the samples that a rank has of a step.
pub(crate) type Assemble<T> = dyn Fn(&Dataset, &[usize], Vec<Sample>) -> T + Send + Sync;

/// Steps through a data set.
pub(crate) struct Walk {
    pub(crate) dataset: Arc<Dataset>,
    /// Where samples are that ranks hold for each other.
    pub(crate) held: Option<Arc<Held>>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) steps: Range<usize>,
}

/// An iterator over what one rank has of each step. All ranks call it equally often, and between the same collectives.
pub(crate) struct Feed<'a, B: Backend, T> {
    loader: Loader<T, Error>,
    exchange: Option<Exchange<'a, B>>,
    /// The next step.
    next: usize,
    /// Steps, from that one, whose samples the background threads may ask for.
    ahead: usize,
}

impl<'a, B: Backend, T: Send + 'static> Feed<'a, B, T> {
    pub(crate) fn new(
        comm: &'a dyn Communicator<B>,
        train: &TrainConfig,
        walk: Walk,
        assemble: Arc<Assemble<T>>,
    ) -> Self {
        let (rank, workers, next) = (comm.rank(), train.workers, walk.steps.start);
        let exchange = Exchange::new(comm, &walk);
        let arrivals = exchange.as_ref().map(Exchange::arrivals);
        let Walk { dataset, held, shares, steps } = walk;
        let make = move |step: usize| -> Result<T> {
            let own = shares(step).swap_remove(rank);
            let samples = samples(&dataset, held.as_deref(), arrivals.as_deref(), step, &own)?;
            Ok(assemble(&dataset, &own, samples))
        };
        // A worker may be one step further than those that wait, and the model at the first of several.
        let ahead = workers * BATCHES_OF_WORKER + train.accumulate;
        Self { loader: Loader::new(Arc::new(make), steps, workers), exchange, next, ahead }
    }

    /// Seconds that the iterator has waited for background threads so far.
    pub(crate) fn waited(&self) -> f64 {
        self.loader.waited().as_secs_f64()
    }
}

/// The samples that a rank has of a step.
fn samples(
    dataset: &Dataset,
    held: Option<&Held>,
    arrivals: Option<&Arrivals>,
    step: usize,
    own: &[usize],
) -> Result<Vec<Sample>> {
    let Some(held) = held else { return own.iter().map(|&index| dataset.sample(index)).collect() };
    let arrived = arrivals.map(|arrivals| arrivals.of_step(step)).transpose()?;
    let mut sent = arrived.as_ref().map(|window| window.samples(step)).into_iter().flatten();
    let sample = |&index: &usize| {
        if !dataset.is_stored(index) {
            return dataset.sample(index);
        }
        match held.bytes(index) {
            Some(bytes) => dataset.sample_from(index, bytes),
            None => {
                let missing = || Error::Internal(format!("sample {index} has not been sent"));
                dataset.sample_from(index, sent.next().ok_or_else(missing)?)
            }
        }
    };
    own.iter().map(sample).collect()
}

impl<B: Backend, T: Send + 'static> Iterator for Feed<'_, B, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(exchange) = &mut self.exchange
            && let Err(error) = exchange.advance(self.next, self.ahead)
        {
            return Some(Err(error));
        }
        self.next += 1;
        self.loader.next()
    }
}

impl<B: Backend, T> Drop for Feed<'_, B, T> {
    fn drop(&mut self) {
        // The loader waits for its threads, which may wait for samples.
        if let Some(exchange) = &self.exchange {
            exchange.arrivals().close();
        }
    }
}
