//! Linear maps and the two-layer perceptron.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_engine::{BlockWeights, Declare, Init, Slot};
use isograd_ops::kernels::KernelBackend;
use isograd_ops::value::{Gate, Value};

/// `x W + b`.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    /// `[in, out]`.
    pub weight: Slot<2>,
    /// `[out]`.
    pub bias: Option<Slot<1>>,
}

impl Linear {
    /// Weights and biases uniform within one over the square root of `shape[0]`, under a name.
    pub fn declare(declare: &mut Declare, name: &str, shape: [usize; 2], bias: bool) -> Self {
        Self::part(declare, name, shape, shape[0], bias)
    }

    /// As [`Self::declare`], of a part of a linear map that reads `fan_in` values in all.
    pub fn part(declare: &mut Declare, name: &str, shape: [usize; 2], fan_in: usize, bias: bool) -> Self {
        let mut scope = declare.scope(name);
        let init = Init::Uniform(1.0 / (fan_in as f64).sqrt());
        Self {
            weight: scope.matrices("weight", shape, shape, init.clone()),
            bias: bias.then(|| scope.slot("bias", [shape[1]], init)),
        }
    }

    /// The bias, `[out]`; zero without one.
    pub fn bias<B: Backend>(&self, weights: &BlockWeights<B>, device: &B::Device) -> Tensor<B, 1> {
        match self.bias {
            Some(bias) => weights.get(bias),
            None => Tensor::zeros([self.weight.shape()[1]], device),
        }
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn apply<B: KernelBackend>(&self, weights: &BlockWeights<B>, x: Value<B>) -> Value<B> {
        let out = x.matmul(weights.get(self.weight));
        match self.bias {
            Some(bias) => out.add_row(weights.get(bias)),
            None => out,
        }
    }
}

/// Linear, SiLU, Linear.
#[derive(Debug, Clone, Copy)]
pub struct Mlp {
    /// `[in, hidden]`.
    pub first: Linear,
    /// `[hidden, out]`.
    pub second: Linear,
}

impl Mlp {
    /// Sizes are `[in, hidden, out]`; `last_bias` gives the second linear map a bias.
    pub fn declare(declare: &mut Declare, name: &str, sizes: [usize; 3], last_bias: bool) -> Self {
        let [input, hidden, output] = sizes;
        let mut scope = declare.scope(name);
        Self {
            first: Linear::declare(&mut scope, "first", [input, hidden], true),
            second: Linear::declare(&mut scope, "second", [hidden, output], last_bias),
        }
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn apply<B: KernelBackend>(&self, weights: &BlockWeights<B>, x: Value<B>) -> Value<B> {
        self.second.apply(weights, self.first.apply(weights, x).silu())
    }
}

/// A scalar per edge from its message, `SiLU(m W_3 + b_3) . w_4`.
#[derive(Debug, Clone, Copy)]
pub struct GatePerceptron(Mlp);

impl GatePerceptron {
    /// Of messages of this width.
    pub fn declare(declare: &mut Declare, name: &str, width: usize) -> Self {
        Self(Mlp::declare(&mut declare.scope(name), "mlp", [width, width, 1], false))
    }

    /// What the message operation reads.
    pub fn gate<B: Backend>(&self, weights: &BlockWeights<B>, device: &B::Device) -> Gate<B> {
        let Mlp { first, second } = &self.0;
        let [weight, readout] = [first.weight, second.weight].map(|slot| weights.get(slot));
        Gate { weight, bias: first.bias(weights, device), readout }
    }
}
