//! From tensors to the primitives that backends work on, and back.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorPrimitive};

/// The tensor of a float primitive.
pub(crate) fn tensor<B: Backend, const R: usize>(primitive: B::FloatTensorPrimitive) -> Tensor<B, R> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// The float primitive of a tensor.
pub(crate) fn primitive<B: Backend, const R: usize>(tensor: Tensor<B, R>) -> B::FloatTensorPrimitive {
    tensor.into_primitive().tensor()
}

/// Zeros. Burn launches a kernel to write them, which CUDA refuses where there is nothing to write.
pub(crate) fn zeros<B: Backend, const R: usize>(shape: [usize; R], device: &B::Device) -> Tensor<B, R> {
    if shape.contains(&0) { Tensor::empty(shape, device) } else { Tensor::zeros(shape, device) }
}
