//! The operation under autodiff: forward on the inner backend, keeping only its inputs; backward by the inner backend's own.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::{ConvolutionBackend, ConvolutionGradients, ConvolutionInputs};
use crate::dual::Dual;
use crate::gradient::Wanted;
use crate::index::EdgeIndex;
use crate::kernels::tensor_product::Table;
use crate::outputs::{Handed, further, own_gradient, tracked_or_none};
use crate::primitive::{primitive, tensor};

#[derive(Debug)]
struct Convolution;

/// What backward needs: the edges and the inputs.
#[derive(Debug, Clone)]
struct Kept<B: Backend> {
    table: Arc<Table>,
    edges: EdgeIndex<B>,
    inputs: ConvolutionInputs<B>,
    shape: [usize; 2],
    to_tangent: Option<Handed<B>>,
}

/// Nodes, directions and features, the tangents of the three, weights.
const PARENTS: usize = 7;

impl<B: ConvolutionBackend> Backward<B, PARENTS> for Convolution {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let value: Tensor<B, 2> = own_gradient(&ops, grads, ops.state.shape);
        let Kept { table, edges, inputs, shape, to_tangent } = ops.state;
        let tangent = to_tangent.map(|handed| handed.take_or_zeros(shape, &value.device()));
        let tracked = |parent: usize| ops.parents[parent].is_some();
        let wanted = Wanted { geometry: [1, 2, 4, 5].into_iter().any(tracked), weights: tracked(6) };
        let found = B::convolve_backward(&table, &edges, &inputs, Dual { value, tangent }, wanted);
        let ConvolutionGradients { nodes, geometry, weight } = found;
        let [directions, features] = geometry.map_or([None, None], |found| found.map(Some));
        let of = [Some(nodes), directions, features];
        let values = of.clone().map(|gradient| gradient.map(|gradient| gradient.value));
        let tangents = of.map(|gradient| gradient.and_then(|gradient| gradient.tangent));
        let gradients = values.into_iter().chain(tangents).chain([weight]);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, primitive(gradient));
            }
        }
    }
}

impl<B: ConvolutionBackend, C: CheckpointStrategy> ConvolutionBackend for Autodiff<B, C> {
    fn convolve(table: &Arc<Table>, edges: &EdgeIndex<Self>, inputs: &ConvolutionInputs<Self>) -> Dual<Self> {
        let device = inputs.weight.device();
        let three = [&inputs.nodes, &inputs.directions, &inputs.features];
        let [a, b, c] = three.map(|input| primitive(input.value.clone()).node);
        let [x, y, z] = three.map(|input| tracked_or_none(input.tangent.as_ref(), &device).node);
        let parents = [a, b, c, x, y, z, primitive(inputs.weight.clone()).node];
        let edges = edges.inner();
        let inputs = ConvolutionInputs {
            nodes: inputs.nodes.clone().inner(),
            directions: inputs.directions.clone().inner(),
            features: inputs.features.clone().inner(),
            weight: inputs.weight.clone().inner(),
        };
        let Dual { value, tangent } = B::convolve(table, &edges, &inputs);
        let to_tangent = tangent.as_ref().map(|_| Handed::new());
        let shape = value.dims();
        let kept = Kept { table: table.clone(), edges, inputs, shape, to_tangent: to_tangent.clone() };
        let value = tensor(match Convolution.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(kept, primitive(value)),
            OpsKind::UnTracked(prepared) => prepared.finish(primitive(value)),
        });
        let tangent = tangent.zip(to_tangent).map(|(tangent, handed)| further(&value, tangent, handed));
        Dual { value, tangent }
    }
}
