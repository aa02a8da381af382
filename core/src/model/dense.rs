//! Linear maps and the two-layer perceptron, made of matmul and add.

use burn::module::{Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use isograd_backends::kernels::KernelBackend;
use rand::{Rng, RngExt};

/// A uniform draw from (-bound, bound) for every element, made on the host so that the same seed
/// gives the same weights on every device.
pub(super) fn uniform<B: Backend, const R: usize>(
    shape: [usize; R],
    bound: f64,
    rng: &mut impl Rng,
    device: &B::Device,
) -> Param<Tensor<B, R>> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-bound..bound) as f32).collect();
    Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
}

/// `x W + b`.
#[derive(Module, Debug)]
pub struct Dense<B: Backend> {
    /// `[in, out]`.
    pub weight: Param<Tensor<B, 2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
}

impl<B: Backend> Dense<B> {
    /// Weights and biases uniform within one over the square root of `fan_in`, which differs from
    /// the rows of the weight where one linear map is split into several.
    pub fn new(shape: [usize; 2], fan_in: usize, bias: bool, rng: &mut impl Rng, device: &B::Device) -> Self {
        let bound = 1.0 / (fan_in as f64).sqrt();
        Self { weight: uniform(shape, bound, rng, device), bias: bias.then(|| uniform([shape[1]], bound, rng, device)) }
    }

    /// The bias, `[out]`; zero without one.
    pub(super) fn bias(&self) -> Tensor<B, 1> {
        match &self.bias {
            Some(bias) => bias.val(),
            None => Tensor::zeros([self.weight.dims()[1]], &self.weight.device()),
        }
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let out = x.matmul(self.weight.val());
        match &self.bias {
            Some(bias) => out + bias.val().unsqueeze(),
            None => out,
        }
    }
}

/// Linear, SiLU, Linear.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    /// `[in, hidden]`.
    pub first: Dense<B>,
    /// `[hidden, out]`.
    pub second: Dense<B>,
}

impl<B: Backend> Mlp<B> {
    /// Sizes are `[in, hidden, out]`; `last_bias` gives the second linear map a bias.
    pub fn new(sizes: [usize; 3], last_bias: bool, rng: &mut impl Rng, device: &B::Device) -> Self {
        let [input, hidden, output] = sizes;
        Self {
            first: Dense::new([input, hidden], input, true, rng, device),
            second: Dense::new([hidden, output], hidden, last_bias, rng, device),
        }
    }
}

impl<B: KernelBackend> Mlp<B> {
    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.second.forward(B::silu(self.first.forward(x)))
    }
}
