//! The gradient of one step: forward, loss, backward, over one or several micro-batches.

use burn::module::AutodiffModule;
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{ElementConversion, Tensor};
use isograd_backends::message::MessageBackend;

use crate::graph::{GraphBatch, HostBatch, LabelCounts};
use crate::loss::{Labels, LossConfig, loss};
use crate::model::{self, Egnn};

/// A loss and its gradients, in the order of [`model::read`].
pub type LossAndGradients<B> = (f64, Vec<Tensor<B, 1>>);

/// The value of a scalar loss `[1]` and its gradients with respect to a module's parameters.
pub fn gradients_of<B: AutodiffBackend, M: AutodiffModule<B>>(
    module: &M,
    loss: Tensor<B, 1>,
) -> LossAndGradients<B::InnerBackend> {
    let value = loss.clone().into_scalar().elem::<f64>();
    let mut grads = GradientsParams::from_grads(loss.backward(), module);
    (value, model::gradients(module, &mut grads))
}

/// The loss of a step and its gradients, summed over the step's micro-batches in their order; each
/// is divided by the label counts of the whole step, so that how it is cut makes no difference.
/// `threads` micro-batches are computed side by side, which does not change a bit of the result.
pub fn accumulate<B: AutodiffBackend + MessageBackend>(
    model: &Egnn<B>,
    config: &LossConfig,
    micro_batches: &[HostBatch],
    threads: usize,
    device: &B::Device,
) -> LossAndGradients<B::InnerBackend> {
    let counts: LabelCounts = micro_batches.iter().map(HostBatch::label_counts).sum();
    let one = |model: &Egnn<B>, batch: &HostBatch| {
        let prediction = model.forward(&GraphBatch::new(batch, model.config.elements.len(), device));
        gradients_of(model, loss(config, prediction, &Labels::new(batch, device), counts))
    };
    let mut parts = Vec::with_capacity(micro_batches.len());
    for group in micro_batches.chunks(threads.max(1)) {
        if let [batch] = group {
            parts.push(one(model, batch));
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
                    Ok(part) => parts.push(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
    }
    let sum = |a: LossAndGradients<B::InnerBackend>, b: LossAndGradients<B::InnerBackend>| {
        (a.0 + b.0, a.1.into_iter().zip(b.1).map(|(a, b)| a + b).collect())
    };
    parts.into_iter().reduce(sum).unwrap_or_default()
}
