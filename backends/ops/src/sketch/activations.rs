//! What activations take: those that the CPU backend computes in one pass, whose results GPUs compose.

use burn::tensor::Scalar;
use burn::tensor::ops::{ActivationOps, FloatTensor};

use super::Sketch;
use super::tensor::ops;

type Float = FloatTensor<Sketch>;

impl ActivationOps<Sketch> for Sketch {
    ops! {
        relu gelu sigmoid log_sigmoid: (tensor: Float) -> Float { tensor.elementwise() }

        leaky_relu: (tensor: Float, _slope: Scalar) -> Float { tensor.elementwise() }

        hard_sigmoid: (tensor: Float, _alpha: Scalar, _beta: Scalar) -> Float { tensor.elementwise() }

        prelu relu_backward gelu_backward sigmoid_backward log_sigmoid_backward:
            (first: Float, second: Float) -> Float { first.with(second, false) }
    }
}
