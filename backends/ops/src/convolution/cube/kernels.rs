//! The kernels. Names are those of the operation; what ends in `moved` are tangents, which are read where the flag of the
//! same name says that there are any.
#![allow(missing_docs, reason = "the kernel macro makes items without them")]
#![allow(clippy::too_many_arguments, reason = "kernels have no structs for their buffers")]

use cubecl::prelude::*;

/// Units that share the channels of an edge, and edges of a cube, in the kernel that sums over channels.
pub(super) const LANES: usize = 32;
pub(super) const ROWS: usize = 8;

/// `sum_n G[n] W[n, p]` of an edge whose radial features begin at `start`, in one column of a path.
#[cube]
fn radial<N: Size>(
    features: &Array<f32>,
    weight: &Array<Vector<f32, N>>,
    start: usize,
    column: usize,
    basis: usize,
    all_columns: usize,
) -> Vector<f32, N> {
    let mut sum = Vector::<f32, N>::new(0.0);
    for n in 0..basis {
        sum += Vector::new(features[start + n]) * weight[n * all_columns + column];
    }
    sum
}

/// What a node sums up of the features of those that its edges go to, one unit per node and column.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn carry<N: Size>(
    nodes: &Array<Vector<f32, N>>,
    nodes_moved: &Array<Vector<f32, N>>,
    directions: &Array<f32>,
    directions_moved: &Array<f32>,
    features: &Array<f32>,
    features_moved: &Array<f32>,
    weight: &Array<Vector<f32, N>>,
    numbers: &Array<i32>,
    offsets: &Array<i32>,
    order: &Array<i32>,
    others: &Array<i32>,
    found: &mut Array<Vector<f32, N>>,
    found_moved: &mut Array<Vector<f32, N>>,
    units: usize,
    columns: usize,
    basis: usize,
    paths: usize,
    all_columns: usize,
    first: usize,
    second: usize,
    #[comptime] out: usize,
    #[comptime] ordered: bool,
    #[comptime] nodes_move: bool,
    #[comptime] directions_move: bool,
    #[comptime] features_move: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let moved = comptime!(nodes_move || directions_move || features_move);
    let products_move = comptime!(nodes_move || features_move);
    let node = ABSOLUTE_POS / columns;
    let column = ABSOLUTE_POS % columns;
    let mut sums = Array::<Vector<f32, N>>::new(out);
    let mut sums_moved = Array::<Vector<f32, N>>::new(out);
    for o in 0..out {
        sums[o] = Vector::new(0.0);
        if moved {
            sums_moved[o] = Vector::new(0.0);
        }
    }
    let from = usize::cast_from(offsets[node]);
    let to = usize::cast_from(offsets[node + 1]);
    for k in from..to {
        let mut edge = k;
        if ordered {
            edge = usize::cast_from(order[k]);
        }
        let own = usize::cast_from(others[edge]) * second * columns + column;
        let mut at = 0usize;
        for _path in 0..paths {
            let place = usize::cast_from(numbers[at]) * columns + column;
            let groups = usize::cast_from(numbers[at + 1]);
            at += 2;
            let r = radial::<N>(features, weight, edge * basis, place, basis, all_columns);
            let mut r_moved = Vector::<f32, N>::new(0.0);
            if features_move {
                r_moved = radial::<N>(features_moved, weight, edge * basis, place, basis, all_columns);
            }
            for _group in 0..groups {
                let x = own + usize::cast_from(numbers[at]) * columns;
                let outs = usize::cast_from(numbers[at + 1]);
                at += 2;
                let product = r * nodes[x];
                let mut product_moved = Vector::<f32, N>::new(0.0);
                if features_move {
                    product_moved += r_moved * nodes[x];
                }
                if nodes_move {
                    product_moved += r * nodes_moved[x];
                }
                for _out in 0..outs {
                    let o = usize::cast_from(numbers[at]);
                    let terms = usize::cast_from(numbers[at + 1]);
                    at += 2;
                    let mut mix = 0.0f32;
                    let mut mix_moved = 0.0f32;
                    for _term in 0..terms {
                        let a = edge * first + usize::cast_from(numbers[at]);
                        let factor = f32::reinterpret(numbers[at + 1]);
                        at += 2;
                        mix += factor * directions[a];
                        if directions_move {
                            mix_moved += factor * directions_moved[a];
                        }
                    }
                    sums[o] += product * Vector::new(mix);
                    if products_move {
                        sums_moved[o] += product_moved * Vector::new(mix);
                    }
                    if directions_move {
                        sums_moved[o] += product * Vector::new(mix_moved);
                    }
                }
            }
        }
    }
    for o in 0..out {
        let place = (node * out + o) * columns + column;
        found[place] = sums[o];
        if moved {
            found_moved[place] = sums_moved[o];
        }
    }
}

/// The sum of what the units of a row bring, returned to each row's first unit.
#[cube]
fn row_sum(partial: &mut SharedMemory<f32>, value: f32) -> f32 {
    let own = UNIT_POS as usize;
    sync_cube();
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

/// The gradients of R and, where they are wanted, of Y of the edges of a tile, a row of units per edge.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn edges(
    nodes: &Array<f32>,
    nodes_moved: &Array<f32>,
    directions: &Array<f32>,
    directions_moved: &Array<f32>,
    features: &Array<f32>,
    features_moved: &Array<f32>,
    weight: &Array<f32>,
    gradient: &Array<f32>,
    gradient_moved: &Array<f32>,
    numbers: &Array<i32>,
    receivers: &Array<i32>,
    senders: &Array<i32>,
    to_radial: &mut Array<f32>,
    to_radial_moved: &mut Array<f32>,
    to_directions: &mut Array<f32>,
    to_directions_moved: &mut Array<f32>,
    start: usize,
    rows: usize,
    channels: usize,
    basis: usize,
    runs: usize,
    paths: usize,
    second: usize,
    out: usize,
    #[comptime] first: usize,
    #[comptime] moved: bool,
    #[comptime] nodes_move: bool,
    #[comptime] directions_move: bool,
    #[comptime] features_move: bool,
    #[comptime] geometry: bool,
) {
    let row = CUBE_POS * ROWS + UNIT_POS_Y as usize;
    let mut sums = Array::<f32>::new(first);
    let mut sums_moved = Array::<f32>::new(first);
    if geometry {
        for a in 0..first {
            sums[a] = 0.0;
            sums_moved[a] = 0.0;
        }
    }
    if row < rows {
        let edge = start + row;
        let own_nodes = usize::cast_from(senders[edge]) * second * channels;
        let own_gradient = usize::cast_from(receivers[edge]) * out * channels;
        let mut channel = UNIT_POS_X as usize;
        while channel < channels {
            let mut at = 0usize;
            for _run in 0..runs {
                let place = usize::cast_from(numbers[at]) * channels + channel;
                let groups = usize::cast_from(numbers[at + 1]);
                at += 2;
                let mut r = 0.0f32;
                let mut r_moved = 0.0f32;
                if geometry {
                    for n in 0..basis {
                        let w = weight[n * paths * channels + place];
                        r += features[edge * basis + n] * w;
                        if features_move {
                            r_moved += features_moved[edge * basis + n] * w;
                        }
                    }
                }
                let mut to_path = 0.0f32;
                let mut to_path_moved = 0.0f32;
                for _group in 0..groups {
                    let x_at = own_nodes + usize::cast_from(numbers[at]) * channels + channel;
                    let outs = usize::cast_from(numbers[at + 1]);
                    at += 2;
                    let x = nodes[x_at];
                    let mut x_moved = 0.0f32;
                    if nodes_move {
                        x_moved = nodes_moved[x_at];
                    }
                    let product = r * x;
                    let product_moved = r * x_moved + r_moved * x;
                    let mut to_product = 0.0f32;
                    let mut to_product_moved = 0.0f32;
                    for _out in 0..outs {
                        let g_at = own_gradient + usize::cast_from(numbers[at]) * channels + channel;
                        let terms = usize::cast_from(numbers[at + 1]);
                        at += 2;
                        let g = gradient[g_at];
                        let mut g_moved = 0.0f32;
                        if moved {
                            g_moved = gradient_moved[g_at];
                        }
                        let to_mix = product * g;
                        let to_mix_moved = product * g_moved + product_moved * g;
                        let mut mix = 0.0f32;
                        let mut mix_moved = 0.0f32;
                        for _term in 0..terms {
                            let a = usize::cast_from(numbers[at]);
                            let factor = f32::reinterpret(numbers[at + 1]);
                            at += 2;
                            mix += factor * directions[edge * first + a];
                            if directions_move {
                                mix_moved += factor * directions_moved[edge * first + a];
                            }
                            if geometry {
                                sums[a] += factor * to_mix;
                                if moved {
                                    sums_moved[a] += factor * to_mix_moved;
                                }
                            }
                        }
                        to_product += g * mix;
                        to_product_moved += g_moved * mix + g * mix_moved;
                    }
                    to_path += x * to_product;
                    to_path_moved += x * to_product_moved + x_moved * to_product;
                }
                to_radial[row * paths * channels + place] = to_path;
                if moved {
                    to_radial_moved[row * paths * channels + place] = to_path_moved;
                }
            }
            channel += LANES;
        }
    }
    if geometry {
        let mut partial = SharedMemory::<f32>::new(256usize);
        for a in 0..first {
            let total = row_sum(&mut partial, sums[a]);
            if row < rows && UNIT_POS_X == 0 {
                to_directions[(start + row) * first + a] = total;
            }
            if moved {
                let total = row_sum(&mut partial, sums_moved[a]);
                if row < rows && UNIT_POS_X == 0 {
                    to_directions_moved[(start + row) * first + a] = total;
                }
            }
        }
    }
}
