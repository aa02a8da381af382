//! Gradients of the weights, summed over the edges of a lane and then over the lanes.

use burn_flex::Flex;
use rayon::prelude::*;

use super::Host;
use crate::host::from_values;
use crate::host::matrix::CHUNK;
use crate::message::{GateInputs, WeightGradients};
use crate::simd;

/// Gradients of the gate's weights.
pub(super) struct GateSums {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) readout: Vec<f32>,
}

/// Gradients of all weights.
pub(super) struct WeightSums {
    pub(super) edge_weight: Vec<f32>,
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) gate: Option<GateSums>,
}

impl WeightSums {
    pub(super) fn new(host: &Host<'_>) -> Self {
        let (width, basis) = (host.width, host.basis);
        Self {
            edge_weight: vec![0.0; basis * width],
            weight: vec![0.0; width * width],
            bias: vec![0.0; width],
            gate: host.gate.as_ref().map(|_| GateSums {
                weight: vec![0.0; width * width],
                bias: vec![0.0; width],
                readout: vec![0.0; width],
            }),
        }
    }

    /// Adds those of a later lane.
    pub(super) fn add(&mut self, later: &Self) {
        simd::add(&mut self.edge_weight, &later.edge_weight);
        add_in_parallel(&mut self.weight, &later.weight);
        simd::add(&mut self.bias, &later.bias);
        if let (Some(own), Some(later)) = (&mut self.gate, &later.gate) {
            add_in_parallel(&mut own.weight, &later.weight);
            simd::add(&mut own.bias, &later.bias);
            simd::add(&mut own.readout, &later.readout);
        }
    }

    pub(super) fn into_gradients(self, host: &Host<'_>) -> WeightGradients<Flex> {
        let (width, basis) = (host.width, host.basis);
        WeightGradients {
            edge_weight: from_values(self.edge_weight, [basis, width]),
            weight: from_values(self.weight, [width, width]),
            bias: from_values(self.bias, [width]),
            gate: self.gate.map(|gate| GateInputs {
                weight: from_values(gate.weight, [width, width]),
                bias: from_values(gate.bias, [width]),
                readout: from_values(gate.readout, [width, 1]),
            }),
        }
    }
}

/// Adds the sums of a later lane, where there are any, to those of the lanes before.
pub(super) fn add_later(sums: &mut Option<WeightSums>, later: Option<WeightSums>) {
    match (sums, later) {
        (Some(sums), Some(later)) => sums.add(&later),
        (sums, Some(later)) => *sums = Some(later),
        (_, None) => {}
    }
}

fn add_in_parallel(sum: &mut [f32], part: &[f32]) {
    sum.par_chunks_mut(CHUNK).zip(part.par_chunks(CHUNK)).for_each(|(sum, part)| simd::add(sum, part));
}
