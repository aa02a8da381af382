//! What a model may claim beside equivariance: forces and stresses that are derivatives of an energy, no
//! net force, no net torque.

use crate::comparison::{Comparison, largest};
use crate::model::Outputs;
use crate::{Description, ForcesOf, Precision, Rows, StressOf, System};

/// The derivative of an energy by differences.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Differences<'a> {
    pub(crate) description: &'a Description,
    /// The arithmetic of the energies, which may be better than the model's own.
    pub(crate) precision: Precision,
}

/// Where energies are needed, in steps.
const STEPS: [f64; 6] = [-2.0, -1.0, 1.0, 2.0, -4.0, 4.0];

impl Differences<'_> {
    /// The step of the derivative by positions.
    fn step(self) -> f64 {
        self.description.spacing
            * match self.precision {
                Precision::F32 => 1e-2,
                Precision::F64 => 2e-4,
            }
    }

    /// The step of the derivative by strain: it moves two nodes at half the cutoff by about the step of positions.
    fn strain_step(self) -> f64 {
        let Description { spacing, cutoff, .. } = *self.description;
        self.step() / cutoff.map_or(spacing, |cutoff| spacing.max(0.5 * cutoff))
    }

    /// A system moved along `direction` by each of [`STEPS`].
    pub(crate) fn moved(self, system: &System, direction: &Rows) -> Vec<System> {
        let at = |k: f64| {
            let mut moved = system.clone();
            for (value, along) in moved.positions.values_mut().iter_mut().zip(direction.values()) {
                *value += k * self.step() * along;
            }
            moved
        };
        STEPS.map(at).into()
    }

    /// A system strained by each of [`STEPS`].
    pub(crate) fn strained(self, system: &System, strain: &Rows) -> Vec<System> {
        let at = |k: f64| {
            let mut strain = strain.clone();
            strain.values_mut().iter_mut().for_each(|x| *x *= k * self.strain_step());
            system.strained(&strain)
        };
        STEPS.map(at).into()
    }

    /// Forces along a direction against the derivative of the energy, for each claim, from the answer to the system itself
    /// and those at [`STEPS`].
    pub(crate) fn forces(self, direction: &Rows, answers: &[Vec<Outputs>]) -> Vec<Option<Comparison>> {
        let description = self.description;
        let mut comparisons = vec![None; description.outputs.len()];
        for ForcesOf { energy, forces } in &description.conservative {
            let (Some(energy), Some(forces)) = (description.index(energy), description.index(forces)) else { continue };
            let slope = Slope::new(self.precision, energy, self.step(), &answers[1..]);
            comparisons[forces] = Some(slope.against(along(&answers[0][0][forces], direction), -1.0));
        }
        comparisons
    }

    /// Stresses along a strain against the derivative of the energy over the volume, for each claim. Both
    /// sides are of the size of the stress, so that small cells and large ones are held to the same.
    pub(crate) fn stress(self, system: &System, strain: &Rows, answers: &[Vec<Outputs>]) -> Vec<Option<Comparison>> {
        let description = self.description;
        let mut comparisons = vec![None; description.outputs.len()];
        let Some(volume) = system.volume() else { return comparisons };
        for StressOf { energy, stress } in &description.stress_of {
            let (Some(energy), Some(stress)) = (description.index(energy), description.index(stress)) else { continue };
            let slope = Slope::new(self.precision, energy, self.strain_step(), &answers[1..]);
            comparisons[stress] = Some(slope.against(along(&answers[0][0][stress], strain), 1.0 / volume));
        }
        comparisons
    }
}

/// The component of an output along a direction.
fn along(values: &[f64], direction: &Rows) -> f64 {
    values.iter().zip(direction.values()).map(|(value, along)| value * along).sum()
}

/// The numeric derivative of an energy, by differences of fourth order.
struct Slope {
    value: f64,
    /// What twice the step and a lower order give instead: it bounds the error, also where a pair
    /// crosses the cutoff on the way and higher derivatives jump.
    slack: f64,
    rounding: f64,
}

impl Slope {
    /// From what a model answers at [`STEPS`].
    fn new(precision: Precision, energy: usize, step: f64, answers: &[Vec<Outputs>]) -> Self {
        let energies: Vec<f64> =
            answers.iter().map(|answer| answer[0][energy].first().copied().unwrap_or(f64::NAN)).collect();
        let slope = |minus2: usize, minus1: usize, plus1: usize, plus2: usize, step: f64| {
            (8.0 * (energies[plus1] - energies[minus1]) - (energies[plus2] - energies[minus2])) / (12.0 * step)
        };
        let (near, far) = (slope(0, 1, 2, 3, step), slope(4, 0, 3, 5, 2.0 * step));
        let plain = (energies[2] - energies[1]) / (2.0 * step);
        Self {
            value: near,
            slack: (near - far).abs() + (near - plain).abs(),
            rounding: precision.epsilon() * largest(&energies) / step,
        }
    }

    /// What a model returns against `factor` times the derivative.
    fn against(&self, found: f64, factor: f64) -> Comparison {
        let size = factor.abs();
        Comparison {
            found: vec![found],
            expected: vec![factor * self.value],
            slack: size * self.slack,
            rounding: size * self.rounding,
            gain: 0.0,
        }
    }
}

/// Sums over nodes of the outputs that claim to have none.
pub(crate) fn sums(description: &Description, answers: &[Vec<Outputs>]) -> Vec<Option<Comparison>> {
    let dimensions = description.dimensions;
    claimed(description, &description.zero_sum, |k| {
        let mut sum = vec![0.0; dimensions];
        for row in answers[0][0][k].chunks(dimensions) {
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        sum
    })
}

/// Torques about the centroid, `x_a f_b - x_b f_a`, in units of the largest distance from it.
pub(crate) fn torques(description: &Description, system: &System, answers: &[Vec<Outputs>]) -> Vec<Option<Comparison>> {
    let dimensions = description.dimensions;
    let centroid = system.centroid();
    let arms: Vec<Vec<f64>> =
        system.positions.iter().map(|row| row.iter().zip(&centroid).map(|(x, c)| x - c).collect()).collect();
    let extent = arms.iter().flatten().fold(description.spacing, |extent, x| x.abs().max(extent));
    claimed(description, &description.zero_torque, |k| {
        let mut torque = Vec::new();
        for a in 0..dimensions {
            for b in 0..a {
                let rows = answers[0][0][k].chunks(dimensions).zip(&arms);
                torque.push(rows.map(|(f, x)| (x[a] * f[b] - x[b] * f[a]) / extent).sum());
            }
        }
        torque
    })
}

fn claimed(description: &Description, names: &[String], value: impl Fn(usize) -> Vec<f64>) -> Vec<Option<Comparison>> {
    let one = |k: usize| {
        let found = names.contains(&description.outputs[k].name).then(|| value(k))?;
        Some(Comparison { expected: vec![0.0; found.len()], found, ..Default::default() })
    };
    (0..description.outputs.len()).map(one).collect()
}
