//! From the `[data]` section to data sets: reading, auditing, splitting, reference energies, sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use isograd_data::audit::{Limits, Needs, Summary, inspect};
use isograd_data::formats::Formats;
use isograd_data::{Fit, HostGraph, Measured, References, Sizes, Source, fit_references, split};
use isograd_models::Registry;
use isograd_structure::{Element, Structure};
use isograd_tasks::{Forces, Kind, Label, Level, Model, ModelInfo, Nodes, Offset, SourceInfo, Target, Task, TrunkInfo};
use rayon::prelude::*;
use serde::Serialize;

use crate::config::{Config, Elements, HeadSharing, OverBudget, SourceConfig};
use crate::{Dataset, Error, Result, SampleLabels};

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
    /// Held out.
    pub validation: Arc<Dataset>,
    /// One report per source.
    pub reports: Vec<SourceReport>,
    /// Sentences that the user should see.
    pub warnings: Vec<String>,
}

/// Reads and checks one source, and counts the edges of each structure that are shorter than `cutoff` angstrom; used by
/// training and by `data info`.
///
/// # Errors
/// [`Error::Data`] where a file cannot be read.
pub fn survey<P: AsRef<Path>>(
    formats: &Formats,
    source: &Source,
    files: &[P],
    limits: &Limits,
    cutoff: f64,
) -> Result<(Vec<Measured>, Summary)> {
    let mut kept = Vec::new();
    let mut summary = Summary::default();
    for file in files {
        let file = file.as_ref();
        let mut frames = source.read_file_with(formats, file)?.enumerate().peekable();
        while frames.peek().is_some() {
            let chunk = frames.by_ref().take(CHUNK).map(|(index, frame)| Ok((index, frame?)));
            let chunk: Vec<(usize, Structure)> = chunk.collect::<Result<_>>()?;
            kept.extend(audit(chunk, limits, cutoff, &mut summary, |index| {
                format!("{}: frame {index}", file.display())
            }));
        }
    }
    Ok((kept, summary))
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
struct Part<'a> {
    source: &'a SourceConfig,
    summary: Summary,
    training: Vec<Measured>,
    validation: Vec<Measured>,
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

/// Refuses a source that is not fit for training.
fn judge(config: &Config, task: &Task, source: &SourceConfig, summary: &Summary) -> Result<()> {
    let mut needs = Needs::default();
    for target in task.targets.iter().filter(|target| target.weight > 0.0) {
        match &target.label {
            Label::Energy => needs.energies = true,
            Label::Forces => needs.forces = true,
            Label::Stress => needs.stresses = true,
            Label::Column(key) => needs.columns.push(key.clone()),
        }
    }
    let verdict = summary.verdict(config.data.suspicious, &needs);
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
    let mut parts = Vec::new();
    for (index, source) in data.sources.iter().enumerate() {
        if source.files.is_empty() {
            let message = "has no files; name them in `files`".into();
            return Err(Error::Source { name: source.name.clone(), message });
        }
        let how = source.source(&data.split_by, task.columns());
        let (kept, summary) = survey(formats, &how, &source.files, &data.limits(), cutoff)?;
        judge(config, &task, source, &summary)?;
        let (training, validation) = split(kept, &data.split_by, data.validation_fraction, config.train.seed, index)
            .map_err(|message| Error::Source { name: source.name.clone(), message })?;
        parts.push(Part { source, summary, training, validation });
    }
    measure(config, registry, task, parts)
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
    judge(config, &task, source, &summary)?;
    for (structures, use_of_them) in [(&training, "train on"), (&validation, "validate on")] {
        if structures.is_empty() {
            let message = format!("there is not a single structure to {use_of_them}");
            return Err(Error::Source { name: source.name.clone(), message });
        }
    }
    measure(config, registry, task, vec![Part { source, summary, training, validation }])
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
fn measure(config: &Config, registry: &Registry, mut task: Task, parts: Vec<Part<'_>>) -> Result<Prepared> {
    let mut warnings = Vec::new();
    let mut known = Vec::new();
    // Where nothing is periodic there is no stress to speak of.
    if parts.iter().all(|part| part.summary.periodic == 0) {
        task.targets.retain(|target| target.label != Label::Stress || target.weight > 0.0);
    }
    for Part { source, summary, training, validation } in &parts {
        warnings.extend(unused_stresses(summary, &task).map(|text| format!("source `{}`: {text}", source.name)));
        warnings.extend(summary.warnings().into_iter().map(|text| format!("source `{}`: {text}", source.name)));
        let mut own = Vec::new();
        for target in &task.targets {
            let (offset, report) = offset(target, source, training);
            warnings.extend(report.iter().flat_map(|report| reference_warnings(source, report, validation)));
            own.push((offset, report));
        }
        known.push(own);
    }

    let elements = elements(config, parts.iter().flat_map(|part| part.summary.elements.keys().copied()).collect())?;
    let per_source = config.model.heads == HeadSharing::PerSource;
    let sources = parts.iter().zip(&known).enumerate().map(|(index, (Part { source, .. }, known))| SourceInfo {
        name: source.name.clone(),
        keys: source.keys.clone(),
        units: source.units,
        offsets: known.iter().map(|(offset, _)| offset.clone()).collect(),
        head: if per_source { index } else { 0 },
    });
    let sources: Vec<SourceInfo> = sources.collect();
    let trainings = parts
        .iter()
        .zip(&sources)
        .flat_map(|(part, source)| part.training.iter().map(|own| (&own.structure, source.offsets.as_slice())));
    let labels = trainings.map(|(structure, offsets)| {
        let labels = task.targets.iter().zip(offsets).map(|(target, offset)| target.shifted(structure, offset));
        (structure.len(), labels.collect())
    });
    task = scaled(task.clone(), labels, config.model.forces());
    let (trunk, model) = trunk(config, registry, Nodes::Elements(elements), &task)?;
    let info = Arc::new(ModelInfo { model: trunk, task, sources });

    let mut reports = Vec::new();
    let (mut training, mut validation) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for (index, (part, known)) in parts.into_iter().zip(known).enumerate() {
        let Part { source, summary, training: train, validation: held_out } = part;
        reports.push(SourceReport {
            name: source.name.clone(),
            summary,
            training: train.len(),
            validation: held_out.len(),
            references: known.into_iter().filter_map(|(_, report)| report).collect(),
        });
        for (target, structures) in [(&mut training, train), (&mut validation, held_out)] {
            target.1.extend(std::iter::repeat_n(index, structures.len()));
            target.0.extend(structures);
        }
    }
    let training = Arc::new(Dataset::of_structures(training.0, training.1, info.clone())?);
    let validation = Arc::new(Dataset::of_structures(validation.0, validation.1, info.clone())?);
    warnings.extend(over_budget(config, &[&training, &validation])?);
    Ok(Prepared { model, info, training, validation, reports, warnings })
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
    let labels = training.iter().map(|(graph, labels)| (graph.species.len(), labels.clone()));
    let task = scaled(config.task()?, labels, config.model.forces());
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
    Ok(Prepared { model, info, training, validation, reports: Vec::new(), warnings })
}

/// The labels of a target in some structures, with the elements of the atoms that each belongs to.
fn labelled<'a>(
    target: &'a Target,
    structures: &'a [Measured],
) -> impl Iterator<Item = (&'a [Element], &'a [f64])> + use<'a> {
    let structures = structures.iter().map(|own| &own.structure);
    structures.filter_map(|structure| Some((structure.elements.as_slice(), target.label_of(structure)?)))
}

/// What is known of a target without the model.
fn offset(target: &Target, source: &SourceConfig, training: &[Measured]) -> (Offset, Option<ReferenceReport>) {
    let (graph, scalar) = (target.level == Level::Graph, target.kind == Kind::Scalar);
    if scalar && graph && target.extensive {
        let given = source.references.as_ref().filter(|_| target.label == Label::Energy);
        let fit = references(target, given, training);
        let (name, unit) = (target.name.clone(), target.unit.clone());
        let offset = Offset::Elements(fit.references.clone());
        return (offset, Some(ReferenceReport { target: name, unit, fit, given: given.is_some() }));
    }
    if !scalar {
        return (Offset::None, None);
    }
    let values = labelled(target, training).flat_map(|(_, values)| values);
    let (count, sum) = values.fold((0usize, 0.0), |(count, sum), value| (count + 1, sum + value));
    (Offset::Constant(sum / count.max(1) as f64), None)
}

/// Given contributions of atoms with their residual on the training part, or fitted ones.
fn references(target: &Target, given: Option<&BTreeMap<Element, f64>>, training: &[Measured]) -> Fit {
    let values = labelled(target, training).filter_map(|(elements, values)| Some((elements, *values.first()?)));
    let Some(given) = given else {
        return fit_references(values);
    };
    let references = References(given.clone());
    let residuals =
        values.map(|(elements, value)| ((value - references.energy(elements)) / elements.len() as f64).powi(2));
    let (count, sum) = residuals.fold((0usize, 0.0), |(count, sum), square| (count + 1, sum + square));
    Fit { rank: given.len(), structures: count, residual_rms: (sum / count.max(1) as f64).sqrt(), references }
}

fn reference_warnings(source: &SourceConfig, report: &ReferenceReport, validation: &[Measured]) -> Vec<String> {
    let mut warnings = Vec::new();
    let (name, fit) = (&source.name, &report.fit);
    if !report.given && fit.rank < fit.references.0.len() {
        warnings.push(format!(
            "source `{name}`: its compositions determine {} of {} reference energies; the others are the smallest that fit",
            fit.rank,
            fit.references.0.len()
        ));
    }
    let missing: BTreeSet<&str> = validation
        .iter()
        .flat_map(|own| &own.structure.elements)
        .filter(|element| !fit.references.0.contains_key(element))
        .map(|element| element.symbol())
        .collect();
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

/// A task whose outputs are scaled by the root mean square of its labels, of extensive ones per atom, after what is known
/// without the model was taken off. One stands in for another where a kind of label is missing. An energy that forces are
/// the gradient of is scaled as they are: it is its slopes that should be near one.
fn scaled(task: Task, training: impl Iterator<Item = (usize, SampleLabels)>, forces: Forces) -> Task {
    let mut sums = vec![(0usize, 0.0); task.targets.len()];
    for (nodes, labels) in training {
        for ((target, label), (count, sum)) in task.targets.iter().zip(labels).zip(&mut sums) {
            let per = if target.extensive { nodes as f64 } else { 1.0 };
            for value in label.into_iter().flatten() {
                *count += 1;
                *sum += (value / per).powi(2);
            }
        }
    }
    let rms: Vec<f64> = sums.into_iter().map(|(count, sum)| (sum / count.max(1) as f64).sqrt()).collect();
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
