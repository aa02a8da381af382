//! Going back from the middle of a computation: a scalar whose gradient with respect to a tensor is a
//! given one.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::kernels::KernelBackend;
use crate::primitive::{primitive, tensor};

/// A backend with autodiff that can start from a gradient.
pub trait CotangentBackend: AutodiffBackend {
    /// Returns a zero `[1]` whose `backward` starts from `cotangent` at `output`. Equivalent to
    /// `(output * cotangent).sum()`, without computing it.
    ///
    /// # Panics
    /// If the shapes differ.
    fn pull_back(output: Tensor<Self, 2>, cotangent: Tensor<Self::InnerBackend, 2>) -> Tensor<Self, 1>;

    /// Whether a tensor depends on one that a gradient can be asked for with respect to.
    fn is_tracked(tensor: &Tensor<Self, 2>) -> bool;
}

#[derive(Debug)]
struct PullBack;

impl<B: KernelBackend> Backward<B, 1> for PullBack {
    type State = B::FloatTensorPrimitive;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, ops.state);
        }
    }
}

impl<B: KernelBackend, C: CheckpointStrategy> CotangentBackend for Autodiff<B, C> {
    fn pull_back(output: Tensor<Self, 2>, cotangent: Tensor<B, 2>) -> Tensor<Self, 1> {
        assert_eq!(output.dims(), cotangent.dims(), "pull_back: shapes");
        let zero = primitive(Tensor::<B, 1>::zeros([1], &cotangent.device()));
        let output = primitive(output);
        tensor(match PullBack.prepare::<C>([output.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(primitive(cotangent), zero),
            OpsKind::UnTracked(prepared) => prepared.finish(zero),
        })
    }

    fn is_tracked(tensor: &Tensor<Self, 2>) -> bool {
        primitive(tensor.clone()).is_tracked()
    }
}

/// Which gradients are wanted of an operation on edges, beside those of what nodes give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Those of what depends on nothing but the geometry.
    pub geometry: bool,
    /// Those of the weights.
    pub weights: bool,
}
