//! The operation under autodiff, value and tangent at once.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::dual::Dual;
use crate::kernels::KernelBackend;
use crate::outputs::{Handed, further, own_gradient, tracked_or_none};
use crate::primitive::{primitive, tensor};

#[derive(Debug)]
struct Bound;

#[derive(Debug, Clone)]
struct Kept<B: Backend> {
    components: usize,
    x: Dual<B>,
    to_tangent: Option<Handed<B>>,
}

impl<B: KernelBackend> Backward<B, 2> for Bound {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let shape = ops.state.x.value.dims();
        let value: Tensor<B, 2> = own_gradient(&ops, grads, shape);
        let Kept { components, x, to_tangent } = ops.state;
        let device = value.device();
        let tangent = to_tangent.map(|handed| handed.take_or_zeros(shape, &device));
        let found = B::bound_backward(components, x, Dual { value, tangent });
        for (parent, gradient) in ops.parents.into_iter().zip([Some(found.value), found.tangent]) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, primitive(gradient));
            }
        }
    }
}

/// See [`KernelBackend::bound`].
pub(in crate::kernels) fn bound<B: KernelBackend, C: CheckpointStrategy>(
    components: usize,
    x: Dual<Autodiff<B, C>>,
) -> Dual<Autodiff<B, C>> {
    let of_value = primitive(x.value.clone()).node;
    let of_tangent = tracked_or_none(x.tangent.as_ref(), &x.value.device()).node;
    let x = x.inner();
    let Dual { value, tangent } = B::bound(components, x.clone());
    let to_tangent = tangent.as_ref().map(|_| Handed::new());
    let kept = Kept { components, x, to_tangent: to_tangent.clone() };
    let value = tensor(match Bound.prepare::<C>([of_value, of_tangent]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(kept, primitive(value)),
        OpsKind::UnTracked(prepared) => prepared.finish(primitive(value)),
    });
    let tangent = tangent.zip(to_tangent).map(|(tangent, handed)| further(&value, tangent, handed));
    Dual { value, tangent }
}
