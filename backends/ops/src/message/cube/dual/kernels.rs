//! The kernels. A buffer of a tile has as many rows of values as the tile has edges, and then as many of tangents;
//! the names are those of `message::cube::kernels`.
#![allow(missing_docs, reason = "the kernel macro makes items without them")]
#![allow(clippy::too_many_arguments, reason = "kernels have no structs for their buffers")]

use cubecl::prelude::*;

use crate::cube::{sigmoid, silu_curvature, silu_slope};
use crate::message::cube::kernels::{LANES, ROWS, preactivation, row_sum};
use crate::message::scratch::BLOCK;

/// `u1 = silu(a1)` over `u1' = silu'(a1) a1'`, one unit per value.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn first<N: Size>(
    receiver: &Array<Vector<f32, N>>,
    sender: &Array<Vector<f32, N>>,
    features: &Array<f32>,
    moved_receiver: &Array<Vector<f32, N>>,
    moved_sender: &Array<Vector<f32, N>>,
    moved_features: &Array<f32>,
    edge_weight: &Array<Vector<f32, N>>,
    receivers: &Array<i32>,
    senders: &Array<i32>,
    u1: &mut Array<Vector<f32, N>>,
    start: usize,
    units: usize,
    columns: usize,
    basis: usize,
    #[comptime] featured: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let edge = start + ABSOLUTE_POS / columns;
    let column = ABSOLUTE_POS % columns;
    let x = preactivation::<N>(
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
    let t = preactivation::<N>(
        moved_receiver,
        moved_sender,
        moved_features,
        edge_weight,
        receivers,
        senders,
        edge,
        column,
        columns,
        basis,
        featured,
    );
    let s = sigmoid(x);
    u1[ABSOLUTE_POS] = x * s;
    u1[units + ABSOLUTE_POS] = silu_slope(x, s) * t;
}

/// `m = w silu(x)` over `m' = w silu'(x) a2' + w' silu(x)` with `x = a2 + b_2`, one unit per value.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn messages<N: Size>(
    a2: &Array<Vector<f32, N>>,
    bias: &Array<Vector<f32, N>>,
    envelope: &Array<f32>,
    moved_envelope: &Array<f32>,
    message: &mut Array<Vector<f32, N>>,
    start: usize,
    units: usize,
    columns: usize,
    #[comptime] enveloped: bool,
    #[comptime] fading: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let x = a2[ABSOLUTE_POS] + bias[ABSOLUTE_POS % columns];
    let s = sigmoid(x);
    let silu = x * s;
    let mut value = silu;
    let mut tangent = silu_slope(x, s) * a2[units + ABSOLUTE_POS];
    if enveloped {
        let edge = start + ABSOLUTE_POS / columns;
        let w = Vector::new(envelope[edge]);
        value *= w;
        tangent *= w;
        if fading {
            tangent += Vector::new(moved_envelope[edge]) * silu;
        }
    }
    message[ABSOLUTE_POS] = value;
    message[units + ABSOLUTE_POS] = tangent;
}

/// `s = silu(x) . w_4` and `s' = (silu'(x) a3') . w_4` with `x = a3 + b_3`, a row of units per edge.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn gates(
    a3: &Array<f32>,
    bias: &Array<f32>,
    readout: &Array<f32>,
    gates: &mut Array<f32>,
    moved_gates: &mut Array<f32>,
    start: usize,
    rows: usize,
    width: usize,
) {
    let row = CUBE_POS * (ROWS as usize) + UNIT_POS_Y as usize;
    let mut sum = 0.0f32;
    let mut moved = 0.0f32;
    if row < rows {
        let mut column = UNIT_POS_X as usize;
        while column < width {
            let x = Vector::<f32, Const<1>>::new(a3[row * width + column] + bias[column]);
            let s = sigmoid(x);
            let value = x * s;
            let slope = silu_slope(x, s);
            sum += value[0] * readout[column];
            moved += slope[0] * a3[(rows + row) * width + column] * readout[column];
            column += LANES as usize;
        }
    }
    let total = row_sum(sum);
    let moved_total = row_sum(moved);
    if row < rows && UNIT_POS_X == 0 {
        gates[start + row] = total;
        moved_gates[start + row] = moved_total;
    }
}

/// Over a3 and its tangent their gradients, `w_4 (g silu'(x) + g' silu''(x) a3')` and `w_4 g' silu'(x)` with
/// `x = a3 + b_3`, where g and g' are those of the gates; where weights have gradients, for each block of rows the
/// sums of the first and of `g silu(x) + g' silu'(x) a3'`: one unit per block and column.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn gate_backward<N: Size>(
    a3: &mut Array<Vector<f32, N>>,
    bias: &Array<Vector<f32, N>>,
    readout: &Array<Vector<f32, N>>,
    to_gates: &Array<f32>,
    to_moved_gates: &Array<f32>,
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
        let moved = (rows + row) * columns + column;
        let x = a3[place] + b;
        let t = a3[moved];
        let s = sigmoid(x);
        let slope = silu_slope(x, s);
        let to_value = Vector::new(to_gates[start + row]);
        let to_tangent = Vector::new(to_moved_gates[start + row]);
        readout_sum += to_value * x * s + to_tangent * slope * t;
        let gradient = w * (to_value * slope + to_tangent * silu_curvature(x, s) * t);
        a3[place] = gradient;
        a3[moved] = w * to_tangent * slope;
        sum += gradient;
    }
    if weighted {
        to_bias[ABSOLUTE_POS] = sum;
        to_readout[ABSOLUTE_POS] = readout_sum;
    }
}

/// The gradients of the envelope and of its tangent, `M . silu(x) + U . (silu'(x) a2')` and `U . silu(x)` with
/// `x = a2 + b_2`, where M and U are those of m and m', of the sums and through the gate: a row of units per edge.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn envelope_backward(
    a2: &Array<f32>,
    bias: &Array<f32>,
    to_sums: &Array<f32>,
    to_moved_sums: &Array<f32>,
    through_gate: &Array<f32>,
    receivers: &Array<i32>,
    to_envelope: &mut Array<f32>,
    to_moved_envelope: &mut Array<f32>,
    start: usize,
    rows: usize,
    width: usize,
    #[comptime] gated: bool,
    #[comptime] fading: bool,
) {
    let row = CUBE_POS * (ROWS as usize) + UNIT_POS_Y as usize;
    let mut sum = 0.0f32;
    let mut moved_sum = 0.0f32;
    if row < rows {
        let node = usize::cast_from(receivers[start + row]);
        let mut column = UNIT_POS_X as usize;
        while column < width {
            let place = row * width + column;
            let moved = (rows + row) * width + column;
            let x = Vector::<f32, Const<1>>::new(a2[place] + bias[column]);
            let s = sigmoid(x);
            let value = x * s;
            let slope = silu_slope(x, s);
            let mut to_value = to_sums[node * width + column];
            let mut to_tangent = to_moved_sums[node * width + column];
            if gated {
                to_value += through_gate[place];
                to_tangent += through_gate[moved];
            }
            sum += to_value * value[0] + to_tangent * slope[0] * a2[moved];
            moved_sum += to_tangent * value[0];
            column += LANES as usize;
        }
    }
    let total = row_sum(sum);
    if row < rows && UNIT_POS_X == 0 {
        to_envelope[start + row] = total;
    }
    if fading {
        let moved_total = row_sum(moved_sum);
        if row < rows && UNIT_POS_X == 0 {
            to_moved_envelope[start + row] = moved_total;
        }
    }
}

/// Over a2 and its tangent their gradients, `(w M + w' U) silu'(x) + w U silu''(x) a2'` and `w U silu'(x)` with
/// `x = a2 + b_2`, and where weights have gradients the sum of the first over each block of rows: one unit per block
/// and column. M and U are as in `envelope_backward`.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn second_backward<N: Size>(
    a2: &mut Array<Vector<f32, N>>,
    bias: &Array<Vector<f32, N>>,
    envelope: &Array<f32>,
    moved_envelope: &Array<f32>,
    to_sums: &Array<Vector<f32, N>>,
    to_moved_sums: &Array<Vector<f32, N>>,
    through_gate: &Array<Vector<f32, N>>,
    receivers: &Array<i32>,
    to_bias: &mut Array<Vector<f32, N>>,
    start: usize,
    rows: usize,
    units: usize,
    columns: usize,
    #[comptime] enveloped: bool,
    #[comptime] fading: bool,
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
        let moved = (rows + row) * columns + column;
        let x = a2[place] + b;
        let t = a2[moved];
        let s = sigmoid(x);
        let slope = silu_slope(x, s);
        let node = usize::cast_from(receivers[start + row]);
        let mut to_value = to_sums[node * columns + column];
        let mut to_tangent = to_moved_sums[node * columns + column];
        if gated {
            to_value += through_gate[place];
            to_tangent += through_gate[moved];
        }
        if enveloped {
            let w = Vector::new(envelope[start + row]);
            to_value *= w;
            if fading {
                to_value += Vector::new(moved_envelope[start + row]) * to_tangent;
            }
            to_tangent *= w;
        }
        let gradient = to_value * slope + to_tangent * silu_curvature(x, s) * t;
        a2[place] = gradient;
        a2[moved] = to_tangent * slope;
        sum += gradient;
    }
    if weighted {
        to_bias[ABSOLUTE_POS] = sum;
    }
}

/// Over the gradients H and Y of u1 and its tangent those of a1 and its tangent,
/// `H silu'(a1) + Y silu''(a1) a1'` and `Y silu'(a1)`, one unit per value.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn first_backward<N: Size>(
    receiver: &Array<Vector<f32, N>>,
    sender: &Array<Vector<f32, N>>,
    features: &Array<f32>,
    moved_receiver: &Array<Vector<f32, N>>,
    moved_sender: &Array<Vector<f32, N>>,
    moved_features: &Array<f32>,
    edge_weight: &Array<Vector<f32, N>>,
    receivers: &Array<i32>,
    senders: &Array<i32>,
    to_first: &mut Array<Vector<f32, N>>,
    start: usize,
    units: usize,
    columns: usize,
    basis: usize,
    #[comptime] featured: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let edge = start + ABSOLUTE_POS / columns;
    let column = ABSOLUTE_POS % columns;
    let x = preactivation::<N>(
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
    let t = preactivation::<N>(
        moved_receiver,
        moved_sender,
        moved_features,
        edge_weight,
        receivers,
        senders,
        edge,
        column,
        columns,
        basis,
        featured,
    );
    let s = sigmoid(x);
    let slope = silu_slope(x, s);
    let to_tangent = to_first[units + ABSOLUTE_POS];
    to_first[ABSOLUTE_POS] = to_first[ABSOLUTE_POS] * slope + to_tangent * silu_curvature(x, s) * t;
    to_first[units + ABSOLUTE_POS] = to_tangent * slope;
}
