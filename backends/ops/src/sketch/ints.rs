//! What operations on integers take.

use std::ops::Range;

use burn::tensor::backend::ExecutionError;
use burn::tensor::ops::{BoolTensor, FloatTensor, IntTensor, IntTensorOps};
use burn::tensor::{BoolDType, Distribution, FloatDType, IntDType, Scalar, Shape, Slice, TensorData};

use super::tensor::ops;
use super::{Sketch, SketchDevice, Sketched};

type Float = FloatTensor<Sketch>;
type Int = IntTensor<Sketch>;
type Bool = BoolTensor<Sketch>;

impl IntTensorOps<Sketch> for Sketch {
    fn int_from_data(data: TensorData, device: &SketchDevice) -> Int {
        Sketched::new(data.shape.clone(), data.dtype, device)
    }

    fn int_random(shape: Shape, _distribution: Distribution, device: &SketchDevice, dtype: IntDType) -> Int {
        Sketched::new(shape, dtype.into(), device)
    }

    fn int_full(shape: Shape, _value: Scalar, device: &SketchDevice, dtype: IntDType) -> Int {
        Sketched::new(shape, dtype.into(), device)
    }

    fn int_arange_step(range: Range<i64>, step: usize, device: &SketchDevice, dtype: IntDType) -> Int {
        let length = usize::try_from(range.end - range.start).unwrap_or(0).div_ceil(step);
        Sketched::new(Shape::new([length]), dtype.into(), device)
    }

    async fn int_into_data(tensor: Int) -> Result<TensorData, ExecutionError> {
        Ok(tensor.data())
    }

    fn int_device(tensor: &Int) -> SketchDevice {
        tensor.device()
    }

    fn int_cat(tensors: Vec<Int>, dim: usize) -> Int {
        Sketched::joined(tensors, dim)
    }

    ops! {
        int_empty int_zeros: (shape: Shape, device: &SketchDevice, dtype: IntDType) -> Int {
            Sketched::zeros(shape, dtype.into(), device)
        }

        int_ones: (shape: Shape, device: &SketchDevice, dtype: IntDType) -> Int {
            Sketched::new(shape, dtype.into(), device)
        }

        int_to_device: (tensor: Int, _device: &SketchDevice) -> Int { tensor }

        int_into_float: (tensor: Int, dtype: FloatDType) -> Float { tensor.mapped(dtype.into()) }

        int_cast: (tensor: Int, dtype: IntDType) -> Int { tensor.mapped(dtype.into()) }

        int_add int_sub int_mul int_div int_remainder int_powi bitwise_and bitwise_or bitwise_xor bitwise_left_shift
        bitwise_right_shift: (first: Int, second: Int) -> Int { first.with(second, false) }

        int_add_scalar int_sub_scalar int_mul_scalar int_div_scalar int_remainder_scalar int_powi_scalar_impl int_clamp_min
        int_clamp_max bitwise_and_scalar bitwise_or_scalar bitwise_xor_scalar bitwise_left_shift_scalar
        bitwise_right_shift_scalar: (tensor: Int, _number: Scalar) -> Int { tensor.elementwise() }

        int_clamp: (tensor: Int, _low: Scalar, _high: Scalar) -> Int { tensor.elementwise() }

        int_neg int_abs int_sign bitwise_not: (tensor: Int) -> Int { tensor.elementwise() }

        int_matmul: (first: Int, second: Int) -> Int { first.times(second) }

        int_swap_dims: (tensor: Int, first: usize, second: usize) -> Int { tensor.swapped(first, second) }

        int_permute: (tensor: Int, axes: &[usize]) -> Int { tensor.permuted(axes) }

        int_flip: (tensor: Int, _axes: &[usize]) -> Int { tensor.copied() }

        int_reshape: (tensor: Int, shape: Shape) -> Int { tensor.reshaped(shape) }

        int_expand: (tensor: Int, shape: Shape) -> Int { tensor.expanded(&shape) }

        int_slice: (tensor: Int, slices: &[Slice]) -> Int { tensor.sliced(slices) }

        int_unfold: (tensor: Int, dim: usize, size: usize, step: usize) -> Int { tensor.windows(dim, size, step) }

        int_repeat_dim: (tensor: Int, dim: usize, times: usize) -> Int { Sketched::joined(vec![tensor; times], dim) }

        int_gather: (_dim: usize, tensor: Int, indices: Int) -> Int { tensor.fresh(indices.sizes().clone()) }

        int_select: (tensor: Int, dim: usize, indices: Int) -> Int { tensor.selected(dim, &indices) }

        int_scatter_add: (_dim: usize, tensor: Int, _indices: Int, _value: Int) -> Int { tensor.elementwise() }

        int_select_add: (tensor: Int, _dim: usize, _indices: Int, _value: Int) -> Int { tensor.elementwise() }

        int_slice_assign: (tensor: Int, _slices: &[Slice], _value: Int) -> Int { tensor.elementwise() }

        int_mask_where: (tensor: Int, _mask: Bool, _value: Int) -> Int { tensor.replaced() }

        int_mask_fill: (tensor: Int, _mask: Bool, _value: Scalar) -> Int { tensor.replaced() }

        int_equal int_not_equal int_greater int_greater_equal int_lower int_lower_equal:
            (first: Int, second: Int, dtype: BoolDType) -> Bool { first.compared(second, dtype) }

        int_equal_elem int_not_equal_elem int_greater_elem int_greater_equal_elem int_lower_elem int_lower_equal_elem:
            (tensor: Int, _number: Scalar, dtype: BoolDType) -> Bool { tensor.mapped(dtype.into()) }

        int_sum int_prod int_mean int_max int_min int_max_abs: (tensor: Int) -> Int { tensor.total() }

        int_sum_dim int_prod_dim int_mean_dim int_argmax int_argmin int_max_dim int_min_dim int_max_abs_dim:
            (tensor: Int, dim: usize) -> Int { tensor.reduced(dim) }

        int_max_dim_with_indices int_min_dim_with_indices: (tensor: Int, dim: usize) -> (Int, Int) {
            let found = tensor.reduced(dim);
            let places = found.fresh(found.sizes().clone());
            (found, places)
        }

        int_any int_all: (tensor: Int, dtype: BoolDType) -> Bool { tensor.total().mapped(dtype.into()) }

        int_any_dim int_all_dim: (tensor: Int, dim: usize, dtype: BoolDType) -> Bool {
            tensor.reduced(dim).mapped(dtype.into())
        }

        int_cumsum int_cumprod int_cummin int_cummax: (tensor: Int, _dim: usize) -> Int { tensor.copied() }

        int_argtopk int_topk: (tensor: Int, dim: usize, k: usize) -> Int { tensor.first(dim, k) }

        int_sort int_argsort: (tensor: Int, _dim: usize, _descending: bool) -> Int { tensor.copied() }

        int_sort_with_indices: (tensor: Int, _dim: usize, _descending: bool) -> (Int, Int) {
            let places = tensor.fresh(tensor.sizes().clone());
            (tensor.copied(), places)
        }
    }
}
