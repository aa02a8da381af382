//! Tensors of the CPU backend read and made in place.

pub(crate) mod matrix;
pub(crate) mod parts;

use burn::tensor::{Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};

use crate::dual::Dual;
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

/// Values and tangents that are read in place.
pub(crate) struct DualValues {
    value: Values,
    tangent: Option<Values>,
    /// What stands for a tangent that is not there, if one is asked for.
    zeros: Vec<f32>,
}

impl DualValues {
    /// For an operation on values and tangents, or on values alone.
    pub(crate) fn new<const R: usize>(of: &Dual<Flex, R>, dual: bool) -> Self {
        let value = Values::new(&of.value);
        let tangent = of.tangent.as_ref().map(Values::new);
        let zeros = if dual && tangent.is_none() { vec![0.0; value.get().len()] } else { Vec::new() };
        Self { value, tangent, zeros }
    }

    /// The values, and with D = 2 the tangents.
    pub(crate) fn get<const D: usize>(&self) -> [&[f32]; D] {
        std::array::from_fn(|part| match part {
            0 => self.value.get(),
            _ => self.tangent.as_ref().map_or(&self.zeros[..], Values::get),
        })
    }
}

/// A result: values, and with D = 2 tangents.
pub(crate) fn dual_from_values<const D: usize>(parts: [Vec<f32>; D], shape: [usize; 2]) -> Dual<Flex> {
    let mut parts = parts.into_iter().map(|values| from_values(values, shape));
    let value = parts.next().unwrap_or_else(|| from_values(Vec::new(), [0, 0]));
    Dual { value, tangent: parts.next() }
}
