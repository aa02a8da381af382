//! A training step as one of several ranks.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Tensor;
use isograd_comm::Communicator;
use isograd_engine::OptimizerConfig;
use isograd_engine::zero::{HeldBytes, Sharded, Train, Zero};
use isograd_ops::memory::reset_peak;
use isograd_tasks::{HostLabels, PotentialTask, Task};
use isograd_train::{Backend, Batch, Error, LossGradient, Place, Result, Step, agree};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::StepConfig;
use super::step::{median, random_graph};

/// What one rank measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankStep {
    /// Median over the timed steps.
    pub seconds: f64,
    /// Median of forward and backward, gradients exchanged.
    pub gradients: f64,
    /// Median of the update, weights exchanged.
    pub update: f64,
    /// Share of the time in which it had nothing to do but wait for other ranks.
    pub waiting_share: f64,
    /// Bytes sent in a step.
    pub sent_bytes: f64,
    /// Bytes of tensors between steps.
    pub held: HeldBytes,
    /// Most bytes held at once, where the backend can tell; ranks that are threads on the CPU count together.
    pub peak_bytes: Option<u64>,
}

/// Times steps of one rank among others, on a graph of its own of `config.nodes` nodes.
///
/// # Errors
/// [`isograd_train::Error::Ranks`].
pub fn bench_rank<B: Backend>(
    config: &StepConfig,
    zero: Zero,
    comm: Arc<dyn Communicator<B>>,
    device: &B::Device,
) -> Result<RankStep> {
    comm.barrier()?;
    reset_peak();
    comm.barrier()?;
    let mut rng = ChaCha8Rng::seed_from_u64(comm.rank() as u64);
    let task = Task::from(PotentialTask::default());
    let (targets, terms) = (&task.targets, task.terms());
    let batches = [vec![labelled(config, &task, &mut rng)]];
    let model = config.model().map_err(|(key, message)| Error::Config { place: format!("--{key}"), message })?;
    let train = Train { optimizer: OptimizerConfig::default(), ema_decay: 0.0, zero };
    let mut sharded = Sharded::new(model.layout(comm.size()), 0, comm.clone(), &train, device);
    let segments = config.recompute.segments(config.layers + 1);
    let counts = batches.iter().flatten().map(|batch| batch.labels.counts()).sum();
    let step = Step { targets, terms: &terms, batches: &batches, counts: &counts, segments: &segments };

    let place = Place::of_rank::<B>(device, comm.size());
    let gradient = LossGradient::new(&model, targets, place, device);
    let mut parts: [Vec<f64>; 3] = Default::default();
    let mut start_usage = comm.usage();
    let mut timed = 0.0;
    for round in 0..config.warmup + config.steps {
        if round == config.warmup {
            start_usage = comm.usage();
        }
        comm.barrier()?;
        let start = Instant::now();
        let (_, gradients) = sharded.gradients(1, |weights, sink| gradient.accumulate(weights, &step, sink))?;
        finished::<B>(device)?;
        let middle = start.elapsed().as_secs_f64();
        let squares = sharded.squares(&gradients);
        agree::numbers(&*comm, [squares])?;
        sharded.update(round + 1, 1e-4, gradients, 1.0)?;
        finished::<B>(device)?;
        let end = start.elapsed().as_secs_f64();
        if round >= config.warmup {
            timed += end;
            for (part, value) in parts.iter_mut().zip([end, middle, end - middle]) {
                part.push(value);
            }
        }
    }
    let usage = comm.usage();
    let [seconds, gradients, update] = parts.map(median);
    Ok(RankStep {
        seconds,
        gradients,
        update,
        waiting_share: (usage.waited - start_usage.waited) / timed,
        sent_bytes: (usage.sent - start_usage.sent) as f64 / config.steps as f64,
        held: sharded.held(),
        peak_bytes: B::peak_bytes(device),
    })
}

/// Waits until the device has done all its work.
fn finished<B: Backend>(device: &B::Device) -> Result<()> {
    B::sync(device).map_err(|error| Error::Internal(format!("the device failed at its work: {error:?}")))
}

/// A random graph with labels, so that there is something to train on.
fn labelled(config: &StepConfig, task: &Task, rng: &mut ChaCha8Rng) -> Batch {
    let graphs = random_graph(config, rng);
    let forces = (0..3 * config.nodes).map(|_| rng.random_range(-1.0..1.0)).collect();
    let labels = [vec![Some(vec![0.0]), Some(forces)]];
    let sizes: Vec<_> = graphs.sizes().collect();
    Batch { labels: HostLabels::new(&task.targets, 3, &sizes, &[0], &labels), graphs }
}

/// How fast ranks exchange values, with nothing else to do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes per second that a rank sends in large messages.
    pub bandwidth: f64,
    /// Seconds of a small message.
    pub latency: f64,
}

/// Measures sums of `values` values, and of one.
///
/// # Errors
/// [`isograd_train::Error::Ranks`].
pub fn bench_traffic<B: Backend>(comm: &dyn Communicator<B>, values: usize, device: &B::Device) -> Result<Traffic> {
    let time = |values: usize, rounds: usize| -> Result<f64> {
        let mut all = Vec::new();
        for _ in 0..rounds {
            let own = Tensor::zeros([values], device);
            comm.barrier()?;
            let start = Instant::now();
            comm.reduce_scatter(vec![own]).wait()?;
            all.push(start.elapsed().as_secs_f64());
        }
        Ok(median(all))
    };
    time(values, 2)?;
    let (large, latency) = (time(values, 5)?, time(comm.size(), 50)?);
    let ranks = comm.size() as f64;
    let sent = 4.0 * values as f64 * (ranks - 1.0) / ranks;
    Ok(Traffic { bandwidth: sent / (large - latency).max(1e-9), latency })
}
