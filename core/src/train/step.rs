//! The gradient of one step: forward, loss, backward, over one or several micro-batches.

use burn::module::AutodiffModule;
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{ElementConversion, Tensor};

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

/// The loss of a step and its gradients, summed over the step's micro-batches; each is divided by
/// the label counts of the whole step, so that how it is cut makes no difference.
pub fn accumulate<B: AutodiffBackend>(
    model: &Egnn<B>,
    config: &LossConfig,
    micro_batches: &[HostBatch],
    device: &B::Device,
) -> LossAndGradients<B::InnerBackend> {
    let counts: LabelCounts = micro_batches.iter().map(HostBatch::label_counts).sum();
    let mut total: Option<LossAndGradients<B::InnerBackend>> = None;
    for batch in micro_batches {
        let prediction = model.forward(&GraphBatch::new(batch, device));
        let part = gradients_of(model, loss(config, prediction, &Labels::new(batch, device), counts));
        total = Some(match total {
            None => part,
            Some((value, gradients)) => {
                (value + part.0, gradients.into_iter().zip(part.1).map(|(a, b)| a + b).collect())
            }
        });
    }
    total.unwrap_or_default()
}
