//! Backward, tile by tile: the tile is computed again, then its gradients.

use std::ops::Range;

use burn_flex::Flex;
use rayon::prelude::*;

use super::forward::preactivations;
use super::sums::{GateSums, WeightSums, add_later};
use super::{Host, HostGate, tiles};
use crate::host::matrix::{Matrix, Old, product, transposed};
use crate::host::parts::{Part, add_parts, on_pool, with_scratch};
use crate::host::{Values, from_values};
use crate::message::{MessageGradients, MessageOutputs, Wanted};
use crate::simd;

/// Gradients of one lane, to be added to those of the others.
struct LaneSums {
    receiver: Part,
    sender: Part,
    features: Vec<f32>,
    envelope: Vec<f32>,
    weights: Option<WeightSums>,
}

impl LaneSums {
    fn new(host: &Host<'_>, lane: &Range<usize>, wanted: Wanted) -> Self {
        Self {
            receiver: Part::among(&host.receivers[lane.clone()], host.width),
            sender: Part::among(&host.senders[lane.clone()], host.width),
            features: vec![0.0; if wanted.geometry { lane.len() * host.basis } else { 0 }],
            envelope: Vec::new(),
            weights: wanted.weights.then(|| WeightSums::new(host)),
        }
    }
}

/// Gradients of all inputs.
pub(super) fn message_backward(
    host: &Host<'_>,
    outputs: MessageOutputs<Flex>,
    wanted: Wanted,
) -> MessageGradients<Flex> {
    let (width, basis, nodes, count) = (host.width, host.basis, host.nodes, host.count());
    let gathered = Values::new(&outputs.gathered);
    let gates = outputs.gates.as_ref().map(Values::new);
    let (gathered, gates) = (gathered.get(), gates.as_ref().map(Values::get));
    // Products read rows faster than columns.
    let weight = transposed(host.weight.get(), width);
    let gate_weight = host.gate.as_ref().map_or_else(Vec::new, |gate| transposed(gate.weight.get(), width));
    let transposes = [weight.as_slice(), &gate_weight];
    let arch = pulp::Arch::new();
    let run = |lane| {
        with_scratch(host.tile() * width, |buffers| {
            arch.dispatch(Lane { host, lane, gathered, gates, transposes, wanted, buffers })
        })
    };
    let (mut receiver, mut sender) = (vec![0.0; nodes * width], vec![0.0; nodes * width]);
    let (mut features, mut envelope) = (Vec::new(), Vec::new());
    let mut weights = None;
    // Not all lanes at once: each may hold gradients of all weights. They are added in their order, so that
    // how many run together changes no bit.
    for group in host.lanes().chunks(2 * rayon::current_num_threads()) {
        let lanes: Vec<LaneSums> = on_pool(|| group.par_iter().map(run).collect());
        add_parts(&mut receiver, lanes.iter().map(|lane| &lane.receiver), width);
        add_parts(&mut sender, lanes.iter().map(|lane| &lane.sender), width);
        for mut lane in lanes {
            features.append(&mut lane.features);
            envelope.append(&mut lane.envelope);
            add_later(&mut weights, lane.weights);
        }
    }
    MessageGradients {
        receiver: from_values(receiver, [nodes, width]),
        sender: from_values(sender, [nodes, width]),
        features: wanted.geometry.then(|| from_values(features, [count, basis])),
        envelope: (wanted.geometry && host.envelope.is_some()).then(|| from_values(envelope, [count, 1])),
        weights: weights.map(|weights| weights.into_gradients(host)),
    }
}

/// The work on one lane, see `forward::Lane`.
struct Lane<'a> {
    host: &'a Host<'a>,
    lane: &'a Range<usize>,
    gathered: &'a [f32],
    gates: Option<&'a [f32]>,
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
    let [u1, slope1, silu2, slope2, message, to_message, hidden] = buffers;
    let (width, basis) = (host.width, host.basis);
    let weight = Matrix::rows(host.weight.get(), width);
    let mut sums = LaneSums::new(host, lane, wanted);
    for tile in tiles(lane, host.tile()) {
        let size = tile.len() * width;
        let (u1, slope1) = (&mut u1[..size], &mut slope1[..size]);
        let (silu2, slope2) = (&mut silu2[..size], &mut slope2[..size]);
        let (message, to_message) = (&mut message[..size], &mut to_message[..size]);

        // The tile again, with the slopes of its activations.
        preactivations(host, &host.first(), &tile, u1);
        simd::silu_and_slope_all(u1, slope1);
        product(silu2, Matrix::rows(&*u1, width), weight, Old::Dropped);
        for (k, edge) in tile.clone().enumerate() {
            let row = k * width..(k + 1) * width;
            simd::biased_silu_and_slope(&mut silu2[row.clone()], &mut slope2[row.clone()], host.bias.get());
            simd::scaled(&mut message[row.clone()], host.envelope(edge), &silu2[row.clone()]);
            let node = host.receivers[edge] as usize;
            to_message[row].copy_from_slice(&gathered[node * width..][..width]);
        }

        if let (Some(gate), Some(gates)) = (&host.gate, gates) {
            let gate_sums = sums.weights.as_mut().and_then(|weights| weights.gate.as_mut());
            let weight_t = Matrix::rows(transposes[1], width);
            gate_backward(gate, weight_t, &gates[tile.clone()], message, to_message, &mut hidden[..size], gate_sums);
        }

        // From here `to_message` becomes the gradient of a2, and `message` that of a1.
        for (k, edge) in tile.clone().enumerate() {
            let row = k * width..(k + 1) * width;
            if wanted.geometry && host.envelope.is_some() {
                sums.envelope.push(simd::dot(&to_message[row.clone()], &silu2[row.clone()]));
            }
            simd::times(&mut to_message[row.clone()], host.envelope(edge), &slope2[row.clone()]);
            if let Some(weights) = &mut sums.weights {
                simd::add(&mut weights.bias, &to_message[row]);
            }
        }
        if let Some(weights) = &mut sums.weights {
            let to_second = Matrix::rows(&*to_message, width);
            product(&mut weights.weight, Matrix::rows(&*u1, width).t(), to_second, Old::Added);
        }
        product(message, Matrix::rows(&*to_message, width), Matrix::rows(transposes[0], width), Old::Dropped);
        simd::times(message, 1.0, slope1);
        for (row, edge) in message.chunks_exact(width).zip(tile.clone()) {
            simd::add(sums.receiver.row(host.receivers[edge] as usize, width), row);
            simd::add(sums.sender.row(host.senders[edge] as usize, width), row);
        }
        if basis > 0 {
            let to_first = Matrix::rows(&*message, width);
            let features = Matrix::rows(&host.features.get()[tile.start * basis..tile.end * basis], basis);
            if let Some(weights) = &mut sums.weights {
                product(&mut weights.edge_weight, features.t(), to_first, Old::Added);
            }
            if wanted.geometry {
                let own = (tile.start - lane.start) * basis..(tile.end - lane.start) * basis;
                let edge_weight = Matrix::rows(host.edge_weight.get(), width);
                product(&mut sums.features[own], to_first, edge_weight.t(), Old::Dropped);
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
    to_gates: &[f32],
    message: &[f32],
    to_message: &mut [f32],
    hidden: &mut [f32],
    mut sums: Option<&mut GateSums>,
) {
    let readout = gate.readout.get();
    let width = readout.len();
    product(hidden, Matrix::rows(message, width), Matrix::rows(gate.weight.get(), width), Old::Dropped);
    for (row, &to_gate) in hidden.chunks_exact_mut(width).zip(to_gates) {
        match &mut sums {
            Some(sums) => {
                simd::gate_row(row, gate.bias.get(), readout, to_gate, Some(&mut sums.readout));
                simd::add(&mut sums.bias, row);
            }
            None => simd::gate_row(row, gate.bias.get(), readout, to_gate, None),
        }
    }
    let to_hidden = Matrix::rows(&*hidden, width);
    if let Some(sums) = sums {
        product(&mut sums.weight, Matrix::rows(message, width).t(), to_hidden, Old::Added);
    }
    product(to_message, to_hidden, weight_t, Old::Added);
}
