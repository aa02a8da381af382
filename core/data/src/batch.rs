//! Batches in host memory: several graphs as one disconnected graph.
//!
//! Edges carry their vectors, computed in double precision. That makes every prediction
//! exactly independent of where the origin is, and keeps full precision for nodes far from it.

use std::ops::Range;

use crate::Sizes;

/// The edges of one graph, sorted by receiver.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostEdges {
    /// First edge of each receiver, and E, `[N + 1]`.
    pub offsets: Vec<u32>,
    /// Sender of each edge, `[E]`.
    pub senders: Vec<u32>,
    /// `r_ij` of each edge, `[E, D]`, in angstrom where nodes are atoms.
    pub vectors: Vec<f64>,
}

impl From<isograd_structure::NeighbourList> for HostEdges {
    fn from(list: isograd_structure::NeighbourList) -> Self {
        Self {
            offsets: list.offsets.into_iter().map(|offset| offset as u32).collect(),
            senders: list.senders,
            vectors: list.vectors.into_flattened(),
        }
    }
}

/// One graph, ready to be batched.
#[derive(Debug, Clone, PartialEq)]
pub struct HostGraph {
    /// D, the dimensions of space.
    pub dims: usize,
    /// Kind of each node, `[N]`: its element's place in the model's list of elements.
    pub species: Vec<u32>,
    /// Its edges.
    pub edges: HostEdges,
    /// Which head of the model predicts it.
    pub head: usize,
    /// Positions of its nodes, `[N, D]`, for the one model that is not equivariant; empty for all others.
    pub positions: Vec<f64>,
    /// Velocities of its nodes, `[N, D]`, for models that read them; empty for others.
    pub velocities: Vec<f64>,
    /// Volume of its cell, for stress; `None` without one.
    pub volume: Option<f64>,
}

impl HostGraph {
    /// Its nodes and edges.
    pub fn sizes(&self) -> Sizes {
        Sizes { atoms: self.species.len(), edges: self.edges.senders.len() }
    }

    /// Whether an edge is longer than this.
    pub fn has_edge_beyond(&self, length: f64) -> bool {
        let squares = self.edges.vectors.chunks(self.dims.max(1)).map(|row| row.iter().map(|x| x * x).sum::<f64>());
        squares.into_iter().any(|square| square > length * length)
    }
}

impl Default for HostGraph {
    fn default() -> Self {
        Self {
            dims: 3,
            species: Vec::new(),
            edges: HostEdges::default(),
            head: 0,
            positions: Vec::new(),
            velocities: Vec::new(),
            volume: None,
        }
    }
}

/// The part of a batch that one head predicts; graphs of a head are contiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadRange {
    /// Which head.
    pub head: usize,
    /// Its nodes.
    pub nodes: Range<usize>,
    /// Its edges.
    pub edges: Range<usize>,
}

/// A batch in host memory: B graphs, N nodes, E edges.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostBatch {
    /// D, the dimensions of space.
    pub dims: usize,
    /// Position in the data set of each graph, `[B]`.
    pub members: Vec<usize>,
    /// Number of nodes of each graph, `[B]`.
    pub sizes: Vec<usize>,
    /// Kind of each node, `[N]`.
    pub species: Vec<u32>,
    /// Graph of each node, `[N]`.
    pub graph_of_node: Vec<u32>,
    /// First edge of each receiver, and E, `[N + 1]`.
    pub offsets: Vec<u32>,
    /// Receiver of each edge, sorted, `[E]`.
    pub receivers: Vec<u32>,
    /// Sender of each edge, `[E]`.
    pub senders: Vec<u32>,
    /// `r_ij` of each edge, `[E, D]`.
    pub vectors: Vec<f64>,
    /// Positions `[N, D]`, or nothing.
    pub positions: Vec<f64>,
    /// Velocities `[N, D]`, or nothing.
    pub velocities: Vec<f64>,
    /// Volume of each graph's cell, `[B]`; `None` without one.
    pub volumes: Vec<Option<f64>>,
    /// The ranges of each head, in order.
    pub heads: Vec<HeadRange>,
}

/// The order in which a batch holds graphs: by head, otherwise as given.
pub fn batch_order(heads: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let heads: Vec<usize> = heads.into_iter().collect();
    let mut order: Vec<usize> = (0..heads.len()).collect();
    order.sort_by_key(|&k| heads[k]);
    order
}

impl HostBatch {
    /// Joins graphs in the order that [`batch_order`] gives them; `members` are their positions in the data set.
    ///
    /// # Panics
    /// If `members` and `graphs` differ in length, or graphs differ in the dimensions of space.
    pub fn new(members: &[usize], graphs: &[HostGraph]) -> Self {
        assert_eq!(members.len(), graphs.len(), "HostBatch: {} members for {} graphs", members.len(), graphs.len());
        let nodes = graphs.iter().map(|graph| graph.species.len()).sum();
        let edges: usize = graphs.iter().map(|graph| graph.edges.senders.len()).sum();
        let dims = graphs.first().map_or(3, |graph| graph.dims);
        let mut offsets = Vec::with_capacity(nodes + 1);
        offsets.push(0);
        let mut batch = Self {
            dims,
            species: Vec::with_capacity(nodes),
            graph_of_node: Vec::with_capacity(nodes),
            offsets,
            receivers: Vec::with_capacity(edges),
            senders: Vec::with_capacity(edges),
            vectors: Vec::with_capacity(dims * edges),
            ..Default::default()
        };
        for k in batch_order(graphs.iter().map(|graph| graph.head)) {
            batch.push(members[k], &graphs[k]);
        }
        batch
    }

    fn push(&mut self, member: usize, graph: &HostGraph) {
        assert_eq!(graph.dims, self.dims, "HostBatch: graphs in spaces of different dimensions");
        let (first_node, first_edge) = (self.nodes(), self.edges());
        let nodes = graph.species.len();
        let index = self.members.len() as u32;
        self.members.push(member);
        self.sizes.push(nodes);
        self.species.extend(&graph.species);
        self.graph_of_node.extend(std::iter::repeat_n(index, nodes));
        for (node, range) in graph.edges.offsets.windows(2).enumerate() {
            self.offsets.push(first_edge as u32 + range[1]);
            self.receivers.extend(std::iter::repeat_n((first_node + node) as u32, (range[1] - range[0]) as usize));
        }
        self.senders.extend(graph.edges.senders.iter().map(|&sender| first_node as u32 + sender));
        self.vectors.extend(&graph.edges.vectors);
        self.positions.extend(&graph.positions);
        self.velocities.extend(&graph.velocities);
        self.volumes.push(graph.volume);
        let (nodes, edges) = (self.nodes(), self.edges());
        match self.heads.last_mut() {
            Some(range) if range.head == graph.head => (range.nodes.end, range.edges.end) = (nodes, edges),
            _ => self.heads.push(HeadRange { head: graph.head, nodes: first_node..nodes, edges: first_edge..edges }),
        }
    }

    /// Nodes and edges of each graph, in the order in which they lie here.
    pub fn sizes(&self) -> impl Iterator<Item = Sizes> + '_ {
        let mut node = 0;
        self.sizes.iter().map(move |&atoms| {
            let first = self.offsets[node];
            node += atoms;
            Sizes { atoms, edges: (self.offsets[node] - first) as usize }
        })
    }

    /// Number of graphs, B.
    pub fn graphs(&self) -> usize {
        self.members.len()
    }

    /// Number of nodes, N.
    pub fn nodes(&self) -> usize {
        self.species.len()
    }

    /// Number of edges, E.
    pub fn edges(&self) -> usize {
        self.receivers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_structure::{Geometry, neighbour_list};

    fn chain(nodes: usize, head: usize) -> HostGraph {
        let positions = (0..nodes).map(|k| [k as f64, 0.0, 0.0]).collect();
        let edges = neighbour_list(&Geometry { positions, ..Default::default() }, 1.5).unwrap().into();
        HostGraph { species: vec![0; nodes], edges, head, ..Default::default() }
    }

    #[test]
    fn graphs_are_joined_by_head_with_shifted_indices() {
        let batch = HostBatch::new(&[5, 6, 7], &[chain(2, 1), chain(3, 0), chain(1, 1)]);
        assert_eq!(batch.members, [6, 5, 7]);
        assert_eq!(batch.receivers, [0, 1, 1, 2, 3, 4]);
        assert_eq!(batch.senders, [1, 0, 2, 1, 4, 3]);
        assert_eq!(batch.offsets, [0, 1, 3, 4, 5, 6, 6]);
        assert_eq!(batch.graph_of_node, [0, 0, 0, 1, 1, 2]);
        let heads = [HeadRange { head: 0, nodes: 0..3, edges: 0..4 }, HeadRange { head: 1, nodes: 3..6, edges: 4..6 }];
        assert_eq!(batch.heads, heads);
    }
}
