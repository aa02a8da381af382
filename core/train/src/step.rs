//! The gradient of one step: forward, loss, backward, over one or several micro-batches.

use isograd_engine::{JoinedSinks, Segment, Sink, Walk, WeightSource};
use isograd_models::{Graph, ModelBackend};
use isograd_ops::kernels::KernelBackend;
use isograd_tasks::{LabelCounts, Labels, Model, Network, Target, Term, loss};

use crate::{Batch, Result};

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

/// This rank's part of the loss of a step; its gradients, once for each batch, go to `sink`.
///
/// # Errors
/// Where the weights of a block cannot be had.
pub fn accumulate<B: ModelBackend>(
    model: &Model,
    weights: &(dyn WeightSource<B> + Sync),
    step: &Step<'_>,
    device: &B::Device,
    sink: &mut (dyn Sink<B> + Send),
) -> Result<f64> {
    let work = Work { model, network: Network::new(model).for_loss_of(step.targets), step, device };
    let mut total = 0.0;
    for parts in step.batches {
        match parts.as_slice() {
            [] => work.network.walk_idle(weights, step.segments, sink)?,
            [part] => total += work.part(weights, part, sink)?,
            parts => total += work.side_by_side(weights, parts, sink)?,
        }
    }
    Ok(total)
}

/// What the parts of a step share.
struct Work<'a, B: ModelBackend> {
    model: &'a Model,
    network: Network<B>,
    step: &'a Step<'a>,
    device: &'a B::Device,
}

impl<B: ModelBackend> Work<'_, B> {
    /// One part of a batch.
    fn part(
        &self,
        weights: &(dyn WeightSource<B> + Sync),
        batch: &Batch,
        sink: &mut (impl Sink<B> + ?Sized),
    ) -> Result<f64> {
        let Step { targets, terms, counts, segments, .. } = *self.step;
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
        parts: &[Batch],
        sink: &mut (dyn Sink<B> + Send),
    ) -> Result<f64>
    where
        B: KernelBackend,
    {
        let joined = JoinedSinks::new(parts.len(), self.network.len(), sink);
        std::thread::scope(|scope| {
            let work = parts.iter().enumerate().map(|(walk, part)| {
                let mut sink = joined.of(walk);
                scope.spawn(move || self.part(weights, part, &mut sink))
            });
            let handles: Vec<_> = work.collect();
            let ended: Vec<_> = handles.into_iter().map(|handle| handle.join()).collect();
            let of =
                |end: std::thread::Result<Result<f64>>| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            ended.into_iter().map(of).sum()
        })
    }
}
