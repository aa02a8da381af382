//! A data set: labelled structures, their sizes, and what turns them into graphs.

use std::sync::Arc;

use isograd_data::Sizes;
use isograd_structure::Structure;
use rayon::prelude::*;

use super::potential::PotentialInfo;
use crate::Result;
use crate::graph::{HostBatch, HostGraph, LabelCounts};

/// Labelled structures and all that it takes to turn one into a graph.
pub struct Dataset {
    /// The structures.
    pub structures: Vec<Structure>,
    /// Source of each structure, an index into the potential's sources.
    pub sources: Vec<usize>,
    /// Atoms and edges of each structure.
    pub sizes: Vec<Sizes>,
    info: Arc<PotentialInfo>,
}

impl Dataset {
    /// Measures structures, in parallel, and checks that the potential knows their elements.
    ///
    /// # Errors
    /// [`Error::Structure`](crate::Error::Structure) for an unknown element or an impossible cell.
    pub fn new(structures: Vec<Structure>, sources: Vec<usize>, info: Arc<PotentialInfo>) -> Result<Self> {
        let sizes = structures.par_iter().map(|structure| info.sizes(structure)).collect::<Result<_>>()?;
        Ok(Self { structures, sources, sizes, info })
    }

    /// Structures of one source that [`PotentialInfo::sizes`] has measured.
    ///
    /// # Panics
    /// If `structures` and `sizes` differ in length.
    pub fn measured(structures: Vec<Structure>, source: usize, sizes: Vec<Sizes>, info: Arc<PotentialInfo>) -> Self {
        assert_eq!(structures.len(), sizes.len(), "Dataset: structures and their sizes");
        Self { sources: vec![source; structures.len()], structures, sizes, info }
    }

    /// Number of structures.
    pub fn len(&self) -> usize {
        self.structures.len()
    }

    /// Whether there are no structures.
    pub fn is_empty(&self) -> bool {
        self.structures.is_empty()
    }

    /// The graph of one structure, its energy target without the reference energies.
    ///
    /// # Errors
    /// As [`Dataset::new`], which has already checked every structure.
    pub fn graph(&self, index: usize) -> Result<HostGraph> {
        self.info.graph(&self.structures[index], self.sources[index])
    }

    /// A batch of graphs, neighbour lists made on the way.
    ///
    /// # Errors
    /// As [`Dataset::graph`].
    pub fn batch(&self, members: &[usize]) -> Result<HostBatch> {
        let graphs: Vec<HostGraph> = members.iter().map(|&index| self.graph(index)).collect::<Result<_>>()?;
        Ok(HostBatch::new(members, &graphs))
    }

    /// Labels of some structures.
    pub fn label_counts(&self, members: &[usize]) -> LabelCounts {
        let of = |&index: &usize| {
            let structure = &self.structures[index];
            let components = structure.forces.as_ref().map_or(0, |forces| 3 * forces.len());
            LabelCounts { energies: usize::from(structure.energy.is_some()), force_components: components }
        };
        members.iter().map(of).sum()
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

    /// The reference energy of one structure, in eV.
    pub fn reference_energy(&self, index: usize) -> f64 {
        self.info.sources[self.sources[index]].references.energy(&self.structures[index].elements)
    }

    /// What the potential says of itself.
    pub fn info(&self) -> &PotentialInfo {
        &self.info
    }
}
