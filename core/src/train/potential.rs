//! A potential: a trained model with all that it takes to use it on a structure file.

use std::sync::Arc;

use isograd_data::{Keys, References, Sizes, Source};
use isograd_structure::{Element, Structure, Units, count_edges, neighbour_list};
use serde::{Deserialize, Serialize};

use crate::graph::HostGraph;
use crate::model::EgnnConfig;
use crate::{Error, Result};

/// What a potential says of itself; it travels in the header of the weights file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PotentialInfo {
    /// The model's shape.
    pub model: EgnnConfig,
    /// The sources it was trained on, in order.
    pub sources: Vec<PotentialSource>,
}

/// One source as the potential remembers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PotentialSource {
    /// Its name.
    pub name: String,
    /// Where its labels stand.
    pub keys: Keys,
    /// Its units.
    pub units: Units,
    /// Its reference energies.
    pub references: References,
    /// The head that predicts it.
    pub head: usize,
}

impl PotentialInfo {
    /// The source called `name`, or the first.
    ///
    /// # Errors
    /// [`Error::Structure`] if there is none of that name.
    pub fn source(&self, name: Option<&str>) -> Result<(usize, Source)> {
        let index = match name {
            None => 0,
            Some(name) => self.sources.iter().position(|source| source.name == name).ok_or_else(|| {
                let known: Vec<&str> = self.sources.iter().map(|source| source.name.as_str()).collect();
                Error::Structure(format!("the potential has no source `{name}`; it knows {}", known.join(", ")))
            })?,
        };
        let source = &self.sources[index];
        Ok((index, Source { keys: source.keys.clone(), units: source.units }))
    }

    /// The row of the embedding of each atom.
    ///
    /// # Errors
    /// [`Error::Structure`] for an element that the model was not made for.
    pub fn species(&self, elements: &[Element]) -> Result<Vec<i32>> {
        let row = |element: &Element| {
            let row = self.model.elements.iter().position(|known| known == element);
            row.map(|row| row as i32).ok_or_else(|| {
                let known: Vec<&str> = self.model.elements.iter().map(|element| element.symbol()).collect();
                Error::Structure(format!("the model does not know {element}; it knows {}", known.join(", ")))
            })
        };
        elements.iter().map(row).collect()
    }

    /// How many atoms and edges the graph of a structure has.
    ///
    /// # Errors
    /// [`Error::Structure`] for an unknown element or an impossible cell.
    pub fn sizes(&self, structure: &Structure) -> Result<Sizes> {
        self.species(&structure.elements)?;
        let edges = count_edges(&structure.geometry, self.model.cutoff)?;
        Ok(Sizes { atoms: structure.len(), edges })
    }

    /// The graph of a structure of source `source`; its energy target is without references.
    ///
    /// # Errors
    /// [`Error::Structure`] for an unknown element or an impossible cell.
    pub fn graph(&self, structure: &Structure, source: usize) -> Result<HostGraph> {
        let PotentialSource { references, head, .. } = &self.sources[source];
        Ok(HostGraph {
            species: self.species(&structure.elements)?,
            edges: neighbour_list(&structure.geometry, self.model.cutoff)?,
            energy: structure.energy.map(|energy| energy - references.energy(&structure.elements)),
            forces: structure.forces.clone(),
            head: *head,
        })
    }
}

/// A trained model and its description.
#[derive(Debug, Clone)]
pub struct Potential<B: burn::tensor::backend::Backend> {
    /// The network.
    pub model: crate::model::Egnn<B>,
    /// Elements, sources, references.
    pub info: Arc<PotentialInfo>,
}
