//! Forward, edge by edge.

use std::ops::Range;

use burn_flex::Flex;
use pulp::Simd;
use rayon::prelude::*;

use super::{Edge, Host};
use crate::convolution::scratch::lanes;
use crate::dual::Dual;
use crate::host::dual_from_values;
use crate::host::parts::{Part, add_parts, on_pool};
use crate::kernels::tensor_product::Slot;
use crate::simd::lanes::{Into, Lanes, Place, places};

/// The result; with D = 2 of values and tangents.
pub(super) fn convolve<const D: usize>(host: &Host<'_, D>) -> Dual<Flex> {
    let columns = host.columns(Slot::Out);
    let arch = pulp::Arch::new();
    let ranges = lanes(host.sizes.edges);
    let run = |lane| arch.dispatch(Lane::<D> { host, lane });
    let lanes: Vec<[Part; D]> = on_pool(|| ranges.par_iter().map(run).collect());
    let mut found: [Vec<f32>; D] = std::array::from_fn(|_| vec![0.0; host.sizes.nodes * columns]);
    for (part, found) in found.iter_mut().enumerate() {
        add_parts(found, lanes.iter().map(|lane| &lane[part]), columns);
    }
    dual_from_values(found, [host.sizes.nodes, columns])
}

struct Lane<'a, const D: usize> {
    host: &'a Host<'a, D>,
    lane: &'a Range<usize>,
}

impl<const D: usize> pulp::WithSimd for Lane<'_, D> {
    type Output = [Part; D];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let Self { host, lane } = self;
        let columns = host.columns(Slot::Out);
        let mut found: [Part; D] = std::array::from_fn(|_| Part::among(&host.receivers[lane.clone()], columns));
        let pairs = host.table.pairs();
        let mut mixes = vec![[0.0; D]; pairs.outs.len()];
        for edge in lane.clone() {
            let edge = host.edge(edge);
            edge.mix(pairs, &mut mixes);
            let mut out = found.each_mut().map(|part| part.row(edge.receiver, columns));
            for place in places::<S>(host.sizes.channels) {
                if place.is_double::<S>() {
                    send::<S, D, 2>(simd, host, &edge, &mixes, &mut out, place);
                } else {
                    send::<S, D, 1>(simd, host, &edge, &mixes, &mut out, place);
                }
            }
        }
        found
    }
}

/// What an edge adds to its receiver in some channels.
#[inline(always)]
fn send<S: Simd, const D: usize, const U: usize>(
    simd: S,
    host: &Host<'_, D>,
    edge: &Edge<'_, D>,
    mixes: &[[f32; D]],
    out: &mut Into<'_, D>,
    place: Place,
) {
    let channels = host.sizes.channels;
    let at = |component: u32| Place { start: component as usize * channels + place.start, ..place };
    let pairs = host.table.pairs();
    let mut outs = pairs.outs.iter().zip(mixes);
    for groups in pairs.groups.chunk_by(|a, b| a.path == b.path) {
        let radial = edge.radial::<S, U>(simd, host, groups[0].path, place);
        for group in groups {
            let product = Lanes::product(simd, &radial, &Lanes::load(simd, &edge.nodes, at(group.second)));
            for (&(o, _), mix) in outs.by_ref().take(group.outs as usize) {
                let mut sum = Lanes::<S, D, U>::load(simd, &out.each_ref().map(|out| &**out), at(o));
                sum.add_scaled(simd, &product, *mix);
                sum.store(simd, out, at(o));
            }
        }
    }
}
