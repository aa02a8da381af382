//! Forward, tile by tile.

use std::ops::Range;

use burn_flex::Flex;
use rayon::prelude::*;

use super::{DualHost, halves};
use crate::host::from_values;
use crate::host::matrix::{Matrix, Old, product};
use crate::host::parts::{Part, add_parts, on_pool, with_scratch};
use crate::message::{DualOutputs, MessageOutputs};
use crate::simd;

/// Outputs of one lane, values and tangents.
struct LaneOutputs {
    gathered: [Part; 2],
    gates: [Vec<f32>; 2],
}

/// Sums of messages, gates, and the tangents of both.
pub(in crate::message::flex) fn message_dual(host: &DualHost<'_>) -> DualOutputs<Flex> {
    let (nodes, width, count) = (host.primal.nodes, host.primal.width, host.primal.count());
    let arch = pulp::Arch::new();
    let run = |lane| with_scratch(host.buffer(), |buffers| arch.dispatch(Lane { host, lane, buffers }));
    let ranges = host.primal.lanes();
    let lanes: Vec<LaneOutputs> = on_pool(|| ranges.par_iter().map(run).collect());
    let [primal, tangent] = [0, 1].map(|part| {
        let mut gathered = vec![0.0; nodes * width];
        add_parts(&mut gathered, lanes.iter().map(|lane| &lane.gathered[part]), width);
        let gates = host.primal.gate.as_ref().map(|_| {
            let gates = lanes.iter().flat_map(|lane| &lane.gates[part]).copied().collect();
            from_values(gates, [count, 1])
        });
        MessageOutputs { gathered: from_values(gathered, [nodes, width]), gates }
    });
    DualOutputs { primal, tangent }
}

/// The work on one lane. A type and not a closure, because a closure would not be compiled for the
/// vectors of the CPU.
struct Lane<'a> {
    host: &'a DualHost<'a>,
    lane: &'a Range<usize>,
    buffers: [&'a mut [f32]; 2],
}

impl pulp::WithSimd for Lane<'_> {
    type Output = LaneOutputs;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> Self::Output {
        lane_forward(self.host, self.lane, self.buffers)
    }
}

#[inline(always)]
fn lane_forward(host: &DualHost<'_>, lane: &Range<usize>, [first, second]: [&mut [f32]; 2]) -> LaneOutputs {
    let primal = &host.primal;
    let width = primal.width;
    let mut gathered = [(); 2].map(|()| Part::among(&primal.receivers[lane.clone()], width));
    let mut gates = [Vec::new(), Vec::new()];
    for tile in host.tiles(lane) {
        let size = 2 * tile.len() * width;
        let (first, second) = (&mut first[..size], &mut second[..size]);
        host.preactivations(&tile, first);
        let (values, tangents) = halves(first);
        simd::dual::silu(values, tangents);
        product(second, Matrix::rows(&*first, width), Matrix::rows(primal.weight.get(), width), Old::Dropped);
        let (values, tangents) = halves(second);
        let rows = values.chunks_exact_mut(width).zip(tangents.chunks_exact_mut(width));
        for ((value, tangent), edge) in rows.zip(tile) {
            simd::dual::biased_silu(value, tangent, primal.bias.get(), host.envelope(edge));
            let node = primal.receivers[edge] as usize;
            simd::add(gathered[0].row(node, width), value);
            simd::add(gathered[1].row(node, width), tangent);
        }
        if let Some(gate) = &primal.gate {
            product(first, Matrix::rows(&*second, width), Matrix::rows(gate.weight.get(), width), Old::Dropped);
            let (values, tangents) = halves(first);
            for (value, tangent) in values.chunks_exact_mut(width).zip(tangents.chunks_exact_mut(width)) {
                simd::dual::biased_silu(value, tangent, gate.bias.get(), [1.0, 0.0]);
                gates[0].push(simd::dot(value, gate.readout.get()));
                gates[1].push(simd::dot(tangent, gate.readout.get()));
            }
        }
    }
    LaneOutputs { gathered, gates }
}
