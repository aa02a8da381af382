//! The kernels. `columns` counts vectors of a row; a tile begins at edge `start`; buffers of a tile have
//! one row for each of its edges, those of all edges are read at the edge itself.
#![allow(missing_docs, reason = "the kernel macro makes items without them")]
#![allow(clippy::too_many_arguments, reason = "kernels have no structs for their buffers")]

use cubecl::prelude::*;

use crate::cube::{sigmoid, silu_slope};
use crate::message::scratch::BLOCK;

/// Units that add up one row, and rows of a cube, in kernels that sum over columns.
pub(super) const LANES: u32 = 32;
pub(super) const ROWS: u32 = 8;

/// `P[i] + Q[j] + G[e] W_g` in one column of an edge, without the last where there are no features.
#[cube]
pub(super) fn preactivation<N: Size>(
    receiver: &Array<Vector<f32, N>>,
    sender: &Array<Vector<f32, N>>,
    features: &Array<f32>,
    edge_weight: &Array<Vector<f32, N>>,
    receivers: &Array<i32>,
    senders: &Array<i32>,
    edge: usize,
    column: usize,
    columns: usize,
    basis: usize,
    #[comptime] featured: bool,
) -> Vector<f32, N> {
    let i = usize::cast_from(receivers[edge]);
    let j = usize::cast_from(senders[edge]);
    let mut sum = receiver[i * columns + column] + sender[j * columns + column];
    if featured {
        for k in 0..basis {
            sum += Vector::new(features[edge * basis + k]) * edge_weight[k * columns + column];
        }
    }
    sum
}

/// `u1 = silu(P[i] + Q[j] + G[e] W_g)`, one unit per value.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn first<N: Size>(
    receiver: &Array<Vector<f32, N>>,
    sender: &Array<Vector<f32, N>>,
    features: &Array<f32>,
    edge_weight: &Array<Vector<f32, N>>,
    receivers: &Array<i32>,
    senders: &Array<i32>,
    u1: &mut Array<Vector<f32, N>>,
    start: usize,
    units: usize,
    columns: usize,
    basis: usize,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let edge = start + ABSOLUTE_POS / columns;
    let column = ABSOLUTE_POS % columns;
    let a1 = preactivation::<N>(
        receiver,
        sender,
        features,
        edge_weight,
        receivers,
        senders,
        edge,
        column,
        columns,
        basis,
        true,
    );
    u1[ABSOLUTE_POS] = a1 * sigmoid(a1);
}

/// `m = w silu(a2 + b_2)`, one unit per value.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn messages<N: Size>(
    a2: &Array<Vector<f32, N>>,
    bias: &Array<Vector<f32, N>>,
    envelope: &Array<f32>,
    message: &mut Array<Vector<f32, N>>,
    start: usize,
    units: usize,
    columns: usize,
    #[comptime] enveloped: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let x = a2[ABSOLUTE_POS] + bias[ABSOLUTE_POS % columns];
    let mut value = x * sigmoid(x);
    if enveloped {
        value *= Vector::new(envelope[start + ABSOLUTE_POS / columns]);
    }
    message[ABSOLUTE_POS] = value;
}

/// The sum of what the units of a row bring, returned to each row's first unit.
#[cube]
pub(super) fn row_sum(value: f32) -> f32 {
    let mut partial = SharedMemory::<f32>::new(256usize);
    let own = UNIT_POS as usize;
    partial[own] = value;
    sync_cube();
    let mut step = 16usize;
    while step > 0 {
        if (UNIT_POS_X as usize) < step {
            let other = partial[own + step];
            partial[own] += other;
        }
        sync_cube();
        step /= 2;
    }
    partial[own]
}

/// `s = silu(a3 + b_3) . w_4`, a row of units per edge.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn gates(
    a3: &Array<f32>,
    bias: &Array<f32>,
    readout: &Array<f32>,
    gates: &mut Array<f32>,
    start: usize,
    rows: usize,
    width: usize,
) {
    let row = CUBE_POS * (ROWS as usize) + UNIT_POS_Y as usize;
    let mut sum = 0.0f32;
    if row < rows {
        let mut column = UNIT_POS_X as usize;
        while column < width {
            let x = Vector::<f32, Const<1>>::new(a3[row * width + column] + bias[column]);
            let value = x * sigmoid(x);
            sum += value[0] * readout[column];
            column += LANES as usize;
        }
    }
    let total = row_sum(sum);
    if row < rows && UNIT_POS_X == 0 {
        gates[start + row] = total;
    }
}

/// `a3' = s' w_4 silu'(a3 + b_3)` over a3, and where weights have gradients for each block of rows the sums of a3'
/// and of `s' silu(a3 + b_3)`: one unit per block and column.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn gate_backward<N: Size>(
    a3: &mut Array<Vector<f32, N>>,
    bias: &Array<Vector<f32, N>>,
    readout: &Array<Vector<f32, N>>,
    to_gates: &Array<f32>,
    to_bias: &mut Array<Vector<f32, N>>,
    to_readout: &mut Array<Vector<f32, N>>,
    start: usize,
    rows: usize,
    units: usize,
    columns: usize,
    #[comptime] weighted: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let column = ABSOLUTE_POS % columns;
    let from = ABSOLUTE_POS / columns * BLOCK;
    let b = bias[column];
    let w = readout[column];
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut readout_sum = Vector::<f32, N>::new(0.0);
    for row in from..min(from + BLOCK, rows) {
        let place = row * columns + column;
        let x = a3[place] + b;
        let s = sigmoid(x);
        let to_gate = Vector::new(to_gates[start + row]);
        readout_sum += to_gate * x * s;
        let gradient = to_gate * w * silu_slope(x, s);
        a3[place] = gradient;
        sum += gradient;
    }
    if weighted {
        to_bias[ABSOLUTE_POS] = sum;
        to_readout[ABSOLUTE_POS] = readout_sum;
    }
}

/// `w' = m' . silu(a2 + b_2)` with `m' = agg'[i] + a3' W_3^T`, a row of units per edge.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn envelope_backward(
    a2: &Array<f32>,
    bias: &Array<f32>,
    to_sums: &Array<f32>,
    through_gate: &Array<f32>,
    receivers: &Array<i32>,
    to_envelope: &mut Array<f32>,
    start: usize,
    rows: usize,
    width: usize,
    #[comptime] gated: bool,
) {
    let row = CUBE_POS * (ROWS as usize) + UNIT_POS_Y as usize;
    let mut sum = 0.0f32;
    if row < rows {
        let node = usize::cast_from(receivers[start + row]);
        let mut column = UNIT_POS_X as usize;
        while column < width {
            let x = Vector::<f32, Const<1>>::new(a2[row * width + column] + bias[column]);
            let value = x * sigmoid(x);
            let mut to_message = to_sums[node * width + column];
            if gated {
                to_message += through_gate[row * width + column];
            }
            sum += to_message * value[0];
            column += LANES as usize;
        }
    }
    let total = row_sum(sum);
    if row < rows && UNIT_POS_X == 0 {
        to_envelope[start + row] = total;
    }
}

/// `a2' = w m' silu'(a2 + b_2)` over a2, and where weights have gradients its sum over each block of rows: one unit
/// per block and column.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn second_backward<N: Size>(
    a2: &mut Array<Vector<f32, N>>,
    bias: &Array<Vector<f32, N>>,
    envelope: &Array<f32>,
    to_sums: &Array<Vector<f32, N>>,
    through_gate: &Array<Vector<f32, N>>,
    receivers: &Array<i32>,
    to_bias: &mut Array<Vector<f32, N>>,
    start: usize,
    rows: usize,
    units: usize,
    columns: usize,
    #[comptime] enveloped: bool,
    #[comptime] gated: bool,
    #[comptime] weighted: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let column = ABSOLUTE_POS % columns;
    let from = ABSOLUTE_POS / columns * BLOCK;
    let b = bias[column];
    let mut sum = Vector::<f32, N>::new(0.0);
    for row in from..min(from + BLOCK, rows) {
        let place = row * columns + column;
        let x = a2[place] + b;
        let node = usize::cast_from(receivers[start + row]);
        let mut gradient = to_sums[node * columns + column];
        if gated {
            gradient += through_gate[place];
        }
        gradient *= silu_slope(x, sigmoid(x));
        if enveloped {
            gradient *= Vector::new(envelope[start + row]);
        }
        a2[place] = gradient;
        sum += gradient;
    }
    if weighted {
        to_bias[ABSOLUTE_POS] = sum;
    }
}

/// `a1' = u1' silu'(a1)` over u1', one unit per value.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn first_backward<N: Size>(
    receiver: &Array<Vector<f32, N>>,
    sender: &Array<Vector<f32, N>>,
    features: &Array<f32>,
    edge_weight: &Array<Vector<f32, N>>,
    receivers: &Array<i32>,
    senders: &Array<i32>,
    to_first: &mut Array<Vector<f32, N>>,
    start: usize,
    units: usize,
    columns: usize,
    basis: usize,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let edge = start + ABSOLUTE_POS / columns;
    let column = ABSOLUTE_POS % columns;
    let a1 = preactivation::<N>(
        receiver,
        sender,
        features,
        edge_weight,
        receivers,
        senders,
        edge,
        column,
        columns,
        basis,
        true,
    );
    to_first[ABSOLUTE_POS] *= silu_slope(a1, sigmoid(a1));
}
