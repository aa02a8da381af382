//! Tensors from numbers on the host.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

/// A float tensor from host values in row-major order.
pub fn floats<B: Backend, const R: usize>(values: &[f32], shape: [usize; R], device: &B::Device) -> Tensor<B, R> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}
