//! Batches: several graphs as one disconnected graph, on the host and on a device.
//!
//! A model never sees positions: edges carry their vectors, computed in f64 on the host. That makes
//! every prediction exactly independent of where the origin is, and keeps full precision for atoms
//! far from it.

use std::ops::Range;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use isograd_backends::index::{EdgeIndex, EdgeList, Grouping, HostGrouping};
use isograd_structure::NeighbourList;

/// One structure, ready to be batched.
#[derive(Debug, Clone, Default)]
pub struct HostGraph {
    /// Element index of each atom in the model's list of elements, `[N]`.
    pub species: Vec<i32>,
    /// Its edges.
    pub edges: NeighbourList,
    /// Energy target in eV, reference energies already subtracted.
    pub energy: Option<f64>,
    /// Force targets in eV/angstrom, `[N, 3]`.
    pub forces: Option<Vec<[f64; 3]>>,
    /// Which head of the model predicts it.
    pub head: usize,
}

/// How much a batch, or the micro-batches of a step together, have of what losses are divided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LabelCounts {
    /// Graphs with an energy.
    pub energies: usize,
    /// Force components: three for each atom of a graph with forces.
    pub force_components: usize,
}

impl std::ops::Add for LabelCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            energies: self.energies + other.energies,
            force_components: self.force_components + other.force_components,
        }
    }
}

impl std::iter::Sum for LabelCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), std::ops::Add::add)
    }
}

/// The part of a batch that one head predicts; graphs of a head are contiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadRange {
    /// Which head.
    pub head: usize,
    /// Its atoms.
    pub atoms: Range<usize>,
    /// Its edges.
    pub edges: Range<usize>,
}

/// A batch in host memory: B graphs, N atoms, E edges.
#[derive(Debug, Clone, Default)]
pub struct HostBatch {
    /// Position in the data set of each graph, `[B]`.
    pub members: Vec<usize>,
    /// Number of atoms of each graph, `[B]`.
    pub sizes: Vec<usize>,
    /// Element index of each atom, `[N]`.
    pub species: Vec<i32>,
    /// Graph of each atom, `[N]`.
    pub graph_of_atom: Vec<i32>,
    /// CSR offsets of the edges by receiver, `[N + 1]`.
    pub offsets: Vec<i32>,
    /// Receiver of each edge, sorted, `[E]`.
    pub receivers: Vec<i32>,
    /// Sender of each edge, `[E]`.
    pub senders: Vec<i32>,
    /// `r_ij` of each edge in angstrom, `[E, 3]`.
    pub vectors: Vec<f64>,
    /// Energy targets in eV, `[B]`; zero where there is none.
    pub energies: Vec<f32>,
    /// One where there is an energy, else zero, `[B]`.
    pub energy_mask: Vec<f32>,
    /// Force targets in eV/angstrom, `[N, 3]`; zero where there are none.
    pub forces: Vec<f32>,
    /// One where the atom has a force, else zero, `[N]`.
    pub force_mask: Vec<f32>,
    /// The ranges of each head, in order.
    pub heads: Vec<HeadRange>,
}

impl HostBatch {
    /// Joins graphs, ordered by head and otherwise as given; `members` are their positions in the
    /// data set.
    ///
    /// # Panics
    /// If `members` and `graphs` differ in length.
    pub fn new(members: &[usize], graphs: &[HostGraph]) -> Self {
        assert_eq!(members.len(), graphs.len(), "HostBatch: {} members for {} graphs", members.len(), graphs.len());
        let mut order: Vec<usize> = (0..graphs.len()).collect();
        order.sort_by_key(|&k| graphs[k].head);
        let atoms = graphs.iter().map(|graph| graph.species.len()).sum();
        let edges = graphs.iter().map(|graph| graph.edges.len()).sum();
        let mut batch = Self::with_capacity(atoms, edges);
        for k in order {
            batch.push(members[k], &graphs[k]);
        }
        batch
    }

    fn with_capacity(atoms: usize, edges: usize) -> Self {
        let mut offsets = Vec::with_capacity(atoms + 1);
        offsets.push(0);
        Self {
            species: Vec::with_capacity(atoms),
            graph_of_atom: Vec::with_capacity(atoms),
            offsets,
            receivers: Vec::with_capacity(edges),
            senders: Vec::with_capacity(edges),
            vectors: Vec::with_capacity(3 * edges),
            forces: Vec::with_capacity(3 * atoms),
            force_mask: Vec::with_capacity(atoms),
            ..Default::default()
        }
    }

    fn push(&mut self, member: usize, graph: &HostGraph) {
        let (first_atom, first_edge) = (self.atoms(), self.edges());
        let atoms = graph.species.len();
        let index = self.members.len() as i32;
        self.members.push(member);
        self.sizes.push(atoms);
        self.species.extend(&graph.species);
        self.graph_of_atom.extend(std::iter::repeat_n(index, atoms));
        self.offsets.extend(graph.edges.offsets[1..].iter().map(|&offset| (first_edge + offset) as i32));
        self.receivers.extend(graph.edges.receivers().map(|i| first_atom as i32 + i as i32));
        self.senders.extend(graph.edges.senders.iter().map(|&j| first_atom as i32 + j as i32));
        self.vectors.extend(graph.edges.vectors.as_flattened());
        self.energies.push(graph.energy.unwrap_or(0.0) as f32);
        self.energy_mask.push(if graph.energy.is_some() { 1.0 } else { 0.0 });
        match &graph.forces {
            Some(forces) => self.forces.extend(forces.as_flattened().iter().map(|&v| v as f32)),
            None => self.forces.extend(std::iter::repeat_n(0.0, 3 * atoms)),
        }
        self.force_mask.extend(std::iter::repeat_n(if graph.forces.is_some() { 1.0 } else { 0.0 }, atoms));
        let (atoms, edges) = (self.atoms(), self.edges());
        match self.heads.last_mut() {
            Some(range) if range.head == graph.head => (range.atoms.end, range.edges.end) = (atoms, edges),
            _ => self.heads.push(HeadRange { head: graph.head, atoms: first_atom..atoms, edges: first_edge..edges }),
        }
    }

    /// Number of graphs, B.
    pub fn graphs(&self) -> usize {
        self.members.len()
    }

    /// Number of atoms, N.
    pub fn atoms(&self) -> usize {
        self.species.len()
    }

    /// Number of edges, E.
    pub fn edges(&self) -> usize {
        self.receivers.len()
    }

    /// Some of the edges, between some contiguous atoms, which are numbered from the first.
    fn edge_list(&self, atoms: &Range<usize>, edges: &Range<usize>) -> EdgeList {
        let numbered =
            |nodes: &[i32]| nodes[edges.clone()].iter().map(|&node| (node as usize - atoms.start) as u32).collect();
        EdgeList { nodes: atoms.len(), receivers: numbered(&self.receivers), senders: numbered(&self.senders) }
    }

    /// How many labels the batch has.
    pub fn label_counts(&self) -> LabelCounts {
        let count = |mask: &[f32]| mask.iter().filter(|&&m| m > 0.0).count();
        LabelCounts { energies: count(&self.energy_mask), force_components: 3 * count(&self.force_mask) }
    }
}

/// The inputs of a model on a device. Labels are not among them.
#[derive(Debug, Clone)]
pub struct GraphBatch<B: Backend> {
    /// Atoms by element.
    pub species: Grouping<B>,
    /// Atoms by graph.
    pub graph_of_atom: Grouping<B>,
    /// Receiver, sorted, and sender of each edge.
    pub index: EdgeIndex<B>,
    /// The same for the edges of each head alone, numbered from its first atom; empty where there is
    /// only one head.
    pub head_index: Vec<EdgeIndex<B>>,
    /// `r_ij` of each edge in angstrom, `[E, 3]`.
    pub vectors: Tensor<B, 2>,
    /// One over the number of neighbours, or zero without any, `[N, 1]`.
    pub inverse_degree: Tensor<B, 2>,
    /// The ranges of each head, in order.
    pub heads: Vec<HeadRange>,
    /// Number of graphs, B.
    pub graphs: usize,
    /// Number of atoms, N.
    pub atoms: usize,
    /// Number of edges, E.
    pub edges: usize,
}

impl<B: Backend> GraphBatch<B> {
    /// Copies a batch to a device, edge vectors rounded to the precision of the backend.
    ///
    /// # Panics
    /// If an element index is not below `elements`, the rows of the model's embedding.
    pub fn new(batch: &HostBatch, elements: usize, device: &B::Device) -> Self {
        let grouping = |of: &[i32], groups| {
            Grouping::new(HostGrouping::new(of.iter().map(|&group| group as u32).collect(), groups), device)
        };
        let inverse_degree: Vec<f32> = batch
            .offsets
            .windows(2)
            .map(|range| if range[1] > range[0] { 1.0 / (range[1] - range[0]) as f32 } else { 0.0 })
            .collect();
        let several = batch.heads.iter().filter(|_| batch.heads.len() > 1);
        let head_index =
            several.map(|part| EdgeIndex::new(batch.edge_list(&part.atoms, &part.edges), device)).collect();
        let vectors = TensorData::new(batch.vectors.clone(), [batch.edges(), 3]);
        Self {
            species: grouping(&batch.species, elements),
            graph_of_atom: grouping(&batch.graph_of_atom, batch.graphs()),
            index: EdgeIndex::new(batch.edge_list(&(0..batch.atoms()), &(0..batch.edges())), device),
            head_index,
            vectors: Tensor::from_data(vectors.convert::<B::FloatElem>(), device),
            inverse_degree: floats(&inverse_degree, [batch.atoms(), 1], device),
            heads: batch.heads.clone(),
            graphs: batch.graphs(),
            atoms: batch.atoms(),
            edges: batch.edges(),
        }
    }
}

/// A float tensor from host values in row-major order.
pub(crate) fn floats<B: Backend, const R: usize>(
    values: &[f32],
    shape: [usize; R],
    device: &B::Device,
) -> Tensor<B, R> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_structure::{Geometry, neighbour_list};

    fn chain(atoms: usize, head: usize) -> HostGraph {
        let positions = (0..atoms).map(|k| [k as f64, 0.0, 0.0]).collect();
        let edges = neighbour_list(&Geometry { positions, ..Default::default() }, 1.5).unwrap();
        let forces = (head == 0).then(|| vec![[1.0, 2.0, 3.0]; atoms]);
        HostGraph { species: vec![0; atoms], edges, energy: Some(atoms as f64), forces, head }
    }

    #[test]
    fn graphs_are_joined_by_head_with_shifted_indices() {
        let batch = HostBatch::new(&[5, 6, 7], &[chain(2, 1), chain(3, 0), chain(1, 1)]);
        assert_eq!(batch.members, [6, 5, 7]);
        assert_eq!(batch.receivers, [0, 1, 1, 2, 3, 4]);
        assert_eq!(batch.senders, [1, 0, 2, 1, 4, 3]);
        assert_eq!(batch.offsets, [0, 1, 3, 4, 5, 6, 6]);
        assert_eq!(batch.graph_of_atom, [0, 0, 0, 1, 1, 2]);
        assert_eq!(batch.label_counts(), LabelCounts { energies: 3, force_components: 9 });
        let heads = [HeadRange { head: 0, atoms: 0..3, edges: 0..4 }, HeadRange { head: 1, atoms: 3..6, edges: 4..6 }];
        assert_eq!(batch.heads, heads);
    }
}
