//! The operation under autodiff: its gradients are the same operation, told of another role that is missing.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::{Mixing, Role};
use crate::kernels::KernelBackend;
use crate::primitive::{primitive, tensor};

#[derive(Debug)]
struct Mix;

#[derive(Debug, Clone)]
struct Kept<P> {
    mixing: Arc<Mixing>,
    missing: Role,
    /// Each where the other has a gradient.
    factors: [Option<P>; 2],
}

impl<B: KernelBackend> Backward<B, 2> for Mix {
    type State = Kept<B::FloatTensorPrimitive>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient: Tensor<B, 2> = tensor(grads.consume::<B>(&ops.node));
        let Kept { mixing, missing, factors: [a, b] } = ops.state;
        let [first, second] = missing.others();
        let [of_a, of_b] = ops.parents;
        for (parent, role, other) in [(of_a, first, (second, b)), (of_b, second, (first, a))] {
            let (Some(parent), (other, Some(factor))) = (parent, other) else { continue };
            let factor = tensor::<B, 2>(factor);
            let in_order = role.others() == [other, missing];
            let (a, b) = if in_order { (factor, gradient.clone()) } else { (gradient.clone(), factor) };
            grads.register::<B>(parent.id, primitive(B::mix(&mixing, role, a, b)));
        }
    }
}

/// See [`KernelBackend::mix`].
pub(in crate::kernels) fn mix<B: KernelBackend, C: CheckpointStrategy>(
    mixing: &Arc<Mixing>,
    missing: Role,
    a: Tensor<Autodiff<B, C>, 2>,
    b: Tensor<Autodiff<B, C>, 2>,
) -> Tensor<Autodiff<B, C>, 2> {
    let (a, b) = (primitive(a), primitive(b));
    let (a_tracked, b_tracked) = (a.is_tracked(), b.is_tracked());
    let found = B::mix(mixing, missing, tensor(a.primitive.clone()), tensor(b.primitive.clone()));
    tensor(match Mix.prepare::<C>([a.node, b.node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let factors = [b_tracked.then_some(a.primitive), a_tracked.then_some(b.primitive)];
            prepared.finish(Kept { mixing: mixing.clone(), missing, factors }, primitive(found))
        }
        OpsKind::UnTracked(prepared) => prepared.finish(primitive(found)),
    })
}
