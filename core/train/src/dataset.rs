//! A data set: labelled samples, their sizes, and what turns them into batches.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use isograd_data::store::{Labels, Store};
use isograd_data::{Collection, HostBatch, HostGraph, Measured, Sizes, Stored, from_bytes, to_bytes};
use isograd_structure::Structure;
use isograd_tasks::{HostLabels, Kind, Label, LabelCounts, Level, ModelInfo, Target, Task};
use rayon::prelude::*;

use crate::{Error, Result};

/// The labels of a sample, target by target; `None` where there is none.
pub type SampleLabels = Vec<Option<Vec<f64>>>;

/// A graph, and its labels.
pub type Sample = (HostGraph, SampleLabels);

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
        Self::weighted(members, graphs, targets, labels, &vec![1.0; labels.len()])
    }

    /// The same with what each graph counts in the loss.
    ///
    /// # Panics
    /// As [`Batch::new`].
    pub fn weighted(
        members: &[usize],
        graphs: &[HostGraph],
        targets: &[Target],
        labels: &[SampleLabels],
        costs: &[f64],
    ) -> Self {
        let sizes: Vec<Sizes> = graphs.iter().map(HostGraph::sizes).collect();
        let heads: Vec<usize> = graphs.iter().map(|graph| graph.head).collect();
        let dims = graphs.first().map_or(3, |graph| graph.dims);
        Self {
            graphs: HostBatch::new(members, graphs),
            labels: HostLabels::weighted(targets, dims, &sizes, &heads, labels, costs),
        }
    }
}

/// Structures of one source.
pub struct Part {
    /// The structures.
    pub graphs: Collection,
    /// The position of the source.
    pub source: usize,
    /// What each counts in the loss.
    pub cost: f64,
}

/// Where a data set has its samples from. Each function has an error where a sample cannot be read, which is known only when
/// it is.
pub trait Samples: Send + Sync {
    /// The graph of a sample, and its labels, without what is known without the model.
    ///
    /// # Errors
    /// Where there is none.
    fn sample(&self, index: usize) -> Result<Sample>;

    /// Its labels alone.
    ///
    /// # Errors
    /// Where there is no such sample.
    fn labels(&self, index: usize) -> Result<SampleLabels>;

    /// How many numbers its labels have, target by target; zero where there is none.
    ///
    /// # Errors
    /// Where there is no such sample.
    fn label_sizes(&self, index: usize) -> Result<Vec<usize>>;

    /// The position of its source.
    fn source(&self, _index: usize) -> usize {
        0
    }

    /// How many sources there are.
    fn sources(&self) -> usize {
        1
    }

    /// What it counts in the loss.
    fn cost(&self, _index: usize) -> f64 {
        1.0
    }

    /// Turns what the model says of it, one entry per target, into what a user wants to know.
    ///
    /// # Errors
    /// Where there is no such sample.
    fn complete(&self, index: usize, prediction: &mut [Vec<f64>]) -> Result<()>;

    /// Hashes everything that training sees of all samples.
    ///
    /// # Errors
    /// Where there is no such sample.
    fn hash(&self, hasher: &mut blake3::Hasher) -> Result<()>;

    /// The stores that samples lie in.
    fn stores(&self) -> Vec<Arc<Store>> {
        Vec::new()
    }

    /// Whether a sample lies in a store.
    fn is_stored(&self, _index: usize) -> bool {
        false
    }

    /// Lets the system read what some samples lie in, in one go.
    ///
    /// # Errors
    /// Where a file is not there.
    fn read_ahead(&self, _samples: Range<usize>) -> Result<()> {
        Ok(())
    }

    /// What a stored sample is made of, as bytes.
    ///
    /// # Errors
    /// Where there is none.
    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        Err(not_stored(index))
    }

    /// The stored sample that is made of these bytes.
    ///
    /// # Errors
    /// Where they are not its own.
    fn sample_from(&self, index: usize, _bytes: &[u8]) -> Result<Sample> {
        Err(not_stored(index))
    }
}

fn not_stored(index: usize) -> Error {
    Error::Internal(format!("sample {index} lies in no store"))
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
    /// Structures of several sources, whose labels and elements are checked. Of a store nothing is read but what the task has
    /// beside energies, forces and stress.
    ///
    /// # Errors
    /// [`Error::Structure`] for an unknown element, or a label of another size than its target.
    pub fn of_structures(parts: Vec<Part>, info: Arc<ModelInfo>) -> Result<Self> {
        if let Some(target) = info.task.targets.iter().find(|target| target.level == Level::Edge) {
            let message = "is of edges, which structures are not given: predict and train on graphs";
            return Err(Error::Structure(format!("`{}` {message}", target.name)));
        }
        let check = |Measured { structure, sizes, .. }: &Measured| -> Result<()> {
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
        let mut sizes = Vec::with_capacity(parts.iter().map(|part| part.graphs.len()).sum());
        let mut held = Vec::new();
        for part in parts {
            let graphs = &part.graphs;
            let mut columns = Vec::new();
            match graphs {
                Collection::Memory(structures) => structures.par_iter().try_for_each(check)?,
                Collection::Stored(stored) => {
                    info.model.species(&graphs.elements().into_iter().collect::<Vec<_>>())?;
                    columns = columns_of(stored, graphs, &info.task.targets)?;
                }
            }
            let first = sizes.len();
            sizes.extend((0..graphs.len()).map(|index| graphs.sizes(index)));
            held.push(Held { first, part, columns });
        }
        let task = Arc::new(info.task.clone());
        Ok(Self { samples: Box::new(Structures { held, info }), task, sizes, dims: 3 })
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

    /// The position of the source of a sample.
    pub fn source(&self, index: usize) -> usize {
        self.samples.source(index)
    }

    /// How many sources its samples are from.
    pub fn sources(&self) -> usize {
        self.samples.sources()
    }

    /// The labels of one sample, target by target.
    ///
    /// # Errors
    /// Where the sample cannot be read.
    pub fn labels(&self, index: usize) -> Result<SampleLabels> {
        self.samples.labels(index)
    }

    /// Turns what the model says of a sample, one entry per target, into what a user wants to know.
    ///
    /// # Errors
    /// Where the sample cannot be read.
    pub fn complete(&self, index: usize, prediction: &mut [Vec<f64>]) -> Result<()> {
        self.samples.complete(index, prediction)
    }

    /// A sample; the neighbour list of a structure is made on the way.
    ///
    /// # Errors
    /// Where it cannot be read, or has no graph, which was checked when the data set was made.
    pub fn sample(&self, index: usize) -> Result<Sample> {
        self.samples.sample(index)
    }

    /// A batch of graphs with their labels; neighbour lists of structures are made on the way.
    ///
    /// # Errors
    /// As [`Dataset::sample`].
    pub fn batch(&self, members: &[usize]) -> Result<Batch> {
        let samples: Vec<Sample> = members.iter().map(|&index| self.sample(index)).collect::<Result<_>>()?;
        Ok(self.batch_of(members, samples))
    }

    /// A batch of samples at hand, whose positions are `members`.
    ///
    /// # Panics
    /// If there are not as many of both.
    pub fn batch_of(&self, members: &[usize], samples: Vec<Sample>) -> Batch {
        let (graphs, labels): (Vec<HostGraph>, Vec<SampleLabels>) = samples.into_iter().unzip();
        let costs: Vec<f64> = members.iter().map(|&index| self.samples.cost(index)).collect();
        Batch::weighted(members, &graphs, &self.task.targets, &labels, &costs)
    }

    /// The stores that samples lie in.
    pub(crate) fn stores(&self) -> Vec<Arc<Store>> {
        self.samples.stores()
    }

    /// Whether a sample lies in a store.
    pub(crate) fn is_stored(&self, index: usize) -> bool {
        self.samples.is_stored(index)
    }

    /// Lets the system read what some samples lie in, in one go.
    pub(crate) fn read_ahead(&self, samples: Range<usize>) -> Result<()> {
        self.samples.read_ahead(samples)
    }

    /// What a stored sample is made of, as bytes.
    pub(crate) fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        self.samples.bytes(index)
    }

    /// The stored sample that is made of these bytes.
    pub(crate) fn sample_from(&self, index: usize, bytes: &[u8]) -> Result<Sample> {
        self.samples.sample_from(index, bytes)
    }

    /// How many numbers some samples have of each target.
    ///
    /// # Errors
    /// Where a sample cannot be read.
    pub fn label_counts(&self, members: &[usize]) -> Result<LabelCounts> {
        members.iter().map(|&index| self.samples.label_sizes(index).map(LabelCounts)).sum()
    }

    /// How many numbers there may be of each target.
    ///
    /// # Errors
    /// Where a sample cannot be read.
    pub fn label_room(&self) -> Result<Vec<usize>> {
        let all: Vec<usize> = (0..self.len()).collect();
        let mut counts = self.label_counts(&all)?.0;
        counts.resize(self.task.targets.len(), 0);
        Ok(counts)
    }

    /// Nodes and edges of some samples together.
    pub fn total(&self, members: &[usize]) -> Sizes {
        members.iter().fold(Sizes::default(), |sum, &index| Sizes {
            atoms: sum.atoms + self.sizes[index].atoms,
            edges: sum.edges + self.sizes[index].edges,
        })
    }

    /// A hash of everything that training sees of the samples.
    ///
    /// # Errors
    /// Where a sample cannot be read.
    pub fn hash(&self) -> Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new();
        self.samples.hash(&mut hasher)?;
        Ok(hasher.finalize())
    }
}

/// Hashes numbers, and how many there are.
fn hash_numbers(hasher: &mut blake3::Hasher, numbers: &[f64]) {
    hasher.update(&(numbers.len() as u64).to_le_bytes());
    numbers.iter().for_each(|value| {
        hasher.update(&value.to_le_bytes());
    });
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
    held: Vec<Held>,
    info: Arc<ModelInfo>,
}

/// Structures of one source, from the sample `first` on.
struct Held {
    first: usize,
    part: Part,
    /// Of a store, which of its graphs have a label that its index says nothing of, target by target.
    columns: Vec<Option<Vec<bool>>>,
}

/// Which graphs of a store have a label that the index says nothing of, target by target; nothing where there is no such
/// target. The labels are read, and checked.
fn columns_of(stored: &Stored, graphs: &Collection, targets: &[Target]) -> Result<Vec<Option<Vec<bool>>>> {
    let column = |target: &Target| matches!(target.label, Label::Column(_));
    if !targets.iter().any(column) {
        return Ok(Vec::new());
    }
    let has = |index: usize| -> Result<Vec<bool>> {
        let structure = graphs.structure(index)?;
        let has = |target: &Target| match target.label_of(&structure) {
            Some(values) if column(target) => fits(target, values, graphs.sizes(index), 3).map(|()| true),
            _ => Ok(false),
        };
        let wrong = |message| {
            let (folder, graph) = (stored.store().folder().display(), stored.graph(index));
            Error::Structure(format!("{folder}: graph {graph} {message}"))
        };
        targets.iter().map(has).collect::<Result<_, _>>().map_err(wrong)
    };
    let rows: Vec<Vec<bool>> = (0..graphs.len()).into_par_iter().map(has).collect::<Result<_>>()?;
    let of = |(place, target)| column(target).then(|| rows.iter().map(|row| row[place]).collect());
    Ok(targets.iter().enumerate().map(of).collect())
}

impl Structures {
    /// Where a sample is held, and its position there.
    fn held(&self, index: usize) -> (&Held, usize) {
        let held = &self.held[self.held.partition_point(|held| held.first <= index) - 1];
        (held, index - held.first)
    }

    /// The source of a sample, and its position there.
    fn place(&self, index: usize) -> (&Part, usize) {
        let (held, place) = self.held(index);
        (&held.part, place)
    }

    fn sample_of(&self, structure: &Structure, source: usize) -> Result<Sample> {
        Ok((self.info.graph(structure, source)?, self.info.labels(structure, source)))
    }

    fn structure(&self, index: usize) -> Result<(Cow<'_, Structure>, usize)> {
        let (part, place) = self.place(index);
        Ok((part.graphs.structure(place)?, part.source))
    }

    /// The structures of a source in memory, as numbers.
    fn numbers(&self, structure: &Structure, source: usize) -> Vec<f64> {
        let Structure { geometry, elements, .. } = structure;
        let mut numbers = vec![source as f64, elements.len() as f64];
        numbers.extend(elements.iter().map(|element| f64::from(element.number())));
        numbers.extend(geometry.positions.as_flattened());
        numbers.extend(geometry.cell.iter().flat_map(|cell| cell.0).flatten());
        for target in &self.info.task.targets {
            let label = target.label_of(structure);
            numbers.push(label.map_or(-1.0, |values| values.len() as f64));
            numbers.extend(label.into_iter().flatten());
        }
        numbers.extend(structure.force_mask.iter().flatten().map(|&is_label| f64::from(u8::from(is_label))));
        numbers.extend(structure.weight);
        numbers
    }
}

impl Samples for Structures {
    fn sample(&self, index: usize) -> Result<Sample> {
        let (structure, source) = self.structure(index)?;
        self.sample_of(&structure, source)
    }

    fn labels(&self, index: usize) -> Result<SampleLabels> {
        let (structure, source) = self.structure(index)?;
        Ok(self.info.labels(&structure, source))
    }

    fn label_sizes(&self, index: usize) -> Result<Vec<usize>> {
        let (Held { part, columns, .. }, place) = self.held(index);
        let targets = self.info.task.targets.iter();
        let stored = match &part.graphs {
            Collection::Memory(structures) => {
                let structure = &structures[place].structure;
                let numbers = |target: &Target| match target.label {
                    Label::Forces => structure.labelled_forces().count(),
                    _ => target.label_of(structure).map_or(0, <[f64]>::len),
                };
                return Ok(targets.map(numbers).collect());
            }
            Collection::Stored(stored) => stored,
        };
        let entry = stored.store().index().entry(stored.graph(place));
        let sizes = part.graphs.sizes(place);
        let has = |number: usize, target: &Target| match target.label {
            Label::Energy => entry.labels.has(Labels::ENERGY),
            Label::Forces => entry.labels.has(Labels::FORCES),
            Label::Stress => entry.labels.has(Labels::STRESS),
            Label::Column(_) => columns.get(number).and_then(Option::as_ref).is_some_and(|has| has[place]),
        };
        let numbers = |target: &Target| match target.label {
            Label::Forces => entry.force_components(),
            _ => target.rows(sizes) * target.label_columns(3),
        };
        Ok(targets.enumerate().map(|(k, target)| if has(k, target) { numbers(target) } else { 0 }).collect())
    }

    fn source(&self, index: usize) -> usize {
        self.place(index).0.source
    }

    fn sources(&self) -> usize {
        self.info.sources.len()
    }

    fn cost(&self, index: usize) -> f64 {
        let (part, place) = self.place(index);
        let own = match &part.graphs {
            Collection::Memory(structures) => structures[place].structure.weight.unwrap_or(1.0),
            Collection::Stored(stored) => f64::from(stored.store().index().weight(stored.graph(place))),
        };
        part.cost * own
    }

    fn complete(&self, index: usize, prediction: &mut [Vec<f64>]) -> Result<()> {
        let (structure, source) = self.structure(index)?;
        self.info.complete(&structure, source, prediction);
        Ok(())
    }

    fn hash(&self, hasher: &mut blake3::Hasher) -> Result<()> {
        for Part { graphs, source, .. } in self.held.iter().map(|held| &held.part) {
            match graphs {
                Collection::Memory(structures) => {
                    structures.iter().for_each(|own| hash_numbers(hasher, &self.numbers(&own.structure, *source)));
                }
                Collection::Stored(stored) => {
                    hasher.update(&(*source as u64).to_le_bytes());
                    for place in 0..graphs.len() {
                        hasher.update(&stored.store().index().hash(stored.graph(place)).to_le_bytes());
                    }
                }
            }
        }
        Ok(())
    }

    fn stores(&self) -> Vec<Arc<Store>> {
        self.held.iter().filter_map(|held| held.part.graphs.stored()).map(|stored| stored.store().clone()).collect()
    }

    fn is_stored(&self, index: usize) -> bool {
        self.place(index).0.graphs.stored().is_some()
    }

    fn read_ahead(&self, samples: Range<usize>) -> Result<()> {
        for Held { first, part, .. } in &self.held {
            let (start, end) = (samples.start.max(*first), samples.end.min(first + part.graphs.len()));
            if start < end
                && let Some(stored) = part.graphs.stored()
            {
                // Graphs of a store are in its order, and may be a few of many.
                let graphs = stored.graph(start - first)..stored.graph(end - 1 - first) + 1;
                if graphs.len() < 4 * (end - start) {
                    stored.store().read_ahead(graphs)?;
                }
            }
        }
        Ok(())
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        Ok(to_bytes(&self.structure(index)?.0)?)
    }

    fn sample_from(&self, index: usize, bytes: &[u8]) -> Result<Sample> {
        self.sample_of(&from_bytes(bytes)?, self.place(index).0.source)
    }
}

/// Graphs in memory.
struct Graphs(Vec<(HostGraph, SampleLabels)>);

impl Samples for Graphs {
    fn sample(&self, index: usize) -> Result<Sample> {
        Ok(self.0[index].clone())
    }

    fn labels(&self, index: usize) -> Result<SampleLabels> {
        Ok(self.0[index].1.clone())
    }

    fn label_sizes(&self, index: usize) -> Result<Vec<usize>> {
        let numbers = |label: &Vec<f64>| label.iter().filter(|value| !value.is_nan()).count();
        Ok(self.0[index].1.iter().map(|label| label.as_ref().map_or(0, numbers)).collect())
    }

    fn complete(&self, _index: usize, _prediction: &mut [Vec<f64>]) -> Result<()> {
        Ok(())
    }

    fn hash(&self, hasher: &mut blake3::Hasher) -> Result<()> {
        for (graph, labels) in &self.0 {
            let HostGraph { dims, species, edges, head, positions, velocities, volume } = graph;
            let mut numbers = vec![*dims as f64, *head as f64, species.len() as f64];
            numbers.extend(species.iter().chain(&edges.offsets).chain(&edges.senders).map(|&number| f64::from(number)));
            numbers.extend(edges.vectors.iter().chain(positions).chain(velocities).chain(volume));
            for label in labels {
                numbers.push(label.as_ref().map_or(-1.0, |values| values.len() as f64));
                numbers.extend(label.iter().flatten());
            }
            hash_numbers(hasher, &numbers);
        }
        Ok(())
    }
}
