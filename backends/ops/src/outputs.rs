//! Operations with inputs that may not be there, and with further outputs. Burn's operations have one; each further one is a child of it, which going back leaves its
//! gradient for the operation to find.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::{Backend, BackendTypes};
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::primitive::{primitive, tensor, zeros};

/// The gradient of a further output, on its way to the operation.
#[derive(Debug, Clone)]
pub(crate) struct Handed<B: Backend>(Arc<Mutex<Option<Tensor<B, 2>>>>);

impl<B: Backend> Handed<B> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    fn leave(&self, gradient: Tensor<B, 2>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
    }

    /// Zeros where nothing came back through the output.
    pub(crate) fn take_or_zeros(&self, shape: [usize; 2], device: &B::Device) -> Tensor<B, 2> {
        let gradient = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        gradient.unwrap_or_else(|| zeros(shape, device))
    }
}

/// The gradient of the operation's own output, `shape` large.
pub(crate) fn own_gradient<B: Backend, S, const N: usize>(
    ops: &Ops<S, N>,
    grads: &mut Gradients,
    shape: [usize; 2],
) -> Tensor<B, 2> {
    // One zero where only further outputs have a gradient.
    tensor::<B, 2>(grads.consume::<B>(&ops.node)).expand(shape)
}

#[derive(Debug)]
struct Further;

impl<B: Backend> Backward<B, 1> for Further {
    type State = (Handed<B>, NodeId);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = tensor::<B, 2>(grads.consume::<B>(&ops.node));
        let (handed, operation) = ops.state;
        // The operation's own output may have no gradient, and is added to by broadcasting if it has.
        grads.register::<B>(operation, primitive(Tensor::<B, 2>::zeros([1, 1], &gradient.device())));
        handed.leave(gradient);
    }
}

/// A further output of the operation whose own output is `first`.
pub(crate) fn further<B: Backend, C: CheckpointStrategy>(
    first: &Tensor<Autodiff<B, C>, 2>,
    output: Tensor<B, 2>,
    handed: Handed<B>,
) -> Tensor<Autodiff<B, C>, 2> {
    let node = primitive(first.clone()).node;
    let id = node.id;
    tensor(match Further.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((handed, id), primitive(output)),
        OpsKind::UnTracked(prepared) => prepared.finish(primitive(output)),
    })
}

/// What carries the node of a tensor.
pub(crate) type Tracked<B, C> = <Autodiff<B, C> as BackendTypes>::FloatTensorPrimitive;

/// An input that may not be there. What stands for it then is not tracked.
pub(crate) fn tracked_or_none<B: Backend, C: CheckpointStrategy, const D: usize>(
    input: Option<&Tensor<Autodiff<B, C>, D>>,
    device: &B::Device,
) -> Tracked<B, C> {
    input.map_or_else(|| primitive(Tensor::<Autodiff<B, C>, 1>::zeros([1], device)), |input| primitive(input.clone()))
}
