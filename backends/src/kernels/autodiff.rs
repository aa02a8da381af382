//! The operations under autodiff. Gathering and summing are each other's derivative; the slope of SiLU
//! is made of differentiable operations.

use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorPrimitive};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::KernelBackend;
use crate::index::Grouping;
use crate::primitive::{primitive, tensor};

#[derive(Debug)]
struct Silu<const R: usize>;

impl<B: KernelBackend, const R: usize> Backward<B, 1> for Silu<R> {
    type State = B::FloatTensorPrimitive;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            let found = B::silu_backward::<R>(tensor(ops.state), tensor(gradient));
            grads.register::<B>(parent.id, primitive(found));
        }
    }
}

#[derive(Debug)]
struct Gather;

impl<B: KernelBackend> Backward<B, 1> for Gather {
    type State = Grouping<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, primitive(B::sum_groups(&ops.state, tensor(gradient))));
        }
    }
}

#[derive(Debug)]
struct SumGroups;

impl<B: KernelBackend> Backward<B, 1> for SumGroups {
    type State = Grouping<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, primitive(B::gather(&ops.state, tensor(gradient))));
        }
    }
}

impl<B: KernelBackend, C: CheckpointStrategy> KernelBackend for Autodiff<B, C> {
    fn silu<const R: usize>(x: Tensor<Self, R>) -> Tensor<Self, R> {
        let x = primitive(x);
        let found = primitive(B::silu::<R>(tensor(x.primitive.clone())));
        let found = match Silu::<R>.prepare::<C>([x.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(x.primitive, found),
            OpsKind::UnTracked(prepared) => prepared.finish(found),
        };
        Tensor::from_primitive(TensorPrimitive::Float(found))
    }

    fn gather(grouping: &Grouping<Self>, values: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let (grouping, values) = (grouping.inner(), primitive(values));
        let found = primitive(B::gather(&grouping, tensor(values.primitive)));
        let found = match Gather.prepare::<C>([values.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(grouping, found),
            OpsKind::UnTracked(prepared) => prepared.finish(found),
        };
        Tensor::from_primitive(TensorPrimitive::Float(found))
    }

    fn sum_groups(grouping: &Grouping<Self>, rows: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let (grouping, rows) = (grouping.inner(), primitive(rows));
        let found = primitive(B::sum_groups(&grouping, tensor(rows.primitive)));
        let found = match SumGroups.prepare::<C>([rows.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(grouping, found),
            OpsKind::UnTracked(prepared) => prepared.finish(found),
        };
        Tensor::from_primitive(TensorPrimitive::Float(found))
    }
}
