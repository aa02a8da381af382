//! A trained potential at work, on a device that is chosen by name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isograd_backends::device::DeviceName;
use isograd_data::{Budget, HostBatch};
use isograd_engine::forward;
use isograd_models::{Graph, GraphBlocks, Registry};
use isograd_structure::Structure;
use isograd_tasks::{Potential as Trained, PotentialInfo, PotentialTask, Task};
use isograd_train::run::{RunDirectory, load_potential};
use isograd_train::{Backend, Dataset, Error, Predictor, Result, RunOn, dispatch, predict};

/// Energy and forces of one structure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prediction {
    /// Total energy in eV, reference energies included.
    pub energy: f64,
    /// Forces in eV/angstrom, one per atom.
    pub forces: Vec<[f64; 3]>,
}

/// A trained potential on a device.
pub struct Potential {
    on: Box<dyn OnDevice>,
    info: Arc<PotentialInfo>,
    device: DeviceName,
    source: usize,
}

impl fmt::Debug for Potential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Potential").field("model", &self.info.model).field("device", &self.device).finish()
    }
}

impl Potential {
    /// Loads a run directory's best weights, or a weights file, to a device.
    ///
    /// # Errors
    /// [`Error::Run`] where the path holds no potential, [`Error::Device`] where the device is not there.
    pub fn load(path: impl AsRef<Path>, device: DeviceName) -> Result<Self> {
        Self::load_with(&Registry::default(), path, device)
    }

    /// As [`Potential::load`], with architectures of a registry.
    ///
    /// # Errors
    /// As [`Potential::load`].
    pub fn load_with(registry: &Registry, path: impl AsRef<Path>, device: DeviceName) -> Result<Self> {
        let path = path.as_ref();
        let weights = if path.is_dir() { RunDirectory::open(path)?.trained()? } else { path.to_owned() };
        dispatch(&device.clone(), Load { weights, registry, name: device })?
    }

    /// The same potential, that predicts as the data source of this name has energies: with its reference energies, and by
    /// its head. Without this, it is the first source.
    ///
    /// # Errors
    /// [`Error::Structure`] if there is none of that name.
    pub fn of_source(self, name: &str) -> Result<Self> {
        let (source, _) = self.info.source(Some(name))?;
        Ok(Self { source, ..self })
    }

    /// Elements, sources and reference energies.
    pub fn info(&self) -> &PotentialInfo {
        &self.info
    }

    /// Where it computes.
    pub fn device(&self) -> &DeviceName {
        &self.device
    }

    /// Predicts many structures, in their order, in batches. Their labels are not read.
    ///
    /// # Errors
    /// [`Error::Structure`] naming the position of a structure that is empty, not finite, in an impossible cell, or of an
    /// element that the potential does not know.
    pub fn predict(&self, structures: &[Structure]) -> Result<Vec<Prediction>> {
        self.on.predict(structures, self.source)
    }

    /// What answers for one structure at a time, for a molecular dynamics loop.
    pub fn calculator(&self) -> Calculator<'_> {
        Calculator { on: &*self.on, source: self.source, found: Prediction::default() }
    }
}

/// Answers for one structure at a time, on the thread that asks, and into memory that it keeps.
pub struct Calculator<'a> {
    on: &'a dyn OnDevice,
    source: usize,
    found: Prediction,
}

impl Calculator<'_> {
    /// Energy and forces of a structure.
    ///
    /// # Errors
    /// As [`Potential::predict`].
    pub fn evaluate(&mut self, structure: &Structure) -> Result<&Prediction> {
        self.on.evaluate(structure, self.source, &mut self.found)?;
        Ok(&self.found)
    }
}

/// A potential without the type of its backend.
trait OnDevice: Send {
    fn predict(&self, structures: &[Structure], source: usize) -> Result<Vec<Prediction>>;
    fn evaluate(&self, structure: &Structure, source: usize, found: &mut Prediction) -> Result<()>;
}

struct Load<'a> {
    weights: PathBuf,
    registry: &'a Registry,
    name: DeviceName,
}

impl RunOn for Load<'_> {
    type Output = Result<Potential>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let trained = load_potential::<B>(&self.weights, self.registry, &device)?;
        let info = trained.info.clone();
        let task = Arc::new(PotentialTask { info: Some(info.clone()), ..PotentialTask::default() });
        let blocks = trained.model.blocks();
        Ok(Potential { on: Box::new(Here::<B> { blocks, trained, task, device }), info, device: self.name, source: 0 })
    }
}

/// A potential on one device.
struct Here<B: Backend> {
    blocks: GraphBlocks<B>,
    trained: Trained<B>,
    task: Arc<PotentialTask>,
    device: B::Device,
}

/// Refuses what a model would answer with nonsense.
fn sound(structure: &Structure) -> Result<()> {
    let (atoms, positions) = (structure.len(), &structure.geometry.positions);
    if atoms == 0 {
        return Err(Error::Structure("has no atoms, so there is nothing to predict".into()));
    }
    if positions.len() != atoms {
        return Err(Error::Structure(format!("has {atoms} elements and {} positions", positions.len())));
    }
    if let Some(atom) = positions.iter().position(|position| !position.iter().all(|x| x.is_finite())) {
        return Err(Error::Structure(format!("has a position that is not finite, of atom {atom} (from 0)")));
    }
    Ok(())
}

impl<B: Backend> OnDevice for Here<B> {
    fn predict(&self, structures: &[Structure], source: usize) -> Result<Vec<Prediction>> {
        let measure = |(place, structure): (usize, &Structure)| {
            let sizes = sound(structure).and_then(|()| Ok(self.trained.info.sizes(structure)?));
            sizes.map_err(|error| Error::Structure(format!("structure {place} (from 0): {error}")))
        };
        let sizes = structures.iter().enumerate().map(measure).collect::<Result<_>>()?;
        let info = self.trained.info.clone();
        let dataset = Arc::new(Dataset::measured(structures.to_vec(), source, sizes, info, self.task.clone()));
        let all: Vec<usize> = (0..structures.len()).collect();
        let mut found = Vec::with_capacity(structures.len());
        let predictor = Predictor::of_potential(&self.trained);
        let budget = Budget { graphs: 64, atoms: 4096, edges: 1 << 17 };
        predict(&predictor, &dataset, &all, budget, 1, &self.device, |predicted| {
            let [energy, forces] = &predicted.values[..] else {
                return Err(Error::Internal("a potential predicts an energy and forces".into()));
            };
            found.push(Prediction { energy: energy[0], forces: forces.as_chunks().0.to_vec() });
            Ok(())
        })?;
        Ok(found)
    }

    fn evaluate(&self, structure: &Structure, source: usize, found: &mut Prediction) -> Result<()> {
        sound(structure)?;
        let Trained { model, layout, weights, info } = &self.trained;
        let host = HostBatch::new(&[0], &[info.graph(structure, source)?]);
        let graph = Graph::new(&host, model.inputs().species.len(), &self.device);
        let mut flow = forward(&self.blocks, &layout.view(weights), &graph)?;
        let [energy, forces] = self.task.targets() else {
            return Err(Error::Internal("a potential predicts an energy and forces".into()));
        };
        let mut numbers = |name: &str| flow.need(name).into_tensor().into_data();
        let mut energies = [numbers(&energy.name).iter::<f64>().collect()];
        self.task.complete(structure, source, &mut energies);
        found.energy = energies[0][0];
        found.forces.clear();
        let data = numbers(&forces.name);
        let mut components = data.iter::<f64>();
        while let (Some(x), Some(y), Some(z)) = (components.next(), components.next(), components.next()) {
            found.forces.push([x, y, z]);
        }
        Ok(())
    }
}
