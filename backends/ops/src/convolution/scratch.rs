//! How the operation is cut into lanes on the CPU, and how much memory it takes there beside its inputs and outputs.

use std::ops::Range;

use crate::message::scratch::tile;
use crate::profile::VALUE;

/// The size of the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// N.
    pub nodes: u64,
    /// E.
    pub edges: u64,
    /// Graphs that the nodes belong to; the edges of each stay within it.
    pub graphs: u64,
    /// Numbers of a row of node features.
    pub nodes_columns: u64,
    /// Numbers of a row of the result.
    pub out_columns: u64,
    /// Numbers of an edge, Y and G together; zero where no gradients of the geometry are wanted.
    pub edge_columns: u64,
    /// Weights W; zero where no gradients of them are wanted.
    pub weights: u64,
    /// Paths times channels.
    pub paths_columns: u64,
    /// Whether values have tangents.
    pub dual: bool,
}

impl ConvolutionShape {
    fn parts(&self) -> u64 {
        VALUE * (1 + u64::from(self.dual))
    }

    /// Bytes beside inputs and outputs while it runs forward.
    pub fn forward(&self) -> u64 {
        self.parts() * self.nodes * self.out_columns
    }

    /// Bytes beside inputs and outputs while it runs backward on so many threads.
    pub fn backward(&self, threads: usize) -> u64 {
        let Self { nodes, edges, graphs, .. } = *self;
        let lanes = lanes(edges as usize).len() as u64;
        let group = lanes.min(group(threads) as u64);
        // A lane's senders are somewhere in the graphs of its receivers.
        let span = nodes.min(nodes / lanes.max(1) + 2 * nodes.div_ceil(graphs.max(1)));
        let of_lane = span * self.nodes_columns + TILE as u64 * self.paths_columns;
        let edges = edges * self.edge_columns * group / lanes.max(1);
        self.parts() * (group * of_lane + edges) + VALUE * group * self.weights
    }
}

/// Edges of a lane at least, and lanes at most.
const LANE_EDGES: usize = 128;
const LANES: usize = 64;

/// Edges whose gradients of radial features are made together.
pub(super) const TILE: usize = 32;

/// The lanes, as ranges of edges; by the number of edges alone, so that sums are the same for any number of threads.
pub(super) fn lanes(edges: usize) -> Vec<Range<usize>> {
    let length = length(edges);
    (0..edges).step_by(length).map(|start| start..(start + length).min(edges)).collect()
}

fn length(edges: usize) -> usize {
    let lanes = edges.div_ceil(LANE_EDGES).clamp(1, LANES);
    edges.div_ceil(lanes).next_multiple_of(TILE).max(1)
}

/// Lanes whose sums are there at a time.
pub(super) fn group(threads: usize) -> usize {
    2 * threads
}

/// On a GPU with this largest page, tiles of edges, whose gradients of R, so many numbers of an edge, are there at a time.
pub(crate) fn tiles(
    largest: u64,
    edges: usize,
    paths_columns: usize,
    dual: bool,
) -> impl Iterator<Item = Range<usize>> {
    let tile = tile(largest, paths_columns) / (1 + usize::from(dual));
    (0..edges).step_by(tile).map(move |start| start..(start + tile).min(edges))
}
