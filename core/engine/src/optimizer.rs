//! AdamW over flat weights, and clipping by the global norm.

use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Tensor};
use isograd_ops::kernels::{AdamwState, AdamwStep, KernelBackend};
use serde::{Deserialize, Serialize};

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

/// AdamW and its moments, one flat pair for each flat tensor of weights: the parameters in the order of their
/// declaration, or what a rank owns of them.
pub struct Optimizer<B: Backend> {
    config: OptimizerConfig,
    steps: usize,
    moments: Vec<Option<[Tensor<B, 1>; 2]>>,
}

impl<B: KernelBackend> Optimizer<B> {
    /// An optimizer that has made no step yet.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self { config: config.clone(), steps: 0, moments: Vec::new() }
    }

    /// Weights after one step. Gradients are in the same order, and multiplied by `gradient_scale` on the way. Weights that
    /// are not shared are updated in place.
    ///
    /// # Panics
    /// If there are not as many gradients as weights.
    pub fn step(
        &mut self,
        weights: Vec<Tensor<B, 1>>,
        learning_rate: f64,
        gradients: Vec<Tensor<B, 1>>,
        gradient_scale: f64,
    ) -> Vec<Tensor<B, 1>> {
        assert_eq!(weights.len(), gradients.len(), "Optimizer: weights and gradients");
        let step = self.begin(learning_rate, gradient_scale, gradients.len());
        let pairs = weights.into_iter().zip(gradients).enumerate();
        pairs.map(|(index, (values, gradient))| self.apply(&step, index, values, gradient)).collect()
    }

    /// Begins a step of this many tensors, each of which is then to be given to [`Self::apply`] once.
    pub fn begin(&mut self, learning_rate: f64, gradient_scale: f64, tensors: usize) -> AdamwStep {
        self.steps += 1;
        self.moments.resize_with(tensors, || None);
        let OptimizerConfig { beta_1, beta_2, epsilon, weight_decay } = self.config;
        AdamwStep { learning_rate, beta_1, beta_2, epsilon, weight_decay, gradient_scale, step: self.steps }
    }

    /// One tensor of weights after the step.
    ///
    /// # Panics
    /// If there are not as many tensors.
    pub fn apply(
        &mut self,
        step: &AdamwStep,
        index: usize,
        values: Tensor<B, 1>,
        gradient: Tensor<B, 1>,
    ) -> Tensor<B, 1> {
        let moments = self.moments[index].take();
        let moments = moments.unwrap_or_else(|| [gradient.zeros_like(), gradient.zeros_like()]);
        let AdamwState { values, moments } = B::adamw(step, AdamwState { values, moments }, gradient);
        self.moments[index] = Some(moments);
        values
    }

    /// Number of steps made, and the first and second moments of each parameter; `None` before the
    /// first step.
    pub fn state(&self) -> Option<(usize, Vec<[Tensor<B, 1>; 2]>)> {
        let moments: Option<Vec<_>> = self.moments.iter().cloned().collect();
        moments.filter(|moments| !moments.is_empty()).map(|moments| (self.steps, moments))
    }

    /// Goes on from what [`Self::state`] returned.
    pub fn restore(&mut self, steps: usize, moments: Vec<[Tensor<B, 1>; 2]>) {
        self.steps = steps;
        self.moments = moments.into_iter().map(Some).collect();
    }
}

/// The sum of the squares of all gradients.
pub fn squares<B: Backend>(gradients: &[Tensor<B, 1>]) -> f64 {
    let squares = gradients.iter().map(|g| (g.clone() * g.clone()).sum()).reduce(|a, b| a + b);
    squares.map_or(0.0, |squares| squares.into_scalar().elem::<f64>())
}

/// What gradients of this norm are multiplied by so that it is at most `limit`; no limit where that is
/// not positive.
pub fn clip_scale(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit { limit / norm } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use burn_flex::Flex;

    #[test]
    fn adamw_by_hand() {
        let device = Default::default();
        let weights = [[1.0, -2.0].as_slice(), [3.0].as_slice()];
        let weights: Vec<Tensor<Flex, 1>> = weights.iter().map(|w| Tensor::from_floats(*w, &device)).collect();
        let config = OptimizerConfig { weight_decay: 0.1, ..Default::default() };
        let mut optimizer = Optimizer::<Flex>::new(&config);
        let gradients = [[0.25, -0.125].as_slice(), [1.0].as_slice()];
        let step = |weights, optimizer: &mut Optimizer<Flex>| {
            let gradients = gradients.iter().map(|g| Tensor::from_floats(*g, &device)).collect();
            optimizer.step(weights, 0.01, gradients, 2.0)
        };
        let weights = step(weights, &mut optimizer);
        let weights = step(weights, &mut optimizer);
        // With a constant gradient both bias-corrected moments are exact: each step is lr * sign.
        let expected = |x: f64, sign: f64| {
            let once = x * (1.0 - 0.001) - 0.01 * sign;
            once * (1.0 - 0.001) - 0.01 * sign
        };
        let a = weights[0].to_data().to_vec::<f32>().unwrap();
        assert_relative_eq!(f64::from(a[0]), expected(1.0, 1.0), max_relative = 1e-5);
        assert_relative_eq!(f64::from(a[1]), expected(-2.0, -1.0), max_relative = 1e-5);
        assert_relative_eq!(f64::from(weights[1].clone().into_scalar()), expected(3.0, 1.0), max_relative = 1e-5);
        assert_eq!(optimizer.state().unwrap().0, 2);
    }

    #[test]
    fn the_norm_is_global() {
        let device = Default::default();
        let gradients = [Tensor::<Flex, 1>::from_floats([3.0], &device), Tensor::from_floats([0.0, 4.0], &device)];
        assert_eq!(squares(&gradients), 25.0);
        assert_eq!([clip_scale(5.0, 1.0), clip_scale(5.0, 10.0), clip_scale(5.0, 0.0)], [0.2, 1.0, 1.0]);
    }
}
