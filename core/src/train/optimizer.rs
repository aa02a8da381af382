//! AdamW over the parameter list, and clipping by the global norm.

use burn::module::AutodiffModule;
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, SimpleOptimizer};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor};
use serde::{Deserialize, Serialize};

use crate::model;

/// The `[train.optimizer]` section: AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Default 0.9.
    pub beta_1: f64,
    /// Default 0.999.
    pub beta_2: f64,
    /// Default 1e-8.
    pub epsilon: f64,
    /// Default 0.01.
    pub weight_decay: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// AdamW and its moments, one flat pair per parameter in the order of [`model::read`].
pub struct Optimizer<B: Backend> {
    rule: AdamW,
    states: Vec<Option<AdamWState<B, 1>>>,
}

impl<B: Backend> Optimizer<B> {
    /// An optimizer that has made no step yet.
    pub fn new(config: &OptimizerConfig) -> Self {
        let rule = AdamWConfig::new()
            .with_beta_1(config.beta_1 as f32)
            .with_beta_2(config.beta_2 as f32)
            .with_epsilon(config.epsilon as f32)
            .with_weight_decay(config.weight_decay as f32)
            .build();
        Self { rule, states: Vec::new() }
    }

    /// The module after one step; `gradients` are in the order of [`model::read`].
    ///
    /// # Panics
    /// If there are fewer gradients than parameters.
    pub fn step<A, M>(&mut self, module: M, learning_rate: f64, gradients: Vec<Tensor<B, 1>>) -> M
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        self.states.resize_with(gradients.len(), || None);
        let mut gradients: Vec<Option<Tensor<B, 1>>> = gradients.into_iter().map(Some).collect();
        model::map(module, |index, values: Tensor<A, 1>| {
            let gradient = gradients[index].take();
            let gradient = gradient.unwrap_or_else(|| panic!("Optimizer: parameter {index} was visited twice"));
            let (values, state) = self.rule.step(learning_rate, values.inner(), gradient, self.states[index].take());
            self.states[index] = state;
            Tensor::from_inner(values)
        })
    }

    /// Number of steps made, and the first and second moments of each parameter; `None` before the
    /// first step.
    pub fn state(&self) -> Option<(usize, Vec<[Tensor<B, 1>; 2]>)> {
        let moments: Option<Vec<_>> = self.states.iter().cloned().collect();
        let moments = moments.filter(|moments| !moments.is_empty())?;
        let steps = moments[0].momentum.time;
        Some((steps, moments.into_iter().map(|s| [s.momentum.moment_1, s.momentum.moment_2]).collect()))
    }

    /// Goes on from what [`Self::state`] returned.
    pub fn restore(&mut self, steps: usize, moments: Vec<[Tensor<B, 1>; 2]>) {
        let state =
            |[first, second]: [Tensor<B, 1>; 2]| AdamWState::new(AdaptiveMomentumState::new(steps, first, second));
        self.states = moments.into_iter().map(|pair| Some(state(pair))).collect();
    }
}

/// Scales all gradients by one factor so that their common Euclidean norm is at most `limit`;
/// returns them with the norm before.
pub fn clip_by_global_norm<B: Backend>(gradients: Vec<Tensor<B, 1>>, limit: Option<f64>) -> (Vec<Tensor<B, 1>>, f64) {
    let Some(squares) = gradients.iter().map(|g| (g.clone() * g.clone()).sum()).reduce(|a, b| a + b) else {
        return (gradients, 0.0);
    };
    let norm = squares.into_scalar().elem::<f64>().sqrt();
    match limit.filter(|limit| norm > *limit) {
        Some(limit) => (gradients.into_iter().map(|g| g.mul_scalar(limit / norm)).collect(), norm),
        None => (gradients, norm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use burn::backend::Autodiff;
    use burn::module::{Module, Param};
    use burn_flex::Flex;

    #[derive(Module, Debug)]
    struct Pair<B: Backend> {
        a: Param<Tensor<B, 2>>,
        b: Param<Tensor<B, 1>>,
    }

    #[test]
    fn adamw_by_hand() {
        let device = Default::default();
        let module: Pair<Autodiff<Flex>> = Pair {
            a: Param::from_tensor(Tensor::from_floats([[1.0, -2.0]], &device)),
            b: Param::from_tensor(Tensor::from_floats([3.0], &device)),
        };
        let config = OptimizerConfig { weight_decay: 0.1, ..Default::default() };
        let mut optimizer = Optimizer::<Flex>::new(&config);
        let gradients = [[0.5, -0.25].as_slice(), [2.0].as_slice()];
        let step = |module, optimizer: &mut Optimizer<Flex>| {
            let gradients = gradients.iter().map(|g| Tensor::from_floats(*g, &device)).collect();
            optimizer.step(module, 0.01, gradients)
        };
        let module = step(module, &mut optimizer);
        let module = step(module, &mut optimizer);
        // With a constant gradient both bias-corrected moments are exact: each step is lr * sign.
        let expected = |x: f64, sign: f64| {
            let once = x * (1.0 - 0.001) - 0.01 * sign;
            once * (1.0 - 0.001) - 0.01 * sign
        };
        let a = module.a.val().into_data().to_vec::<f32>().unwrap();
        assert_relative_eq!(f64::from(a[0]), expected(1.0, 1.0), max_relative = 1e-5);
        assert_relative_eq!(f64::from(a[1]), expected(-2.0, -1.0), max_relative = 1e-5);
        assert_relative_eq!(f64::from(module.b.val().into_scalar()), expected(3.0, 1.0), max_relative = 1e-5);
        assert_eq!(optimizer.state().unwrap().0, 2);
    }

    #[test]
    fn the_norm_is_global() {
        let device = Default::default();
        let gradients = vec![Tensor::<Flex, 1>::from_floats([3.0], &device), Tensor::from_floats([0.0, 4.0], &device)];
        let (clipped, norm) = clip_by_global_norm(gradients.clone(), Some(1.0));
        assert_eq!(norm, 5.0);
        assert_relative_eq!(clipped[0].clone().into_scalar(), 0.6);
        let (kept, _) = clip_by_global_norm(gradients, Some(10.0));
        assert_eq!(kept[0].clone().into_scalar(), 3.0);
    }
}
