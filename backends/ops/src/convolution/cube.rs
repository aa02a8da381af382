//! The operation on wgpu and CUDA, from one source. Forward and for the gradients of nodes, a unit for each node and vector of
//! channels goes through its edges; for all other gradients, a row of units for each edge of a tile goes through the
//! channels. There are no atomics, and tiles run one after the other, so results are the same each time.
#![allow(unsafe_code, reason = "kernels check their bounds themselves; `Device` checks the shapes")]

mod kernels;

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeRuntime};
use cubecl::{CubeDim, calculate_cube_count_elemwise};

use self::kernels::{LANES, ROWS};
use super::{ConvolutionBackend, ConvolutionGradients, ConvolutionInputs, Sizes, reference, scratch};
use crate::cube::products::{matmul, matmul_over_rows};
use crate::cube::{
    Cube, addresses, buffer, dual_buffers, dual_tensor, elementwise, empty_dual, integers, upload, vector_size,
};
use crate::dual::Dual;
use crate::gradient::Wanted;
use crate::index::{EdgeIndex, Grouping};
use crate::kernels::tensor_product::{Pairs, Slot, Table, Term};

impl<R: CubeRuntime, BT: BoolElement> ConvolutionBackend for CubeBackend<R, f32, i32, BT> {
    fn convolve(table: &Arc<Table>, edges: &EdgeIndex<Self>, inputs: &ConvolutionInputs<Self>) -> Dual<Self> {
        let sizes = Sizes::new(table, edges, inputs);
        let Some(device) = Device::new(sizes, inputs) else {
            return reference::convolve(table, edges, inputs);
        };
        let ends = Ends { receivers: &edges.receivers, senders: &edges.senders };
        device.carry(ends, &inputs.nodes, table.pairs(), [Slot::Second, Slot::Out].map(|slot| table.size(slot)))
    }

    fn convolve_backward(
        table: &Arc<Table>,
        edges: &EdgeIndex<Self>,
        inputs: &ConvolutionInputs<Self>,
        gradient: Dual<Self>,
        wanted: Wanted,
    ) -> ConvolutionGradients<Self> {
        let sizes = Sizes::new(table, edges, inputs);
        let Some(device) = Device::new(sizes, inputs) else {
            return reference::convolve_backward(table, edges, inputs, gradient, wanted);
        };
        let gradient = gradient.swapped();
        // Edges the other way round, and so the terms.
        let ends = Ends { receivers: &edges.senders, senders: &edges.receivers };
        let reversed: Vec<Term> = table.terms().iter().map(reversed).collect();
        let components = [Slot::Out, Slot::Second].map(|slot| table.size(slot));
        let nodes = device.carry(ends, &gradient, &Pairs::new(&reversed), components).swapped();
        let mut found = ConvolutionGradients { nodes, geometry: None, weight: None };
        if wanted.geometry || wanted.weights {
            device.edges(table, edges, inputs, &gradient, wanted, &mut found);
        }
        found
    }
}

/// A term with the second factor and the result in each other's place.
fn reversed(term: &Term) -> Term {
    let [path, first, second, out] = term.at;
    Term { at: [path, first, out, second], ..*term }
}

/// Who sums, and whose features are read.
struct Ends<'a, R: CubeRuntime, BT: BoolElement> {
    receivers: &'a Grouping<Cube<R, BT>>,
    senders: &'a Grouping<Cube<R, BT>>,
}

/// What all kernels read.
struct Device<R: CubeRuntime> {
    sizes: Sizes,
    directions: [CubeTensor<R>; 2],
    features: [CubeTensor<R>; 2],
    weight: CubeTensor<R>,
    /// Whether directions and features have tangents.
    moves: [bool; 2],
}

/// The terms in the order in which kernels read them: for each path it and its number of groups; for each group its component
/// of the second factor and its number of results; for each of these its component and its number of terms; for each term
/// its component of the first factor, and the bits of its coefficient.
fn numbers(pairs: &Pairs) -> (usize, Vec<i32>) {
    let (mut outs, mut terms) = (pairs.outs.iter(), pairs.terms.iter());
    let mut numbers = Vec::new();
    let paths = pairs.groups.chunk_by(|a, b| a.path == b.path);
    for groups in paths.clone() {
        numbers.extend([groups[0].path, groups.len() as u32]);
        for group in groups {
            numbers.extend([group.second, group.outs]);
            for &(out, count) in outs.by_ref().take(group.outs as usize) {
                numbers.extend([out, count]);
                let terms = terms.by_ref().take(count as usize);
                numbers.extend(terms.flat_map(|&(first, factor)| [first, factor.to_bits()]));
            }
        }
    }
    (paths.count(), numbers.into_iter().map(u32::cast_signed).collect())
}

impl<R: CubeRuntime> Device<R> {
    /// `None` where nothing is carried.
    fn new<BT: BoolElement>(sizes: Sizes, inputs: &ConvolutionInputs<Cube<R, BT>>) -> Option<Self> {
        let Sizes { nodes, edges, channels, basis } = sizes;
        let columns = [&inputs.nodes, &inputs.directions].map(|input| input.value.dims()[1]);
        if [nodes, edges, channels, basis, columns[0], columns[1]].contains(&0) {
            return None;
        }
        Some(Self {
            sizes,
            directions: dual_buffers(&inputs.directions),
            features: dual_buffers(&inputs.features),
            weight: buffer(inputs.weight.clone()),
            moves: [&inputs.directions, &inputs.features].map(|input| input.tangent.is_some()),
        })
    }

    /// What each node sums up of the features of those that its edges go to, `[N, out C]`.
    fn carry<BT: BoolElement>(
        &self,
        ends: Ends<'_, R, BT>,
        features: &Dual<Cube<R, BT>>,
        pairs: &Pairs,
        [second, out]: [usize; 2],
    ) -> Dual<Cube<R, BT>> {
        let Sizes { nodes, channels, basis, .. } = self.sizes;
        let moves = features.tangent.is_some();
        let moved = moves || self.moves.contains(&true);
        let [read, read_moved] = dual_buffers(features);
        let [found, found_moved] = empty_dual(&read, [nodes, out * channels], moved);
        if out == 0 {
            return dual_tensor([found, found_moved], moved);
        }
        let size = vector_size(channels);
        let columns = channels / size;
        let units = nodes * columns;
        let (count, dim) = elementwise(&read.client, units);
        let offsets = integers(&ends.receivers.offsets);
        let order = ends.receivers.order.as_ref().map_or_else(|| offsets.clone(), integers);
        let (paths, numbers) = numbers(pairs);
        let [first, all] = [&self.directions[0], &self.weight].map(|buffer| buffer.meta.shape()[1]);
        // SAFETY: units beyond the nodes stop; `EdgeIndex` has checked edges and nodes, `Table` the components.
        unsafe {
            kernels::carry::launch_unchecked::<R>(
                &found.client,
                count,
                dim,
                addresses(&[&read, &found, &self.directions[0], &self.features[0], &self.weight]),
                size,
                read.clone().into_array_arg(),
                read_moved.into_array_arg(),
                self.directions[0].clone().into_array_arg(),
                self.directions[1].clone().into_array_arg(),
                self.features[0].clone().into_array_arg(),
                self.features[1].clone().into_array_arg(),
                self.weight.clone().into_array_arg(),
                upload::<R, BT>(numbers, &read).into_array_arg(),
                offsets.into_array_arg(),
                order.into_array_arg(),
                integers(&ends.senders.group_of).into_array_arg(),
                found.clone().into_array_arg(),
                found_moved.clone().into_array_arg(),
                units,
                columns,
                basis,
                paths,
                all / size,
                first,
                second,
                out,
                ends.receivers.order.is_some(),
                moves,
                self.moves[0],
                self.moves[1],
            );
        }
        dual_tensor([found, found_moved], moved)
    }

    /// Gradients of directions, radial features and weights, tile by tile.
    fn edges<BT: BoolElement>(
        &self,
        table: &Table,
        edges: &EdgeIndex<Cube<R, BT>>,
        inputs: &ConvolutionInputs<Cube<R, BT>>,
        gradient: &Dual<Cube<R, BT>>,
        wanted: Wanted,
        found: &mut ConvolutionGradients<Cube<R, BT>>,
    ) {
        let Sizes { edges: count, channels, .. } = self.sizes;
        let moved = gradient.tangent.is_some();
        let columns = table.size(Slot::Path) * channels;
        let first = table.size(Slot::First);
        let to_directions = empty_dual(&self.weight, [if wanted.geometry { count } else { 1 }, first], moved);
        let (runs, numbers) = numbers(table.pairs());
        let work = Edges {
            device: self,
            nodes: dual_buffers(&inputs.nodes),
            gradient: dual_buffers(gradient),
            ends: [&edges.receivers, &edges.senders].map(|ends| integers(&ends.group_of)),
            runs,
            numbers: upload::<R, BT>(numbers, &self.weight),
            to_directions: to_directions.clone(),
            moved,
            moves: inputs.nodes.tangent.is_some(),
            geometry: wanted.geometry,
        };
        let mut to_features = Vec::new();
        for tile in scratch::tiles(self.weight.client.properties().memory.max_page_size, count, columns, moved) {
            let to_radial = work.run::<BT>(table, &tile);
            if wanted.geometry {
                let weight = inputs.weight.clone().transpose();
                to_features.push(to_radial.clone().map(|to_radial| matmul(to_radial, weight.clone())));
            }
            if wanted.weights {
                let own = inputs.features.clone().map(|features| features.slice([tile.clone()]));
                let product = own.times(&to_radial, matmul_over_rows);
                // Weights have no tangent: their gradient is that part of the product which has all of either.
                let part = product.tangent.unwrap_or(product.value);
                found.weight = Some(match found.weight.take() {
                    Some(sum) => sum + part,
                    None => part,
                });
            }
        }
        found.geometry = wanted.geometry.then(|| {
            let (values, tangents): (Vec<_>, Vec<_>) =
                to_features.into_iter().map(|tile| (tile.value, tile.tangent)).unzip();
            let tangents: Vec<_> = tangents.into_iter().flatten().collect();
            let features = Dual { value: Tensor::cat(values, 0), tangent: moved.then(|| Tensor::cat(tangents, 0)) };
            [dual_tensor(to_directions, moved), features].map(Dual::swapped)
        });
    }
}

/// What gradients of edges are made of.
struct Edges<'a, R: CubeRuntime> {
    device: &'a Device<R>,
    nodes: [CubeTensor<R>; 2],
    gradient: [CubeTensor<R>; 2],
    /// Receivers and senders.
    ends: [CubeTensor<R>; 2],
    /// Paths that have terms.
    runs: usize,
    /// The terms.
    numbers: CubeTensor<R>,
    to_directions: [CubeTensor<R>; 2],
    /// Whether gradients have tangents.
    moved: bool,
    /// Whether nodes have.
    moves: bool,
    geometry: bool,
}

impl<R: CubeRuntime> Edges<'_, R> {
    /// Gradients of R, `[tile, paths C]`; those of directions are written where they belong.
    fn run<BT: BoolElement>(&self, table: &Table, tile: &Range<usize>) -> Dual<Cube<R, BT>> {
        let Sizes { channels, basis, .. } = self.device.sizes;
        let [paths, first, second, out] = Slot::ALL.map(|slot| table.size(slot));
        let client = &self.numbers.client;
        let shape = [tile.len(), paths * channels];
        // A path without terms has a gradient of zero.
        let zeros = |shape: [usize; 2]| buffer(Tensor::<Cube<R, BT>, 2>::zeros(shape, &self.numbers.device));
        let to_radial = if self.runs == paths {
            empty_dual(&self.device.weight, shape, self.moved)
        } else {
            [zeros(shape), zeros(if self.moved { shape } else { [1, 1] })]
        };
        let dim = CubeDim::new_2d(LANES as u32, ROWS as u32);
        let count = calculate_cube_count_elemwise(client, tile.len() * LANES, dim);
        let Device { directions, features, weight, moves, .. } = self.device;
        // SAFETY: rows beyond the tile write nothing; edges, nodes and components are within their buffers.
        unsafe {
            kernels::edges::launch_unchecked::<R>(
                client,
                count,
                dim,
                addresses(&[&self.nodes[0], &directions[0], &features[0], weight, &self.gradient[0], &to_radial[0]]),
                self.nodes[0].clone().into_array_arg(),
                self.nodes[1].clone().into_array_arg(),
                directions[0].clone().into_array_arg(),
                directions[1].clone().into_array_arg(),
                features[0].clone().into_array_arg(),
                features[1].clone().into_array_arg(),
                weight.clone().into_array_arg(),
                self.gradient[0].clone().into_array_arg(),
                self.gradient[1].clone().into_array_arg(),
                self.numbers.clone().into_array_arg(),
                self.ends[0].clone().into_array_arg(),
                self.ends[1].clone().into_array_arg(),
                to_radial[0].clone().into_array_arg(),
                to_radial[1].clone().into_array_arg(),
                self.to_directions[0].clone().into_array_arg(),
                self.to_directions[1].clone().into_array_arg(),
                tile.start,
                tile.len(),
                channels,
                basis,
                self.runs,
                paths,
                second,
                out,
                first,
                self.moved,
                self.moves,
                moves[0],
                moves[1],
                self.geometry,
            );
        }
        dual_tensor(to_radial, self.moved)
    }
}
