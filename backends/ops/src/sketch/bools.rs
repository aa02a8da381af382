//! What operations on truth values take.

use burn::tensor::backend::ExecutionError;
use burn::tensor::ops::{BoolTensor, BoolTensorOps, FloatTensor, IntTensor};
use burn::tensor::{BoolDType, FloatDType, IntDType, Scalar, Shape, Slice, TensorData};

use super::tensor::ops;
use super::{Sketch, SketchDevice, Sketched};

type Float = FloatTensor<Sketch>;
type Int = IntTensor<Sketch>;
type Bool = BoolTensor<Sketch>;

impl BoolTensorOps<Sketch> for Sketch {
    fn bool_from_data(data: TensorData, device: &SketchDevice) -> Bool {
        Sketched::new(data.shape.clone(), data.dtype, device)
    }

    async fn bool_into_data(tensor: Bool) -> Result<TensorData, ExecutionError> {
        Ok(tensor.data())
    }

    fn bool_device(tensor: &Bool) -> SketchDevice {
        tensor.device()
    }

    /// How many are true is a number, which there is none of: all of them.
    async fn bool_argwhere(tensor: Bool, dtype: IntDType) -> Int {
        tensor.refuse();
        let shape = tensor.sizes();
        tensor.typed(Shape::new([shape.num_elements(), shape.len()]), dtype.into())
    }

    fn bool_cat(tensors: Vec<Bool>, dim: usize) -> Bool {
        Sketched::joined(tensors, dim)
    }

    ops! {
        bool_empty bool_zeros bool_ones: (shape: Shape, device: &SketchDevice, dtype: BoolDType) -> Bool {
            Sketched::new(shape, dtype.into(), device)
        }

        bool_to_device: (tensor: Bool, _device: &SketchDevice) -> Bool { tensor }

        bool_into_int: (tensor: Bool, dtype: IntDType) -> Int { tensor.mapped(dtype.into()) }

        bool_into_float: (tensor: Bool, dtype: FloatDType) -> Float { tensor.mapped(dtype.into()) }

        bool_equal bool_not_equal bool_and bool_or bool_xor: (first: Bool, second: Bool) -> Bool {
            first.with(second, false)
        }

        bool_equal_elem bool_not_equal_elem: (tensor: Bool, _value: Scalar) -> Bool { tensor.elementwise() }

        bool_not: (tensor: Bool) -> Bool { tensor.elementwise() }

        bool_swap_dims: (tensor: Bool, first: usize, second: usize) -> Bool { tensor.swapped(first, second) }

        bool_permute: (tensor: Bool, axes: &[usize]) -> Bool { tensor.permuted(axes) }

        bool_flip: (tensor: Bool, _axes: &[usize]) -> Bool { tensor.copied() }

        bool_reshape: (tensor: Bool, shape: Shape) -> Bool { tensor.reshaped(shape) }

        bool_expand: (tensor: Bool, shape: Shape) -> Bool { tensor.expanded(&shape) }

        bool_slice: (tensor: Bool, slices: &[Slice]) -> Bool { tensor.sliced(slices) }

        bool_unfold: (tensor: Bool, dim: usize, size: usize, step: usize) -> Bool { tensor.windows(dim, size, step) }

        bool_repeat_dim: (tensor: Bool, dim: usize, times: usize) -> Bool { Sketched::joined(vec![tensor; times], dim) }

        bool_gather: (_dim: usize, tensor: Bool, indices: Int) -> Bool { tensor.fresh(indices.sizes().clone()) }

        bool_select: (tensor: Bool, dim: usize, indices: Int) -> Bool { tensor.selected(dim, &indices) }

        bool_scatter_or: (_dim: usize, tensor: Bool, _indices: Int, _value: Bool) -> Bool { tensor.elementwise() }

        bool_select_or: (tensor: Bool, _dim: usize, _indices: Int, _value: Bool) -> Bool { tensor.elementwise() }

        bool_slice_assign: (tensor: Bool, _slices: &[Slice], _value: Bool) -> Bool { tensor.elementwise() }

        bool_mask_where: (tensor: Bool, _mask: Bool, _value: Bool) -> Bool { tensor.replaced() }

        bool_mask_fill: (tensor: Bool, _mask: Bool, _value: Scalar) -> Bool { tensor.replaced() }

        bool_any bool_all: (tensor: Bool) -> Bool { tensor.total() }

        bool_any_dim bool_all_dim: (tensor: Bool, dim: usize) -> Bool { tensor.reduced(dim) }
    }
}
