//! What quantized tensors take: a byte for each element.

use burn::tensor::backend::ExecutionError;
use burn::tensor::ops::{FloatTensor, IntTensor, QTensorOps, QuantizedTensor};
use burn::tensor::quantization::{QTensorPrimitive, QuantScheme, QuantizationParametersPrimitive};
use burn::tensor::{DType, FloatDType, Shape, Slice, TensorData, TensorMetadata};

use super::tensor::ops;
use super::{Sketch, SketchDevice, Sketched};

/// A quantized tensor without numbers.
#[derive(Debug, Clone)]
pub struct QuantizedSketch {
    values: Sketched,
    scheme: QuantScheme,
}

impl QuantizedSketch {
    fn of(self, made: impl FnOnce(Sketched) -> Sketched) -> Self {
        Self { values: made(self.values), scheme: self.scheme }
    }
}

impl QTensorPrimitive for QuantizedSketch {
    fn scheme(&self) -> &QuantScheme {
        &self.scheme
    }
}

impl TensorMetadata for QuantizedSketch {
    fn dtype(&self) -> DType {
        DType::QFloat(self.scheme)
    }

    fn shape(&self) -> Shape {
        self.values.shape()
    }
}

type Quantized = QuantizedTensor<Sketch>;

impl QTensorOps<Sketch> for Sketch {
    fn q_from_data(data: TensorData, device: &SketchDevice) -> Quantized {
        let scheme = if let DType::QFloat(scheme) = data.dtype { scheme } else { QuantScheme::default() };
        QuantizedSketch { values: Sketched::new(data.shape.clone(), DType::I8, device), scheme }
    }

    fn quantize(
        tensor: FloatTensor<Sketch>,
        scheme: &QuantScheme,
        _parameters: QuantizationParametersPrimitive<Sketch>,
    ) -> Quantized {
        QuantizedSketch { values: tensor.mapped(DType::I8), scheme: *scheme }
    }

    fn q_device(tensor: &Quantized) -> SketchDevice {
        tensor.values.device()
    }

    async fn q_into_data(tensor: Quantized) -> Result<TensorData, ExecutionError> {
        Ok(tensor.values.data())
    }

    ops! {
        dequantize: (tensor: Quantized, dtype: FloatDType) -> FloatTensor<Sketch> { tensor.values.mapped(dtype.into()) }

        q_to_device: (tensor: Quantized, _device: &SketchDevice) -> Quantized { tensor }

        q_reshape: (tensor: Quantized, shape: Shape) -> Quantized { tensor.of(|values| values.reshaped(shape)) }

        q_expand: (tensor: Quantized, shape: Shape) -> Quantized { tensor.of(|values| values.expanded(&shape)) }

        q_swap_dims: (tensor: Quantized, first: usize, second: usize) -> Quantized {
            tensor.of(|values| values.swapped(first, second))
        }

        q_permute: (tensor: Quantized, axes: &[usize]) -> Quantized { tensor.of(|values| values.permuted(axes)) }

        q_flip: (tensor: Quantized, _axes: &[usize]) -> Quantized { tensor.of(Sketched::copied) }

        q_select: (tensor: Quantized, dim: usize, indices: IntTensor<Sketch>) -> Quantized {
            tensor.of(|values| values.selected(dim, &indices))
        }

        q_slice: (tensor: Quantized, slices: &[Slice]) -> Quantized { tensor.of(|values| values.sliced(slices)) }
    }
}
