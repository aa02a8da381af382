//! AdamW and Muon over flat weights, and clipping by the global norm.

use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Tensor};
use isograd_ops::kernels::muon::MuonStep;
use isograd_ops::kernels::{AdamwState, AdamwStep, KernelBackend};
use serde::{Deserialize, Serialize};

use crate::Spec;

/// How weights are changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101).
    #[default]
    Adamw,
    /// Muon on matrices (see [`muon`](mod@isograd_ops::kernels::muon)), and AdamW without weight decay on all other parameters.
    Muon,
}

/// The `[train.optimizer]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// `adamw` or `muon`. Default `adamw`.
    pub kind: OptimizerKind,
    /// AdamW's share of the first moment that is kept. Default 0.9.
    pub beta_1: f64,
    /// AdamW's share of the second moment that is kept. Default 0.999.
    pub beta_2: f64,
    /// What AdamW adds to the root of the second moment. Default 1e-8.
    pub epsilon: f64,
    /// Muon's share of the momentum that is kept. Default 0.95.
    pub momentum: f64,
    /// Decoupled weight decay; with Muon that of matrices. Default 0.01.
    pub weight_decay: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adamw,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            momentum: 0.95,
            weight_decay: 0.01,
        }
    }
}

/// How a tensor of weights is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Value by value, as AdamW does.
    Adamw,
    /// As the matrices that it is of, or a part of, as Muon does.
    Muon(Matrices),
    /// Not at all.
    Frozen,
}

impl Rule {
    /// That of a parameter.
    pub fn of(parameter: &Spec, kind: OptimizerKind) -> Self {
        match Matrices::of(parameter, kind) {
            _ if parameter.frozen => Self::Frozen,
            Some(matrices) => Self::Muon(matrices),
            None => Self::Adamw,
        }
    }

    /// How many moments are remembered under it.
    pub fn moments(self) -> usize {
        match self {
            Self::Adamw => 2,
            Self::Muon(_) => 1,
            Self::Frozen => 0,
        }
    }
}

/// Matrices `[p, q]` that lie below and beside each other in a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrices {
    /// Rows and columns of the parameter.
    pub shape: [usize; 2],
    /// p and q.
    pub sides: [usize; 2],
}

impl Matrices {
    /// Those of a parameter that this kind of optimizer keeps together, if any.
    pub fn of(parameter: &Spec, kind: OptimizerKind) -> Option<Self> {
        let sides = parameter.matrices.filter(|_| kind == OptimizerKind::Muon)?;
        Some(Self { shape: parameter.shape.as_slice().try_into().ok()?, sides })
    }

    /// The orthogonal parts, flat.
    pub fn orthogonal<B: KernelBackend>(&self, values: Tensor<B, 1>) -> Tensor<B, 1> {
        let [rows, columns] = self.shape;
        B::orthogonal(self.sides, values.reshape([rows, columns])).reshape([rows * columns])
    }
}

/// One step.
#[derive(Debug, Clone, Copy)]
pub struct OptimizerStep {
    adamw: AdamwStep,
    muon: MuonStep,
}

/// What is remembered of a tensor from step to step.
enum State<B: Backend> {
    /// Both moments, from the first step on.
    Adamw(Option<[Tensor<B, 1>; 2]>),
    /// The momentum of matrices, or of some of their values.
    Muon(Matrices, Option<Tensor<B, 1>>),
    /// Nothing.
    Frozen,
}

/// Moments of all tensors: the first, or the momentum of matrices; and the second, which matrices do not have. Frozen tensors
/// have neither.
pub type Moments<B> = [Vec<Option<Tensor<B, 1>>>; 2];

/// An optimizer and its moments, of flat tensors of weights: the parameters in the order of their declaration, or what a rank
/// owns of them.
pub struct Optimizer<B: Backend> {
    config: OptimizerConfig,
    steps: usize,
    states: Vec<State<B>>,
}

impl<B: KernelBackend> Optimizer<B> {
    /// An optimizer of these parameters that has made no step yet.
    pub fn new(config: &OptimizerConfig, parameters: &[Spec]) -> Self {
        Self::of(config, parameters.iter().map(|parameter| Rule::of(parameter, config.kind)))
    }

    /// As [`Self::new`], of tensors that are parameters, or parts of them.
    pub fn of(config: &OptimizerConfig, tensors: impl IntoIterator<Item = Rule>) -> Self {
        let state = |rule: Rule| match rule {
            Rule::Adamw => State::Adamw(None),
            Rule::Muon(matrices) => State::Muon(matrices, None),
            Rule::Frozen => State::Frozen,
        };
        Self { config: config.clone(), steps: 0, states: tensors.into_iter().map(state).collect() }
    }

    /// AdamW or Muon.
    pub fn kind(&self) -> OptimizerKind {
        self.config.kind
    }

    /// Weights after one step. Gradients are in the same order, and multiplied by `gradient_scale` on the way. Weights that
    /// are not shared are updated in place.
    ///
    /// # Panics
    /// If there are not as many weights or gradients as parameters.
    pub fn step(
        &mut self,
        weights: Vec<Tensor<B, 1>>,
        learning_rate: f64,
        gradients: Vec<Tensor<B, 1>>,
        gradient_scale: f64,
    ) -> Vec<Tensor<B, 1>> {
        let found = [weights.len(), gradients.len()];
        assert_eq!(found, [self.states.len(); 2], "Optimizer: weights and gradients");
        let step = self.begin(learning_rate, gradient_scale);
        let pairs = weights.into_iter().zip(gradients).enumerate();
        let updated = pairs.map(|(index, (values, gradient))| match self.rule(index) {
            Rule::Frozen => values,
            Rule::Adamw => self.apply(&step, index, values, gradient),
            Rule::Muon(matrices) => {
                let direction = matrices.orthogonal(self.ahead(&step, index, gradient));
                self.descend(&step, index, values, direction)
            }
        });
        updated.collect()
    }

    /// Begins a step, in which each tensor is then to be given once, as its [rule](Self::rule) says: under [`Rule::Adamw`] to
    /// [`Self::apply`], under [`Rule::Muon`] to [`Self::ahead`] and [`Self::descend`].
    pub fn begin(&mut self, learning_rate: f64, gradient_scale: f64) -> OptimizerStep {
        self.steps += 1;
        let OptimizerConfig { kind, beta_1, beta_2, epsilon, momentum, weight_decay } = self.config;
        let decay = if kind == OptimizerKind::Muon { 0.0 } else { weight_decay };
        let step = self.steps;
        OptimizerStep {
            adamw: AdamwStep { learning_rate, beta_1, beta_2, epsilon, weight_decay: decay, gradient_scale, step },
            muon: MuonStep { learning_rate, momentum, weight_decay, gradient_scale },
        }
    }

    /// How a tensor is changed.
    ///
    /// # Panics
    /// If there are not as many tensors.
    pub fn rule(&self, index: usize) -> Rule {
        match &self.states[index] {
            State::Adamw(_) => Rule::Adamw,
            State::Muon(matrices, _) => Rule::Muon(*matrices),
            State::Frozen => Rule::Frozen,
        }
    }

    /// One tensor of weights that AdamW changes after the step.
    ///
    /// # Panics
    /// If there are not as many tensors, or this one has another rule.
    pub fn apply(
        &mut self,
        step: &OptimizerStep,
        index: usize,
        values: Tensor<B, 1>,
        gradient: Tensor<B, 1>,
    ) -> Tensor<B, 1> {
        let State::Adamw(moments) = &mut self.states[index] else {
            panic!("Optimizer: tensor {index} has another rule")
        };
        let old = moments.take().unwrap_or_else(|| [gradient.zeros_like(), gradient.zeros_like()]);
        let AdamwState { values, moments: new } = B::adamw(&step.adamw, AdamwState { values, moments: old }, gradient);
        *moments = Some(new);
        values
    }

    /// Of a tensor of matrices, what the step's direction is the orthogonal part of.
    ///
    /// # Panics
    /// If there are not as many tensors, or this one is of no matrices.
    pub fn ahead(&mut self, step: &OptimizerStep, index: usize, gradient: Tensor<B, 1>) -> Tensor<B, 1> {
        let State::Muon(_, momentum) = &mut self.states[index] else {
            panic!("Optimizer: tensor {index} is of no matrices")
        };
        let old = momentum.take().unwrap_or_else(|| gradient.zeros_like());
        let [new, ahead] = B::momentum(&step.muon, old, gradient);
        *momentum = Some(new);
        ahead
    }

    /// One tensor of matrices after the step, whose direction is given.
    ///
    /// # Panics
    /// As [`Self::ahead`].
    pub fn descend(
        &self,
        step: &OptimizerStep,
        index: usize,
        values: Tensor<B, 1>,
        direction: Tensor<B, 1>,
    ) -> Tensor<B, 1> {
        let Rule::Muon(matrices) = self.rule(index) else { panic!("Optimizer: tensor {index} is of no matrices") };
        B::descend(&step.muon, matrices.sides, values, direction)
    }

    /// Number of steps made, and what is remembered of each tensor; `None` before the first step.
    pub fn state(&self) -> Option<(usize, Moments<B>)> {
        let moments = self.states.iter().map(|state| match state {
            State::Adamw(moments) => moments.clone().map_or([None, None], |moments| moments.map(Some)),
            State::Muon(_, momentum) => [momentum.clone(), None],
            State::Frozen => [None, None],
        });
        let (first, second): (Vec<_>, Vec<_>) = moments.map(|[first, second]| (first, second)).unzip();
        (self.steps > 0).then_some((self.steps, [first, second]))
    }

    /// Goes on from what [`Self::state`] returned.
    pub fn restore(&mut self, steps: usize, [first, second]: Moments<B>) {
        self.steps = steps;
        for (state, (first, second)) in self.states.iter_mut().zip(first.into_iter().zip(second)) {
            match state {
                State::Adamw(moments) => *moments = first.zip(second).map(|(first, second)| [first, second]),
                State::Muon(_, momentum) => *momentum = first,
                State::Frozen => {}
            }
        }
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
    use crate::Init;
    use approx::assert_relative_eq;
    use burn_flex::Flex;

    #[test]
    fn adamw_by_hand() {
        let device = Default::default();
        let weights = [[1.0, -2.0].as_slice(), [3.0].as_slice()];
        let weights: Vec<Tensor<Flex, 1>> = weights.iter().map(|w| Tensor::from_floats(*w, &device)).collect();
        let config = OptimizerConfig { weight_decay: 0.1, ..Default::default() };
        let mut optimizer = Optimizer::<Flex>::of(&config, [Rule::Adamw, Rule::Adamw]);
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
    fn muon_turns_matrices_and_decays_nothing_else() {
        let device = Default::default();
        let matrix = Spec { matrices: Some([2, 2]), ..Spec::new("matrix", vec![2, 2], Init::Constant(1.0)) };
        let bias = Spec::new("bias", vec![1], Init::Constant(1.0));
        let config = OptimizerConfig { kind: OptimizerKind::Muon, weight_decay: 0.5, ..Default::default() };
        let mut optimizer = Optimizer::<Flex>::new(&config, &[matrix, bias]);
        let tensor = |values: &[f32]| Tensor::<Flex, 1>::from_floats(values, &device);
        let weights = vec![tensor(&[1.0, 2.0, 0.0, 1.0]), tensor(&[3.0])];
        let gradients = vec![tensor(&[1.0, 0.0, 0.0, 0.01]), tensor(&[0.0])];
        let weights = optimizer.step(weights, 0.1, gradients, 1.0);
        let [matrix, bias] = [0, 1].map(|k| weights[k].to_data().to_vec::<f32>().unwrap());
        // Decayed by a twentieth, and both directions moved alike, by about 0.1 * 0.2 * sqrt(2).
        assert_relative_eq!(matrix[1], 2.0 * 0.95, max_relative = 1e-6);
        assert!([matrix[0], matrix[3]].iter().all(|value| (0.65..1.25).contains(&((0.95 - value) / 0.028_28))));
        assert_eq!((matrix[2], bias[0]), (0.0, 3.0));
        let (steps, [first, second]) = optimizer.state().unwrap();
        assert_eq!(
            (steps, first.iter().flatten().count(), second[0].is_none(), second[1].is_some()),
            (1, 2, true, true)
        );
    }

    #[test]
    fn what_is_frozen_stays() {
        let device = Default::default();
        let free = Spec { matrices: Some([2, 2]), ..Spec::new("free", vec![2, 2], Init::Constant(1.0)) };
        let frozen = Spec { frozen: true, ..free.clone() };
        for kind in [OptimizerKind::Adamw, OptimizerKind::Muon] {
            let config = OptimizerConfig { kind, weight_decay: 0.5, ..Default::default() };
            let mut optimizer = Optimizer::<Flex>::new(&config, &[frozen.clone(), free.clone()]);
            let start = Tensor::<Flex, 1>::from_floats([1.0, 2.0, 0.0, 1.0], &device);
            let gradient = Tensor::<Flex, 1>::from_floats([1.0, 0.0, 0.0, 0.5], &device);
            let weights = vec![start.clone(), start.clone()];
            let weights = optimizer.step(weights, 0.1, vec![gradient.clone(), gradient], 1.0);
            let [frozen, free] = [0, 1].map(|k| weights[k].to_data());
            assert!(frozen == start.to_data() && free != start.to_data(), "{kind:?}");
            let (_, [first, second]) = optimizer.state().unwrap();
            assert!(first[0].is_none() && second[0].is_none() && first[1].is_some(), "{kind:?}");
        }
    }

    #[test]
    fn the_norm_is_global() {
        let device = Default::default();
        let gradients = [Tensor::<Flex, 1>::from_floats([3.0], &device), Tensor::from_floats([0.0, 4.0], &device)];
        assert_eq!(squares(&gradients), 25.0);
        assert_eq!([clip_scale(5.0, 1.0), clip_scale(5.0, 10.0), clip_scale(5.0, 0.0)], [0.2, 1.0, 1.0]);
    }
}
