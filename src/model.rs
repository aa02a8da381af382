//! A trained model at work, on a device that is chosen by name.

use std::fmt;
use std::ops::Index;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use isograd_data::{Budget, Collection, HostBatch, HostGraph, Measured, Place};
use isograd_models::Registry;
use isograd_ops::device::DeviceName;
use isograd_structure::{Structure, VerletList};
use isograd_tasks::{Label, ModelInfo, Network, Target, Trained};
use isograd_train::run::{RunDirectory, load_model};
use isograd_train::{Backend, Dataset, Error, Part, Pass, Predictor, Result, RunOn, dispatch, predict};

/// What is predicted together, whatever the size of what is asked for.
const BUDGET: Budget = Budget { graphs: 64, atoms: 4096, edges: 1 << 17 };

/// What a model says of one structure or graph: numbers of each target, in its unit. Of a class they are one number for each
/// class, the largest for the likeliest.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    pub(crate) info: Arc<ModelInfo>,
    pub(crate) numbers: Vec<Vec<f64>>,
}

impl Values {
    /// The numbers of a target: one row for the whole, or one for each node, one after the other.
    pub fn get(&self, target: &str) -> Option<&[f64]> {
        let place = self.info.task.targets.iter().position(|own| own.name == target)?;
        self.numbers.get(place).map(Vec::as_slice)
    }

    /// Targets by name and their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        let targets = self.info.task.targets.iter();
        targets.zip(&self.numbers).map(|(target, numbers)| (target.name.as_str(), numbers.as_slice()))
    }
}

impl Index<&str> for Values {
    type Output = [f64];

    /// # Panics
    /// If there is no such target.
    fn index(&self, target: &str) -> &[f64] {
        self.get(target).unwrap_or_else(|| panic!("the model does not predict `{target}`"))
    }
}

/// A trained model on a device: a potential, or a model of anything else.
pub struct Model {
    on: Box<dyn OnDevice>,
    info: Arc<ModelInfo>,
    device: DeviceName,
    /// The source that was chosen.
    source: Option<usize>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("model", &self.info.model).field("device", &self.device).finish()
    }
}

impl Model {
    /// Loads a run directory's best weights, or a weights file, to a device.
    ///
    /// # Errors
    /// [`Error::Run`] where the path holds no model, [`Error::Device`] where the device is not there.
    pub fn load(path: impl AsRef<Path>, device: DeviceName) -> Result<Self> {
        Self::load_with(&Registry::default(), path, device)
    }

    /// As [`Model::load`], with architectures of a registry.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_with(registry: &Registry, path: impl AsRef<Path>, device: DeviceName) -> Result<Self> {
        let path = path.as_ref();
        let weights = if path.is_dir() { RunDirectory::open(path)?.trained()? } else { path.to_owned() };
        dispatch(&device.clone(), Load { weights, registry, name: device })?
    }

    /// The same model, that predicts as the data source of this name has labels: with its reference energies, and by its
    /// head. A model of several sources predicts no structure without this.
    ///
    /// # Errors
    /// [`Error::Structure`] if there is none of that name.
    pub fn of_source(self, name: &str) -> Result<Self> {
        let (source, _) = self.info.source(Some(name))?;
        Ok(Self { source: Some(source), ..self })
    }

    /// The source that was chosen, or the only one.
    fn source(&self) -> Result<usize> {
        match self.source {
            Some(source) => Ok(source),
            None => Ok(self.info.source(None)?.0),
        }
    }

    /// What it predicts, of which nodes, from which sources.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Where it computes.
    pub fn device(&self) -> &DeviceName {
        &self.device
    }

    /// Checks that a structure can be predicted.
    ///
    /// # Errors
    /// [`Error::Structure`] where it is empty, not finite, in an impossible cell, or of an element that the model does not
    /// know.
    pub fn check(&self, structure: &Structure) -> Result<()> {
        sound(structure)?;
        self.info.check_elements(&structure.elements, self.source()?)?;
        self.info.sizes(structure)?;
        Ok(())
    }

    /// Predicts many structures, in their order, in batches. Their labels are not read.
    ///
    /// # Errors
    /// [`Error::Structure`] naming the position of a structure that is empty, not finite, in an impossible cell, or of an
    /// element that the model does not know.
    pub fn predict(&self, structures: &[Structure]) -> Result<Vec<Values>> {
        let measure = |(place, structure): (usize, &Structure)| {
            let sizes = self.check(structure).and_then(|()| Ok(self.info.sizes(structure)?));
            let sizes = sizes.map_err(|error| Error::Structure(format!("structure {place} (from 0): {error}")))?;
            // What is to be predicted is not read.
            let geometry = structure.geometry.clone();
            let structure = Structure { geometry, elements: structure.elements.clone(), ..Structure::default() };
            Ok(Measured { structure, place: Place { frame: place, ..Place::default() }, sizes })
        };
        let measured: Vec<Measured> = structures.iter().enumerate().map(measure).collect::<Result<_>>()?;
        let graphs = Collection::Memory(measured);
        let part = Part { graphs, source: self.source()?, cost: 1.0 };
        let dataset = Dataset::of_structures(vec![part], self.info.clone())?;
        self.on.predict(&Arc::new(dataset)).map(|found| self.values(found))
    }

    /// As [`Model::predict`], of graphs.
    ///
    /// # Errors
    /// [`Error::Structure`] where graphs are in spaces of different dimensions.
    pub fn predict_graphs(&self, graphs: &[HostGraph]) -> Result<Vec<Values>> {
        let task = Arc::new(self.info.task.clone());
        let unlabelled = |graph: &HostGraph| (graph.clone(), vec![None; task.targets.len()]);
        let dataset = Dataset::of_graphs(graphs.iter().map(unlabelled).collect(), task.clone())?;
        self.on.predict(&Arc::new(dataset)).map(|found| self.values(found))
    }

    fn values(&self, found: Vec<Vec<Vec<f64>>>) -> Vec<Values> {
        found.into_iter().map(|numbers| Values { info: self.info.clone(), numbers }).collect()
    }

    /// What the model says of one structure, target by target, on the thread that asks; `neighbours` are of the model's
    /// cutoff.
    pub(crate) fn evaluate(&self, structure: &Structure, neighbours: &mut VerletList) -> Result<Vec<Vec<f64>>> {
        sound(structure)?;
        let source = self.source()?;
        self.info.check_elements(&structure.elements, source)?;
        let edges = neighbours.list(&structure.geometry)?.into();
        let mut found = self.on.evaluate(&self.info.graph_with(structure, source, edges)?)?;
        self.info.complete(structure, source, &mut found);
        Ok(found)
    }

    /// See [`Calculator::hessian_product`](crate::Calculator::hessian_product).
    pub(crate) fn hessian_product(&self, structure: &Structure, displacements: &[[f64; 3]]) -> Result<Vec<[f64; 3]>> {
        sound(structure)?;
        if displacements.len() != structure.len() {
            let (atoms, given) = (structure.len(), displacements.len());
            return Err(Error::Structure(format!("has {atoms} atoms, but there are {given} displacements")));
        }
        if !self.info.is_conservative() {
            let message = "the potential is not conservative, so its energy has no Hessian that forces follow; train with \
                           model.forces = \"gradient\"";
            return Err(Error::Structure(message.into()));
        }
        self.on.hessian_product(&self.info.graph(structure, self.source()?)?, displacements)
    }
}

/// A model without the type of its backend.
trait OnDevice: Send {
    fn predict(&self, dataset: &Arc<Dataset>) -> Result<Vec<Vec<Vec<f64>>>>;
    fn evaluate(&self, graph: &HostGraph) -> Result<Vec<Vec<f64>>>;
    fn hessian_product(&self, graph: &HostGraph, displacements: &[[f64; 3]]) -> Result<Vec<[f64; 3]>>;
}

struct Load<'a> {
    weights: PathBuf,
    registry: &'a Registry,
    name: DeviceName,
}

impl RunOn for Load<'_> {
    type Output = Result<Model>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let trained = load_model::<B>(&self.weights, self.registry, &device)?;
        let (info, network) = (trained.info.clone(), Network::new(&trained.model));
        Ok(Model { on: Box::new(Here::<B> { network, trained, device }), info, device: self.name, source: None })
    }
}

/// A model on one device.
struct Here<B: Backend> {
    network: Network<B>,
    trained: Trained<B>,
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
    fn predict(&self, dataset: &Arc<Dataset>) -> Result<Vec<Vec<Vec<f64>>>> {
        let mut found = Vec::with_capacity(dataset.len());
        let pass = Pass::over(dataset, BUDGET, &self.device);
        predict(&Predictor::of_trained(&self.trained), &pass, |predicted| {
            found.push(predicted.values);
            Ok(())
        })?;
        Ok(found)
    }

    fn evaluate(&self, graph: &HostGraph) -> Result<Vec<Vec<f64>>> {
        let Trained { layout, weights, info, .. } = &self.trained;
        let batch = HostBatch::new(&[0], std::slice::from_ref(graph));
        let mut flow = self.network.predict(&layout.view(weights), &batch, &self.device)?;
        let numbers = |target: &Target| -> Vec<f64> {
            // Without a volume there is no stress.
            if target.label == Label::Stress && graph.volume.is_none() {
                return Vec::new();
            }
            flow.need(&target.name).into_tensor().into_data().iter::<f64>().collect()
        };
        Ok(info.task.targets.iter().map(numbers).collect())
    }

    fn hessian_product(&self, graph: &HostGraph, displacements: &[[f64; 3]]) -> Result<Vec<[f64; 3]>> {
        let Trained { layout, weights, .. } = &self.trained;
        let batch = HostBatch::new(&[0], std::slice::from_ref(graph));
        let data = TensorData::new(displacements.as_flattened().to_vec(), [displacements.len(), 3]);
        let along = Tensor::from_data(data.convert::<B::FloatElem>(), &self.device);
        let product = self.network.hessian_product(&layout.view(weights), &batch, along, &self.device)?;
        let numbers: Vec<f64> = product.into_data().iter::<f64>().collect();
        Ok(numbers.as_chunks().0.to_vec())
    }
}
