//! Backward, tile by tile: the tile is computed again, then its gradients.

use std::ops::Range;

use burn_flex::Flex;
use rayon::prelude::*;

use super::{DualHost, halves};
use crate::host::matrix::{Matrix, Old, product, transposed};
use crate::host::parts::{Part, add_parts, on_pool, with_scratch};
use crate::host::{Values, from_values};
use crate::message::flex::HostGate;
use crate::message::flex::sums::{GateSums, WeightSums, add_later};
use crate::message::{DualGradients, DualOutputs, MessageGradients, MessageTangents, Wanted};
use crate::simd;

/// Gradients of one lane, of values and of tangents, to be added to those of the others.
struct LaneSums {
    receiver: [Part; 2],
    sender: [Part; 2],
    features: [Vec<f32>; 2],
    envelope: [Vec<f32>; 2],
    weights: Option<WeightSums>,
}

impl LaneSums {
    fn new(host: &DualHost<'_>, lane: &Range<usize>, wanted: Wanted) -> Self {
        let (primal, width) = (&host.primal, host.primal.width);
        let features = |there: bool| vec![0.0; if wanted.geometry && there { lane.len() * primal.basis } else { 0 }];
        Self {
            receiver: [(); 2].map(|()| Part::among(&primal.receivers[lane.clone()], width)),
            sender: [(); 2].map(|()| Part::among(&primal.senders[lane.clone()], width)),
            features: [true, host.features.is_some()].map(features),
            envelope: [Vec::new(), Vec::new()],
            weights: wanted.weights.then(|| WeightSums::new(primal)),
        }
    }
}

/// Gradients of all inputs.
pub(in crate::message::flex) fn message_dual_backward(
    host: &DualHost<'_>,
    outputs: DualOutputs<Flex>,
    wanted: Wanted,
) -> DualGradients<Flex> {
    let primal = &host.primal;
    let (width, basis, nodes, count) = (primal.width, primal.basis, primal.nodes, primal.count());
    let outputs = [outputs.primal, outputs.tangent];
    let gathered = outputs.each_ref().map(|outputs| Values::new(&outputs.gathered));
    let gates = outputs.each_ref().map(|outputs| outputs.gates.as_ref().map(Values::new));
    let gathered = gathered.each_ref().map(Values::get);
    let gates = match gates.each_ref().map(|gates| gates.as_ref().map(Values::get)) {
        [Some(value), Some(tangent)] => Some([value, tangent]),
        _ => None,
    };
    // Products read rows faster than columns.
    let weight = transposed(primal.weight.get(), width);
    let gate_weight = primal.gate.as_ref().map_or_else(Vec::new, |gate| transposed(gate.weight.get(), width));
    let transposes = [weight.as_slice(), &gate_weight];
    let arch = pulp::Arch::new();
    let run = |lane| {
        with_scratch(host.buffer(), |buffers| {
            arch.dispatch(Lane { host, lane, gathered, gates, transposes, wanted, buffers })
        })
    };
    let [mut receiver, mut sender] = [(); 2].map(|()| [(); 2].map(|()| vec![0.0; nodes * width]));
    let [mut features, mut envelope] = [(); 2].map(|()| [Vec::new(), Vec::new()]);
    let mut weights = None;
    // Not all lanes at once: each may hold gradients of all weights. They are added in their order, so that
    // how many run together changes no bit.
    for group in primal.lanes().chunks(2 * rayon::current_num_threads()) {
        let lanes: Vec<LaneSums> = on_pool(|| group.par_iter().map(run).collect());
        for part in 0..2 {
            add_parts(&mut receiver[part], lanes.iter().map(|lane| &lane.receiver[part]), width);
            add_parts(&mut sender[part], lanes.iter().map(|lane| &lane.sender[part]), width);
        }
        for mut lane in lanes {
            for part in 0..2 {
                features[part].append(&mut lane.features[part]);
                envelope[part].append(&mut lane.envelope[part]);
            }
            add_later(&mut weights, lane.weights);
        }
    }
    let [receiver, receiver_moved] = receiver.map(|values| from_values(values, [nodes, width]));
    let [sender, sender_moved] = sender.map(|values| from_values(values, [nodes, width]));
    let [features, features_moved] = features.map(|values| wanted.geometry.then_some(values));
    let [envelope, envelope_moved] = envelope.map(|values| wanted.geometry.then_some(values));
    let of_features = |values| from_values(values, [count, basis]);
    let of_envelope = |values| from_values(values, [count, 1]);
    DualGradients {
        primal: MessageGradients {
            receiver,
            sender,
            features: features.map(of_features),
            envelope: envelope.filter(|_| primal.envelope.is_some()).map(of_envelope),
            weights: weights.map(|weights| weights.into_gradients(primal)),
        },
        tangent: MessageTangents {
            receiver: receiver_moved,
            sender: sender_moved,
            features: features_moved.filter(|_| host.features.is_some()).map(of_features),
            envelope: envelope_moved.filter(|_| host.envelope.is_some()).map(of_envelope),
        },
    }
}

/// The work on one lane, see `forward::Lane`.
struct Lane<'a> {
    host: &'a DualHost<'a>,
    lane: &'a Range<usize>,
    gathered: [&'a [f32]; 2],
    gates: Option<[&'a [f32]; 2]>,
    /// Of the weights of the message and of the gate.
    transposes: [&'a [f32]; 2],
    wanted: Wanted,
    buffers: [&'a mut [f32]; 7],
}

impl pulp::WithSimd for Lane<'_> {
    type Output = LaneSums;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> Self::Output {
        lane_backward(self)
    }
}

#[inline(always)]
fn lane_backward(lane: Lane<'_>) -> LaneSums {
    let Lane { host, lane, gathered, gates, transposes, wanted, buffers } = lane;
    let primal = &host.primal;
    let (width, basis) = (primal.width, primal.basis);
    let mut sums = LaneSums::new(host, lane, wanted);
    let [u1, slope1, silu2, slope2, message, to_message, hidden] = buffers;
    for tile in host.tiles(lane) {
        let (half, size) = (tile.len() * width, 2 * tile.len() * width);
        let (u1, slope1) = (&mut u1[..size], &mut slope1[..size]);
        let (silu2, slope2) = (&mut silu2[..size], &mut slope2[..size]);
        let (message, to_message) = (&mut message[..size], &mut to_message[..size]);

        // The tile again, with slopes of its activations over their bends.
        host.preactivations(&tile, u1);
        let ((values, tangents), (slopes, bends)) = (halves(u1), halves(slope1));
        simd::dual::silu_and_bend(values, tangents, slopes, bends);
        product(silu2, Matrix::rows(&*u1, width), Matrix::rows(primal.weight.get(), width), Old::Dropped);
        for (k, edge) in tile.clone().enumerate() {
            let (row, moved) = (k * width..(k + 1) * width, half + k * width..half + (k + 1) * width);
            let ((value, tangent), (slope, bend)) = (halves(silu2), halves(slope2));
            let [value, tangent, slope, bend] = [value, tangent, slope, bend].map(|half| &mut half[row.clone()]);
            simd::dual::biased_silu_and_bend(value, tangent, slope, bend, primal.bias.get());
            let node = primal.receivers[edge] as usize * width;
            to_message[row].copy_from_slice(&gathered[0][node..node + width]);
            to_message[moved].copy_from_slice(&gathered[1][node..node + width]);
        }

        if let (Some(gate), Some(gates)) = (&primal.gate, gates) {
            for (k, edge) in tile.clone().enumerate() {
                let (row, moved) = (k * width..(k + 1) * width, half + k * width..half + (k + 1) * width);
                let (values, tangents) = halves(message);
                let (values, tangents) = (&mut values[row.clone()], &mut tangents[row.clone()]);
                simd::dual::scaled(values, tangents, host.envelope(edge), &silu2[row], &silu2[moved]);
            }
            let gate_sums = sums.weights.as_mut().and_then(|weights| weights.gate.as_mut());
            let weight_t = Matrix::rows(transposes[1], width);
            let to_gates = gates.map(|gates| &gates[tile.clone()]);
            gate_backward(gate, weight_t, to_gates, message, to_message, &mut hidden[..size], gate_sums);
        }

        // From here `to_message` becomes the gradient of a2, and `message` that of a1.
        for (k, edge) in tile.clone().enumerate() {
            let (row, moved) = (k * width..(k + 1) * width, half + k * width..half + (k + 1) * width);
            let (values, tangents) = halves(to_message);
            let (to_value, to_tangent) = (&mut values[row.clone()], &mut tangents[row.clone()]);
            if wanted.geometry && primal.envelope.is_some() {
                let (value, tangent) = (&silu2[row.clone()], &silu2[moved.clone()]);
                sums.envelope[0].push(simd::dot(to_value, value) + simd::dot(to_tangent, tangent));
                if host.envelope.is_some() {
                    sums.envelope[1].push(simd::dot(to_tangent, value));
                }
            }
            simd::dual::back(to_value, to_tangent, host.envelope(edge), &slope2[row], &slope2[moved]);
            if let Some(weights) = &mut sums.weights {
                simd::add(&mut weights.bias, to_value);
            }
        }
        let to_second = Matrix::rows(&*to_message, width);
        if let Some(weights) = &mut sums.weights {
            product(&mut weights.weight, Matrix::rows(&*u1, width).t(), to_second, Old::Added);
        }
        product(message, to_second, Matrix::rows(transposes[0], width), Old::Dropped);
        let ((to_values, to_tangents), (slopes, bends)) = (halves(message), halves(slope1));
        simd::dual::back(to_values, to_tangents, [1.0, 0.0], slopes, bends);
        for (part, rows) in [&*to_values, &*to_tangents].into_iter().enumerate() {
            for (row, edge) in rows.chunks_exact(width).zip(tile.clone()) {
                simd::add(sums.receiver[part].row(primal.receivers[edge] as usize, width), row);
                simd::add(sums.sender[part].row(primal.senders[edge] as usize, width), row);
            }
            let features = if part == 0 { Some(&primal.features) } else { host.features.as_ref() };
            let Some(features) = features.filter(|_| basis > 0) else { continue };
            let to_first = Matrix::rows(rows, width);
            if let Some(weights) = &mut sums.weights {
                let features = Matrix::rows(&features.get()[tile.start * basis..tile.end * basis], basis);
                product(&mut weights.edge_weight, features.t(), to_first, Old::Added);
            }
            if wanted.geometry {
                let own = (tile.start - lane.start) * basis..(tile.end - lane.start) * basis;
                let edge_weight = Matrix::rows(primal.edge_weight.get(), width);
                product(&mut sums.features[part][own], to_first, edge_weight.t(), Old::Dropped);
            }
        }
    }
    sums
}

/// Gradients through the gate: adds to those of the messages, and of its weights where they are wanted.
#[inline(always)]
fn gate_backward(
    gate: &HostGate,
    weight_t: Matrix<'_>,
    to_gates: [&[f32]; 2],
    message: &[f32],
    to_message: &mut [f32],
    hidden: &mut [f32],
    mut sums: Option<&mut GateSums>,
) {
    let readout = gate.readout.get();
    let width = readout.len();
    product(hidden, Matrix::rows(message, width), Matrix::rows(gate.weight.get(), width), Old::Dropped);
    let (values, tangents) = halves(hidden);
    let rows = values.chunks_exact_mut(width).zip(tangents.chunks_exact_mut(width));
    for ((value, tangent), (&to_value, &to_tangent)) in rows.zip(to_gates[0].iter().zip(to_gates[1])) {
        let to_gate = [to_value, to_tangent];
        match &mut sums {
            Some(sums) => {
                simd::dual::gate_row(value, tangent, gate.bias.get(), readout, to_gate, Some(&mut sums.readout));
                simd::add(&mut sums.bias, value);
            }
            None => simd::dual::gate_row(value, tangent, gate.bias.get(), readout, to_gate, None),
        }
    }
    let to_hidden = Matrix::rows(&*hidden, width);
    if let Some(sums) = sums {
        product(&mut sums.weight, Matrix::rows(message, width).t(), to_hidden, Old::Added);
    }
    product(to_message, to_hidden, weight_t, Old::Added);
}
