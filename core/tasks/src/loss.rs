//! The loss: a sum of terms, one for each target, normalised by the counts of the whole step.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use burn::tensor::backend::Backend;
use isograd_engine::Flow;
use serde::{Deserialize, Serialize};

use crate::labels::Column;
use crate::{Kind, LabelCounts, Labels, Target};

/// How an error counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossKind {
    /// Absolute error.
    #[default]
    Mae,
    /// Squared error.
    Mse,
    /// Half the squared error up to `huber_delta`, linear beyond.
    Huber,
    /// The length of the error of each vector, which does not depend on how it is turned, as the sum of absolute errors of
    /// components does; of a number the absolute error.
    Norm,
}

/// What is added to squared lengths, so that the slope of a length is finite at zero.
const SMALLEST_SQUARE: f64 = 1e-12;

/// One term of the loss. Of a class it is the cross entropy, whatever its kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// Position of the target.
    pub target: usize,
    /// How errors count.
    pub kind: LossKind,
    /// What the mean over labels is multiplied by.
    pub weight: f64,
    /// Where `huber` turns linear.
    pub delta: f64,
}

/// The loss of a batch, `[1]`: sums over its labels divided by `counts`, the labels of the whole step, so that the losses
/// of micro-batches (or of ranks) add up to the loss of the step.
///
/// # Panics
/// If predictions and labels differ in shape, or there is no term.
pub fn loss<B: Backend>(
    terms: &[Term],
    targets: &[Target],
    mut prediction: Flow<B>,
    labels: &Labels<B>,
    counts: &LabelCounts,
) -> Tensor<B, 1> {
    let of = |term: &Term| {
        let target = &targets[term.target];
        let count = counts.0.get(term.target).copied().unwrap_or(0);
        let share = if count == 0 { 0.0 } else { term.weight / count as f64 };
        let found = prediction.need(&target.name).into_tensor();
        cost(term, &target.name, found, &labels.targets[term.target]).mul_scalar(share)
    };
    let sum = terms.iter().map(of).reduce(|a, b| a + b);
    sum.unwrap_or_else(|| panic!("loss: there is no term"))
}

/// The sum over all labels of what an error costs.
fn cost<B: Backend>(term: &Term, name: &str, found: Tensor<B, 2>, labels: &Column<B>) -> Tensor<B, 1> {
    let Column { values, weights, costs, kind } = labels;
    if found.dims()[0] == 0 {
        return Tensor::zeros([1], &found.device());
    }
    if let Kind::Class(_) = kind {
        let classes = values.clone().int();
        let likelihoods = log_softmax(found, 1).gather(1, classes) * weights.clone();
        return costs.iter().fold(likelihoods, |sum, costs| sum * costs.clone()).sum().neg();
    }
    assert_eq!(found.dims(), values.dims(), "loss: shapes of predictions and labels of {name}");
    let errors = (found - values.clone()) * weights.clone();
    match costs {
        None => penalty(term, errors),
        Some(costs) => (row_penalties(term, errors) * costs.clone()).sum(),
    }
}

/// The cost of each row, `[rows, 1]`: [`penalty`] adds them up.
fn row_penalties<B: Backend>(term: &Term, errors: Tensor<B, 2>) -> Tensor<B, 2> {
    match term.kind {
        LossKind::Mae => errors.abs().sum_dim(1),
        LossKind::Mse => (errors.clone() * errors).sum_dim(1),
        LossKind::Huber => {
            let size = errors.abs();
            let near = size.clone().clamp_max(term.delta);
            let far = size - near.clone();
            (near.clone() * near).mul_scalar(0.5).sum_dim(1) + far.mul_scalar(term.delta).sum_dim(1)
        }
        LossKind::Norm => lengths(errors),
    }
}

/// The length of each row, once for each of its components, which is what counts are of; `[rows, 1]`.
fn lengths<B: Backend>(errors: Tensor<B, 2>) -> Tensor<B, 2> {
    let [_, components] = errors.dims();
    let squares = (errors.clone() * errors).sum_dim(1);
    let lengths = squares.add_scalar(SMALLEST_SQUARE).sqrt().sub_scalar(SMALLEST_SQUARE.sqrt());
    lengths.mul_scalar(components as f64)
}

fn penalty<B: Backend>(term: &Term, errors: Tensor<B, 2>) -> Tensor<B, 1> {
    match term.kind {
        LossKind::Mae => errors.abs().sum(),
        LossKind::Mse => (errors.clone() * errors).sum(),
        LossKind::Huber => {
            let size = errors.abs();
            let near = size.clone().clamp_max(term.delta);
            let far = size - near.clone();
            (near.clone() * near).mul_scalar(0.5).sum() + far.mul_scalar(term.delta).sum()
        }
        LossKind::Norm => {
            // Counts are of components: each has the length of its vector.
            let [_, components] = errors.dims();
            let squares = (errors.clone() * errors).sum_dim(1);
            let lengths = squares.add_scalar(SMALLEST_SQUARE).sqrt().sub_scalar(SMALLEST_SQUARE.sqrt());
            lengths.sum().mul_scalar(components as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostLabels, Level, potential_targets};
    use approx::assert_relative_eq;
    use burn_flex::Flex;
    use isograd_data::Sizes;
    use isograd_ops::value::Value;

    fn atoms(atoms: usize) -> Sizes {
        Sizes { atoms, edges: 0 }
    }

    fn labels(targets: &[Target]) -> HostLabels {
        let labels = [vec![Some(vec![1.0]), Some(vec![0.0; 6])], vec![None, None]];
        HostLabels::new(targets, 3, &[2, 1].map(atoms), &[0, 0], &labels)
    }

    fn value(kind: LossKind, counts: &LabelCounts) -> f32 {
        let device = Default::default();
        let targets = potential_targets().to_vec();
        let mut prediction = Flow::<Flex>::new();
        prediction.put("energy", Value::new(Tensor::from_floats([[2.0], [100.0]], &device)));
        let forces = [[0.3, 0.0, 0.0], [0.0, -0.05, 0.0], [9.0, 9.0, 9.0]];
        prediction.put("forces", Value::new(Tensor::from_floats(forces, &device)));
        let terms = [(0, 1.0), (1, 10.0)].map(|(target, weight)| Term { target, kind, weight, delta: 0.1 });
        let labels = Labels::new(&targets, &labels(&targets), &device);
        loss(&terms, &targets, prediction, &labels, counts).into_scalar()
    }

    #[test]
    fn missing_labels_cost_nothing_and_counts_divide() {
        let counts = labels(potential_targets()).counts();
        assert_eq!(counts, LabelCounts(vec![1, 6]));
        // Energy: 1 eV over 2 atoms. Forces: 0.3 and 0.05 over 6 components, weight 10.
        assert_relative_eq!(value(LossKind::Mae, &counts), 0.5 + 10.0 * 0.35 / 6.0, max_relative = 1e-6);
        assert_relative_eq!(value(LossKind::Mse, &counts), 0.25 + 10.0 * 0.0925 / 6.0, max_relative = 1e-6);
        let huber = (0.005 + 0.1 * 0.4) + 10.0 * (0.005 + 0.1 * 0.2 + 0.5 * 0.0025) / 6.0;
        assert_relative_eq!(value(LossKind::Huber, &counts), huber as f32, max_relative = 1e-6);
        // Lengths of 0.3 and 0.05, each of three components.
        let norm = 0.5 + 10.0 * (3.0 * 0.35 / 6.0);
        assert_relative_eq!(value(LossKind::Norm, &counts), norm as f32, max_relative = 1e-4);
        let double = [counts.clone(), counts.clone()].into_iter().sum();
        assert_relative_eq!(value(LossKind::Mae, &double) * 2.0, value(LossKind::Mae, &counts), max_relative = 1e-6);
        assert_eq!(value(LossKind::Mae, &LabelCounts::default()), 0.0);
    }

    #[test]
    fn what_a_graph_counts_multiplies_its_costs() {
        let device = Default::default();
        let targets = potential_targets().to_vec();
        let predicted = || {
            let mut prediction = Flow::<Flex>::new();
            prediction.put("energy", Value::new(Tensor::from_floats([[2.0], [-4.0]], &device)));
            let forces = [[0.3, 0.0, 0.0], [0.0, -0.05, 0.0], [0.0, 0.0, 0.2]];
            prediction.put("forces", Value::new(Tensor::from_floats(forces, &device)));
            prediction
        };
        let own = [vec![Some(vec![1.0]), Some(vec![0.0; 6])], vec![Some(vec![0.0]), Some(vec![0.0; 3])]];
        let of = |kind, costs: [f64; 2]| {
            let host = HostLabels::weighted(&targets, 3, &[2, 1].map(atoms), &[0, 0], &own, &costs);
            let terms = [(0, 1.0), (1, 10.0)].map(|(target, weight)| Term { target, kind, weight, delta: 0.1 });
            let labels = Labels::new(&targets, &host, &device);
            f64::from(loss(&terms, &targets, predicted(), &labels, &host.counts()).into_scalar())
        };
        for kind in [LossKind::Mae, LossKind::Mse, LossKind::Huber, LossKind::Norm] {
            let [first, second] = [of(kind, [2.0, 0.0]) / 2.0, of(kind, [0.0, 3.0]) / 3.0];
            assert!(first > 0.0 && second > 0.0);
            assert_relative_eq!(of(kind, [2.0, 3.0]), 2.0 * first + 3.0 * second, max_relative = 1e-5);
            // As much as without any.
            assert_relative_eq!(of(kind, [1.0, 1.0]), first + second, max_relative = 1e-5);
        }
        // 4 eV, and 0.2 of 9 components with weight 10.
        assert_relative_eq!(of(LossKind::Mae, [0.0, 3.0]), 3.0 * (4.0 / 2.0 + 10.0 * 0.2 / 9.0), max_relative = 1e-5);
    }

    #[test]
    fn a_class_costs_its_cross_entropy() {
        let device = Default::default();
        let target = Target::new("kind", Level::Node, Kind::Class(3));
        let targets = [target];
        let host = HostLabels::new(&targets, 3, &[2, 1].map(atoms), &[0, 0], &[vec![Some(vec![2.0, 0.0])], vec![None]]);
        let logits = [[0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [5.0, 0.0, 0.0]];
        let mut prediction = Flow::<Flex>::new();
        prediction.put("kind", Value::new(Tensor::from_floats(logits, &device)));
        let term = Term { target: 0, kind: LossKind::Mae, weight: 1.0, delta: 0.0 };
        let labels = Labels::new(&targets, &host, &device);
        let found = loss(&[term], &targets, prediction, &labels, &host.counts()).into_scalar();
        let first = (1f64.exp() + 2f64.exp() + 1.0).ln() - 2.0;
        assert_relative_eq!(f64::from(found), (first + 3f64.ln()) / 2.0, max_relative = 1e-6);
    }
}
