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
pub trait SeedBackend: AutodiffBackend {
    /// A zero `[1]`, from which `backward` gives `output` this gradient and what `output` depends on the
    /// gradients that follow; as `(output * gradient).sum()` would, without the passes over both.
    fn seed_gradient(output: Tensor<Self, 2>, gradient: Tensor<Self::InnerBackend, 2>) -> Tensor<Self, 1>;
}

#[derive(Debug)]
struct Seed;

impl<B: KernelBackend> Backward<B, 1> for Seed {
    type State = B::FloatTensorPrimitive;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, ops.state);
        }
    }
}

impl<B: KernelBackend, C: CheckpointStrategy> SeedBackend for Autodiff<B, C> {
    fn seed_gradient(output: Tensor<Self, 2>, gradient: Tensor<B, 2>) -> Tensor<Self, 1> {
        assert_eq!(output.dims(), gradient.dims(), "seed_gradient: shapes");
        let zero = primitive(Tensor::<B, 1>::zeros([1], &gradient.device()));
        let output = primitive(output);
        tensor(match Seed.prepare::<C>([output.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(primitive(gradient), zero),
            OpsKind::UnTracked(prepared) => prepared.finish(zero),
        })
    }
}
