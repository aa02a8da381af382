//! A trained potential at work: energies, forces, stress, products with the Hessian.

use std::path::Path;

use isograd_models::Registry;
use isograd_ops::device::DeviceName;
use isograd_structure::{Structure, VerletList};
use isograd_tasks::{Label, ModelInfo};
use isograd_train::{Error, Result};

use crate::Model;

/// Energy, forces and stress of one structure.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Total energy in eV, reference energies included.
    pub energy: f64,
    /// Forces in eV/angstrom, one per atom.
    pub forces: Vec<[f64; 3]>,
    /// Stress in eV/angstrom^3, tension positive; `None` without a cell, and of a potential that is not conservative.
    pub stress: Option<[[f64; 3]; 3]>,
}

/// A stress of nine numbers.
fn stress_of(numbers: &[f64]) -> Option<[[f64; 3]; 3]> {
    numbers.as_chunks().0.try_into().ok()
}

/// A trained potential on a device.
#[derive(Debug)]
pub struct Potential(Model);

impl TryFrom<Model> for Potential {
    type Error = Error;

    /// # Errors
    /// [`Error::Structure`] where the model was trained for something else.
    fn try_from(model: Model) -> Result<Self> {
        Self::check(&model)?;
        Ok(Self(model))
    }
}

impl Potential {
    /// Whether a model is a potential.
    pub(crate) fn check(model: &Model) -> Result<()> {
        let labels: Vec<&Label> = model.info().task.targets.iter().map(|target| &target.label).collect();
        if let Some(unlearned) = model.info().unlearned() {
            return Err(Error::Structure(format!("this is no potential: {unlearned}; load it as a `Model`")));
        }
        if labels.starts_with(&[&Label::Energy, &Label::Forces]) {
            return Ok(());
        }
        let task = &model.info().task.kind;
        Err(Error::Structure(format!("this is a model of the task `{task}`, no potential; load it as a `Model`")))
    }

    pub(crate) fn new(model: Model) -> Self {
        Self(model)
    }

    /// The model itself.
    pub fn model(&self) -> &Model {
        &self.0
    }

    /// Loads a run directory's best weights, or a weights file, to a device.
    ///
    /// # Errors
    /// [`Error::Run`] where the path holds no model, [`Error::Structure`] where it holds one of another task,
    /// [`Error::Device`] where the device is not there.
    pub fn load(path: impl AsRef<Path>, device: DeviceName) -> Result<Self> {
        Self::load_with(&Registry::default(), path, device)
    }

    /// As [`Potential::load`], with architectures of a registry.
    ///
    /// # Errors
    /// As [`Potential::load`].
    pub fn load_with(registry: &Registry, path: impl AsRef<Path>, device: DeviceName) -> Result<Self> {
        Model::load_with(registry, path, device)?.try_into()
    }

    /// The same potential, that predicts as the data source of this name has energies: with its reference energies, and by
    /// its head. A potential of several sources predicts nothing without this.
    ///
    /// # Errors
    /// [`Error::Structure`] if there is none of that name.
    pub fn of_source(self, name: &str) -> Result<Self> {
        self.0.of_source(name).map(Self)
    }

    /// Elements, sources and reference energies.
    pub fn info(&self) -> &ModelInfo {
        self.0.info()
    }

    /// Where it computes.
    pub fn device(&self) -> &DeviceName {
        self.0.device()
    }

    /// Whether forces are the negative gradient of the energy. Only then is energy conserved in molecular dynamics, and only
    /// then is there a stress.
    pub fn is_conservative(&self) -> bool {
        self.info().is_conservative()
    }

    /// Predicts many structures, in their order, in batches. Their labels are not read.
    ///
    /// # Errors
    /// [`Error::Structure`] naming the position of a structure that is empty, not finite, in an impossible cell, or of an
    /// element that the potential does not know.
    pub fn predict(&self, structures: &[Structure]) -> Result<Vec<Prediction>> {
        let prediction = |values: crate::Values| Prediction {
            energy: values["energy"][0],
            forces: values["forces"].as_chunks().0.to_vec(),
            stress: values.get("stress").and_then(stress_of),
        };
        Ok(self.0.predict(structures)?.into_iter().map(prediction).collect())
    }

    /// What answers for one structure at a time, for a molecular dynamics loop.
    pub fn calculator(&self) -> Calculator<'_> {
        let neighbours = VerletList::new(self.info().model.cutoff, SKIN);
        Calculator { model: &self.0, neighbours, found: Prediction::default() }
    }
}

/// How much farther than the cutoff a calculator looks for neighbours, in angstrom: at room temperature, a list then holds
/// for some tens of steps of a femtosecond.
const SKIN: f64 = 0.5;

/// Answers for one structure at a time, on the thread that asks, and into memory that it keeps. It also keeps the neighbour
/// list until an atom has moved a quarter of an angstrom, or the cell has changed; the answers are the same.
pub struct Calculator<'a> {
    model: &'a Model,
    neighbours: VerletList,
    found: Prediction,
}

impl Calculator<'_> {
    /// Energy, forces and stress of a structure.
    ///
    /// # Errors
    /// As [`Potential::predict`].
    pub fn evaluate(&mut self, structure: &Structure) -> Result<&Prediction> {
        let found = self.model.evaluate(structure, &mut self.neighbours)?;
        let [energy, forces, others @ ..] = &found[..] else {
            return Err(Error::Internal("a potential predicts an energy and forces".into()));
        };
        self.found.stress = others.first().and_then(|stress| stress_of(stress));
        self.found.energy = energy[0];
        self.found.forces.clear();
        self.found.forces.extend_from_slice(forces.as_chunks().0);
        Ok(&self.found)
    }

    /// What the Hessian of the energy makes of displacements of all atoms, in eV/angstrom^2 times their unit: minus the
    /// change of forces along them. The cell stays as it is.
    ///
    /// # Errors
    /// As [`Potential::predict`], and [`Error::Structure`] where there is not one displacement for each atom, or the potential
    /// is not conservative.
    pub fn hessian_product(&mut self, structure: &Structure, displacements: &[[f64; 3]]) -> Result<Vec<[f64; 3]>> {
        self.model.hessian_product(structure, displacements)
    }
}
