//! Forward, tile by tile.

use std::ops::Range;

use burn_flex::Flex;
use rayon::prelude::*;

use super::{Host, tiles};
use crate::host::from_values;
use crate::host::matrix::{Matrix, Old, product};
use crate::host::parts::{Part, add_parts, on_pool, with_scratch};
use crate::message::MessageOutputs;
use crate::simd;

/// Sums of messages, and gates, of all edges.
pub(super) fn message(host: &Host<'_>) -> MessageOutputs<Flex> {
    let (width, nodes, count) = (host.width, host.nodes, host.count());
    let arch = pulp::Arch::new();
    let run = |lane| with_scratch(host.tile() * width, |buffers| arch.dispatch(Lane { host, lane, buffers }));
    let ranges = host.lanes();
    let lanes: Vec<(Part, Vec<f32>)> = on_pool(|| ranges.par_iter().map(run).collect());
    let mut gathered = vec![0.0; nodes * width];
    let mut gates = Vec::with_capacity(if host.gate.is_some() { count } else { 0 });
    add_parts(&mut gathered, lanes.iter().map(|(part, _)| part), width);
    for (_, own) in lanes {
        gates.extend(own);
    }
    MessageOutputs {
        gathered: from_values(gathered, [nodes, width]),
        gates: host.gate.is_some().then(|| from_values(gates, [count, 1])),
    }
}

/// The work on one lane. A type and not a closure, because a closure would not be compiled for the
/// vectors of the CPU.
struct Lane<'a> {
    host: &'a Host<'a>,
    lane: &'a Range<usize>,
    buffers: [&'a mut [f32]; 2],
}

impl pulp::WithSimd for Lane<'_> {
    type Output = (Part, Vec<f32>);

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> Self::Output {
        lane_forward(self.host, self.lane, self.buffers)
    }
}

#[inline(always)]
fn lane_forward(host: &Host<'_>, lane: &Range<usize>, [first, second]: [&mut [f32]; 2]) -> (Part, Vec<f32>) {
    let width = host.width;
    let mut part = Part::among(&host.receivers[lane.clone()], width);
    let mut gates = Vec::new();
    for tile in tiles(lane, host.tile()) {
        let size = tile.len() * width;
        let (first, second) = (&mut first[..size], &mut second[..size]);
        preactivations(host, &host.first(), &tile, first);
        simd::silu_all(first);
        product(second, Matrix::rows(&*first, width), Matrix::rows(host.weight.get(), width), Old::Dropped);
        for (row, edge) in second.chunks_exact_mut(width).zip(tile.clone()) {
            simd::biased_silu(row, host.bias.get(), host.envelope(edge));
            simd::add(part.row(host.receivers[edge] as usize, width), row);
        }
        if let Some(gate) = &host.gate {
            product(first, Matrix::rows(&*second, width), Matrix::rows(gate.weight.get(), width), Old::Dropped);
            for row in first.chunks_exact_mut(width) {
                simd::biased_silu(row, gate.bias.get(), 1.0);
                gates.push(simd::dot(row, gate.readout.get()));
            }
        }
    }
    (part, gates)
}

/// What `a1` is computed of: values, or their tangents.
pub(super) struct First<'a> {
    /// `P`.
    pub(super) receiver: &'a [f32],
    /// `Q`.
    pub(super) sender: &'a [f32],
    /// `G`; zero where there is none.
    pub(super) features: Option<&'a [f32]>,
}

/// `P[i] + Q[j] + G[e] W_g` for the edges of a tile.
#[inline(always)]
pub(super) fn preactivations(host: &Host<'_>, first: &First<'_>, tile: &Range<usize>, rows: &mut [f32]) {
    let (width, basis) = (host.width, host.basis);
    for (row, edge) in rows.chunks_exact_mut(width).zip(tile.clone()) {
        let p = &first.receiver[host.receivers[edge] as usize * width..][..width];
        let q = &first.sender[host.senders[edge] as usize * width..][..width];
        for ((x, p), q) in row.iter_mut().zip(p).zip(q) {
            *x = p + q;
        }
    }
    let Some(features) = first.features else { return };
    let features = &features[tile.start * basis..tile.end * basis];
    if basis == 1 {
        for (row, &feature) in rows.chunks_exact_mut(width).zip(features) {
            simd::add_scaled(row, feature, host.edge_weight.get());
        }
    } else if basis > 1 {
        let features = Matrix::new(features, tile.len(), basis);
        product(rows, features, Matrix::new(host.edge_weight.get(), basis, width), Old::Added);
    }
}
