//! The gradient of one step: forward, loss, backward, over one or several micro-batches.

use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use isograd_backends::gradient::SeedBackend;
use isograd_backends::message::MessageBackend;

use crate::engine::{Collect, Segment, Walk, value_and_grad};
use crate::graph::{GraphBatch, HostBatch, LabelCounts};
use crate::loss::{Labels, LossConfig, loss};
use crate::model::{self, Egnn};

/// A loss and its gradients, in the order of [`model::read`].
pub type LossAndGradients<B> = (f64, Vec<Tensor<B, 1>>);

/// The value of a loss of the model's prediction for a batch, and its gradients.
pub fn differentiate<B: AutodiffBackend + MessageBackend + SeedBackend>(
    model: &Egnn<B>,
    batch: &GraphBatch<B>,
    segments: &[Segment],
    loss: impl FnOnce(model::Prediction<B>) -> Tensor<B, 1>,
) -> LossAndGradients<B::InnerBackend> {
    let stages = model.stages();
    let walk = Walk { segments, seed: None };
    let mut sink = Collect::new(stages.len());
    let graph = model.stage_graph(batch);
    let value = value_and_grad(&stages, &graph, walk, |flow| loss(flow.into()), &mut sink);
    (value, sink.gradients())
}

/// The loss of a step and its gradients, summed over the step's micro-batches in their order; each
/// is divided by the label counts of the whole step, so that how it is cut makes no difference.
/// `threads` micro-batches are computed side by side, which does not change a bit of the result.
pub fn accumulate<B: AutodiffBackend + MessageBackend + SeedBackend>(
    model: &Egnn<B>,
    config: &LossConfig,
    micro_batches: &[HostBatch],
    segments: &[Segment],
    threads: usize,
    device: &B::Device,
) -> LossAndGradients<B::InnerBackend> {
    let counts: LabelCounts = micro_batches.iter().map(HostBatch::label_counts).sum();
    let one = |model: &Egnn<B>, batch: &HostBatch| {
        let graph = GraphBatch::new(batch, model.config.elements.len(), device);
        let labels = Labels::new(batch, device);
        differentiate(model, &graph, segments, |prediction| loss(config, prediction, &labels, counts))
    };
    let mut sum: LossAndGradients<B::InnerBackend> = Default::default();
    for group in micro_batches.chunks(threads.max(1)) {
        if let [batch] = group {
            add(&mut sum, one(model, batch));
            continue;
        }
        std::thread::scope(|scope| {
            let work = group.iter().map(|batch| {
                // Weights of its own: graphs that share a tracked tensor are walked under one lock.
                let own = model::map(model.clone(), |_, values| Tensor::from_inner(values.inner()));
                let one = &one;
                scope.spawn(move || one(&own, batch))
            });
            for handle in work.collect::<Vec<_>>() {
                match handle.join() {
                    Ok(part) => add(&mut sum, part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
    }
    sum
}

/// Adds a part; the first one is the sum so far.
fn add<B: Backend>(sum: &mut LossAndGradients<B>, (loss, gradients): LossAndGradients<B>) {
    sum.0 += loss;
    let earlier = std::mem::take(&mut sum.1);
    sum.1 =
        if earlier.is_empty() { gradients } else { earlier.into_iter().zip(gradients).map(|(a, b)| a + b).collect() };
}
