//! A data set: labelled samples, their sizes, and what turns them into batches.

use std::sync::Arc;

use isograd_data::{HostBatch, HostGraph, Measured, Sizes};
use isograd_structure::Structure;
use isograd_tasks::{HostLabels, Kind, LabelCounts, Level, ModelInfo, Target, Task};
use rayon::prelude::*;

use crate::{Error, Result};

/// The labels of a sample, target by target; `None` where there is none.
pub type SampleLabels = Vec<Option<Vec<f64>>>;

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
    pub fn new(members: &[usize], graphs: &[HostGraph], targets: &[Target], labels: &[SampleLabels]) -> Self {
        let sizes: Vec<Sizes> = graphs.iter().map(HostGraph::sizes).collect();
        let heads: Vec<usize> = graphs.iter().map(|graph| graph.head).collect();
        let dims = graphs.first().map_or(3, |graph| graph.dims);
        Self { graphs: HostBatch::new(members, graphs), labels: HostLabels::new(targets, dims, &sizes, &heads, labels) }
    }
}

/// Where a data set has its samples from.
pub trait Samples: Send + Sync {
    /// The graph of a sample.
    ///
    /// # Errors
    /// Where there is none.
    fn graph(&self, index: usize) -> Result<HostGraph>;

    /// Its labels, without what is known without the model.
    fn labels(&self, index: usize) -> SampleLabels;

    /// How many numbers its labels have, target by target; zero where there is none.
    fn label_sizes(&self, index: usize) -> Vec<usize>;

    /// Turns what the model says of it, one entry per target, into what a user wants to know.
    fn complete(&self, index: usize, prediction: &mut [Vec<f64>]);

    /// Everything that training sees of it, as numbers.
    fn numbers(&self, index: usize) -> Vec<f64>;
}

/// Labelled samples, and what is predicted of them.
pub struct Dataset {
    samples: Box<dyn Samples>,
    task: Arc<Task>,
    /// Nodes and edges of each sample.
    pub sizes: Vec<Sizes>,
    /// D, the dimensions of space.
    pub dims: usize,
}

impl Dataset {
    /// Structures whose labels and elements are checked. `sources` has for each structure the position of its source.
    ///
    /// # Errors
    /// [`Error::Structure`] for an unknown element, or a label of another size than its target.
    ///
    /// # Panics
    /// If `structures` and `sources` differ in length.
    pub fn of_structures(structures: Vec<Measured>, sources: Vec<usize>, info: Arc<ModelInfo>) -> Result<Self> {
        assert_eq!(structures.len(), sources.len(), "Dataset: structures and their sources");
        let check = |Measured { structure, sizes }: &Measured| -> Result<()> {
            for target in &info.task.targets {
                if let Some(values) = target.label_of(structure) {
                    fits(target, values, *sizes, 3).map_err(|message| {
                        Error::Structure(format!("a structure {} {message}", structure.formula()))
                    })?;
                }
            }
            info.model.species(&structure.elements)?;
            Ok(())
        };
        if let Some(target) = info.task.targets.iter().find(|target| target.level == Level::Edge) {
            let message = "is of edges, which structures are not given: predict and train on graphs";
            return Err(Error::Structure(format!("`{}` {message}", target.name)));
        }
        structures.par_iter().try_for_each(check)?;
        let (structures, sizes) =
            structures.into_iter().map(|Measured { structure, sizes }| (structure, sizes)).unzip();
        let task = Arc::new(info.task.clone());
        Ok(Self { samples: Box::new(Structures { structures, sources, info }), task, sizes, dims: 3 })
    }

    /// Graphs with their labels.
    ///
    /// # Errors
    /// [`Error::Structure`] naming the position of a graph whose labels do not fit the task, or that lies in a space of
    /// other dimensions than the first.
    pub fn of_graphs(graphs: Vec<(HostGraph, SampleLabels)>, task: Arc<Task>) -> Result<Self> {
        let dims = graphs.first().map_or(3, |(graph, _)| graph.dims);
        for (place, (graph, labels)) in graphs.iter().enumerate() {
            let wrong = |message: String| Error::Structure(format!("graph {place} (from 0) {message}"));
            if graph.dims != dims {
                return Err(wrong(format!("has {} dimensions, the first one {dims}", graph.dims)));
            }
            if labels.len() != task.targets.len() {
                return Err(wrong(format!("has labels of {} targets, expected {}", labels.len(), task.targets.len())));
            }
            for (target, label) in task.targets.iter().zip(labels) {
                if let Some(values) = label {
                    fits(target, values, graph.sizes(), dims).map_err(wrong)?;
                }
            }
        }
        Ok(Self {
            sizes: graphs.iter().map(|(graph, _)| graph.sizes()).collect(),
            dims,
            samples: Box::new(Graphs(graphs)),
            task,
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// What is predicted.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The labels of one sample, target by target.
    pub fn labels(&self, index: usize) -> SampleLabels {
        self.samples.labels(index)
    }

    /// Turns what the model says of a sample, one entry per target, into what a user wants to know.
    pub fn complete(&self, index: usize, prediction: &mut [Vec<f64>]) {
        self.samples.complete(index, prediction);
    }

    /// A batch of graphs with their labels; neighbour lists of structures are made on the way.
    ///
    /// # Errors
    /// Where a sample has no graph, which was checked when the data set was made.
    pub fn batch(&self, members: &[usize]) -> Result<Batch> {
        let graphs: Vec<HostGraph> =
            members.iter().map(|&index| self.samples.graph(index)).collect::<Result<_, _>>()?;
        let labels: Vec<_> = members.iter().map(|&index| self.labels(index)).collect();
        Ok(Batch::new(members, &graphs, &self.task.targets, &labels))
    }

    /// How many numbers some samples have of each target.
    pub fn label_counts(&self, members: &[usize]) -> LabelCounts {
        members.iter().map(|&index| LabelCounts(self.samples.label_sizes(index))).sum()
    }

    /// How many numbers there may be of each target.
    pub fn label_room(&self) -> Vec<usize> {
        let all: Vec<usize> = (0..self.len()).collect();
        self.label_counts(&all).0
    }

    /// Nodes and edges of some samples together.
    pub fn total(&self, members: &[usize]) -> Sizes {
        members.iter().fold(Sizes::default(), |sum, &index| Sizes {
            atoms: sum.atoms + self.sizes[index].atoms,
            edges: sum.edges + self.sizes[index].edges,
        })
    }

    /// A hash of everything that training sees of the samples.
    pub fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for index in 0..self.len() {
            let numbers = self.samples.numbers(index);
            hasher.update(&(numbers.len() as u64).to_le_bytes());
            numbers.iter().for_each(|value| {
                hasher.update(&value.to_le_bytes());
            });
        }
        hasher.finalize()
    }
}

/// Whether the numbers of a label are as many as its target says, and classes are classes.
///
/// # Errors
/// A sentence without its subject.
pub(crate) fn fits(target: &Target, values: &[f64], sizes: Sizes, dims: usize) -> Result<(), String> {
    let (expected, name) = (target.rows(sizes) * target.label_columns(dims), &target.name);
    if values.len() != expected {
        return Err(format!("has {} numbers of `{name}`, expected {expected}", values.len()));
    }
    if let Kind::Class(classes) = target.kind
        && let Some(value) = values.iter().find(|value| !(0..classes).any(|class| class as f64 == **value))
    {
        return Err(format!("has the class {value} of `{name}`, expected whole numbers from 0 to {}", classes - 1));
    }
    Ok(())
}

/// Structures of several sources, and all that it takes to turn one into a graph.
struct Structures {
    structures: Vec<Structure>,
    /// Source of each structure.
    sources: Vec<usize>,
    info: Arc<ModelInfo>,
}

impl Samples for Structures {
    fn graph(&self, index: usize) -> Result<HostGraph> {
        Ok(self.info.graph(&self.structures[index], self.sources[index])?)
    }

    fn labels(&self, index: usize) -> SampleLabels {
        self.info.labels(&self.structures[index], self.sources[index])
    }

    fn label_sizes(&self, index: usize) -> Vec<usize> {
        let structure = &self.structures[index];
        self.info.task.targets.iter().map(|target| target.label_of(structure).map_or(0, <[f64]>::len)).collect()
    }

    fn complete(&self, index: usize, prediction: &mut [Vec<f64>]) {
        self.info.complete(&self.structures[index], self.sources[index], prediction);
    }

    fn numbers(&self, index: usize) -> Vec<f64> {
        let Structure { geometry, elements, .. } = &self.structures[index];
        let mut numbers = vec![self.sources[index] as f64, elements.len() as f64];
        numbers.extend(elements.iter().map(|element| f64::from(element.number())));
        numbers.extend(geometry.positions.as_flattened());
        numbers.extend(geometry.cell.iter().flat_map(|cell| cell.0).flatten());
        for target in &self.info.task.targets {
            let label = target.label_of(&self.structures[index]);
            numbers.push(label.map_or(-1.0, |values| values.len() as f64));
            numbers.extend(label.into_iter().flatten());
        }
        numbers
    }
}

/// Graphs in memory.
struct Graphs(Vec<(HostGraph, SampleLabels)>);

impl Samples for Graphs {
    fn graph(&self, index: usize) -> Result<HostGraph> {
        Ok(self.0[index].0.clone())
    }

    fn labels(&self, index: usize) -> SampleLabels {
        self.0[index].1.clone()
    }

    fn label_sizes(&self, index: usize) -> Vec<usize> {
        self.0[index].1.iter().map(|label| label.as_ref().map_or(0, Vec::len)).collect()
    }

    fn complete(&self, _index: usize, _prediction: &mut [Vec<f64>]) {}

    fn numbers(&self, index: usize) -> Vec<f64> {
        let (graph, labels) = &self.0[index];
        let HostGraph { dims, species, edges, head, positions, velocities, volume } = graph;
        let mut numbers = vec![*dims as f64, *head as f64, species.len() as f64];
        numbers.extend(species.iter().chain(&edges.offsets).chain(&edges.senders).map(|&number| f64::from(number)));
        numbers.extend(edges.vectors.iter().chain(positions).chain(velocities).chain(volume));
        for label in labels {
            numbers.push(label.as_ref().map_or(-1.0, |values| values.len() as f64));
            numbers.extend(label.iter().flatten());
        }
        numbers
    }
}
