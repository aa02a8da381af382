//! The gradient of one step: forward, loss, backward, over one or several micro-batches.

use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use isograd_backends::gradient::SeedBackend;
use isograd_backends::message::MessageBackend;

use crate::engine::{Collect, Meeting, Segment, Sink, Stages, Walk, value_and_grad, walk_idle};
use crate::graph::{GraphBatch, HostBatch, LabelCounts};
use crate::loss::{Labels, LossConfig, loss};
use crate::model::{self, Egnn, EgnnStage};
use crate::{Error, Result};

/// A loss and its gradients, in the order of [`model::read`].
pub type LossAndGradients<B> = (f64, Vec<Tensor<B, 1>>);

/// What a step differentiates.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The terms.
    pub loss: &'a LossConfig,
    /// The batches of the step, each in parts that are differentiated side by side; of a batch that others
    /// work on, none.
    pub batches: &'a [Vec<HostBatch>],
    /// Labels of the whole step, on all ranks, which each part is divided by: how the step is cut makes no
    /// difference.
    pub counts: LabelCounts,
    /// Which stages keep what they compute.
    pub segments: &'a [Segment],
}

impl<'a> Step<'a> {
    /// A step of one rank alone.
    pub fn new(loss: &'a LossConfig, batches: &'a [Vec<HostBatch>], segments: &'a [Segment]) -> Self {
        let counts = batches.iter().flatten().map(HostBatch::label_counts).sum();
        Self { loss, batches, counts, segments }
    }
}

/// The value of a loss of the model's prediction for a batch, and its gradients.
///
/// # Errors
/// None: a model has its weights.
pub fn differentiate<B: AutodiffBackend + MessageBackend + SeedBackend>(
    model: &Egnn<B>,
    batch: &GraphBatch<B>,
    segments: &[Segment],
    loss: impl FnOnce(model::Prediction<B>) -> Tensor<B, 1>,
) -> Result<LossAndGradients<B::InnerBackend>> {
    let stages = model.stages();
    let walk = Walk { segments, seed: None };
    let mut sink = Collect::new(stages.len());
    let graph = model.stage_graph(batch);
    let value = value_and_grad(&stages, &graph, walk, |flow| loss(flow.into()), &mut sink)?;
    Ok((value, sink.gradients()))
}

/// This rank's part of the loss of a step; its gradients, once for each batch, go to `sink`. `model` tells how
/// stages are run, `stages` are its weights.
///
/// # Errors
/// Where the weights of a stage cannot be had.
pub fn accumulate<B, S>(
    model: &Egnn<B>,
    stages: &S,
    step: &Step<'_>,
    device: &B::Device,
    sink: &mut (impl Sink<B::InnerBackend> + Send),
) -> Result<f64>
where
    B: AutodiffBackend + MessageBackend + SeedBackend,
    S: Stages<B, Stage = EgnnStage<B>> + Sync,
{
    let mut total = 0.0;
    for parts in step.batches {
        match parts.as_slice() {
            [] => walk_idle(stages, step.segments, sink)?,
            [part] => total += part_of(model, stages, part, step, device, sink)?,
            parts => total += side_by_side(model, stages, parts, step, device, sink)?,
        }
    }
    Ok(total)
}

/// One part of a batch.
fn part_of<B, S>(
    model: &Egnn<B>,
    stages: &S,
    batch: &HostBatch,
    step: &Step<'_>,
    device: &B::Device,
    sink: &mut impl Sink<B::InnerBackend>,
) -> Result<f64>
where
    B: AutodiffBackend + MessageBackend + SeedBackend,
    S: Stages<B, Stage = EgnnStage<B>>,
{
    let batch_on_device = GraphBatch::new(batch, model.config.elements.len(), device);
    let labels = Labels::new(batch, device);
    let graph = model.stage_graph(&batch_on_device);
    let walk = Walk { segments: step.segments, seed: None };
    let objective = |flow: Vec<Tensor<B, 2>>| loss(step.loss, flow.into(), &labels, step.counts);
    value_and_grad(stages, &graph, walk, objective, sink)
}

/// Parts of a batch, a thread each, which does not change a bit of the result.
fn side_by_side<B, S>(
    model: &Egnn<B>,
    stages: &S,
    parts: &[HostBatch],
    step: &Step<'_>,
    device: &B::Device,
    sink: &mut (impl Sink<B::InnerBackend> + Send),
) -> Result<f64>
where
    B: AutodiffBackend + MessageBackend + SeedBackend,
    S: Stages<B, Stage = EgnnStage<B>> + Sync,
{
    let meeting = Meeting::new(parts.len(), stages.count(), sink);
    std::thread::scope(|scope| {
        let work = parts.iter().enumerate().map(|(walk, part)| {
            let mut sink = meeting.of(walk);
            scope.spawn(move || part_of(model, &Unshared(stages), part, step, device, &mut sink))
        });
        let handles: Vec<_> = work.collect();
        let ended: Vec<_> = handles.into_iter().map(|handle| handle.join()).collect();
        let of = |end: std::thread::Result<Result<f64>>| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ended.into_iter().map(of).sum()
    })
}

/// Stages with weights of their own: graphs that share a tracked tensor are walked under one lock.
struct Unshared<'a, S>(&'a S);

impl<B: AutodiffBackend + MessageBackend, S: Stages<B, Stage = EgnnStage<B>>> Stages<B> for Unshared<'_, S> {
    type Stage = EgnnStage<B>;

    fn count(&self) -> usize {
        self.0.count()
    }

    fn begin(&self, order: Vec<usize>) {
        self.0.begin(order);
    }

    fn stage(&self, index: usize) -> Result<EgnnStage<B>, Error> {
        let stage = self.0.stage(index)?;
        Ok(model::map(stage, |_, values| Tensor::from_inner(values.inner())))
    }
}
