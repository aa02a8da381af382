//! The operations under autodiff. Gathering and summing are each other's derivative; those of a product are products.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorPrimitive};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::contraction::{Contraction, Order};
use super::mixing::{self, Mixing, Role};
use super::reference::silu_curvature;
use super::tensor_product::{self, Slot, Table};
use super::{EdgeFunction, KernelBackend, bound};
use crate::dual::Dual;
use crate::index::{EdgeIndex, Grouping};
use crate::primitive::{primitive, tensor};

#[derive(Debug)]
struct Matmul;

/// What the gradients of a product need: the other factor, where its own is asked for.
#[derive(Debug, Clone)]
struct Factors<P> {
    /// a, where b has a gradient.
    first: Option<P>,
    /// b, where a has one.
    second: Option<P>,
}

impl<B: KernelBackend> Backward<B, 2> for Matmul {
    type State = Factors<B::FloatTensorPrimitive>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient: Tensor<B, 2> = tensor(grads.consume::<B>(&ops.node));
        let [a, b] = ops.parents;
        if let Some((a, second)) = a.zip(ops.state.second) {
            let found = B::matmul(gradient.clone(), tensor::<B, 2>(second).transpose());
            grads.register::<B>(a.id, primitive(found));
        }
        if let Some((b, first)) = b.zip(ops.state.first) {
            grads.register::<B>(b.id, primitive(B::matmul_over_rows(tensor(first), gradient)));
        }
    }
}

#[derive(Debug)]
struct Contract;

impl<B: KernelBackend> Backward<B, 2> for Contract {
    type State = (Contraction, usize, Factors<B::FloatTensorPrimitive>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient: Tensor<B, 2> = tensor(grads.consume::<B>(&ops.node));
        let (contraction, axes, Factors { first, second }) = ops.state;
        let rules = contraction.gradients(axes).into_iter().zip([second, first]);
        for (parent, ((rule, order), factor)) in ops.parents.into_iter().zip(rules) {
            let (Some(parent), Some(factor)) = (parent, factor) else { continue };
            let found = match order {
                Order::Gradient => B::contract(rule, gradient.clone(), tensor(factor)),
                Order::Factor => B::contract(rule, tensor(factor), gradient.clone()),
            };
            grads.register::<B>(parent.id, primitive(found));
        }
    }
}

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

/// `gradient silu'(x)` of x and gradient, which is the tangent of SiLU.
#[derive(Debug)]
struct SiluSlope<const R: usize>;

impl<B: KernelBackend, const R: usize> Backward<B, 2> for SiluSlope<R> {
    type State = [B::FloatTensorPrimitive; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let found: Tensor<B, R> = tensor(grads.consume::<B>(&ops.node));
        let [of_x, of_gradient] = ops.parents;
        let [x, gradient] = ops.state.map(tensor::<B, R>);
        if let Some(parent) = of_x {
            let curved = silu_curvature(x.clone()) * gradient * found.clone();
            grads.register::<B>(parent.id, primitive(curved));
        }
        if let Some(parent) = of_gradient {
            grads.register::<B>(parent.id, primitive(B::silu_backward(x, found)));
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
    fn matmul(a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let (a, b) = (primitive(a), primitive(b));
        let (a_tracked, b_tracked) = (a.is_tracked(), b.is_tracked());
        let found = primitive(B::matmul(tensor(a.primitive.clone()), tensor(b.primitive.clone())));
        let found = match Matmul.prepare::<C>([a.node, b.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let factors =
                    Factors { first: b_tracked.then_some(a.primitive), second: a_tracked.then_some(b.primitive) };
                prepared.finish(factors, found)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(found),
        };
        Tensor::from_primitive(TensorPrimitive::Float(found))
    }

    fn contract(contraction: Contraction, a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let [axes, _] = contraction.sizes(a.dims()[1], b.dims()[1]);
        let (a, b) = (primitive(a), primitive(b));
        let (a_tracked, b_tracked) = (a.is_tracked(), b.is_tracked());
        let found = B::contract(contraction, tensor(a.primitive.clone()), tensor(b.primitive.clone()));
        let found = match Contract.prepare::<C>([a.node, b.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let factors =
                    Factors { first: b_tracked.then_some(a.primitive), second: a_tracked.then_some(b.primitive) };
                prepared.finish((contraction, axes, factors), primitive(found))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(primitive(found)),
        };
        Tensor::from_primitive(TensorPrimitive::Float(found))
    }

    fn tensor_product(table: &Arc<Table>, missing: Slot, factors: [Dual<Self>; 3]) -> Dual<Self> {
        tensor_product::autodiff::tensor_product(table, missing, factors)
    }

    fn mix(mixing: &Arc<Mixing>, missing: Role, a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        mixing::autodiff::mix(mixing, missing, a, b)
    }

    fn bound(components: usize, x: Dual<Self>) -> Dual<Self> {
        bound::autodiff::bound(components, x)
    }

    fn without_gradient<F: EdgeFunction>(
        function: F,
        inputs: Vec<Dual<Self>>,
        edges: &EdgeIndex<Self>,
    ) -> Vec<Dual<Self>> {
        let inner = inputs.into_iter().map(Dual::inner).collect();
        B::without_gradient(function, inner, &edges.inner()).into_iter().map(Dual::from_inner).collect()
    }

    fn silu<const R: usize>(x: Tensor<Self, R>) -> Tensor<Self, R> {
        let x = primitive(x);
        let found = primitive(B::silu::<R>(tensor(x.primitive.clone())));
        let found = match Silu::<R>.prepare::<C>([x.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(x.primitive, found),
            OpsKind::UnTracked(prepared) => prepared.finish(found),
        };
        Tensor::from_primitive(TensorPrimitive::Float(found))
    }

    fn silu_backward<const R: usize>(x: Tensor<Self, R>, gradient: Tensor<Self, R>) -> Tensor<Self, R> {
        let (x, gradient) = (primitive(x), primitive(gradient));
        let (x_here, gradient_here) = (x.primitive.clone(), gradient.primitive.clone());
        let found = primitive(B::silu_backward::<R>(tensor(x_here), tensor(gradient_here)));
        let found = match SiluSlope::<R>.prepare::<C>([x.node, gradient.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish([x.primitive, gradient.primitive], found),
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

    fn max_groups(grouping: &Grouping<Self>, rows: Tensor<Self, 2>) -> Tensor<Self, 2> {
        Tensor::from_inner(B::max_groups(&grouping.inner(), rows.inner()))
    }
}
