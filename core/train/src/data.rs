//! From the `[data]` section to data sets: reading, auditing, splitting, reference energies, sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use isograd_data::audit::{Limits, Needs, Summary, inspect};
use isograd_data::formats::{Formats, Inputs};
use isograd_data::store::{Entry, Labels, Store};
use isograd_data::{
    Collection, Fit, HostGraph, Keys, Measured, Mixture, ReferenceSums, References, Sizes, Source, Stored,
};
use isograd_models::Registry;
use isograd_structure::{Element, Structure, Units};
use isograd_tasks::{Forces, Kind, Label, Level, Model, ModelInfo, Nodes, Offset, SourceInfo, Target, Task, TrunkInfo};
use rayon::prelude::*;
use serde::Serialize;

use crate::config::{Config, Elements, HeadSharing, OverBudget, SourceConfig};
use crate::{Dataset, Error, Part, Result, SampleLabels};

/// Frames that are inspected together, in parallel.
const CHUNK: usize = 1024;

/// What was found in one source and made of it.
#[derive(Debug, Clone, Serialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// What its frames hold.
    pub summary: Summary,
    /// Frames to train on.
    pub training: usize,
    /// Frames held out.
    pub validation: usize,
    /// What atoms of each element contribute to extensive targets: reference energies, of a potential.
    pub references: Vec<ReferenceReport>,
}

/// What atoms contribute to a target, as it was found or given.
#[derive(Debug, Clone, Serialize)]
pub struct ReferenceReport {
    /// The target's name.
    pub target: String,
    /// Its unit.
    pub unit: String,
    /// The contributions and how well they fit.
    pub fit: Fit,
    /// Whether they were given rather than fitted.
    pub given: bool,
}

/// Everything that training needs to know of the data.
pub struct Prepared {
    /// The model, without its weights.
    pub model: Model,
    /// What the model will say of itself.
    pub info: Arc<ModelInfo>,
    /// To train on.
    pub training: Arc<Dataset>,
    /// In which order it is met.
    pub mixture: Mixture,
    /// Held out.
    pub validation: Arc<Dataset>,
    /// One report per source.
    pub reports: Vec<SourceReport>,
    /// Sentences that the user should see.
    pub warnings: Vec<String>,
}

/// Reads and checks one source, of files, patterns and folders, and counts the edges of each structure that are shorter than
/// `cutoff` angstrom; used by training and by `data info`. Of a store nothing is read but its index.
///
/// # Errors
/// [`Error::Data`] where a file cannot be read.
pub fn survey<P: AsRef<Path>>(
    formats: &Formats,
    source: &Source,
    files: &[P],
    limits: &Limits,
    cutoff: f64,
) -> Result<(Collection, Summary)> {
    let Inputs { found, ignored } = formats.inputs(files)?;
    if let Some(store) = found.iter().find(|path| Store::is_at(path)) {
        if found.len() > 1 {
            let message = "is a store beside other files; make it a source of its own, with [[data.sources]]".into();
            return Err(isograd_data::Error::Path { path: store.clone(), message }.into());
        }
        return survey_store(store, source, limits, cutoff);
    }
    let mut kept = Vec::new();
    let mut summary = Summary::beside(ignored);
    for file in &found {
        let mut frames = source.read_file_with(formats, file)?.enumerate().peekable();
        while frames.peek().is_some() {
            let chunk = frames.by_ref().take(CHUNK).map(|(index, frame)| Ok((index, frame?)));
            let chunk: Vec<(usize, Structure)> = chunk.collect::<Result<_>>()?;
            kept.extend(audit(chunk, limits, cutoff, &mut summary, |index| {
                format!("{}: frame {index}", file.display())
            }));
        }
    }
    Ok((Collection::Memory(kept), summary))
}

fn survey_store(folder: &Path, source: &Source, limits: &Limits, cutoff: f64) -> Result<(Collection, Summary)> {
    let wrong = |message: String| isograd_data::Error::Path { path: folder.to_owned(), message };
    let store = Store::open(folder)?;
    let names = Keys { group: source.keys.group.clone(), ..Keys::default() };
    if source.keys != names || source.units != Units::default() {
        let message = "is a store, whose labels have their names and units: leave out `keys` and `units`";
        return Err(wrong(message.into()).into());
    }
    let groups = &store.header().group_key;
    if source.keys.group.is_some() && source.keys.group != *groups {
        let words = groups.as_ref().map_or("without groups".into(), |key| format!("with groups by `{key}`"));
        return Err(wrong(format!("was packed {words}, which data.split_by does not fit")).into());
    }
    let (stored, summary) = Stored::survey(Arc::new(store), limits, cutoff)?;
    Ok((Collection::Stored(stored), summary))
}

/// Inspects numbered structures, in parallel, and keeps those without fault.
fn audit(
    numbered: Vec<(usize, Structure)>,
    limits: &Limits,
    cutoff: f64,
    summary: &mut Summary,
    place: impl Fn(usize) -> String,
) -> Vec<Measured> {
    let findings: Vec<_> = numbered.par_iter().map(|(_, structure)| inspect(structure, limits, cutoff)).collect();
    let mut kept = Vec::new();
    for ((index, structure), found) in numbered.into_iter().zip(findings) {
        summary.add(&structure, &found, || place(index));
        if found.fault.is_none() {
            let sizes = Sizes { atoms: structure.len(), edges: found.pairs.edges };
            kept.push(Measured { structure, sizes });
        }
    }
    kept
}

/// A source that is read, audited and split.
struct SourcePart<'a> {
    source: &'a SourceConfig,
    summary: Summary,
    training: Collection,
    validation: Collection,
}

/// A sentence about stresses that a task does not train on, where there are any.
pub fn unused_stresses(summary: &Summary, task: &Task) -> Option<String> {
    let used = task.targets.iter().any(|target| target.label == Label::Stress && target.weight > 0.0);
    let is_potential = task.targets.iter().any(|target| target.label == Label::Energy);
    (summary.with_stress > 0 && is_potential && !used).then(|| {
        format!(
            "its {} stresses are not trained on; to use them, set loss.stress_weight, with model.forces = \"gradient\"",
            summary.with_stress
        )
    })
}

/// What a task needs of the data.
fn needs(task: &Task) -> Needs {
    let mut needs = Needs::default();
    for target in task.targets.iter().filter(|target| target.weight > 0.0) {
        match &target.label {
            Label::Energy => needs.energies = true,
            Label::Forces => needs.forces = true,
            Label::Stress => needs.stresses = true,
            Label::Column(key) => needs.columns.push(key.clone()),
        }
    }
    needs
}

/// What of it one source has to have: what it lacks may be in another one.
fn needs_of_one(needs: &Needs, summary: &Summary, others: &[&Summary]) -> Needs {
    let elsewhere = |has: &dyn Fn(&Summary) -> bool| !has(summary) && others.iter().any(|other| has(other));
    let column = |key: &&String| !elsewhere(&|of| of.with_columns.contains_key(*key));
    Needs {
        energies: needs.energies && !elsewhere(&|of| of.with_energy > 0),
        forces: needs.forces && !elsewhere(&|of| of.with_forces > 0),
        stresses: needs.stresses && !elsewhere(&|of| of.with_stress > 0),
        columns: needs.columns.iter().filter(column).cloned().collect(),
    }
}

/// Sentences about what a source lacks and is trained on without.
fn lacks(needs: &Needs, own: &Needs, name: &str) -> Vec<String> {
    let labels = [
        ("an energy", needs.energies && !own.energies),
        ("forces", needs.forces && !own.forces),
        ("a stress", needs.stresses && !own.stresses),
    ];
    let columns = needs.columns.iter().filter(|key| !own.columns.contains(key)).map(|key| format!("`{key}`"));
    let all = labels.into_iter().filter(|(_, lacking)| *lacking).map(|(label, _)| label.to_owned()).chain(columns);
    all.map(|label| format!("source `{name}`: no frame has {label}; it is trained on with what it has")).collect()
}

/// Refuses a source that is not fit for training.
fn judge(config: &Config, needs: &Needs, source: &SourceConfig, summary: &Summary) -> Result<()> {
    let verdict = summary.verdict(config.data.suspicious, needs);
    verdict.map_err(|message| Error::Source { name: source.name.clone(), message })
}

/// Reads, audits, splits and measures everything that the config names.
///
/// # Errors
/// [`Error::Source`] where a source is not fit for training, [`Error::Data`] where a file is damaged,
/// [`Error::Config`] where config and data do not fit.
pub fn prepare(config: &Config, registry: &Registry, formats: &Formats) -> Result<Prepared> {
    let data = &config.data;
    let task = of_structures(config)?;
    let cutoff = config.model.architecture(registry)?.needs().cutoff;
    let mut surveyed = Vec::new();
    for source in &data.sources {
        if source.files.is_empty() {
            let message = "has no files; name them in `files`".into();
            return Err(Error::Source { name: source.name.clone(), message });
        }
        let how = source.source(&data.split_by, task.columns());
        surveyed.push((source, survey(formats, &how, &source.files, &data.limits(), cutoff)?));
    }
    let needs = needs(&task);
    let mut warnings = Vec::new();
    for (place, (source, (_, summary))) in surveyed.iter().enumerate() {
        let others = surveyed.iter().enumerate().filter(|(other, _)| *other != place);
        let own = needs_of_one(&needs, summary, &others.map(|(_, (_, (_, summary)))| summary).collect::<Vec<_>>());
        judge(config, &own, source, summary)?;
        warnings.extend(lacks(&needs, &own, &source.name));
    }
    let mut parts = Vec::new();
    for (index, (source, (kept, summary))) in surveyed.into_iter().enumerate() {
        let (training, validation) = kept
            .split(&data.split_by, data.validation_fraction, config.train.seed, index)
            .map_err(|message| Error::Source { name: source.name.clone(), message })?;
        let training = training.fraction(data.fraction, config.train.seed, index);
        parts.push(SourcePart { source, summary, training, validation });
    }
    let mut prepared = measure(config, registry, task, parts)?;
    prepared.warnings.splice(0..0, warnings);
    Ok(prepared)
}

/// As [`prepare`], from structures at hand, to train on and held out, which are of the first source of the config.
///
/// # Errors
/// [`Error::Source`] where they are not fit for training, [`Error::Config`] where the config has no source, or config and
/// structures do not fit.
pub fn prepare_structures(
    config: &Config,
    registry: &Registry,
    training: Vec<Structure>,
    validation: Vec<Structure>,
) -> Result<Prepared> {
    let Some(source) = config.data.sources.first() else {
        return Err(Error::Config { place: "data.sources".into(), message: "is empty, expected one source".into() });
    };
    let task = of_structures(config)?;
    let cutoff = config.model.architecture(registry)?.needs().cutoff;
    let mut summary = Summary::default();
    let mut keep = |structures: Vec<Structure>, of: &str| {
        let numbered = structures.into_iter().enumerate().collect();
        audit(numbered, &config.data.limits(), cutoff, &mut summary, |index| format!("{of} structure {index}"))
    };
    let (training, validation) = (keep(training, "training"), keep(validation, "validation"));
    judge(config, &needs(&task), source, &summary)?;
    for (structures, use_of_them) in [(&training, "train on"), (&validation, "validate on")] {
        if structures.is_empty() {
            let message = format!("there is not a single structure to {use_of_them}");
            return Err(Error::Source { name: source.name.clone(), message });
        }
    }
    let [training, validation] = [training, validation].map(Collection::Memory);
    measure(config, registry, task, vec![SourcePart { source, summary, training, validation }])
}

/// The task, of structures, whose edges no label says anything of.
fn of_structures(config: &Config) -> Result<Task> {
    let task = config.task()?;
    match task.targets.iter().find(|target| target.level == Level::Edge) {
        Some(target) => {
            let name = &target.name;
            let message = format!("`{name}` is of edges, which structures are not given; train on graphs in memory");
            Err(Error::Config { place: "task".into(), message })
        }
        None => Ok(task),
    }
}

/// Fits what is known without the model, and measures the structures.
fn measure(config: &Config, registry: &Registry, mut task: Task, parts: Vec<SourcePart<'_>>) -> Result<Prepared> {
    let mut warnings = Vec::new();
    let mut known = Vec::new();
    // Where nothing is periodic there is no stress to speak of.
    if parts.iter().all(|part| part.summary.periodic == 0) {
        task.targets.retain(|target| target.label != Label::Stress || target.weight > 0.0);
    }
    for SourcePart { source, summary, training, validation } in &parts {
        warnings.extend(unused_stresses(summary, &task).map(|text| format!("source `{}`: {text}", source.name)));
        warnings.extend(summary.warnings().into_iter().map(|text| format!("source `{}`: {text}", source.name)));
        let mut own = Vec::new();
        for target in &task.targets {
            let (offset, report) = offset(target, source, training)?;
            warnings.extend(report.iter().flat_map(|report| reference_warnings(source, report, validation)));
            own.push((offset, report));
        }
        known.push(own);
    }

    let elements = elements(config, parts.iter().flat_map(|part| part.summary.elements.keys().copied()).collect())?;
    let per_source = config.model.heads == HeadSharing::PerSource;
    let sources = parts.iter().zip(&known).enumerate().map(|(index, (SourcePart { source, .. }, known))| SourceInfo {
        name: source.name.clone(),
        keys: source.keys.clone(),
        units: source.units,
        offsets: known.iter().map(|(offset, _)| offset.clone()).collect(),
        head: if per_source { index } else { 0 },
    });
    let sources: Vec<SourceInfo> = sources.collect();
    let mut squares = Squares::of(&task);
    for (part, source) in parts.iter().zip(&sources) {
        squares.add_collection(&task, &source.offsets, &part.training)?;
    }
    task = squares.scaled(task, config.model.forces());
    let (trunk, model) = trunk(config, registry, Nodes::Elements(elements), &task)?;
    let info = Arc::new(ModelInfo { model: trunk, task, sources });

    let mut reports = Vec::new();
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for (index, (part, known)) in parts.into_iter().zip(known).enumerate() {
        let SourcePart { source, summary, training: train, validation: held_out } = part;
        reports.push(SourceReport {
            name: source.name.clone(),
            summary,
            training: train.len(),
            validation: held_out.len(),
            references: known.into_iter().filter_map(|(_, report)| report).collect(),
        });
        let cost = source.loss_weight;
        training.push(Part { graphs: train, source: index, cost });
        validation.push(Part { graphs: held_out, source: index, cost });
    }
    let counts: Vec<usize> = training.iter().map(|part| part.graphs.len()).collect();
    let weights: Vec<f64> = config.data.sources.iter().map(|source| source.weight).take(counts.len()).collect();
    let mixture = Mixture::new(config.data.sampling, &counts, &weights);
    let training = Arc::new(Dataset::of_structures(training, info.clone())?);
    let validation = Arc::new(Dataset::of_structures(validation, info.clone())?);
    warnings.extend(over_budget(config, &[&training, &validation])?);
    Ok(Prepared { model, info, training, mixture, validation, reports, warnings })
}

/// As [`prepare`], from graphs at hand with their labels, of which nodes have `kinds` kinds.
///
/// # Errors
/// [`Error::Structure`] where labels do not fit the task, or a part is empty; [`Error::Config`] where config and graphs do
/// not fit.
pub fn prepare_graphs(
    config: &Config,
    registry: &Registry,
    kinds: usize,
    training: Vec<(HostGraph, SampleLabels)>,
    validation: Vec<(HostGraph, SampleLabels)>,
) -> Result<Prepared> {
    for (graphs, use_of_them) in [(&training, "train on"), (&validation, "validate on")] {
        if graphs.is_empty() {
            return Err(Error::Structure(format!("there is not a single graph to {use_of_them}")));
        }
    }
    // Nothing is taken off labels here.
    let task = config.task()?;
    let mut squares = Squares::of(&task);
    for (graph, labels) in &training {
        squares.add(&task, graph.species.len(), labels.iter().map(Option::as_deref));
    }
    let task = squares.scaled(task, config.model.forces());
    let dims = training[0].0.dims;
    let (trunk, model) = trunk(config, registry, Nodes::Kinds { count: kinds, dims }, &task)?;
    let velocities = model.architecture().needs().velocities;
    let shared = Arc::new(task.clone());
    let mut warnings = Vec::new();
    let mut made = |graphs: Vec<(HostGraph, SampleLabels)>, what: &str| {
        let long = graphs.iter().filter(|(graph, _)| graph.has_edge_beyond(trunk.cutoff)).count();
        if long > 0 {
            let cutoff = trunk.cutoff;
            warnings.push(format!(
                "{long} {what} graphs have an edge longer than model.cutoff = {cutoff}: it fades to nothing"
            ));
        }
        let without = |(graph, _): &(HostGraph, SampleLabels)| graph.velocities.len() != dims * graph.species.len();
        if velocities && graphs.iter().any(without) {
            return Err(Error::Structure(format!("a {what} graph has no velocities, {dims} numbers for each node")));
        }
        if let Some(kind) = graphs.iter().flat_map(|(graph, _)| &graph.species).find(|kind| **kind as usize >= kinds) {
            return Err(Error::Structure(format!("a {what} graph has a node of kind {kind}, of {kinds} (from 0)")));
        }
        Ok(Arc::new(Dataset::of_graphs(graphs, shared.clone())?))
    };
    let (training, validation) = (made(training, "training")?, made(validation, "validation")?);
    warnings.extend(over_budget(config, &[&training, &validation])?);
    let source = SourceInfo {
        name: "graphs".into(),
        keys: Default::default(),
        units: Default::default(),
        offsets: vec![Offset::None; task.targets.len()],
        head: 0,
    };
    let info = Arc::new(ModelInfo { model: trunk, task, sources: vec![source] });
    let mixture = Mixture::of(training.len());
    Ok(Prepared { model, info, training, mixture, validation, reports: Vec::new(), warnings })
}

/// Hands the labels of a target to `found`, each with the elements of the atoms that it belongs to. Of energies and their atoms
/// a store's index says it.
fn labelled(target: &Target, graphs: &Collection, mut found: impl FnMut(&[Element], &[f64])) -> Result<()> {
    if target.label == Label::Energy {
        for index in 0..graphs.len() {
            if let Some(energy) = graphs.energy(index) {
                found(graphs.elements_of(index), &[energy]);
            }
        }
        return Ok(());
    }
    for structure in graphs.structures() {
        let structure = structure?;
        if let Some(values) = target.label_of(&structure) {
            found(&structure.elements, values);
        }
    }
    Ok(())
}

/// What is known of a target without the model.
fn offset(target: &Target, source: &SourceConfig, training: &Collection) -> Result<(Offset, Option<ReferenceReport>)> {
    let (graph, scalar) = (target.level == Level::Graph, target.kind == Kind::Scalar);
    if scalar && graph && target.extensive {
        let given = source.references.as_ref().filter(|_| target.label == Label::Energy);
        let fit = references(target, given, training)?;
        let (name, unit) = (target.name.clone(), target.unit.clone());
        let offset = Offset::Elements(fit.references.clone());
        return Ok((offset, Some(ReferenceReport { target: name, unit, fit, given: given.is_some() })));
    }
    if !scalar {
        return Ok((Offset::None, None));
    }
    let (mut count, mut sum) = (0usize, 0.0);
    labelled(target, training, |_, values| {
        count += values.len();
        sum = values.iter().fold(sum, |sum, value| sum + value);
    })?;
    Ok((Offset::Constant(sum / count.max(1) as f64), None))
}

/// Given contributions of atoms with their residual on the training part, or fitted ones.
fn references(target: &Target, given: Option<&BTreeMap<Element, f64>>, training: &Collection) -> Result<Fit> {
    let Some(given) = given else {
        let mut sums = ReferenceSums::default();
        labelled(target, training, |elements, values| {
            if let Some(value) = values.first() {
                sums.add(elements, *value);
            }
        })?;
        return Ok(sums.fit());
    };
    let references = References(given.clone());
    let (mut count, mut sum) = (0usize, 0.0);
    labelled(target, training, |elements, values| {
        if let Some(value) = values.first() {
            count += 1;
            sum += ((value - references.energy(elements)) / elements.len() as f64).powi(2);
        }
    })?;
    Ok(Fit { rank: given.len(), structures: count, residual_rms: (sum / count.max(1) as f64).sqrt(), references })
}

fn reference_warnings(source: &SourceConfig, report: &ReferenceReport, validation: &Collection) -> Vec<String> {
    let mut warnings = Vec::new();
    let (name, fit) = (&source.name, &report.fit);
    if !report.given && fit.rank < fit.references.0.len() {
        warnings.push(format!(
            "source `{name}`: its compositions determine {} of {} reference energies; the others are the smallest that fit",
            fit.rank,
            fit.references.0.len()
        ));
    }
    let elements = validation.elements();
    let missing = elements.iter().filter(|element| !fit.references.0.contains_key(element));
    let missing: BTreeSet<&str> = missing.map(|element| element.symbol()).collect();
    if !missing.is_empty() {
        let list = missing.into_iter().collect::<Vec<_>>().join(", ");
        warnings.push(format!("source `{name}`: {list} occur in validation but have no reference energy"));
    }
    warnings
}

fn elements(config: &Config, found: BTreeSet<Element>) -> Result<Vec<Element>> {
    let Elements::List(listed) = &config.model.elements else {
        return Ok(found.into_iter().collect());
    };
    match found.iter().find(|element| !listed.contains(element)) {
        Some(element) => Err(Error::Config {
            place: "model.elements".into(),
            message: format!("lacks {element}, which occurs in the data; add it, or use \"auto\""),
        }),
        None => Ok(listed.clone()),
    }
}

/// Sums of the squares of labels, target by target, after what is known without the model was taken off; of extensive ones
/// per atom.
struct Squares(Vec<(usize, f64)>);

impl Squares {
    fn of(task: &Task) -> Self {
        Self(vec![(0, 0.0); task.targets.len()])
    }

    /// Labels of a graph. The squares of one label are added up in single precision, as the index of a store has them.
    fn add<'a>(&mut self, task: &Task, nodes: usize, labels: impl Iterator<Item = Option<&'a [f64]>>) {
        for ((target, label), (count, sum)) in task.targets.iter().zip(labels).zip(&mut self.0) {
            let per = if target.extensive { nodes as f64 } else { 1.0 };
            if let Some(label) = label {
                *count += label.len();
                *sum += squares(label) / (per * per);
            }
        }
    }

    /// Labels of all graphs. What a store's index knows of energies, forces and stresses is enough where nothing else is
    /// trained on.
    fn add_collection(&mut self, task: &Task, offsets: &[Offset], graphs: &Collection) -> Result<()> {
        if let Collection::Stored(stored) = graphs
            && !task.targets.iter().any(|target| matches!(target.label, Label::Column(_)))
        {
            for index in 0..graphs.len() {
                self.add_entry(
                    task,
                    offsets,
                    &stored.store().index().entry(stored.graph(index)),
                    stored.elements(index),
                );
            }
            return Ok(());
        }
        for structure in graphs.structures() {
            let structure = structure?;
            let labels: SampleLabels =
                task.targets.iter().zip(offsets).map(|(target, offset)| target.shifted(&structure, offset)).collect();
            self.add(task, structure.len(), labels.iter().map(Option::as_deref));
        }
        Ok(())
    }

    fn add_entry(&mut self, task: &Task, offsets: &[Offset], entry: &Entry, elements: &[Element]) {
        let atoms = entry.atoms as usize;
        for ((target, offset), (count, sum)) in task.targets.iter().zip(offsets).zip(&mut self.0) {
            let per = if target.extensive { atoms as f64 } else { 1.0 };
            let (numbers, own, labels) = match target.label {
                Label::Energy => (1, squares(&[entry.energy - offset.of(elements)]), Labels::ENERGY),
                Label::Forces => (3 * atoms, f64::from(entry.force_squares), Labels::FORCES),
                Label::Stress => (9, f64::from(entry.stress_squares), Labels::STRESS),
                Label::Column(_) => continue,
            };
            if entry.labels.has(labels) {
                *count += numbers;
                *sum += own / (per * per);
            }
        }
    }

    /// A task whose outputs are scaled by the root mean square of its labels. One stands in for another where a kind of label
    /// is missing. An energy that forces are the gradient of is scaled as they are: it is its slopes that should be near one.
    fn scaled(self, task: Task, forces: Forces) -> Task {
        let rms: Vec<f64> = self.0.into_iter().map(|(count, sum)| (sum / count.max(1) as f64).sqrt()).collect();
        let usable = |place: usize| rms[place] > 1e-6 && !matches!(task.targets[place].kind, Kind::Class(_));
        let derived = task.targets.iter().position(|target| target.label == Label::Forces);
        let derived = derived.filter(|_| forces == Forces::Gradient);
        let scale = |place: usize| {
            let own = derived.filter(|_| task.targets[place].label == Label::Energy).unwrap_or(place);
            let chosen = [own, place].into_iter().chain(0..rms.len()).find(|&place| usable(place));
            match task.targets[place].kind {
                Kind::Class(_) => 1.0,
                Kind::Scalar | Kind::Vector | Kind::Tensor => chosen.map_or(1.0, |place| rms[place]),
            }
        };
        let scales: Vec<f64> = (0..rms.len()).map(scale).collect();
        task.scaled(&scales)
    }
}

/// The sum of the squares of some numbers, rounded to single precision.
fn squares(numbers: &[f64]) -> f64 {
    f64::from(numbers.iter().fold(0.0, |sum, value| sum + value * value) as f32)
}

/// The model that a config asks for; its scales, which only data can tell, are one. Where the elements are left to the
/// data, `unknown` of them are assumed.
///
/// # Errors
/// [`Error::Config`] where no model can be made.
pub fn model_of(config: &Config, registry: &Registry, unknown: usize) -> Result<Model> {
    let elements = match &config.model.elements {
        Elements::List(listed) => listed.clone(),
        Elements::Word(_) => (1..=unknown as i64).filter_map(Element::from_number).collect(),
    };
    trunk(config, registry, Nodes::Elements(elements), &config.task()?).map(|(_, model)| model)
}

fn trunk(config: &Config, registry: &Registry, nodes: Nodes, task: &Task) -> Result<(TrunkInfo, Model)> {
    let architecture = config.model.architecture(registry)?;
    if architecture.needs().velocities && matches!(nodes, Nodes::Elements(_)) {
        let message = "is true; structures have no velocities that a model could read".into();
        return Err(Error::Config { place: "model.velocities".into(), message });
    }
    let per_source = config.model.heads == HeadSharing::PerSource;
    let heads = if per_source { config.data.sources.len() } else { 1 };
    let trunk = TrunkInfo::new(&*architecture, nodes, heads, config.model.forces());
    let model = trunk.model_of(architecture, &task.targets, config.train.message).map_err(Error::model)?;
    Ok((trunk, model))
}

/// Structures that are over the batch budget on their own: a warning, or an error.
fn over_budget(config: &Config, sets: &[&Dataset]) -> Result<Option<String>> {
    let budget = config.train.budget();
    let over: Vec<Sizes> =
        sets.iter().flat_map(|set| &set.sizes).copied().filter(|&sizes| budget.is_exceeded_by(sizes)).collect();
    let Some(largest) = over.iter().max_by_key(|sizes| sizes.edges) else { return Ok(None) };
    let message = format!(
        "{} structures are over the batch budget on their own (the largest: {} atoms, {} edges; the budget: {} atoms, {} \
         edges)",
        over.len(),
        largest.atoms,
        largest.edges,
        budget.atoms,
        budget.edges
    );
    match config.train.over_budget {
        OverBudget::Warn => Ok(Some(format!("{message}; each is a batch of its own"))),
        OverBudget::Error => Err(Error::Config {
            place: "train.batch_atoms, train.batch_edges".into(),
            message: format!("{message}; raise the budget, or allow it with train.over_budget = \"warn\""),
        }),
    }
}
