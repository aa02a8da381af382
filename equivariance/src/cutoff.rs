//! Smoothness where a node leaves the cutoff of another: values and slopes extrapolated to the
//! cutoff from inside and from outside.

use crate::case::{Comparison, Question};
use crate::model::Outputs;
use crate::{Description, Precision, System};

/// Distances from the cutoff in units of the step, on either side. The second three repeat the first
/// with twice the step, which tells the error of the extrapolation.
const PLACES: [f64; 5] = [1.0, 2.0, 3.0, 4.0, 6.0];

/// The step in units of the cutoff: small enough for the extrapolation, large enough for the noise.
fn step(precision: Precision, question: &Question) -> f64 {
    match (precision, question) {
        (_, Question::CutoffValue) => 2e-3,
        (Precision::F32, _) => 5e-3,
        (Precision::F64, _) => 1e-3,
    }
}

/// Copies of a system with the first node at either side of the cutoff from the second: five inside,
/// five outside, each going away from it.
pub(crate) fn places(system: &System, description: &Description, question: &Question) -> Vec<System> {
    let cutoff = description.cutoff.unwrap_or(description.spacing);
    let (mover, anchor) = (system.positions.row(0).to_vec(), system.positions.row(1).to_vec());
    let line: Vec<f64> = mover.iter().zip(&anchor).map(|(a, b)| a - b).collect();
    let length = line.iter().map(|x| x * x).sum::<f64>().sqrt();
    let at = |offset: f64| {
        let distance = cutoff * (1.0 + offset * step(description.precision, question));
        let mut moved = system.clone();
        for ((value, from), along) in moved.positions.row_mut(0).iter_mut().zip(&anchor).zip(&line) {
            *value = from + distance * along / length;
        }
        moved
    };
    PLACES.iter().map(|&k| at(-k)).chain(PLACES.iter().map(|&k| at(k))).collect()
}

/// Both sides extrapolated to the cutoff; slopes are per cutoff length.
pub(crate) fn compare(
    description: &Description,
    question: &Question,
    answers: &[Vec<Outputs>],
) -> Vec<Option<Comparison>> {
    let step = step(description.precision, question);
    let one = |k: usize| {
        let values = |place: usize| &answers[place][0][k];
        let length = values(0).len();
        let extrapolated = |first: usize, sign: f64, [a, b, c]: [usize; 3], step: f64| -> Vec<f64> {
            let [a, b, c] = [a, b, c].map(|place| values(first + place));
            let point = |index: usize| match question {
                Question::CutoffValue => 3.0 * a[index] - 3.0 * b[index] + c[index],
                _ => sign * (-5.0 * a[index] + 8.0 * b[index] - 3.0 * c[index]) / (2.0 * step),
            };
            (0..length).map(point).collect()
        };
        let side = |first, sign| {
            (extrapolated(first, sign, [0, 1, 2], step), extrapolated(first, sign, [1, 3, 4], 2.0 * step))
        };
        // The extrapolation's own error grows with the step, a jump between the sides does not.
        let growth = |(near, far): &(Vec<f64>, Vec<f64>)| -> f64 {
            near.iter().zip(far).map(|(near, far)| (far - near).abs()).fold(0.0, f64::max)
        };
        let (inside, outside) = (side(0, -1.0), side(5, 1.0));
        let slack = growth(&inside) + growth(&outside);
        let size = answers.iter().map(|answer| crate::noise::largest(&answer[0][k])).fold(0.0, f64::max);
        // The weights of the extrapolation, added up as independent errors.
        let gain = match question {
            Question::CutoffValue => 6.0,
            _ => 7.0 / step,
        };
        let rounding = gain * description.precision.epsilon() * size;
        Some(Comparison { found: inside.0, expected: outside.0, slack, rounding, gain })
    };
    (0..description.outputs.len()).map(one).collect()
}
