//! Smoothness where a node leaves the cutoff of another: values and slopes extrapolated to the
//! cutoff from inside and from outside.

use crate::comparison::{Comparison, largest};
use crate::model::Outputs;
use crate::question::Question;
use crate::{Description, Precision, System};

/// Distances from the cutoff in units of the step, on either side. The second three repeat the first
/// with twice the step, which tells the error of the extrapolation.
const PLACES: [f64; 5] = [1.0, 2.0, 3.0, 4.0, 6.0];

/// The step in units of the cutoff: small enough for the extrapolation, large enough for the noise.
fn step(precision: Precision, question: &Question) -> f64 {
    match (precision, question) {
        (Precision::F32, Question::CutoffValue) => 2e-3,
        (Precision::F64, Question::CutoffValue) => 2e-4,
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

/// How a value or a slope at the cutoff follows from values near it. The three points at 1, 2 and 3 steps give a
/// quadratic extrapolation. The same with twice the step, and a cubic one from four points, differ from it by what third
/// and fourth powers of the distance leave in each.
struct Scheme {
    /// Weights of the values at 1, 2 and 3 steps.
    quadratic: [f64; 3],
    /// Weights of the values at 1, 2, 3 and 4 steps.
    cubic: [f64; 4],
    /// What the quadratic extrapolation makes of the third and of the fourth power.
    error: [f64; 2],
    /// By how much more the one with twice the step makes of them.
    doubled: [f64; 2],
    /// By how much more the quadratic one makes of them than the cubic one.
    lower: [f64; 2],
}

/// Room for what powers above the fourth add to what is found of the third and the fourth.
const HIGHER_POWERS: f64 = 4.0;

const VALUE: Scheme = Scheme {
    quadratic: [3.0, -3.0, 1.0],
    cubic: [4.0, -6.0, 4.0, -1.0],
    error: [6.0, 36.0],
    doubled: [42.0, 540.0],
    lower: [6.0, 60.0],
};

/// In units of the step.
const SLOPE: Scheme = Scheme {
    quadratic: [-2.5, 4.0, -1.5],
    cubic: [-26.0 / 6.0, 57.0 / 6.0, -42.0 / 6.0, 11.0 / 6.0],
    error: [-11.0, -60.0],
    doubled: [-33.0, -420.0],
    lower: [-11.0, -110.0],
};

impl Scheme {
    /// The most that the error of the quadratic extrapolation `near` may be, from those that it is compared with. Third and
    /// fourth powers are told apart first: they may cancel in a difference and not in the error.
    fn slack(&self, near: f64, far: f64, cubic: f64) -> f64 {
        let ([a, b], [c, d]) = (self.doubled, self.lower);
        let (first, second) = (far - near, near - cubic);
        let determinant = a * d - b * c;
        let third = (first * d - b * second) / determinant;
        let fourth = (a * second - c * first) / determinant;
        HIGHER_POWERS * ((self.error[0] * third).abs() + (self.error[1] * fourth).abs())
    }
}

/// Both sides extrapolated to the cutoff; slopes are per cutoff length.
pub(crate) fn compare(
    description: &Description,
    question: &Question,
    answers: &[Vec<Outputs>],
) -> Vec<Option<Comparison>> {
    let step = step(description.precision, question);
    // Slopes are those of the distance, which grows away from the cutoff outside and towards it inside.
    let (scheme, unit) = match question {
        Question::CutoffValue => (&VALUE, 1.0),
        _ => (&SLOPE, 1.0 / step),
    };
    let one = |k: usize| {
        let values = |place: usize| &answers[place][0][k];
        let length = values(0).len();
        let side = |first: usize, sign: f64| -> (Vec<f64>, f64) {
            let unit = if matches!(question, Question::CutoffValue) { unit } else { sign * unit };
            let sum = |weights: &[f64], places: &[usize], index: usize, unit: f64| -> f64 {
                weights.iter().zip(places).map(|(weight, place)| weight * values(first + place)[index]).sum::<f64>()
                    * unit
            };
            let twice = if matches!(question, Question::CutoffValue) { unit } else { 0.5 * unit };
            let mut slack = 0.0f64;
            let near = (0..length).map(|index| {
                let near = sum(&scheme.quadratic, &[0, 1, 2], index, unit);
                let far = sum(&scheme.quadratic, &[1, 3, 4], index, twice);
                let cubic = sum(&scheme.cubic, &[0, 1, 2, 3], index, unit);
                slack = slack.max(scheme.slack(near, far, cubic));
                near
            });
            (near.collect(), slack)
        };
        let ((inside, inner), (outside, outer)) = (side(0, -1.0), side(5, 1.0));
        let size = answers.iter().map(|answer| largest(&answer[0][k])).fold(0.0, f64::max);
        // The weights of the extrapolation, added up as independent errors.
        let gain = match question {
            Question::CutoffValue => 6.0,
            _ => 7.0 / step,
        };
        let rounding = gain * description.precision.epsilon() * size;
        Some(Comparison { found: inside, expected: outside, slack: inner + outer, rounding, gain })
    };
    (0..description.outputs.len()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slack_is_the_error_whatever_cancels() {
        // Third and fourth powers that cancel in what doubling the step changes.
        for (third, fourth) in [(1.0, 0.0), (0.0, 1.0), (540.0, -42.0), (60.0, -6.0), (-3.0, 2.0)] {
            let at = |x: f64| third * x.powi(3) + fourth * x.powi(4);
            for (scheme, exponent) in [(&VALUE, 0), (&SLOPE, 1)] {
                let sum = |weights: &[f64], places: &[f64], step: f64| -> f64 {
                    let values = weights.iter().zip(places).map(|(weight, place)| weight * at(*place));
                    values.sum::<f64>() / f64::powi(step, exponent)
                };
                let near = sum(&scheme.quadratic, &[1.0, 2.0, 3.0], 1.0);
                let far = sum(&scheme.quadratic, &[2.0, 4.0, 6.0], 2.0);
                let cubic = sum(&scheme.cubic, &[1.0, 2.0, 3.0, 4.0], 1.0);
                let slack = scheme.slack(near, far, cubic);
                // The function and its slope are zero at the cutoff, so that what was found is all error.
                assert!(slack >= near.abs() * (1.0 - 1e-9), "{third} {fourth}: {near} of {slack}");
            }
        }
    }
}
