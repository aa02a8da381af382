//! From the `[data]` section to data sets: reading, auditing, splitting, reference energies, sizes.

mod needs;
mod references;
mod scales;
mod survey;
mod suspicions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use isograd_data::audit::{Leak, Summary, leaks};
use isograd_data::formats::Formats;
use isograd_data::{Collection, HostGraph, Mixture, Place, References, Sizes};
use isograd_models::Registry;
use isograd_structure::{Element, Structure};
use isograd_tasks::{Label, Level, Model, ModelInfo, Nodes, Offset, SourceInfo, Task, TrunkInfo};
use serde::Serialize;

pub use self::needs::unused_stresses;
use self::needs::{has_named, judge, lacks, needs, needs_of_one};
pub use self::references::ReferenceReport;
use self::references::{offset, reference_warnings, with_isolated_atoms};
use self::scales::Squares;
use self::survey::audit;
pub use self::survey::survey;
use self::suspicions::suspicions;
use crate::config::{Config, Elements, HeadSharing, Leakage, OverBudget, ReferenceEnergies, SourceConfig, freeze};
use crate::fine_tuning::StartingModel;
use crate::{Dataset, Error, Part, Result, SampleLabels, StartingWeights};

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
    /// The weights that training begins with; `None` where they are drawn from the seed.
    pub start: Option<StartingWeights>,
    /// One report per source.
    pub reports: Vec<SourceReport>,
    /// Sentences that the user should see.
    pub warnings: Vec<String>,
}

/// A source that is read, audited and split.
struct SourcePart {
    source: SourceConfig,
    summary: Summary,
    training: Collection,
    validation: Collection,
}

/// Reads, audits, splits and measures everything that the config names.
///
/// # Errors
/// [`Error::Source`] where a source is not fit for training, [`Error::Data`] where a file is damaged,
/// [`Error::Config`] where config and data do not fit.
pub fn prepare(config: &Config, registry: &Registry, formats: &Formats) -> Result<Prepared> {
    let data = &config.data;
    let task = of_structures(config)?;
    let start = StartingModel::of(config)?;
    let cutoff = config.model.architecture(registry)?.needs().cutoff;
    let mut surveyed = Vec::new();
    for source in &data.sources {
        if source.files.is_empty() {
            let message = "has no files; name them in `files`".into();
            return Err(Error::Source { name: source.name.clone(), message });
        }
        let how = source.source(&data.split_by, task.columns());
        let read = |files: &[PathBuf]| survey(formats, &how, files, &data.limits(), cutoff);
        let held_out = match &source.validation_files[..] {
            [] => None,
            files => Some(read(files)?),
        };
        surveyed.push((source, read(&source.files)?, held_out));
    }
    let needs = needs(&task);
    let mut warnings = Vec::new();
    for (place, (source, (_, summary), held_out)) in surveyed.iter().enumerate() {
        let others = surveyed.iter().enumerate().filter(|(other, _)| *other != place);
        let others: Vec<&Summary> = others.map(|(_, (_, (_, summary), _))| summary).collect();
        let own = needs_of_one(&needs, summary, &others);
        judge(config, &own, source, summary)?;
        has_named(source, summary)?;
        warnings.extend(lacks(&needs, &own, &source.name));
        if let Some((_, summary)) = held_out {
            judge(config, &own, source, summary)?;
            let of = format!("source `{}`, held out", source.name);
            warnings.extend(summary.warnings().into_iter().map(|text| format!("{of}: {text}")));
        }
    }
    let mut parts = Vec::new();
    for (index, (source, (kept, summary), held_out)) in surveyed.into_iter().enumerate() {
        let (own, kept) = with_isolated_atoms(source, kept)?;
        let (kept, weightless) = counting(source, kept)?;
        warnings.extend(weightless);
        let (training, validation) = match held_out {
            Some((held_out, _)) => (kept, held_out.with_weight()),
            None if data.validation_fraction == 0.0 => (kept, Collection::Memory(Vec::new())),
            None => kept
                .split(&data.split_by, data.validation_fraction, config.split_seed(), index)
                .map_err(|message| Error::Source { name: source.name.clone(), message })?,
        };
        let training = training.fraction(data.fraction, config.split_seed(), index);
        parts.push(SourcePart { source: own, summary, training, validation });
    }
    warnings.extend(leakage(config, &parts)?);
    let mut prepared = measure(config, registry, task, start, parts)?;
    prepared.warnings.splice(0..0, warnings);
    Ok(prepared)
}

/// What of a source counts in the loss, and a sentence about what does not: neither references nor scales are to be fitted to
/// it.
fn counting(source: &SourceConfig, all: Collection) -> Result<(Collection, Option<String>)> {
    let count = all.len();
    let kept = all.with_weight();
    if kept.is_empty() && count > 0 {
        let message = "all its frames have the weight 0; look at keys.weight and frame_weights".into();
        return Err(Error::Source { name: source.name.clone(), message });
    }
    let left_out = count - kept.len();
    let sentence =
        || format!("source `{}`: {left_out} of {count} frames have the weight 0 and are left out", source.name);
    Ok((kept, (left_out > 0).then(sentence)))
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
        let first = Place { file: of.into(), frame: 0 };
        audit(structures, &config.data.limits(), cutoff, &mut summary, &first)
    };
    let (training, validation) = (keep(training, "training structures"), keep(validation, "validation structures"));
    judge(config, &needs(&task), source, &summary)?;
    if training.is_empty() {
        let message = "there is not a single structure to train on".into();
        return Err(Error::Source { name: source.name.clone(), message });
    }
    let (source, training) = with_isolated_atoms(source, Collection::Memory(training))?;
    let validation = Collection::Memory(validation);
    let parts = vec![SourcePart { source, summary, training, validation }];
    let warning = leakage(config, &parts)?;
    let mut prepared = measure(config, registry, task, StartingModel::of(config)?, parts)?;
    prepared.warnings.splice(0..0, warning);
    Ok(prepared)
}

/// Refuses structures that are trained on and held out, or warns of them where they are allowed.
fn leakage(config: &Config, parts: &[SourcePart]) -> Result<Option<String>> {
    let training: Vec<&Collection> = parts.iter().map(|part| &part.training).collect();
    let held_out: Vec<&Collection> = parts.iter().map(|part| &part.validation).collect();
    let found = leaks(&training, &held_out)?;
    let Some(Leak { count, held_out, trained }) = found else { return Ok(None) };
    let total: usize = parts.iter().map(|part| part.validation.len()).sum();
    let mut message =
        format!("{count} of {total} structures that are held out are trained on too (first: {held_out} is {trained})");
    // They may differ in what no model sees.
    for unread in parts.iter().flat_map(|part| &part.summary.unread) {
        message += &format!("; {unread}");
    }
    match config.data.leakage {
        Leakage::Allow => Ok(Some(format!("{message}: errors are smaller than those of new structures"))),
        Leakage::Refuse => Err(Error::Config {
            place: "data".into(),
            message: format!(
                "{message}; leave copies out (`isograd data audit` with --write), keep them together with data.split_by, or allow \
                 it with data.leakage = \"allow\""
            ),
        }),
    }
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
fn measure(
    config: &Config,
    registry: &Registry,
    mut task: Task,
    start: Option<StartingModel>,
    parts: Vec<SourcePart>,
) -> Result<Prepared> {
    let mut warnings = Vec::new();
    let mut known = Vec::new();
    // Where nothing is periodic there is no stress to speak of.
    if parts.iter().all(|part| part.summary.periodic == 0) {
        task.targets.retain(|target| target.label != Label::Stress || target.weight > 0.0);
    }
    for SourcePart { source, summary, training, validation } in &parts {
        warnings.extend(unused_stresses(summary, &task).map(|text| format!("source `{}`: {text}", source.name)));
        warnings.extend(summary.warnings().into_iter().map(|text| format!("source `{}`: {text}", source.name)));
        warnings.extend(suspicions(source, [training, validation]));
        if let Some(ReferenceEnergies::Given(given)) = &source.references
            && task.targets.iter().any(|target| target.label == Label::Energy)
        {
            no_reference_is_missing(source, given, summary)?;
        }
        let mut own = Vec::new();
        for target in &task.targets {
            let (offset, report) = offset(target, source, training, start.as_ref())?;
            warnings.extend(report.iter().flat_map(|own| reference_warnings(source, own, validation, start.is_some())));
            own.push((offset, report));
        }
        known.push(own);
    }

    let mut found: BTreeSet<Element> = parts.iter().flat_map(|part| part.summary.elements.keys().copied()).collect();
    // Of files that are held out there is no other summary.
    found.extend(parts.iter().flat_map(|part| part.validation.elements()));
    let before = start.as_ref().map_or(&[] as &[Element], StartingModel::elements).to_vec();
    let is_known = |element: &Element| found.contains(element) || before.contains(element);
    let elements = elements(config, found.clone(), before.clone())?;
    let untrained: Vec<&str> =
        elements.iter().filter(|element| !is_known(element)).map(|element| element.symbol()).collect();
    if !untrained.is_empty() {
        warnings.push(format!(
            "model.elements has {}, which no structure has: nothing is learned of it, and structures with it will not be predicted",
            untrained.join(", ")
        ));
    }
    for (offset, _) in known.iter_mut().flatten() {
        if let Offset::Elements(References(own)) = offset {
            own.retain(|element, _| is_known(element));
        }
    }
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
    if let Some(start) = &start {
        task = start.scaled(task);
    }
    let (trunk, model) = trunk(config, registry, Nodes::Elements(elements), &task)?;
    let info = Arc::new(ModelInfo { model: trunk, task, sources });
    let start = begin(config, &model, &info, start)?;

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
    warnings.extend(nothing_held_out(&validation));
    warnings.extend(over_budget(config, &[&training, &validation])?);
    warnings.extend(short_training(config, &training));
    Ok(Prepared { model, info, training, mixture, validation, start, reports, warnings })
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
    if training.is_empty() {
        return Err(Error::Structure("there is not a single graph to train on".into()));
    }
    // Nothing is taken off labels here.
    let task = config.task()?;
    let mut squares = Squares::of(&task);
    for (graph, labels) in &training {
        squares.add(&task, graph.species.len(), labels.iter().map(Option::as_deref));
    }
    let mut task = squares.scaled(task, config.model.forces());
    let start = StartingModel::of(config)?;
    if let Some(start) = &start {
        task = start.scaled(task);
    }
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
    warnings.extend(nothing_held_out(&validation));
    let source = SourceInfo {
        name: "graphs".into(),
        keys: Default::default(),
        units: Default::default(),
        offsets: vec![Offset::None; task.targets.len()],
        head: 0,
    };
    let info = Arc::new(ModelInfo { model: trunk, task, sources: vec![source] });
    let mixture = Mixture::of(training.len());
    let start = begin(config, &model, &info, start)?;
    Ok(Prepared { model, info, training, mixture, validation, start, reports: Vec::new(), warnings })
}

/// The weights that a model begins with, and whether what it is to keep of them is there.
fn begin(
    config: &Config,
    model: &Model,
    info: &ModelInfo,
    start: Option<StartingModel>,
) -> Result<Option<StartingWeights>> {
    let layout = model.layout(1);
    let paths: Vec<&str> = layout.parameters().iter().map(|spec| spec.path.as_str()).collect();
    freeze::check(&config.train.freeze, &paths)?;
    start.map(|start| start.weights(model, info, config)).transpose()
}

/// The elements of a model: those it knew `before`, in their order, and then those that are listed, or found in the data.
fn elements(config: &Config, found: BTreeSet<Element>, before: Vec<Element>) -> Result<Vec<Element>> {
    let joined = |more: Vec<Element>| {
        let new: Vec<Element> = more.into_iter().filter(|element| !before.contains(element)).collect();
        [before.clone(), new].concat()
    };
    let Elements::List(listed) = &config.model.elements else {
        return Ok(joined(found.into_iter().collect()));
    };
    match found.iter().find(|element| !listed.contains(element)) {
        Some(element) => Err(Error::Config {
            place: "model.elements".into(),
            message: format!("lacks {element}, which occurs in the data; add it, or use \"auto\""),
        }),
        None => Ok(joined(listed.clone())),
    }
}

/// A sentence where no structure is held out.
fn nothing_held_out(validation: &Dataset) -> Option<String> {
    validation.is_empty().then(|| {
        "nothing is held out: how large errors on new structures are is not known, and the last weights are kept, not the best"
            .into()
    })
}

/// A sentence where the learning rate rises for more than half of training.
fn short_training(config: &Config, training: &Dataset) -> Option<String> {
    let train = &config.train;
    let epochs = train.epochs.filter(|_| train.seconds.is_none())?;
    let (atoms, edges) = training.sizes.iter().fold((0, 0), |sum, own| (sum.0 + own.atoms, sum.1 + own.edges));
    let budget = train.budget();
    let batches = training.len().div_ceil(budget.graphs).max(atoms.div_ceil(budget.atoms));
    let batches = batches.max(edges.div_ceil(budget.edges));
    let (steps, rising) = (epochs * batches.div_ceil(train.accumulate), train.schedule.warmup_steps);
    (2 * rising > steps).then(|| {
        format!(
            "the learning rate rises for {rising} steps, and training has about {steps}; train longer, or set \
             train.schedule.warmup_steps"
        )
    })
}

/// Refuses references that leave out an element of the source, which would count as nothing.
fn no_reference_is_missing(source: &SourceConfig, given: &BTreeMap<Element, f64>, summary: &Summary) -> Result<()> {
    let Some((element, count)) = summary.elements.iter().find(|(element, _)| !given.contains_key(element)) else {
        return Ok(());
    };
    let message = format!(
        "`references` has none of {element}, of which its frames have {count} atoms; add it, or leave `references` out to fit \
         all of them"
    );
    Err(Error::Source { name: source.name.clone(), message })
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
