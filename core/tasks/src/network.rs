//! A model on a backend: predictions of its targets, and gradients of a loss of them.
//!
//! Where targets are derivatives of an energy, predicting takes one walk there and back, without gradients of weights. The
//! gradient of a loss takes a second one, along directions: with e, u and s the gradients of the loss with respect to
//! energies, forces and stress, all constant once these are known,
//!
//! ```text
//! dl/dweights = d/dweights [ e E + E'(d) ]
//! ```
//!
//! where E'(d) is the derivative of the energy along the directions d that u and s make (see [`derivatives`](mod@crate::derivatives)).
//! That is the tangent of the energy, so the second walk is ordinary reverse mode over values with tangents. No gradient of
//! a gradient is taken.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use isograd_data::HostBatch;
use isograd_engine::{
    Flow, Recompute, Result, Segment, Sink, Walk, WeightSource, context_gradient, context_gradient_idle, forward,
    forward_idle, settling, value_and_grad, walk_idle,
};
use isograd_models::{Graph, GraphBlocks, ModelBackend};
use isograd_ops::sketch::{Meter, Sketch};
use isograd_ops::value::Value;

use crate::derivatives::{Geometry, Of};
use crate::{Derivative, Model, Target};

/// A model on a backend, without its weights.
pub struct Network<B: ModelBackend> {
    blocks: GraphBlocks<B>,
    tracked: GraphBlocks<B::Tracked>,
    derivatives: Vec<Derivative>,
    species: usize,
}

impl Network<Sketch> {
    /// The blocks of a model on shapes, after each of which a meter counts what is there as kept.
    pub fn sketched(model: &Model, meter: &Arc<Meter>) -> Self {
        let own = Self::new(model);
        Self { blocks: settling(own.blocks, meter), tracked: settling(own.tracked, meter), ..own }
    }
}

impl<B: ModelBackend> Network<B> {
    /// The blocks of a model.
    pub fn new(model: &Model) -> Self {
        Self {
            blocks: model.blocks(),
            tracked: model.blocks(),
            derivatives: model.derivatives(),
            species: model.inputs().species.len(),
        }
    }

    /// The same for a loss of these targets: derivatives without a weight in it are left alone.
    #[must_use]
    pub fn for_loss_of(mut self, targets: &[Target]) -> Self {
        let counts = |name: &str| targets.iter().any(|target| target.name == name && target.weight > 0.0);
        self.derivatives.retain(|derivative| counts(&derivative.target));
        self
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there are no blocks.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The energy that targets are derivatives of.
    fn energy(&self) -> Option<&str> {
        self.derivatives.first().map(|derivative| derivative.energy.as_str())
    }

    /// Predictions of all targets, by their names.
    ///
    /// # Errors
    /// Where the weights of a block cannot be had.
    pub fn predict(
        &self,
        weights: &(impl WeightSource<B> + ?Sized),
        batch: &HostBatch,
        device: &B::Device,
    ) -> Result<Flow<B>> {
        if self.derivatives.is_empty() {
            return forward(&self.blocks, weights, &Graph::new(batch, self.species, device));
        }
        let segments = self.kept();
        let graph = Graph::<B::Tracked>::new(batch, self.species, device);
        self.derived(weights, &graph, Walk { segments: &segments, random: None })
    }

    /// What the Hessian of the energy makes of displacements `[N, D]` of all nodes: minus the change of forces along them,
    /// `[N, D]`. The cell stays as it is.
    ///
    /// # Errors
    /// Where the weights of a block cannot be had.
    ///
    /// # Panics
    /// If no target is a derivative of an energy, or there is not one displacement for each node.
    pub fn hessian_product(
        &self,
        weights: &(impl WeightSource<B> + ?Sized),
        batch: &HostBatch,
        displacements: Tensor<B, 2>,
        device: &B::Device,
    ) -> Result<Tensor<B, 2>> {
        let Some(energy) = self.energy() else { panic!("hessian_product: no target is a derivative of an energy") };
        if batch.edges() == 0 {
            return Ok(displacements.zeros_like());
        }
        let graph = Graph::<B::Tracked>::new(batch, self.species, device);
        let geometry = Geometry::new(&graph);
        // Displacements of nodes change edges the other way round than gradients of forces do.
        let directions = geometry.directions(Of::Positions, displacements).neg();
        let graph = graph.along(Tensor::from_inner(directions));
        let segments = self.kept();
        let walk = Walk { segments: &segments, random: None };
        let (flow, found) = context_gradient(&self.tracked, weights, &graph, walk, energy)?;
        if flow.get(energy).is_none_or(|energy| energy.tangent().is_none()) {
            return Ok(Tensor::zeros([batch.nodes(), batch.dims], device));
        }
        Ok(geometry.derivative(Of::Positions, &graph.gradient_of_vectors(found)).neg())
    }

    /// Takes part in what other ranks predict: asks for the same weights in the same order.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub fn predict_idle(&self, weights: &(impl WeightSource<B> + ?Sized)) -> Result<()> {
        if self.derivatives.is_empty() {
            return forward_idle(self.blocks.len(), weights);
        }
        context_gradient_idle(weights, &self.kept())
    }

    /// A prediction is over too soon for anything to be made again.
    fn kept(&self) -> Vec<Segment> {
        Recompute::None.segments(self.blocks.len())
    }

    /// Predictions where some are derivatives.
    fn derived(
        &self,
        weights: &(impl WeightSource<B> + ?Sized),
        graph: &Graph<B::Tracked>,
        walk: Walk<'_, B::Device>,
    ) -> Result<Flow<B>> {
        let energy = self.energy().unwrap_or_default();
        let (mut flow, found) = context_gradient(&self.tracked, weights, graph, walk, energy)?;
        if graph.edges == 0 {
            // CUDA launches nothing on tensors without elements.
            for Derivative { target, of, .. } in &self.derivatives {
                let shape = match of {
                    Of::Positions => [graph.nodes, graph.dims],
                    Of::Strain => [graph.graphs, graph.dims * graph.dims],
                };
                flow.put(target, Value::zeros(shape, &graph.device()));
            }
            return Ok(flow);
        }
        let slopes = graph.gradient_of_vectors(found);
        let geometry = Geometry::new(graph);
        for Derivative { target, of, .. } in &self.derivatives {
            flow.put(target, Value::new(geometry.derivative(*of, &slopes)));
        }
        Ok(flow)
    }

    /// The value of `loss`, which reads predictions by the names of targets; the gradients of each block go to `sink`.
    ///
    /// # Errors
    /// Where the weights of a block cannot be had.
    pub fn value_and_grad(
        &self,
        weights: &(impl WeightSource<B> + ?Sized),
        graph: &Graph<B::Tracked>,
        walk: Walk<'_, B::Device>,
        loss: impl FnOnce(Flow<B::Tracked>) -> Tensor<B::Tracked, 1>,
        sink: &mut (impl Sink<B> + ?Sized),
    ) -> Result<f64> {
        if self.derivatives.is_empty() {
            return value_and_grad(&self.tracked, weights, graph, walk, loss, sink);
        }
        let predictions = self.derived(weights, graph, walk)?;
        let (value, mut cotangents) = predictions.gradient_of(loss);
        let geometry = (graph.edges > 0).then(|| Geometry::new(graph));
        let of = |Derivative { target, of, .. }: &Derivative| {
            let cotangent = cotangents.take(target)?.into_tensor();
            Some(geometry.as_ref()?.directions(*of, cotangent))
        };
        let directions = self.derivatives.iter().filter_map(of).reduce(|a, b| a + b);
        drop(geometry);
        let energy = self.energy().unwrap_or_default();
        let objective = |flow: Flow<B::Tracked>| objective(&flow, energy, cotangents);
        match directions {
            Some(directions) => {
                let graph = graph.clone().along(Tensor::from_inner(directions));
                value_and_grad(&self.tracked, weights, &graph, walk, objective, sink)?
            }
            None => value_and_grad(&self.tracked, weights, graph, walk, objective, sink)?,
        };
        Ok(value)
    }

    /// Takes part in the step of other ranks, and tells `sink` that there is nothing to add.
    ///
    /// # Errors
    /// As [`Self::value_and_grad`].
    pub fn walk_idle(
        &self,
        weights: &(impl WeightSource<B> + ?Sized),
        segments: &[Segment],
        sink: &mut (impl Sink<B> + ?Sized),
    ) -> Result<()> {
        if !self.derivatives.is_empty() {
            context_gradient_idle(weights, segments)?;
        }
        walk_idle(weights, segments, sink)
    }
}

/// `e E + E'(d)`, and the same first term for every other target: what has the gradient of the loss.
fn objective<A: AutodiffBackend>(flow: &Flow<A>, energy: &str, mut cotangents: Flow<A::InnerBackend>) -> Tensor<A, 1> {
    let mut sum: Option<Tensor<A, 1>> = None;
    let mut add = |term: Tensor<A, 1>| sum = Some(sum.take().map_or_else(|| term.clone(), |sum| sum + term.clone()));
    for name in flow.names() {
        let Some(value) = flow.get(name) else { continue };
        if let Some(cotangent) = cotangents.take(name) {
            add((value.tensor().clone() * Tensor::from_inner(cotangent.into_tensor())).sum());
        }
        if let (true, Some(tangent)) = (name == energy, value.tangent()) {
            add(tangent.clone().sum());
        }
    }
    sum.unwrap_or_else(|| panic!("value_and_grad: the loss depends on no prediction"))
}
