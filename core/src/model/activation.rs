//! SiLU, the one activation of the model.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, activation};

/// `x * sigmoid(x)`, elementwise; differentiates twice.
pub(super) fn silu<B: Backend, const R: usize>(x: Tensor<B, R>) -> Tensor<B, R> {
    if x.dtype() == DType::F64 {
        // Burn's default sigmoid goes through f32; the tanh form keeps double precision.
        let half = x.mul_scalar(0.5);
        return half.clone() * (half.tanh() + 1.0);
    }
    x.clone() * activation::sigmoid(x)
}
