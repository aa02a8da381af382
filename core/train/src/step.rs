//! The gradient of one step: forward, loss, backward, over one or several micro-batches.

use isograd_engine::{JoinedSinks, Segment, Sink, Walk, WeightSource};
use isograd_models::{Graph, ModelBackend};
use isograd_ops::profile::Profile;
use isograd_tasks::{LabelCounts, Labels, Model, Network, Target, Term, loss};

use crate::{Backend, Batch, Result};

/// What a step differentiates.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What is predicted.
    pub targets: &'a [Target],
    /// The terms of the loss.
    pub terms: &'a [Term],
    /// Batches of the step. Each is a list of parts that are differentiated side by side; the list is empty if this rank
    /// has no share of it.
    pub batches: &'a [Vec<Batch>],
    /// Labels of the whole step, on all ranks, which each part is divided by: how the step is cut makes no
    /// difference.
    pub counts: &'a LabelCounts,
    /// Which blocks keep what they compute.
    pub segments: &'a [Segment],
}

/// Where one part of a batch is computed, on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the thread that asks for it. A rank that waits for others must not hold a thread of the pool that they need.
    Here,
    /// On a thread of rayon's pool: from there, what one thread can do is not handed over. A step of few atoms has some
    /// hundred operations, and handing one over takes as long as computing it.
    Pool,
}

impl Place {
    /// Of one among so many ranks.
    pub fn of_rank<B: Backend>(device: &B::Device, ranks: usize) -> Self {
        match B::profile(device) {
            Profile::Cpu { .. } if ranks == 1 => Self::Pool,
            _ => Self::Here,
        }
    }

    /// What the work makes, there.
    pub fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::Here => work(),
            Self::Pool => rayon::scope(|_| work()),
        }
    }
}

/// The gradient of a model's loss with respect to its weights, on one rank.
pub struct LossGradient<'a, B: ModelBackend> {
    model: &'a Model,
    network: Network<B>,
    place: Place,
    device: &'a B::Device,
}

impl<'a, B: ModelBackend> LossGradient<'a, B> {
    /// Of a loss of these targets.
    pub fn new(model: &'a Model, targets: &[Target], place: Place, device: &'a B::Device) -> Self {
        Self { model, network: Network::new(model).for_loss_of(targets), place, device }
    }

    /// This rank's part of the loss of a step; its gradients, once for each batch, go to `sink`.
    ///
    /// # Errors
    /// Where the weights of a block cannot be had.
    pub fn accumulate(
        &self,
        weights: &(dyn WeightSource<B> + Sync),
        step: &Step<'_>,
        sink: &mut (dyn Sink<B> + Send),
    ) -> Result<f64> {
        let mut total = 0.0;
        for parts in step.batches {
            match parts.as_slice() {
                [] => self.network.walk_idle(weights, step.segments, sink)?,
                [part] => total += self.place.run(|| self.part(weights, step, part, sink))?,
                parts => total += self.side_by_side(weights, step, parts, sink)?,
            }
        }
        Ok(total)
    }

    /// One part of a batch.
    fn part(
        &self,
        weights: &(dyn WeightSource<B> + Sync),
        step: &Step<'_>,
        batch: &Batch,
        sink: &mut (impl Sink<B> + ?Sized),
    ) -> Result<f64> {
        let Step { targets, terms, counts, segments, .. } = *step;
        let graph = Graph::<B::Tracked>::new(&batch.graphs, self.model.inputs().species.len(), self.device);
        let labels = Labels::new(targets, &batch.labels, self.device);
        let walk = Walk { segments, random: None };
        let objective = |flow| loss(terms, targets, flow, &labels, counts);
        Ok(self.network.value_and_grad(weights, &graph, walk, objective, sink)?)
    }

    /// Parts of a batch, a thread each, which does not change a bit of the result.
    fn side_by_side(
        &self,
        weights: &(dyn WeightSource<B> + Sync),
        step: &Step<'_>,
        parts: &[Batch],
        sink: &mut (dyn Sink<B> + Send),
    ) -> Result<f64> {
        let joined = JoinedSinks::new(parts.len(), self.network.len(), sink);
        std::thread::scope(|scope| {
            let work = parts.iter().enumerate().map(|(walk, part)| {
                let mut sink = joined.of(walk);
                scope.spawn(move || self.part(weights, step, part, &mut sink))
            });
            let handles: Vec<_> = work.collect();
            let ended: Vec<_> = handles.into_iter().map(|handle| handle.join()).collect();
            let of =
                |end: std::thread::Result<Result<f64>>| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            ended.into_iter().map(of).sum()
        })
    }
}
