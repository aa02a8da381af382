//! What several models say of one target: their mean, and how far they are apart.

use crate::Target;

/// What several models say of one target of one graph, in its unit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spread {
    /// The mean over the models, number by number.
    pub mean: Vec<f64>,
    /// The standard deviation over the models, one number for each row, which is the graph or one of its nodes or edges: the
    /// root of the mean variance of the row's components, with one less than the number of models as divisor.
    pub deviations: Vec<f64>,
}

impl Spread {
    /// Of what each model says: rows of `columns` numbers, one after the other.
    ///
    /// # Panics
    /// If there are fewer than two models, or they say different numbers of numbers.
    pub fn of(said: &[&[f64]], columns: usize) -> Self {
        assert!(said.len() > 1, "Spread: {} models, expected at least two", said.len());
        let numbers = said[0].len();
        let lengths: Vec<usize> = said.iter().map(|own| own.len()).collect();
        assert!(lengths.iter().all(|own| *own == numbers), "Spread: models say {lengths:?} numbers");
        let models = said.len() as f64;
        let (mut mean, mut variances) = (Vec::with_capacity(numbers), Vec::with_capacity(numbers));
        for place in 0..numbers {
            let middle = said.iter().map(|own| own[place]).sum::<f64>() / models;
            let squares: f64 = said.iter().map(|own| (own[place] - middle).powi(2)).sum();
            mean.push(middle);
            variances.push(squares / (models - 1.0));
        }
        let deviation = |row: &[f64]| (row.iter().sum::<f64>() / row.len() as f64).sqrt();
        Self { mean, deviations: variances.chunks(columns.max(1)).map(deviation).collect() }
    }
}

impl Target {
    /// One number for how far models are apart on a graph of `nodes` nodes: the largest deviation of its rows, of an extensive
    /// target divided by the number of nodes. `None` where nothing is predicted.
    pub fn largest_deviation(&self, deviations: &[f64], nodes: usize) -> Option<f64> {
        let largest = deviations.iter().copied().max_by(f64::total_cmp)?;
        Some(largest / self.per(nodes))
    }

    /// What errors are divided by: the number of nodes, where it grows with them.
    pub(crate) fn per(&self, nodes: usize) -> f64 {
        if self.extensive { nodes as f64 } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::potential_targets;
    use approx::assert_relative_eq;

    #[test]
    fn mean_and_deviation_by_hand() {
        let [energy, forces] = potential_targets();
        let found = Spread::of(&[&[1.0], &[2.0], &[6.0]], energy.columns(3));
        assert_eq!(found.mean, [3.0]);
        assert_relative_eq!(found.deviations[0], (14f64 / 2.0).sqrt(), max_relative = 1e-15);
        assert_relative_eq!(energy.largest_deviation(&found.deviations, 7).unwrap(), 7f64.sqrt() / 7.0);

        // Two atoms: variances 2, 0 and 8 of the first one's components, none of the second's.
        let found = Spread::of(&[&[0.0, 1.0, -2.0, 5.0, 5.0, 5.0], &[2.0, 1.0, 2.0, 5.0, 5.0, 5.0]], forces.columns(3));
        assert_eq!(found.mean, [1.0, 1.0, 0.0, 5.0, 5.0, 5.0]);
        assert_eq!(found.deviations.len(), 2);
        assert_relative_eq!(found.deviations[0], (10f64 / 3.0).sqrt(), max_relative = 1e-15);
        assert_eq!(found.deviations[1], 0.0);
        assert_eq!(forces.largest_deviation(&found.deviations, 2), Some(found.deviations[0]));
        assert_eq!(forces.largest_deviation(&[], 2), None);
        // What is no number must not pass for a small one.
        assert!(forces.largest_deviation(&[0.1, f64::NAN], 2).unwrap().is_nan());
    }
}
