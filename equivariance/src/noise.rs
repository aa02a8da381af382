//! The noise floor: how much a comparison changes when its inputs move by a rounding error.
//!
//! An error that stays the same under such a jitter is systematic; one that is as large as its own
//! fluctuation is rounding.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use crate::case::{Case, Request};
use crate::comparison::largest;
use crate::evaluation::{Finding, Subject};
use crate::model::Model;
use crate::{Description, Precision, Rows, System};

/// The case with every real number of its systems moved by about one rounding error of the model's
/// precision. Positions are rounded as coarsely as the largest coordinate that the model is given.
pub(crate) fn jittered(case: &Case, description: &Description, best: Precision, rng: &mut impl Rng) -> Case {
    let epsilon = description.precision.epsilon();
    let furthest = |system: &System| system.positions.values().iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let requests = case.requests(description, best);
    let given = requests.iter().flat_map(Request::systems).map(furthest).fold(description.spacing, f64::max);
    let mut shaken = |rows: &Rows, least: f64| {
        let mut rows = rows.clone();
        for value in rows.values_mut() {
            *value += epsilon * value.abs().max(least) * rng.sample::<f64, _>(StandardNormal);
        }
        rows
    };
    let mut one = |system: &System| System {
        positions: shaken(&system.positions, given),
        features: shaken(&system.features, 0.0),
        vectors: system.vectors.iter().map(|vectors| shaken(vectors, 0.0)).collect(),
        cell: system.cell.as_ref().map(|cell| shaken(cell, 0.0)),
        ..system.clone()
    };
    Case { systems: case.systems.iter().map(&mut one).collect(), question: case.question.clone() }
}

/// The noise of every output in each case, relative to its scale: the largest change of the error
/// under `repeats` jitters. Zero for outputs that are not concerned or without an answer.
pub(crate) fn of_cases<M: Model + ?Sized>(
    subject: &Subject<'_, M>,
    cases: &[(&Case, &Finding)],
    repeats: usize,
    rng: &mut impl Rng,
) -> Vec<Vec<f64>> {
    let shaken = |(case, _): &(&Case, &Finding)| jittered(case, &subject.description, subject.best, rng);
    let moved: Vec<Case> = cases.iter().flat_map(|case| std::iter::repeat_n(case, repeats)).map(shaken).collect();
    let others = subject.findings(&moved);
    cases.iter().zip(others.chunks(repeats)).map(|((case, finding), o)| spread(subject, case, finding, o)).collect()
}

/// How far the errors in `others` are from those of the case itself.
fn spread<M: Model + ?Sized>(subject: &Subject<'_, M>, case: &Case, finding: &Finding, others: &[Finding]) -> Vec<f64> {
    let mut noise = vec![0.0; subject.description.outputs.len()];
    let Ok(comparisons) = finding else { return noise };
    for (k, comparison) in comparisons.iter().enumerate() {
        let Some(comparison) = comparison else { continue };
        let Some(errors) = comparison.errors() else { continue };
        let scale = subject.scale(k, case, comparison);
        for other in others.iter().flatten() {
            let Some(moved) = other[k].as_ref().and_then(|other| other.errors()) else { continue };
            let change: Vec<f64> = errors.iter().zip(moved).map(|(a, b)| a - b).collect();
            let size = largest(&change) / scale;
            if size.is_finite() {
                noise[k] = f64::max(noise[k], size);
            }
        }
    }
    noise
}
