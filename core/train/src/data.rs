//! From the `[data]` section to data sets: reading, auditing, splitting, reference energies, sizes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use isograd_data::audit::{Limits, Summary, inspect};
use isograd_data::{Fit, References, Sizes, Source, fit_references, split};
use isograd_models::Registry;
use isograd_structure::{Element, Structure};
use isograd_tasks::{Model, PotentialInfo, PotentialSource, PotentialTask, Scales, TrunkInfo};
use rayon::prelude::*;
use serde::Serialize;

use crate::config::{Config, Elements, HeadSharing, OverBudget, SourceConfig};
use crate::{Dataset, Error, Result};

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
    /// Its reference energies and how well they fit.
    pub fit: Fit,
    /// Whether the reference energies were given rather than fitted.
    pub given: bool,
}

/// Everything that training needs to know of the data.
pub struct Prepared {
    /// The model, without its weights.
    pub model: Model,
    /// What the potential will say of itself.
    pub info: Arc<PotentialInfo>,
    /// To train on.
    pub training: Arc<Dataset>,
    /// Held out.
    pub validation: Arc<Dataset>,
    /// One report per source.
    pub reports: Vec<SourceReport>,
    /// Sentences that the user should see.
    pub warnings: Vec<String>,
}

/// Reads and checks one source; used by training and by `data info`.
///
/// # Errors
/// [`Error::Data`] where a file cannot be read.
pub fn survey<P: AsRef<Path>>(source: &Source, files: &[P], limits: &Limits) -> Result<(Vec<Structure>, Summary)> {
    let mut kept = Vec::new();
    let mut summary = Summary::default();
    for file in files {
        let file = file.as_ref();
        let mut frames = source.read_file(file)?.enumerate().peekable();
        while frames.peek().is_some() {
            let chunk = frames.by_ref().take(CHUNK).map(|(index, frame)| Ok((index, frame?)));
            let chunk: Vec<(usize, Structure)> = chunk.collect::<Result<_>>()?;
            kept.extend(audit(chunk, limits, &mut summary, |index| format!("{}: frame {index}", file.display())));
        }
    }
    Ok((kept, summary))
}

/// Inspects numbered structures, in parallel, and keeps those without fault.
fn audit(
    numbered: Vec<(usize, Structure)>,
    limits: &Limits,
    summary: &mut Summary,
    place: impl Fn(usize) -> String,
) -> Vec<Structure> {
    let findings: Vec<_> = numbered.par_iter().map(|(_, structure)| inspect(structure, limits)).collect();
    let mut kept = Vec::new();
    for ((index, structure), (fault, shortest)) in numbered.into_iter().zip(findings) {
        summary.add(&structure, fault, shortest, || place(index));
        if fault.is_none() {
            kept.push(structure);
        }
    }
    kept
}

/// A source that is read, audited and split.
struct Part<'a> {
    source: &'a SourceConfig,
    summary: Summary,
    training: Vec<Structure>,
    validation: Vec<Structure>,
}

/// Refuses a source that is not fit for training.
fn judge(config: &Config, source: &SourceConfig, summary: &Summary) -> Result<()> {
    let [energies, forces] = [config.loss.energy_weight, config.loss.force_weight].map(|weight| weight > 0.0);
    let verdict = summary.verdict(config.data.suspicious, energies, forces);
    verdict.map_err(|message| Error::Source { name: source.name.clone(), message })
}

/// Reads, audits, splits and measures everything that the config names.
///
/// # Errors
/// [`Error::Source`] where a source is not fit for training, [`Error::Data`] where a file is damaged,
/// [`Error::Config`] where config and data do not fit.
pub fn prepare(config: &Config, registry: &Registry) -> Result<Prepared> {
    let data = &config.data;
    let mut parts = Vec::new();
    for (index, source) in data.sources.iter().enumerate() {
        if source.files.is_empty() {
            let message = "has no files; name them in `files`".into();
            return Err(Error::Source { name: source.name.clone(), message });
        }
        let (kept, summary) = survey(&source.source(&data.split_by), &source.files, &data.limits())?;
        judge(config, source, &summary)?;
        let (training, validation) = split(kept, &data.split_by, data.validation_fraction, config.train.seed, index)
            .map_err(|message| Error::Source { name: source.name.clone(), message })?;
        parts.push(Part { source, summary, training, validation });
    }
    measure(config, registry, parts)
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
    let mut summary = Summary::default();
    let mut keep = |structures: Vec<Structure>, of: &str| {
        let numbered = structures.into_iter().enumerate().collect();
        audit(numbered, &config.data.limits(), &mut summary, |index| format!("{of} structure {index}"))
    };
    let (training, validation) = (keep(training, "training"), keep(validation, "validation"));
    judge(config, source, &summary)?;
    for (structures, use_of_them) in [(&training, "train on"), (&validation, "validate on")] {
        if structures.is_empty() {
            let message = format!("there is not a single structure to {use_of_them}");
            return Err(Error::Source { name: source.name.clone(), message });
        }
    }
    measure(config, registry, vec![Part { source, summary, training, validation }])
}

/// Fits reference energies, and measures the structures.
fn measure(config: &Config, registry: &Registry, parts: Vec<Part<'_>>) -> Result<Prepared> {
    let mut warnings = Vec::new();
    let mut fits = Vec::new();
    for Part { source, summary, training, validation } in &parts {
        warnings.extend(summary.warnings().into_iter().map(|text| format!("source `{}`: {text}", source.name)));
        let fit = references(source, training);
        warnings.extend(reference_warnings(source, &fit, validation));
        fits.push(fit);
    }

    let elements = elements(config, parts.iter().flat_map(|part| part.summary.elements.keys().copied()).collect())?;
    let scales = scales(parts.iter().flat_map(|part| &part.training), &fits);
    let per_source = config.model.heads == HeadSharing::PerSource;
    let sources = parts.iter().zip(&fits).enumerate().map(|(index, (Part { source, .. }, fit))| PotentialSource {
        name: source.name.clone(),
        keys: source.keys.clone(),
        units: source.units,
        references: fit.references.clone(),
        head: if per_source { index } else { 0 },
    });
    let (trunk, model) = trunk(config, registry, elements, scales)?;
    let info = Arc::new(PotentialInfo { model: trunk, sources: sources.collect() });
    let task = Arc::new(PotentialTask { loss: config.loss.clone(), info: Some(info.clone()) });

    let mut reports = Vec::new();
    let (mut training, mut validation) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for (index, (part, fit)) in parts.into_iter().zip(fits).enumerate() {
        let Part { source, summary, training: train, validation: held_out } = part;
        reports.push(SourceReport {
            name: source.name.clone(),
            summary,
            training: train.len(),
            validation: held_out.len(),
            fit,
            given: source.references.is_some(),
        });
        for (target, structures) in [(&mut training, train), (&mut validation, held_out)] {
            target.1.extend(std::iter::repeat_n(index, structures.len()));
            target.0.extend(structures);
        }
    }
    let training = Arc::new(Dataset::new(training.0, training.1, info.clone(), task.clone())?);
    let validation = Arc::new(Dataset::new(validation.0, validation.1, info.clone(), task)?);
    warnings.extend(over_budget(config, &[&training, &validation])?);
    Ok(Prepared { model, info, training, validation, reports, warnings })
}

/// Given references with their residual on the training part, or fitted ones.
fn references(source: &SourceConfig, training: &[Structure]) -> Fit {
    let Some(given) = &source.references else {
        return fit_references(training.iter());
    };
    let references = References(given.clone());
    let residuals = training.iter().filter_map(|structure| {
        let energy = structure.energy? - references.energy(&structure.elements);
        Some((energy / structure.len() as f64).powi(2))
    });
    let (count, sum) = residuals.fold((0usize, 0.0), |(count, sum), square| (count + 1, sum + square));
    Fit { rank: given.len(), structures: count, residual_rms: (sum / count.max(1) as f64).sqrt(), references }
}

fn reference_warnings(source: &SourceConfig, fit: &Fit, validation: &[Structure]) -> Vec<String> {
    let mut warnings = Vec::new();
    let name = &source.name;
    if source.references.is_none() && fit.rank < fit.references.0.len() {
        warnings.push(format!(
            "source `{name}`: its compositions determine {} of {} reference energies; the others are the smallest that fit",
            fit.rank,
            fit.references.0.len()
        ));
    }
    let missing: BTreeSet<&str> = validation
        .iter()
        .flat_map(|structure| &structure.elements)
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

/// The root mean square of what the references leave of the energy per atom, and of the force
/// components. One stands in for the other where a kind of label is missing.
fn scales<'a>(training: impl Iterator<Item = &'a Structure>, fits: &[Fit]) -> Scales {
    let rms = |sum: f64, count: usize| (sum / count.max(1) as f64).sqrt();
    let components = training.flat_map(|structure| structure.forces.iter().flatten().flatten());
    let (count, squares) = components.fold((0, 0.0), |(count, sum), force| (count + 1, sum + force * force));
    let force = rms(squares, count);
    let structures = fits.iter().map(|fit| fit.structures).sum();
    let energy = rms(fits.iter().map(|fit| fit.residual_rms.powi(2) * fit.structures as f64).sum(), structures);
    let first_of = |a: f64, b: f64| [a, b].into_iter().find(|scale| *scale > 1e-6).unwrap_or(1.0);
    Scales { energy: first_of(energy, force), force: first_of(force, energy) }
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
    trunk(config, registry, elements, Scales::default()).map(|(_, model)| model)
}

fn trunk(config: &Config, registry: &Registry, elements: Vec<Element>, scales: Scales) -> Result<(TrunkInfo, Model)> {
    let architecture = config.model.architecture(registry)?;
    let per_source = config.model.heads == HeadSharing::PerSource;
    let heads = if per_source { config.data.sources.len() } else { 1 };
    let trunk = TrunkInfo::new(&*architecture, elements, heads, config.model.forces, scales);
    let model = trunk.model_of(architecture, config.train.message).map_err(Error::model)?;
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
