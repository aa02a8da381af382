//! The operation on the CPU: edge by edge in vector registers, lanes of edges side by side on rayon's threads. Lanes sum
//! into rows of their own, which are added in the order of the lanes; results are the same to the bit for any number of
//! threads.

mod backward;
mod forward;

use std::sync::Arc;

use burn::tensor::DType;
use burn_flex::Flex;
use pulp::Simd;

use super::{ConvolutionBackend, ConvolutionGradients, ConvolutionInputs, Sizes, reference};
use crate::dual::Dual;
use crate::gradient::Wanted;
use crate::host::{DualValues, Values};
use crate::index::EdgeIndex;
use crate::kernels::tensor_product::{Pairs, Slot, Table};
use crate::simd::lanes::{Lanes, Of, Place};

impl ConvolutionBackend for Flex {
    fn convolve(table: &Arc<Table>, edges: &EdgeIndex<Self>, inputs: &ConvolutionInputs<Self>) -> Dual<Self> {
        let sizes = Sizes::new(table, edges, inputs);
        if !is_fused(sizes, inputs) {
            return reference::convolve(table, edges, inputs);
        }
        let dual = inputs.is_dual();
        let read = Inputs::new(inputs, dual);
        if dual {
            forward::convolve(&Host::<2>::new(table, sizes, edges, &read))
        } else {
            forward::convolve(&Host::<1>::new(table, sizes, edges, &read))
        }
    }

    fn convolve_backward(
        table: &Arc<Table>,
        edges: &EdgeIndex<Self>,
        inputs: &ConvolutionInputs<Self>,
        gradient: Dual<Self>,
        wanted: Wanted,
    ) -> ConvolutionGradients<Self> {
        let sizes = Sizes::new(table, edges, inputs);
        if !is_fused(sizes, inputs) {
            return reference::convolve_backward(table, edges, inputs, gradient, wanted);
        }
        let dual = gradient.tangent.is_some();
        let read = Inputs::new(inputs, dual);
        if dual {
            backward::convolve_backward(&Host::<2>::new(table, sizes, edges, &read), gradient, wanted)
        } else {
            backward::convolve_backward(&Host::<1>::new(table, sizes, edges, &read), gradient, wanted)
        }
    }
}

/// Not where there are no edges, or the numbers are not in single precision.
fn is_fused(sizes: Sizes, inputs: &ConvolutionInputs<Flex>) -> bool {
    sizes.edges > 0 && sizes.channels > 0 && inputs.weight.dtype() == DType::F32
}

/// The inputs of the operation, in order in host memory.
struct Inputs {
    nodes: DualValues,
    directions: DualValues,
    features: DualValues,
    weight: Values,
}

impl Inputs {
    fn new(inputs: &ConvolutionInputs<Flex>, dual: bool) -> Self {
        Self {
            nodes: DualValues::new(&inputs.nodes, dual),
            directions: DualValues::new(&inputs.directions, dual),
            features: DualValues::new(&inputs.features, dual),
            weight: Values::new(&inputs.weight),
        }
    }
}

/// What lanes read; with D = 2 of values and tangents.
struct Host<'a, const D: usize> {
    table: &'a Table,
    sizes: Sizes,
    receivers: &'a [u32],
    senders: &'a [u32],
    nodes: Of<'a, D>,
    directions: Of<'a, D>,
    features: Of<'a, D>,
    weight: &'a [f32],
}

impl<'a, const D: usize> Host<'a, D> {
    fn new(table: &'a Table, sizes: Sizes, edges: &'a EdgeIndex<Flex>, inputs: &'a Inputs) -> Self {
        Self {
            table,
            sizes,
            receivers: &edges.receivers.host.group_of,
            senders: &edges.senders.host.group_of,
            nodes: inputs.nodes.get(),
            directions: inputs.directions.get(),
            features: inputs.features.get(),
            weight: inputs.weight.get(),
        }
    }

    /// Numbers of a row of nodes, and of a row of the result.
    fn columns(&self, slot: Slot) -> usize {
        self.table.size(slot) * self.sizes.channels
    }

    fn edge(&self, edge: usize) -> Edge<'_, D> {
        let (receiver, sender) = (self.receivers[edge] as usize, self.senders[edge] as usize);
        let nodes = self.columns(Slot::Second);
        Edge {
            receiver,
            sender,
            nodes: row(self.nodes, sender, nodes),
            directions: row(self.directions, edge, self.table.size(Slot::First)),
            features: row(self.features, edge, self.sizes.basis),
        }
    }
}

fn row<const D: usize>(all: Of<'_, D>, row: usize, columns: usize) -> Of<'_, D> {
    all.map(|all| &all[row * columns..][..columns])
}

/// What an edge reads.
struct Edge<'a, const D: usize> {
    receiver: usize,
    sender: usize,
    nodes: Of<'a, D>,
    directions: Of<'a, D>,
    features: Of<'a, D>,
}

impl<const D: usize> Edge<'_, D> {
    /// What Y makes of each pair of components: `sum_k coefficient_k Y[a_k]`.
    #[inline(always)]
    fn mix(&self, pairs: &Pairs, mixes: &mut [[f32; D]]) {
        let mut terms = pairs.terms.iter();
        for (mix, &(_, count)) in mixes.iter_mut().zip(&pairs.outs) {
            *mix = [0.0; D];
            for &(a, factor) in terms.by_ref().take(count as usize) {
                for (mix, directions) in mix.iter_mut().zip(&self.directions) {
                    *mix += factor * directions[a as usize];
                }
            }
        }
    }

    /// R of a path, `sum_n G[n] W[n, p]`, in some channels.
    #[inline(always)]
    fn radial<S: Simd, const U: usize>(&self, simd: S, host: &Host<'_, D>, path: u32, place: Place) -> Lanes<S, D, U> {
        let (paths, channels) = (host.columns(Slot::Path), host.sizes.channels);
        let mut radial = Lanes::zero(simd);
        for n in 0..host.sizes.basis {
            let start = n * paths + path as usize * channels + place.start;
            let weights = Lanes::<S, 1, U>::load(simd, &[host.weight], Place { start, ..place });
            radial.add_spread(simd, &weights, self.features.map(|features| features[n]));
        }
        radial
    }
}
