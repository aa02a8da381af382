//! A data set: labelled structures, their sizes, and what turns them into batches.

use std::sync::Arc;

use isograd_data::{HostBatch, HostGraph, Sizes};
use isograd_structure::Structure;
use isograd_tasks::{HostLabels, LabelCounts, PotentialInfo, Target, Task};
use rayon::prelude::*;

use crate::Result;

/// A batch in host memory: graphs, and their labels apart from them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// What models read.
    pub graphs: HostBatch,
    /// What they are to predict.
    pub labels: HostLabels,
}

impl Batch {
    /// Joins graphs, and the labels of each; `members` are their positions in the data set.
    ///
    /// # Panics
    /// If lengths differ, or a label has another number of entries than its target says.
    pub fn new(members: &[usize], graphs: &[HostGraph], targets: &[Target], labels: &[Vec<Option<Vec<f64>>>]) -> Self {
        let nodes: Vec<usize> = graphs.iter().map(|graph| graph.species.len()).collect();
        let heads: Vec<usize> = graphs.iter().map(|graph| graph.head).collect();
        let dims = graphs.first().map_or(3, |graph| graph.dims);
        Self { graphs: HostBatch::new(members, graphs), labels: HostLabels::new(targets, dims, &nodes, &heads, labels) }
    }
}

/// Labelled structures and all that it takes to turn one into a graph.
pub struct Dataset {
    /// The structures.
    pub structures: Vec<Structure>,
    /// Source of each structure, an index into the potential's sources.
    pub sources: Vec<usize>,
    /// Atoms and edges of each structure.
    pub sizes: Vec<Sizes>,
    info: Arc<PotentialInfo>,
    task: Arc<dyn Task>,
}

impl Dataset {
    /// Measures structures, in parallel, and checks that the potential knows their elements.
    ///
    /// # Errors
    /// [`Error::Structure`](crate::Error::Structure) for an unknown element or an impossible cell.
    pub fn new(
        structures: Vec<Structure>,
        sources: Vec<usize>,
        info: Arc<PotentialInfo>,
        task: Arc<dyn Task>,
    ) -> Result<Self> {
        let sizes: Result<_> = structures.par_iter().map(|structure| Ok(info.sizes(structure)?)).collect();
        Ok(Self { structures, sources, sizes: sizes?, info, task })
    }

    /// Structures of one source that [`PotentialInfo::sizes`] has measured.
    ///
    /// # Panics
    /// If `structures` and `sizes` differ in length.
    pub fn measured(
        structures: Vec<Structure>,
        source: usize,
        sizes: Vec<Sizes>,
        info: Arc<PotentialInfo>,
        task: Arc<dyn Task>,
    ) -> Self {
        assert_eq!(structures.len(), sizes.len(), "Dataset: structures and their sizes");
        Self { sources: vec![source; structures.len()], structures, sizes, info, task }
    }

    /// Number of structures.
    pub fn len(&self) -> usize {
        self.structures.len()
    }

    /// Whether there are no structures.
    pub fn is_empty(&self) -> bool {
        self.structures.is_empty()
    }

    /// What is predicted of the structures.
    pub fn task(&self) -> &dyn Task {
        &*self.task
    }

    /// The labels of one structure, target by target.
    pub fn labels(&self, index: usize) -> Vec<Option<Vec<f64>>> {
        self.task.labels(&self.structures[index], self.sources[index])
    }

    /// A batch of graphs with their labels, neighbour lists made on the way.
    ///
    /// # Errors
    /// As [`Dataset::new`], which has already checked every structure.
    pub fn batch(&self, members: &[usize]) -> Result<Batch> {
        let graph = |&index: &usize| self.info.graph(&self.structures[index], self.sources[index]);
        let graphs: Vec<HostGraph> = members.iter().map(graph).collect::<Result<_, _>>()?;
        let labels: Vec<_> = members.iter().map(|&index| self.labels(index)).collect();
        Ok(Batch::new(members, &graphs, self.task.targets(), &labels))
    }

    /// How many numbers some structures have of each target.
    pub fn label_counts(&self, members: &[usize]) -> LabelCounts {
        let of = |&index: &usize| {
            let labels = self.task.label_sizes(&self.structures[index]);
            LabelCounts(labels)
        };
        members.iter().map(of).sum()
    }

    /// How many numbers there may be of each target.
    pub fn label_room(&self) -> Vec<usize> {
        let all: Vec<usize> = (0..self.len()).collect();
        self.label_counts(&all).0
    }

    /// Atoms and edges of some structures together.
    pub fn total(&self, members: &[usize]) -> Sizes {
        members.iter().fold(Sizes::default(), |sum, &index| Sizes {
            atoms: sum.atoms + self.sizes[index].atoms,
            edges: sum.edges + self.sizes[index].edges,
        })
    }

    /// A hash of everything that training sees of the structures.
    pub fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let mut numbers = |values: &[f64]| {
            hasher.update(&(values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| {
                hasher.update(&value.to_le_bytes());
            });
        };
        for (structure, &source) in self.structures.iter().zip(&self.sources) {
            let elements = structure.elements.iter().map(|element| f64::from(element.number()));
            numbers(&[source as f64, structure.energy.unwrap_or(f64::NAN)]);
            numbers(&elements.collect::<Vec<_>>());
            numbers(structure.geometry.positions.as_flattened());
            numbers(structure.forces.as_deref().unwrap_or_default().as_flattened());
            numbers(structure.geometry.cell.as_ref().map_or(&[][..], |cell| cell.0.as_flattened()));
        }
        hasher.finalize()
    }

    /// What the potential says of itself.
    pub fn info(&self) -> &PotentialInfo {
        &self.info
    }
}
