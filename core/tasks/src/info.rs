//! What a trained model says of itself; it travels in the header of the weights file.

use std::sync::Arc;

use isograd_data::{HostEdges, HostGraph, Keys, References, Sizes, Source};
use isograd_models::{AnyArchitecture, Inputs, Invalid, NodeVectors, Registry};
use isograd_ops::value::EdgeWork;
use isograd_structure::{Element, Structure, Units, neighbour_list, pairs};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{Derivative, Error, Kind, Label, Level, Model, Of, Pool, Readout, Target, Task};

/// Where vectors per node come from: forces, or another vector that is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forces {
    /// Vectors of the last block: equivariant, but not the gradient of the energy.
    #[default]
    Direct,
    /// How far the coordinate updates moved the node; needs `coordinate_updates`.
    Displacement,
    /// The negative gradient of the energy: conservative forces, and stress where there is a cell.
    Gradient,
}

/// What nodes are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nodes {
    /// Atoms, in space of three dimensions, of these elements, in the order of the embedding's rows.
    Elements(Vec<Element>),
    /// Anything else.
    Kinds {
        /// How many kinds of nodes there are.
        count: usize,
        /// D, the dimensions of space.
        dims: usize,
    },
}

/// The network, without its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrunkInfo {
    /// `[model] kind`.
    pub kind: String,
    /// Its hyper-parameters, by key.
    pub options: Json,
    /// What nodes are.
    pub nodes: Nodes,
    /// Number of heads: readouts over one trunk.
    pub heads: usize,
    /// Where vectors come from.
    pub forces: Forces,
    /// Cutoff of the neighbour list in angstrom.
    pub cutoff: f64,
    /// Whether the model reads positions, as no equivariant model does.
    #[serde(default)]
    pub positions: bool,
}

impl TrunkInfo {
    /// Describes an architecture.
    pub fn new(architecture: &dyn AnyArchitecture, nodes: Nodes, heads: usize, forces: Forces) -> Self {
        let needs = architecture.needs();
        Self {
            kind: architecture.kind().to_owned(),
            options: architecture.options(),
            nodes,
            heads,
            forces,
            cutoff: needs.cutoff,
            positions: needs.positions,
        }
    }

    /// The model of an architecture that this describes, with readouts of some targets.
    ///
    /// # Errors
    /// The key of `[model]` and what was expected.
    pub fn model_of(
        &self,
        architecture: Arc<dyn AnyArchitecture>,
        targets: &[Target],
        edge_work: EdgeWork,
    ) -> Result<Model, Invalid> {
        let (species, dims) = match &self.nodes {
            Nodes::Elements(elements) => (rows_of(elements)?, 3),
            Nodes::Kinds { count, dims } => ((0..*count as u32).collect(), *dims),
        };
        for target in targets {
            if !(target.scale.is_finite() && target.scale > 0.0) {
                let message = format!("is {} for {}, expected a positive number", target.scale, target.name);
                return Err(Invalid::new("scale", message));
            }
        }
        let readouts = targets.iter().map(|target| self.readout(target, targets));
        let readouts: Vec<Readout> = readouts.collect::<Result<_, _>>()?;
        let vectors = match self.forces {
            _ if !readouts.iter().any(|readout| matches!(readout, Readout::Vectors { .. })) => NodeVectors::None,
            Forces::Direct | Forces::Gradient => NodeVectors::Direct,
            Forces::Displacement => NodeVectors::Displacement,
        };
        if self.positions && readouts.iter().any(|readout| matches!(readout, Readout::Derivative(_))) {
            let message = format!(
                "is \"gradient\", but kind \"{}\" reads positions, which no derivative is taken with respect to; expected \
                 \"direct\"",
                self.kind
            );
            return Err(Invalid::new("forces", message));
        }
        let inputs = Inputs { species, dims, heads: self.heads, vectors, edge_work };
        Model::new(architecture, inputs, readouts)
    }

    /// How a target is read out.
    fn readout(&self, target: &Target, all: &[Target]) -> Result<Readout, Invalid> {
        let of = match (&target.label, self.forces) {
            (Label::Forces, Forces::Gradient) => Of::Positions,
            (Label::Stress, Forces::Gradient) => Of::Strain,
            (Label::Stress, _) => {
                let message = "is not \"gradient\", which stress needs";
                return Err(Invalid::new("forces", message));
            }
            _ if target.kind == Kind::Tensor => {
                let message = format!("has the tensor {}, which is none of an energy's derivatives", target.name);
                return Err(Invalid::new("targets", message));
            }
            (_, Forces::Displacement) if target.kind == Kind::Vector => {
                return Ok(Readout::Vectors { target: target.name.clone(), scale: None, pool: Pool::of(target) });
            }
            _ => return Ok(Readout::of(target)),
        };
        let Some(energy) = all.iter().find(|other| other.label == Label::Energy) else {
            return Err(Invalid::new("forces", "is \"gradient\", which needs the energy among the targets"));
        };
        Ok(Readout::Derivative(Derivative { target: target.name.clone(), energy: energy.name.clone(), of }))
    }

    /// The row of the embedding of each atom.
    ///
    /// # Errors
    /// [`Error::Element`].
    pub fn species(&self, elements: &[Element]) -> Result<Vec<u32>, Error> {
        let known: &[Element] = match &self.nodes {
            Nodes::Elements(known) => known,
            Nodes::Kinds { .. } => &[],
        };
        let row = |element: &Element| {
            let row = known.iter().position(|known| known == element);
            row.map(|row| row as u32).ok_or_else(|| {
                let known: Vec<&str> = known.iter().map(|element| element.symbol()).collect();
                Error::Element { element: element.to_string(), known: known.join(", ") }
            })
        };
        elements.iter().map(row).collect()
    }
}

/// The atomic numbers of a model's elements.
fn rows_of(elements: &[Element]) -> Result<Vec<u32>, Invalid> {
    if elements.is_empty() {
        return Err(Invalid::new("elements", "is empty, expected symbols as in [\"H\", \"C\"]"));
    }
    let mut sorted = elements.to_vec();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Invalid::new("elements", format!("names {} twice", pair[0])));
    }
    Ok(elements.iter().map(|element| u32::from(element.number())).collect())
}

/// What is known of a scalar without the model, and taken off its labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offset {
    /// Nothing.
    #[default]
    None,
    /// What atoms of each element contribute.
    Elements(References),
    /// The same for all.
    Constant(f64),
}

impl Offset {
    /// Of a graph or node with these atoms in it.
    pub fn of(&self, elements: &[Element]) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Elements(references) => references.energy(elements),
            Self::Constant(value) => *value,
        }
    }
}

/// What a trained model says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The network.
    pub model: TrunkInfo,
    /// What it was trained for.
    pub task: Task,
    /// The sources it was trained on, in order.
    pub sources: Vec<SourceInfo>,
}

/// One source as a model remembers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Its name.
    pub name: String,
    /// Where its labels stand.
    pub keys: Keys,
    /// Its units.
    pub units: Units,
    /// What is known without the model, target by target.
    pub offsets: Vec<Offset>,
    /// The head that predicts it.
    pub head: usize,
}

impl ModelInfo {
    /// The model that is described.
    ///
    /// # Errors
    /// The key of `[model]` and what was expected.
    pub fn build(&self, registry: &Registry, edge_work: EdgeWork) -> Result<Model, Invalid> {
        let architecture = registry.make(&self.model.kind, self.model.options.clone())?;
        self.model.model_of(architecture, &self.task.targets, edge_work)
    }

    /// Whether forces are the negative gradient of the energy.
    pub fn is_conservative(&self) -> bool {
        let has_forces = self.task.targets.iter().any(|target| target.label == Label::Forces);
        has_forces && self.model.forces == Forces::Gradient
    }

    /// Whether anything was learned of a target: it counts in the loss, or follows from an energy whose derivatives do.
    pub fn is_learned(&self, target: &Target) -> bool {
        let of_energy = matches!(target.label, Label::Energy | Label::Forces | Label::Stress);
        target.weight > 0.0 || of_energy && self.is_conservative()
    }

    /// A sentence about targets of which nothing was learned, if there are any.
    pub fn unlearned(&self) -> Option<String> {
        let all = self.task.targets.iter().filter(|target| !self.is_learned(target));
        let names: Vec<&str> = all.map(|target| target.name.as_str()).collect();
        let (are, their) = if names.len() > 1 || names == ["forces"] { ("are", "their") } else { ("is", "its") };
        (!names.is_empty()).then(|| {
            format!(
                "{} {are} not predicted: {their} weight in the loss was 0, so nothing was learned",
                names.join(", ")
            )
        })
    }

    /// What forces are, in words; `None` where none are predicted.
    pub fn forces_are(&self) -> Option<&'static str> {
        let has_forces = self.task.targets.iter().any(|own| own.label == Label::Forces && self.is_learned(own));
        has_forces.then_some(match self.model.forces {
            Forces::Gradient => "minus the gradient of the energy (conservative)",
            Forces::Direct => "direct, not the gradient of the energy (not conservative)",
            Forces::Displacement => "displacements, not the gradient of the energy (not conservative)",
        })
    }

    /// The source called `name`, or the only one.
    ///
    /// # Errors
    /// [`Error::Source`] if there is none of that name, [`Error::AnySource`] if there are several.
    pub fn source(&self, name: Option<&str>) -> Result<(usize, Source), Error> {
        let known = || self.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ");
        let index = match name {
            None if self.sources.len() > 1 => return Err(Error::AnySource { known: known() }),
            None => 0,
            Some(name) => {
                let place = self.sources.iter().position(|source| source.name == name);
                place.ok_or_else(|| Error::Source { name: name.to_owned(), known: known() })?
            }
        };
        let source = &self.sources[index];
        // What frames count is for training alone.
        let keys = Keys { weight: None, ..source.keys.clone() };
        Ok((index, Source { keys, units: source.units, columns: self.task.columns(), ..Source::default() }))
    }

    /// Checks that structures with these elements can be predicted as source `source` has labels.
    ///
    /// # Errors
    /// [`Error::Element`] for an element that the model does not know, [`Error::Untrained`] for one that a target has no
    /// contribution of.
    pub fn check_elements(&self, elements: &[Element], source: usize) -> Result<(), Error> {
        self.model.species(elements)?;
        let SourceInfo { name, offsets, .. } = &self.sources[source];
        let references = offsets.iter().filter_map(|offset| match offset {
            Offset::Elements(References(known)) => Some(known),
            Offset::None | Offset::Constant(_) => None,
        });
        for known in references {
            // Where no structure had an energy there are none, and only differences of energies mean anything.
            let unknown = elements.iter().find(|element| !known.is_empty() && !known.contains_key(element));
            if let Some(element) = unknown {
                let known: Vec<&str> = known.keys().map(|element| element.symbol()).collect();
                let (element, known) = (element.to_string(), known.join(", "));
                return Err(Error::Untrained { element, name: name.clone(), known });
            }
        }
        Ok(())
    }

    /// Whether a source had energies, so that those that are predicted as it has labels are more than differences.
    pub fn has_energies(&self, source: usize) -> bool {
        let offsets = self.task.targets.iter().zip(&self.sources[source].offsets);
        let is_known = |offset: &Offset| !matches!(offset, Offset::Elements(References(known)) if known.is_empty());
        offsets.into_iter().any(|(target, offset)| target.label == Label::Energy && is_known(offset))
    }

    /// How many atoms and edges the graph of a structure has.
    ///
    /// # Errors
    /// [`Error::Element`] for an unknown element, [`Error::Structure`] for an impossible cell.
    pub fn sizes(&self, structure: &Structure) -> Result<Sizes, Error> {
        self.model.species(&structure.elements)?;
        let cutoff = self.model.cutoff;
        Ok(Sizes { atoms: structure.len(), edges: pairs(&structure.geometry, cutoff, cutoff)?.edges })
    }

    /// The graph of a structure of source `source`.
    ///
    /// # Errors
    /// [`Error::Element`] for an unknown element, [`Error::Structure`] for an impossible cell.
    pub fn graph(&self, structure: &Structure, source: usize) -> Result<HostGraph, Error> {
        let edges = neighbour_list(&structure.geometry, self.model.cutoff)?.into();
        self.graph_with(structure, source, edges)
    }

    /// The same with edges that are known already.
    ///
    /// # Errors
    /// [`Error::Element`] for an unknown element.
    pub fn graph_with(&self, structure: &Structure, source: usize, edges: HostEdges) -> Result<HostGraph, Error> {
        let positions = if self.model.positions { structure.geometry.positions.as_flattened() } else { &[] };
        Ok(HostGraph {
            dims: 3,
            species: self.model.species(&structure.elements)?,
            edges,
            head: self.sources[source].head,
            positions: positions.to_vec(),
            velocities: Vec::new(),
            volume: structure.geometry.cell.map(|cell| cell.volume()).filter(|volume| *volume > 0.0),
        })
    }

    /// The labels of a structure of a source, one entry per target, `None` where there is none. They are what the model is
    /// to predict: what is known without it, as reference energies are, is taken off. A target of which nothing is learned has
    /// none.
    pub fn labels(&self, structure: &Structure, source: usize) -> Vec<Option<Vec<f64>>> {
        let offsets = &self.sources[source].offsets;
        let learned = |target: &&Target| self.is_learned(target);
        let label =
            |(target, offset)| Some(target).filter(learned).and_then(|own: &Target| own.shifted(structure, offset));
        self.task.targets.iter().zip(offsets).map(label).collect()
    }

    /// Turns what the model says, one entry per target, into what a user wants to know: adds what was taken off labels.
    pub fn complete(&self, structure: &Structure, source: usize, prediction: &mut [Vec<f64>]) {
        for ((target, offset), values) in
            self.task.targets.iter().zip(&self.sources[source].offsets).zip(prediction.iter_mut())
        {
            shift(target, offset, structure, values, 1.0);
        }
    }
}

/// Adds what is known without the model, `sign` times.
fn shift(target: &Target, offset: &Offset, structure: &Structure, values: &mut [f64], sign: f64) {
    if target.kind != Kind::Scalar || *offset == Offset::None {
        return;
    }
    match target.level {
        Level::Graph => values.iter_mut().for_each(|value| *value += sign * offset.of(&structure.elements)),
        Level::Node => {
            for (value, element) in values.iter_mut().zip(&structure.elements) {
                *value += sign * offset.of(std::slice::from_ref(element));
            }
        }
        Level::Edge => values.iter_mut().for_each(|value| *value += sign * offset.of(&[])),
    }
}

impl Target {
    /// What a structure says of this target, as it stands in the data; `None` where it says nothing.
    pub fn label_of<'a>(&self, structure: &'a Structure) -> Option<&'a [f64]> {
        match &self.label {
            Label::Energy => structure.energy.as_ref().map(std::slice::from_ref),
            Label::Forces => structure.forces.as_ref().map(|forces| forces.as_flattened()),
            Label::Stress => structure.stress.as_ref().map(|stress| stress.as_flattened()),
            Label::Column(key) => structure.columns.get(key).map(Vec::as_slice),
        }
    }

    /// The same; NaN where a number is no label.
    pub fn masked_label_of(&self, structure: &Structure) -> Option<Vec<f64>> {
        let mut values = self.label_of(structure)?.to_vec();
        if self.label == Label::Forces && structure.force_mask.is_some() {
            let unlabelled = values.as_chunks_mut::<3>().0.iter_mut().zip(structure.is_labelled());
            unlabelled.filter(|(_, is_labelled)| !is_labelled).for_each(|(force, _)| *force = [f64::NAN; 3]);
        }
        Some(values)
    }

    /// The same, without what is known of it without the model; NaN where a number is no label.
    pub fn shifted(&self, structure: &Structure, offset: &Offset) -> Option<Vec<f64>> {
        let mut values = self.masked_label_of(structure)?;
        shift(self, offset, structure, &mut values, -1.0);
        Some(values)
    }
}

impl Task {
    /// The columns that labels stand in, beside energies and forces.
    pub fn columns(&self) -> Vec<isograd_data::ColumnKey> {
        let column = |target: &Target| match &target.label {
            Label::Column(key) => {
                Some(isograd_data::ColumnKey { key: key.clone(), of_nodes: target.level == Level::Node })
            }
            Label::Energy | Label::Forces | Label::Stress => None,
        };
        self.targets.iter().filter_map(column).collect()
    }
}
