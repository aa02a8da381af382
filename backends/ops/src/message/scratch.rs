//! How the fused operation is cut into tiles and lanes, and how much memory it takes on the CPU beside its inputs and
//! outputs.

use crate::profile::VALUE;

/// The size of the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageShape {
    /// N.
    pub nodes: u64,
    /// E.
    pub edges: u64,
    /// F.
    pub width: u64,
    /// K.
    pub basis: u64,
    /// Whether there is a gate.
    pub gate: bool,
    /// Whether there is an envelope.
    pub envelope: bool,
    /// Whether gradients of features and envelope are wanted.
    pub geometry: bool,
    /// Whether gradients of the weights are wanted.
    pub weights: bool,
    /// Whether values have tangents.
    pub dual: bool,
    /// Graphs that the nodes belong to; the edges of each stay within it.
    pub graphs: u64,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scratch {
    /// Held from the first call to the end of the process.
    pub held: u64,
    /// While it runs forward.
    pub forward: u64,
    /// While it runs backward; the gradients of its weights are part of it where they are wanted.
    pub backward: u64,
}

/// Gradients of the weights of the edge features, the square matrices and the vectors, where they are wanted.
fn weights(shape: MessageShape) -> u64 {
    let MessageShape { width, basis, gate, weights, .. } = shape;
    let gated = u64::from(gate);
    let values = basis * width + (1 + gated) * width * width + (1 + 2 * gated) * width;
    if weights { VALUE * values } else { 0 }
}

/// Values and tangents.
fn parts(shape: MessageShape) -> u64 {
    1 + u64::from(shape.dual)
}

/// What is wanted of each edge: gates, or gradients of the geometry.
fn columns(shape: MessageShape) -> u64 {
    VALUE * parts(shape) * shape.edges * if shape.geometry { shape.basis + 1 } else { 0 }
}

/// Of the operation on the CPU, by so many threads.
pub fn scratch(threads: u64, shape: MessageShape) -> Scratch {
    let MessageShape { nodes, edges, width, gate, graphs, .. } = shape;
    if edges == 0 {
        return Scratch::default();
    }
    let row = VALUE * width;
    let lanes = lanes(edges as usize, width as usize) as u64;
    let group = lanes.min(2 * threads);
    // A lane's senders are somewhere in the graphs of its receivers.
    let span = nodes.min(nodes / lanes + 2 * nodes.div_ceil(graphs.max(1)));
    // A lane's columns are still there when those of all are made of them.
    let columns = columns(shape) + columns(shape) / lanes;
    let squares = (1 + u64::from(gate)) * VALUE * width * width;
    let sum_of_lanes = if lanes > group { weights(shape) } else { 0 };
    Scratch {
        held: threads * ROWS * rows(width as usize) as u64 * row,
        forward: parts(shape) * (nodes * row + VALUE * edges),
        backward: parts(shape) * group * (nodes / lanes + span) * row
            + squares
            + group * weights(shape)
            + sum_of_lanes
            + columns,
    }
}

/// Row buffers of a thread.
const ROWS: u64 = 7;

/// Edges of a lane at least, and lanes at most: enough for the cores of a large machine, few enough
/// that their buffers stay small.
const LANE_EDGES: usize = 2048;
const LANES: usize = 64;

/// Values of a tile's row buffer, as far as the number of rows allows.
const TILE_VALUES: usize = 1 << 19;

/// On the CPU, rows of a tile, one for each of its edges: many, because a product packs its weights anew for
/// each tile; fewer where rows are long, because every thread has seven buffers of that size.
pub(super) fn rows(width: usize) -> usize {
    (TILE_VALUES / width.max(1)).clamp(128, 512)
}

/// On the CPU, edges of a tile of values and tangents, which have a row each.
pub(super) fn dual_rows(width: usize) -> usize {
    rows(width) / 2
}

/// On the CPU, edges of a lane, which is whole tiles.
pub(super) fn lane(edges: usize, width: usize) -> usize {
    let lanes = edges.div_ceil(LANE_EDGES).clamp(1, LANES);
    edges.div_ceil(lanes).next_multiple_of(rows(width))
}

fn lanes(edges: usize, width: usize) -> usize {
    edges.div_ceil(lane(edges, width))
}

/// Largest share of a device's largest allocation that a row buffer `[tile, F]` takes, and its limits in
/// bytes. There are up to six such buffers at a time.
const SHARE: u64 = 64;
const SMALLEST: u64 = 1 << 20;
const LARGEST: u64 = 1 << 28;

/// On a GPU, rows of a tile: one for each of its edges, two with tangents.
pub(crate) fn tile(largest: u64, width: usize) -> usize {
    let bytes = (largest / SHARE).clamp(SMALLEST, LARGEST);
    ((bytes / (VALUE * width as u64)).max(64) as usize).next_multiple_of(64)
}

/// On a GPU, rows whose sum a unit makes.
pub(crate) const BLOCK: usize = 128;

/// Rows that a part of a sum over rows has at least.
const PART: usize = 512;
/// Values that the parts of a sum over rows have together at most.
const PARTS: usize = 1 << 22;

/// On a GPU, into how many parts the sum `a^T b` over so many rows is cut, of `a [rows, K]` and `b [rows, C]`: a small
/// product of long matrices has work for few units otherwise.
pub(crate) fn parts_of_sum([rows, k, columns]: [usize; 3]) -> usize {
    let most = (PARTS / (k * columns).max(1)).min(rows / (8 * k.max(columns)).max(1));
    (rows / PART).min(most).max(1)
}
