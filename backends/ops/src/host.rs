//! Tensors of the CPU backend read and made in place.

use burn::tensor::{Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};

use crate::primitive::{primitive, tensor};

/// A tensor whose values are read in place.
pub(crate) struct Values(FlexTensor);

impl Values {
    /// In row-major order; copied only where the tensor is a view of another shape.
    pub(crate) fn new<const R: usize>(tensor: &Tensor<Flex, R>) -> Self {
        Self(primitive(tensor.clone()).to_contiguous())
    }

    /// All values.
    ///
    /// # Panics
    /// If they are not in single precision.
    pub(crate) fn get(&self) -> &[f32] {
        self.0.storage::<f32>()
    }
}

/// A tensor from host values.
pub(crate) fn from_values<const R: usize>(values: Vec<f32>, shape: [usize; R]) -> Tensor<Flex, R> {
    tensor(FlexTensor::from_data(TensorData::new(values, shape)))
}
