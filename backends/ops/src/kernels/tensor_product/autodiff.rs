//! The operation under autodiff: its gradients are the same operation, told of another slot that is missing.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::{Slot, Table};
use crate::dual::Dual;
use crate::kernels::KernelBackend;
use crate::outputs::{Handed, further, own_gradient, tracked_or_none};
use crate::primitive::{primitive, tensor};

#[derive(Debug)]
struct Product;

#[derive(Debug, Clone)]
struct Kept<B: Backend> {
    table: Arc<Table>,
    missing: Slot,
    factors: [Dual<B>; 3],
    shape: [usize; 2],
    to_tangent: Option<Handed<B>>,
}

/// Values of the factors, then their tangents.
const PARENTS: usize = 6;

impl<B: KernelBackend> Backward<B, PARENTS> for Product {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let value: Tensor<B, 2> = own_gradient(&ops, grads, ops.state.shape);
        let Kept { table, missing, factors, shape, to_tangent } = ops.state;
        let device = value.device();
        let tangent = to_tangent.map(|handed| handed.take_or_zeros(shape, &device));
        let gradient = Dual { value, tangent }.swapped();
        let factor = |name: Slot| {
            let place = missing.others().into_iter().position(|other| other == name);
            place.map_or_else(|| gradient.clone(), |k| factors[k].clone())
        };
        for (k, slot) in missing.others().into_iter().enumerate() {
            let [of_value, of_tangent] = [k, k + 3].map(|parent| ops.parents[parent].clone());
            if of_value.is_none() && of_tangent.is_none() {
                continue;
            }
            let others = slot.others().map(factor);
            let found = B::tensor_product(&table, slot, others).swapped();
            let gradients = [(of_value, Some(found.value)), (of_tangent, found.tangent)];
            for (parent, gradient) in gradients {
                if let (Some(parent), Some(gradient)) = (parent, gradient) {
                    grads.register::<B>(parent.id, primitive(gradient));
                }
            }
        }
    }
}

/// See [`KernelBackend::tensor_product`].
pub(in crate::kernels) fn tensor_product<B: KernelBackend, C: CheckpointStrategy>(
    table: &Arc<Table>,
    missing: Slot,
    factors: [Dual<Autodiff<B, C>>; 3],
) -> Dual<Autodiff<B, C>> {
    let device = factors[0].value.device();
    let values = factors.each_ref().map(|factor| primitive(factor.value.clone()));
    let tangents = factors.each_ref().map(|factor| tracked_or_none(factor.tangent.as_ref(), &device));
    let inner = factors.map(Dual::inner);
    let Dual { value, tangent } = B::tensor_product(table, missing, inner.clone());
    let to_tangent = tangent.as_ref().map(|_| Handed::new());
    let kept =
        Kept { table: table.clone(), missing, factors: inner, shape: value.dims(), to_tangent: to_tangent.clone() };
    let [a, b, c] = values.map(|input| input.node);
    let [x, y, z] = tangents.map(|input| input.node);
    let value = tensor(match Product.prepare::<C>([a, b, c, x, y, z]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(kept, primitive(value)),
        OpsKind::UnTracked(prepared) => prepared.finish(primitive(value)),
    });
    let tangent = tangent.zip(to_tangent).map(|(tangent, handed)| further(&value, tangent, handed));
    Dual { value, tangent }
}
