//! Backward, edge by edge. Gradients of values and tangents are treated as a dual number with the two in each other's place,
//! see [`Dual::swapped`].

use std::ops::Range;

use burn_flex::Flex;
use pulp::Simd;
use rayon::prelude::*;

use super::{Edge, Host, row};
use crate::convolution::ConvolutionGradients;
use crate::convolution::scratch::{self, TILE};
use crate::dual::Dual;
use crate::gradient::Wanted;
use crate::host::matrix::{Matrix, Old, product};
use crate::host::parts::{Part, add_parts, on_pool};
use crate::host::{DualValues, dual_from_values, from_values};
use crate::kernels::tensor_product::Slot;
use crate::simd;
use crate::simd::lanes::{Into, Lanes, Of, Place, places};

/// The gradients; with D = 2 of values and tangents.
pub(super) fn convolve_backward<const D: usize>(
    host: &Host<'_, D>,
    gradient: Dual<Flex>,
    wanted: Wanted,
) -> ConvolutionGradients<Flex> {
    let gradient = DualValues::new(&gradient.swapped(), D == 2);
    let [columns, paths] = [Slot::Second, Slot::Path].map(|slot| host.columns(slot));
    let (edges, first, basis) = (host.sizes.edges, host.table.size(Slot::First), host.sizes.basis);
    let arch = pulp::Arch::new();
    let ranges = scratch::lanes(edges);
    let run = |lane| arch.dispatch(Lane::<D> { host, gradient: gradient.get(), lane, wanted });
    let mut nodes: [Vec<f32>; D] = std::array::from_fn(|_| vec![0.0; host.sizes.nodes * columns]);
    let mut directions: [Vec<f32>; D] = std::array::from_fn(|_| Vec::new());
    let mut features = directions.clone();
    let mut weight = vec![0.0; if wanted.weights { basis * paths } else { 0 }];
    for group in ranges.chunks(scratch::group(rayon::current_num_threads())) {
        let lanes: Vec<LaneSums<D>> = on_pool(|| group.par_iter().map(run).collect());
        for (part, nodes) in nodes.iter_mut().enumerate() {
            add_parts(nodes, lanes.iter().map(|lane| &lane.nodes[part]), columns);
            lanes.iter().for_each(|lane| directions[part].extend(&lane.directions[part]));
            lanes.iter().for_each(|lane| features[part].extend(&lane.features[part]));
        }
        lanes.iter().for_each(|lane| simd::add(&mut weight, &lane.weight));
    }
    ConvolutionGradients {
        nodes: dual_from_values(nodes, [host.sizes.nodes, columns]).swapped(),
        geometry: wanted.geometry.then(|| {
            let [directions, features] = [(directions, first), (features, basis)]
                .map(|(found, columns)| dual_from_values(found, [edges, columns]).swapped());
            [directions, features]
        }),
        weight: wanted.weights.then(|| from_values(weight, [basis, paths])),
    }
}

struct LaneSums<const D: usize> {
    nodes: [Part; D],
    directions: [Vec<f32>; D],
    features: [Vec<f32>; D],
    weight: Vec<f32>,
}

struct Lane<'a, const D: usize> {
    host: &'a Host<'a, D>,
    gradient: Of<'a, D>,
    lane: &'a Range<usize>,
    wanted: Wanted,
}

impl<const D: usize> pulp::WithSimd for Lane<'_, D> {
    type Output = LaneSums<D>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let Self { host, gradient, lane, wanted } = self;
        let [nodes, out, paths] = [Slot::Second, Slot::Out, Slot::Path].map(|slot| host.columns(slot));
        let (first, basis) = (host.table.size(Slot::First), host.sizes.basis);
        let pairs = host.table.pairs();
        let mut mixes = vec![[0.0; D]; pairs.outs.len()];
        let mut to_mixes = vec![[simd.splat_f32s(0.0); D]; pairs.outs.len()];
        let mut to_radial: [Vec<f32>; D] = std::array::from_fn(|_| vec![0.0; TILE * paths]);
        let geometry = if wanted.geometry { lane.len() } else { 0 };
        let mut sums = LaneSums {
            nodes: std::array::from_fn(|_| Part::among(&host.senders[lane.clone()], nodes)),
            directions: std::array::from_fn(|_| vec![0.0; geometry * first]),
            features: std::array::from_fn(|_| vec![0.0; geometry * basis]),
            weight: vec![0.0; if wanted.weights { basis * paths } else { 0 }],
        };
        for start in lane.clone().step_by(TILE) {
            let tile = start..(start + TILE).min(lane.end);
            for (k, edge) in tile.clone().enumerate() {
                let number = edge - lane.start;
                let edge = host.edge(edge);
                edge.mix(pairs, &mut mixes);
                to_mixes.fill([simd.splat_f32s(0.0); D]);
                let work = Work { host, edge: &edge, mixes: &mixes, gradient: row(gradient, edge.receiver, out) };
                let mut to_nodes = sums.nodes.each_mut().map(|part| part.row(edge.sender, nodes));
                let mut to_radial = to_radial.each_mut().map(|rows| &mut rows[k * paths..][..paths]);
                for place in places::<S>(host.sizes.channels) {
                    if place.is_double::<S>() {
                        work.run::<S, 2>(simd, &mut to_nodes, &mut to_radial, &mut to_mixes, place);
                    } else {
                        work.run::<S, 1>(simd, &mut to_nodes, &mut to_radial, &mut to_mixes, place);
                    }
                }
                if wanted.geometry {
                    let to_directions = sums.directions.each_mut().map(|rows| &mut rows[number * first..][..first]);
                    for (part, to_directions) in to_directions.into_iter().enumerate() {
                        let mut terms = pairs.terms.iter();
                        for (to_mix, &(_, count)) in to_mixes.iter().zip(&pairs.outs) {
                            let to_mix = simd.reduce_sum_f32s(to_mix[part]);
                            for &(a, factor) in terms.by_ref().take(count as usize) {
                                to_directions[a as usize] += factor * to_mix;
                            }
                        }
                    }
                }
            }
            let (rows, number) = (tile.len(), tile.start - lane.start);
            for (part, to_radial) in to_radial.iter().enumerate() {
                let to_radial = Matrix::new(&to_radial[..rows * paths], rows, paths);
                if wanted.geometry {
                    let weight = Matrix::new(host.weight, basis, paths);
                    let target = &mut sums.features[part][number * basis..][..rows * basis];
                    product(target, to_radial, weight.t(), Old::Dropped);
                }
                if wanted.weights {
                    // The gradient of a tangent goes with the tangent.
                    let features = host.features[D - 1 - part];
                    let features = Matrix::new(&features[tile.start * basis..tile.end * basis], rows, basis);
                    product(&mut sums.weight, features.t(), to_radial, Old::Added);
                }
            }
        }
        sums
    }
}

/// What an edge is given.
struct Work<'a, const D: usize> {
    host: &'a Host<'a, D>,
    edge: &'a Edge<'a, D>,
    mixes: &'a [[f32; D]],
    /// The gradient of its receiver.
    gradient: Of<'a, D>,
}

impl<const D: usize> Work<'_, D> {
    /// Gradients of the sender, of R, and of the mixes of Y, lane by lane, in some channels.
    #[inline(always)]
    fn run<S: Simd, const U: usize>(
        &self,
        simd: S,
        to_nodes: &mut Into<'_, D>,
        to_radial: &mut Into<'_, D>,
        to_mixes: &mut [[S::f32s; D]],
        place: Place,
    ) {
        let Self { host, edge, .. } = self;
        let channels = host.sizes.channels;
        let at = |component: u32| Place { start: component as usize * channels + place.start, ..place };
        let pairs = host.table.pairs();
        let mut outs = pairs.outs.iter().zip(self.mixes).zip(to_mixes);
        for groups in pairs.groups.chunk_by(|a, b| a.path == b.path) {
            let path = groups[0].path;
            let radial = edge.radial::<S, U>(simd, host, path, place);
            let mut to_path = Lanes::<S, D, U>::zero(simd);
            for group in groups {
                let node = Lanes::load(simd, &edge.nodes, at(group.second));
                let both = Lanes::product(simd, &radial, &node);
                let mut to_both = Lanes::<S, D, U>::zero(simd);
                for ((&(o, _), mix), to_mix) in outs.by_ref().take(group.outs as usize) {
                    let gradient = Lanes::load(simd, &self.gradient, at(o));
                    to_both.add_scaled(simd, &gradient, *mix);
                    both.dot_into(simd, &gradient, to_mix);
                }
                Lanes::product(simd, &radial, &to_both).add_into(simd, to_nodes, at(group.second));
                to_path.add_product(simd, &node, &to_both);
            }
            to_path.store(simd, to_radial, at(path));
        }
    }
}
