//! Backward, tile by tile: the tile is computed again, then its gradients.

use std::ops::Range;

use burn_flex::Flex;
use rayon::prelude::*;

use super::forward::preactivations;
use super::matrix::{Matrix, Old, product};
use super::{Host, HostGate, Part, add_parts, on_pool, with_scratch};
use crate::host::{Values, from_values};
use crate::message::{GateInputs, MessageGradients, MessageOutputs};
use crate::simd;

/// Gradients of the gate's weights.
struct GateSums {
    weight: Vec<f32>,
    bias: Vec<f32>,
    readout: Vec<f32>,
}

/// Gradients of one lane, to be added to those of the others.
struct LaneSums {
    receiver: Part,
    sender: Part,
    features: Vec<f32>,
    envelope: Vec<f32>,
    edge_weight: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    gate: Option<GateSums>,
}

impl LaneSums {
    fn new(host: &Host<'_>, lane: &Range<usize>, geometry: bool) -> Self {
        let (width, basis) = (host.width, host.basis);
        Self {
            receiver: Part::new(host.receivers(lane), width),
            sender: Part::new(host.senders(lane), width),
            features: vec![0.0; if geometry { lane.len() * basis } else { 0 }],
            envelope: Vec::new(),
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

    /// Adds the weights' gradients of a later lane.
    fn add(&mut self, other: &Self) {
        simd::add(&mut self.edge_weight, &other.edge_weight);
        add_in_parallel(&mut self.weight, &other.weight);
        simd::add(&mut self.bias, &other.bias);
        if let (Some(own), Some(other)) = (&mut self.gate, &other.gate) {
            add_in_parallel(&mut own.weight, &other.weight);
            simd::add(&mut own.bias, &other.bias);
            simd::add(&mut own.readout, &other.readout);
        }
    }
}

/// Gradients of all inputs.
pub(super) fn message_backward(
    host: &Host<'_>,
    outputs: MessageOutputs<Flex>,
    geometry: bool,
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
            arch.dispatch(Lane { host, lane, gathered, gates, transposes, geometry, buffers })
        })
    };
    let (mut receiver, mut sender) = (vec![0.0; nodes * width], vec![0.0; nodes * width]);
    let (mut features, mut envelope) = (Vec::new(), Vec::new());
    let mut sums: Option<LaneSums> = None;
    // Not all lanes at once: each holds gradients of all weights. They are added in their order, so that
    // how many run together changes no bit.
    for group in host.lanes().chunks(2 * rayon::current_num_threads()) {
        let lanes: Vec<LaneSums> = on_pool(|| group.par_iter().map(run).collect());
        add_parts(&mut receiver, lanes.iter().map(|lane| &lane.receiver), width);
        add_parts(&mut sender, lanes.iter().map(|lane| &lane.sender), width);
        for mut lane in lanes {
            features.append(&mut lane.features);
            envelope.append(&mut lane.envelope);
            match &mut sums {
                Some(sums) => sums.add(&lane),
                None => sums = Some(lane),
            }
        }
    }
    let Some(sums) = sums else { unreachable!("there is a lane where there is an edge") };
    MessageGradients {
        receiver: from_values(receiver, [nodes, width]),
        sender: from_values(sender, [nodes, width]),
        features: geometry.then(|| from_values(features, [count, basis])),
        envelope: (geometry && host.envelope.is_some()).then(|| from_values(envelope, [count, 1])),
        edge_weight: from_values(sums.edge_weight, [basis, width]),
        weight: from_values(sums.weight, [width, width]),
        bias: from_values(sums.bias, [width]),
        gate: sums.gate.map(|gate| GateInputs {
            weight: from_values(gate.weight, [width, width]),
            bias: from_values(gate.bias, [width]),
            readout: from_values(gate.readout, [width, 1]),
        }),
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
    /// Whether gradients of features and envelope are wanted.
    geometry: bool,
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
    let Lane { host, lane, gathered, gates, transposes, geometry, buffers } = lane;
    let [u1, slope1, silu2, slope2, message, to_message, hidden] = buffers;
    let (width, basis) = (host.width, host.basis);
    let weight = Matrix::rows(host.weight.get(), width);
    let mut sums = LaneSums::new(host, lane, geometry);
    for tile in host.tiles(lane) {
        let size = tile.len() * width;
        let (u1, slope1) = (&mut u1[..size], &mut slope1[..size]);
        let (silu2, slope2) = (&mut silu2[..size], &mut slope2[..size]);
        let (message, to_message) = (&mut message[..size], &mut to_message[..size]);

        // The tile again, with the slopes of its activations.
        preactivations(host, &tile, u1);
        simd::silu_and_slope_all(u1, slope1);
        product(silu2, Matrix::rows(&*u1, width), weight, Old::Dropped);
        for (k, edge) in tile.clone().enumerate() {
            let row = k * width..(k + 1) * width;
            simd::biased_silu_and_slope(&mut silu2[row.clone()], &mut slope2[row.clone()], host.bias.get());
            simd::scaled(&mut message[row.clone()], host.envelope(edge), &silu2[row.clone()]);
            let node = host.receivers[edge] as usize;
            to_message[row].copy_from_slice(&gathered[node * width..][..width]);
        }

        if let (Some(gate), Some(gates), Some(gate_sums)) = (&host.gate, gates, &mut sums.gate) {
            let weight_t = Matrix::rows(transposes[1], width);
            gate_backward(gate, weight_t, &gates[tile.clone()], message, to_message, &mut hidden[..size], gate_sums);
        }

        // From here `to_message` becomes the gradient of a2, and `message` that of a1.
        for (k, edge) in tile.clone().enumerate() {
            let row = k * width..(k + 1) * width;
            if geometry && host.envelope.is_some() {
                sums.envelope.push(simd::dot(&to_message[row.clone()], &silu2[row.clone()]));
            }
            simd::times(&mut to_message[row.clone()], host.envelope(edge), &slope2[row.clone()]);
            simd::add(&mut sums.bias, &to_message[row]);
        }
        product(&mut sums.weight, Matrix::rows(&*u1, width).t(), Matrix::rows(&*to_message, width), Old::Added);
        product(message, Matrix::rows(&*to_message, width), Matrix::rows(transposes[0], width), Old::Dropped);
        simd::times(message, 1.0, slope1);
        for (row, edge) in message.chunks_exact(width).zip(tile.clone()) {
            simd::add(sums.receiver.row(host.receivers[edge] as usize, width), row);
            simd::add(sums.sender.row(host.senders[edge] as usize, width), row);
        }
        if basis > 0 {
            let to_first = Matrix::rows(&*message, width);
            let features = Matrix::rows(&host.features.get()[tile.start * basis..tile.end * basis], basis);
            product(&mut sums.edge_weight, features.t(), to_first, Old::Added);
            if geometry {
                let own = (tile.start - lane.start) * basis..(tile.end - lane.start) * basis;
                let edge_weight = Matrix::rows(host.edge_weight.get(), width);
                product(&mut sums.features[own], to_first, edge_weight.t(), Old::Dropped);
            }
        }
    }
    sums
}

/// Gradients through the gate: adds to those of its weights and of the messages.
#[inline(always)]
fn gate_backward(
    gate: &HostGate,
    weight_t: Matrix<'_>,
    to_gates: &[f32],
    message: &[f32],
    to_message: &mut [f32],
    hidden: &mut [f32],
    sums: &mut GateSums,
) {
    let width = sums.bias.len();
    product(hidden, Matrix::rows(message, width), Matrix::rows(gate.weight.get(), width), Old::Dropped);
    for (row, &to_gate) in hidden.chunks_exact_mut(width).zip(to_gates) {
        simd::gate_row(row, gate.bias.get(), gate.readout.get(), to_gate, &mut sums.readout);
        simd::add(&mut sums.bias, row);
    }
    let to_hidden = Matrix::rows(&*hidden, width);
    product(&mut sums.weight, Matrix::rows(message, width).t(), to_hidden, Old::Added);
    product(to_message, to_hidden, weight_t, Old::Added);
}

/// Values of a matrix of weights that are worth a task of their own.
const CHUNK: usize = 1 << 15;

fn add_in_parallel(sum: &mut [f32], part: &[f32]) {
    sum.par_chunks_mut(CHUNK).zip(part.par_chunks(CHUNK)).for_each(|(sum, part)| simd::add(sum, part));
}

/// The transpose of a square matrix.
fn transposed(values: &[f32], size: usize) -> Vec<f32> {
    let mut columns = vec![0.0; values.len()];
    let outs = columns.par_chunks_mut(size.max(1)).with_min_len(CHUNK / size.max(1));
    outs.enumerate().for_each(|(column, out)| {
        for (to, row) in out.iter_mut().zip(values.chunks_exact(size)) {
            *to = row[column];
        }
    });
    columns
}
