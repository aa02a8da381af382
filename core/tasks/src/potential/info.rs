//! What a potential says of itself; it travels in the header of the weights file.

use std::sync::Arc;

use isograd_backends::value::EdgeWork;
use isograd_data::{HostGraph, Keys, References, Sizes, Source};
use isograd_models::{AnyArchitecture, Inputs, Invalid, NodeVectors, Registry};
use isograd_structure::{Element, Structure, Units, count_edges, neighbour_list};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::targets::potential_targets;
use crate::{Error, Model, Readout};

/// Where forces come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forces {
    /// Vectors of the last block: equivariant, but not the gradient of the energy.
    #[default]
    Direct,
    /// How far the coordinate updates moved the atom; needs `coordinate_updates`.
    Displacement,
}

/// What a model's outputs are multiplied by, so that its last layers work with numbers near one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scales {
    /// Of the energy of an atom, in eV.
    pub energy: f64,
    /// Of direct forces, in eV/angstrom.
    pub force: f64,
}

impl Default for Scales {
    fn default() -> Self {
        Self { energy: 1.0, force: 1.0 }
    }
}

/// The network of a potential, without its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrunkInfo {
    /// `[model] kind`.
    pub kind: String,
    /// Its hyper-parameters, by key.
    pub options: Json,
    /// Elements, in the order of the embedding's rows.
    pub elements: Vec<Element>,
    /// Number of heads: energy and force readouts over one trunk.
    pub heads: usize,
    /// Where forces come from.
    pub forces: Forces,
    /// What outputs are multiplied by.
    pub scales: Scales,
    /// Cutoff of the neighbour list in angstrom.
    pub cutoff: f64,
    /// Whether the model reads positions, as no equivariant model does.
    #[serde(default)]
    pub positions: bool,
}

impl TrunkInfo {
    /// Describes an architecture.
    pub fn new(
        architecture: &dyn AnyArchitecture,
        elements: Vec<Element>,
        heads: usize,
        forces: Forces,
        scales: Scales,
    ) -> Self {
        let needs = architecture.needs();
        Self {
            kind: architecture.kind().to_owned(),
            options: architecture.options(),
            elements,
            heads,
            forces,
            scales,
            cutoff: needs.cutoff,
            positions: needs.positions,
        }
    }

    /// The model that is described.
    ///
    /// # Errors
    /// The key of `[model]` and what was expected.
    pub fn model(&self, registry: &Registry, edge_work: EdgeWork) -> Result<Model, Invalid> {
        let architecture = registry.make(&self.kind, self.options.clone())?;
        self.model_of(architecture, edge_work)
    }

    /// The model of an architecture that this describes.
    ///
    /// # Errors
    /// The key of `[model]` and what was expected.
    pub fn model_of(&self, architecture: Arc<dyn AnyArchitecture>, edge_work: EdgeWork) -> Result<Model, Invalid> {
        if self.elements.is_empty() {
            return Err(Invalid::new("elements", "is empty, expected symbols as in [\"H\", \"C\"]"));
        }
        let mut sorted = self.elements.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Invalid::new("elements", format!("names {} twice", pair[0])));
        }
        for (key, scale) in [("energy_scale", self.scales.energy), ("force_scale", self.scales.force)] {
            if !(scale.is_finite() && scale > 0.0) {
                return Err(Invalid::new(key, format!("is {scale}, expected a positive number")));
            }
        }
        let vectors = match self.forces {
            Forces::Direct => NodeVectors::Direct,
            Forces::Displacement => NodeVectors::Displacement,
        };
        let species = self.elements.iter().map(|element| u32::from(element.number())).collect();
        let inputs = Inputs { species, dims: 3, heads: self.heads, vectors, edge_work };
        let targets = potential_targets();
        let forces = match self.forces {
            Forces::Direct => Readout::of(&targets[1], self.scales.force),
            Forces::Displacement => Readout::Vectors { target: targets[1].name.clone(), scale: None },
        };
        Model::new(architecture, inputs, vec![Readout::of(&targets[0], self.scales.energy), forces])
    }

    /// The row of the embedding of each atom.
    ///
    /// # Errors
    /// [`Error::Element`].
    pub fn species(&self, elements: &[Element]) -> Result<Vec<u32>, Error> {
        let row = |element: &Element| {
            let row = self.elements.iter().position(|known| known == element);
            row.map(|row| row as u32).ok_or_else(|| {
                let known: Vec<&str> = self.elements.iter().map(|element| element.symbol()).collect();
                Error::Element { element: element.to_string(), known: known.join(", ") }
            })
        };
        elements.iter().map(row).collect()
    }
}

/// What a potential says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PotentialInfo {
    /// The network.
    pub model: TrunkInfo,
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
    /// [`Error::Source`] if there is none of that name.
    pub fn source(&self, name: Option<&str>) -> Result<(usize, Source), Error> {
        let index = match name {
            None => 0,
            Some(name) => self.sources.iter().position(|source| source.name == name).ok_or_else(|| {
                let known: Vec<&str> = self.sources.iter().map(|source| source.name.as_str()).collect();
                Error::Source { name: name.to_owned(), known: known.join(", ") }
            })?,
        };
        let source = &self.sources[index];
        Ok((index, Source { keys: source.keys.clone(), units: source.units }))
    }

    /// How many atoms and edges the graph of a structure has.
    ///
    /// # Errors
    /// [`Error::Element`] for an unknown element, [`Error::Structure`] for an impossible cell.
    pub fn sizes(&self, structure: &Structure) -> Result<Sizes, Error> {
        self.model.species(&structure.elements)?;
        Ok(Sizes { atoms: structure.len(), edges: count_edges(&structure.geometry, self.model.cutoff)? })
    }

    /// The graph of a structure of source `source`.
    ///
    /// # Errors
    /// [`Error::Element`] for an unknown element, [`Error::Structure`] for an impossible cell.
    pub fn graph(&self, structure: &Structure, source: usize) -> Result<HostGraph, Error> {
        let positions = if self.model.positions { structure.geometry.positions.as_flattened() } else { &[] };
        Ok(HostGraph {
            dims: 3,
            species: self.model.species(&structure.elements)?,
            edges: neighbour_list(&structure.geometry, self.model.cutoff)?.into(),
            head: self.sources[source].head,
            positions: positions.to_vec(),
        })
    }
}
