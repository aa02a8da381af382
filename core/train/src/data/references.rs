//! What is known of targets without the model: reference energies and means.

use std::collections::{BTreeMap, BTreeSet};

use isograd_data::{Collection, Fit, ReferenceSums, References, Sizes};
use isograd_structure::Element;
use isograd_tasks::{Kind, Label, Level, Offset, Target};
use serde::Serialize;

use crate::config::{ReferenceEnergies, ReferenceOrigin, SourceConfig};
use crate::fine_tuning::StartingModel;
use crate::{Error, Result};

/// Energies that are so far from kept reference energies, in eV per atom, are probably of another level of theory.
const FAR: f64 = 2.0;

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
    start: Option<&StartingModel>,
) -> Result<(Offset, Option<ReferenceReport>)> {
    let (graph, scalar) = (target.level == Level::Graph, target.kind == Kind::Scalar);
    let asked = source.references.as_ref().filter(|_| target.label == Label::Energy);
    let fitted = matches!(asked, Some(ReferenceEnergies::Word(ReferenceOrigin::Fit)));
    let before = start.filter(|_| !fitted).and_then(|start| start.offset(&source.name, target));
    if scalar && graph && target.extensive {
        let known = match (asked, before) {
            (Some(ReferenceEnergies::Given(given)), _) => Some(given.clone()),
            (_, Some(Offset::Elements(References(before)))) => Some(before.clone()),
            (Some(ReferenceEnergies::Word(ReferenceOrigin::Start)), _) => {
                let message =
                    "`references` is \"start\", and the model of train.start_from has no such source, or no energies";
                return Err(Error::Source { name: source.name.clone(), message: message.into() });
            }
            _ => None,
        };
        let given = known.is_some();
        let fit = references(target, known, training)?;
        let (name, unit) = (target.name.clone(), target.unit.clone());
        let offset = Offset::Elements(fit.references.clone());
        return Ok((offset, Some(ReferenceReport { target: name, unit, fit, given })));
    }
    if !scalar {
        return Ok((Offset::None, None));
    }
    if let Some(before) = before {
        return Ok((before.clone(), None));
    }
    let (mut count, mut sum) = (0usize, 0.0);
    labelled(target, training, |_, values| {
        count += values.len();
        sum = values.iter().fold(sum, |sum, value| sum + value);
    })?;
    Ok((Offset::Constant(sum / count.max(1) as f64), None))
}

/// Contributions of atoms with their residual on the training part: those that are known, and of other elements what fits best
/// to what these leave.
fn references(target: &Target, known: Option<BTreeMap<Element, f64>>, training: &Collection) -> Result<Fit> {
    let mut references = References(known.unwrap_or_default());
    let is_all_fitted = references.0.is_empty();
    let mut sums = ReferenceSums::default();
    labelled(target, training, |elements, values| {
        let others: Vec<Element> =
            elements.iter().filter(|element| !references.0.contains_key(element)).copied().collect();
        if let Some(value) = values.first()
            && !others.is_empty()
        {
            sums.add(&others, value - references.energy(elements));
        }
    })?;
    let fit = sums.fit();
    if is_all_fitted {
        return Ok(fit);
    }
    let rank = references.0.len() + fit.rank;
    references.0.extend(fit.references.0);
    let (mut count, mut sum) = (0usize, 0.0);
    labelled(target, training, |elements, values| {
        if let Some(value) = values.first() {
            count += 1;
            sum += ((value - references.energy(elements)) / elements.len() as f64).powi(2);
        }
    })?;
    Ok(Fit { rank, structures: count, residual_rms: (sum / count.max(1) as f64).sqrt(), references })
}

/// A source whose reference energies are to be those of isolated atoms, with these energies given, and its structures without
/// the isolated atoms; any other source as it is.
///
/// # Errors
/// [`Error::Source`] where an element has no isolated atom with an energy.
pub(super) fn with_isolated_atoms(source: &SourceConfig, graphs: Collection) -> Result<(SourceConfig, Collection)> {
    if source.references != Some(ReferenceEnergies::Word(ReferenceOrigin::IsolatedAtoms)) {
        return Ok((source.clone(), graphs));
    }
    let is_isolated = |index: usize| graphs.sizes(index) == Sizes { atoms: 1, edges: 0 };
    let mut energies: BTreeMap<Element, f64> = BTreeMap::new();
    let mut others = Vec::with_capacity(graphs.len());
    for index in 0..graphs.len() {
        let isolated = is_isolated(index);
        others.push(!isolated);
        if let (true, Some(energy), [element]) = (isolated, graphs.energy(index), graphs.elements_of(index)) {
            // Of several states, the ground state.
            energies.entry(*element).and_modify(|lowest| *lowest = lowest.min(energy)).or_insert(energy);
        }
    }
    let graphs = graphs.filter(&others);
    if let Some(element) = graphs.elements().into_iter().find(|element| !energies.contains_key(element)) {
        let found = energies.keys().map(|element| element.symbol()).collect::<Vec<_>>().join(", ");
        let found = if found.is_empty() { "none".to_owned() } else { found };
        let message = format!(
            "`references` is \"isolated_atoms\", and there is no structure of one {element} atom alone with its energy (there \
             are: {found}); add it, or leave `references` out to fit all of them"
        );
        return Err(Error::Source { name: source.name.clone(), message });
    }
    Ok((SourceConfig { references: Some(ReferenceEnergies::Given(energies)), ..source.clone() }, graphs))
}

pub(super) fn reference_warnings(
    source: &SourceConfig,
    report: &ReferenceReport,
    validation: &Collection,
    starts: bool,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let (name, fit) = (&source.name, &report.fit);
    let kept = starts && report.given && !matches!(source.references, Some(ReferenceEnergies::Given(_)));
    if kept && fit.residual_rms > FAR {
        warnings.push(format!(
            "source `{name}`: energies are {:.1} {}/atom from the reference energies of the model that training starts from: are \
             they of another level of theory? Set references = \"fit\"",
            fit.residual_rms, report.unit
        ));
    }
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
    // Without energies there is nothing that a reference would be missed for.
    if !missing.is_empty() && fit.structures > 0 {
        let list = missing.into_iter().collect::<Vec<_>>().join(", ");
        warnings.push(format!("source `{name}`: {list} occur in validation but have no reference energy"));
    }
    warnings
}
