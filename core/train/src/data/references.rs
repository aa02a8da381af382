//! What is known of targets without the model: reference energies and means.

use std::collections::{BTreeMap, BTreeSet};

use isograd_data::{Collection, Fit, ReferenceSums, References};
use isograd_structure::Element;
use isograd_tasks::{Kind, Label, Level, Offset, Target};
use serde::Serialize;

use crate::Result;
use crate::config::SourceConfig;

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
pub(super) fn offset(
    target: &Target,
    source: &SourceConfig,
    training: &Collection,
) -> Result<(Offset, Option<ReferenceReport>)> {
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

pub(super) fn reference_warnings(
    source: &SourceConfig,
    report: &ReferenceReport,
    validation: &Collection,
) -> Vec<String> {
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
