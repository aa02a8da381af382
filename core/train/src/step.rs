//! The gradient of one step: forward, loss, backward, over one or several micro-batches.

use isograd_engine::{JoinedSinks, Segment, Sink, Walk, WeightSource};
use isograd_models::{Graph, ModelBackend};
use isograd_tasks::{LabelCounts, Labels, Model, Network, Target, Term, loss};

use crate::{Batch, Crew, Result};

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

/// The gradient of a model's loss with respect to its weights, on one rank.
pub struct LossGradient<'a, B: ModelBackend> {
    model: &'a Model,
    network: Network<B>,
    crew: Crew,
    device: &'a B::Device,
}

impl<'a, B: ModelBackend> LossGradient<'a, B> {
    /// Of a loss of these targets. `crew` computes the parts of a batch.
    pub fn new(model: &'a Model, targets: &[Target], crew: Crew, device: &'a B::Device) -> Self {
        Self { model, network: Network::new(model).for_loss_of(targets), crew, device }
    }

    /// This rank's part of the loss of a step; its gradients, once for each batch, go to `sink`.
    ///
    /// # Errors
    /// Where the weights of a block cannot be had.
    ///
    /// # Panics
    /// If a batch has more parts than the crew has groups.
    pub fn accumulate(
        &self,
        weights: &(dyn WeightSource<B> + Sync),
        step: &Step<'_>,
        sink: &mut (dyn Sink<B> + Send),
    ) -> Result<f64> {
        let mut total = 0.0;
        for parts in step.batches {
            total += match parts.as_slice() {
                [] => {
                    self.network.walk_idle(weights, step.segments, sink)?;
                    0.0
                }
                parts => self.batch(weights, step, parts, sink)?,
            };
        }
        Ok(total)
    }

    /// The parts of one batch, side by side, which does not change a bit of the result.
    fn batch(
        &self,
        weights: &(dyn WeightSource<B> + Sync),
        step: &Step<'_>,
        parts: &[Batch],
        sink: &mut (dyn Sink<B> + Send),
    ) -> Result<f64> {
        let joined = JoinedSinks::new(parts.len(), self.network.len(), sink);
        let parts: Vec<_> = parts.iter().enumerate().collect();
        let losses = self.crew.each(parts, |(walk, part)| self.part(weights, step, part, &mut joined.of(walk)));
        losses.into_iter().sum()
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
}
