//! What operations on numbers take.

use burn::tensor::backend::ExecutionError;
use burn::tensor::ops::{BoolTensor, FloatTensor, FloatTensorOps, IntTensor};
use burn::tensor::{BoolDType, Distribution, FloatDType, IntDType, Scalar, Shape, Slice, TensorData};

use super::tensor::ops;
use super::{Sketch, SketchDevice, Sketched};

type Float = FloatTensor<Sketch>;
type Int = IntTensor<Sketch>;
type Bool = BoolTensor<Sketch>;

impl FloatTensorOps<Sketch> for Sketch {
    fn float_from_data(data: TensorData, device: &SketchDevice) -> Float {
        Sketched::new(data.shape.clone(), data.dtype, device)
    }

    fn float_random(shape: Shape, _distribution: Distribution, device: &SketchDevice, dtype: FloatDType) -> Float {
        Sketched::new(shape, dtype.into(), device)
    }

    fn float_full(shape: Shape, _value: Scalar, device: &SketchDevice, dtype: FloatDType) -> Float {
        Sketched::new(shape, dtype.into(), device)
    }

    async fn float_into_data(tensor: Float) -> Result<TensorData, ExecutionError> {
        Ok(tensor.data())
    }

    fn float_device(tensor: &Float) -> SketchDevice {
        tensor.device()
    }

    fn float_cat(tensors: Vec<Float>, dim: usize) -> Float {
        Sketched::joined(tensors, dim)
    }

    ops! {
        float_empty float_zeros: (shape: Shape, device: &SketchDevice, dtype: FloatDType) -> Float {
            Sketched::zeros(shape, dtype.into(), device)
        }

        float_ones: (shape: Shape, device: &SketchDevice, dtype: FloatDType) -> Float {
            Sketched::new(shape, dtype.into(), device)
        }

        float_to_device: (tensor: Float, _device: &SketchDevice) -> Float { tensor }

        float_into_int: (tensor: Float, dtype: IntDType) -> Int { tensor.mapped(dtype.into()) }

        float_cast: (tensor: Float, dtype: FloatDType) -> Float { tensor.mapped(dtype.into()) }

        float_add float_sub float_mul float_div: (first: Float, second: Float) -> Float { first.with(second, true) }

        float_remainder float_powf float_atan2: (first: Float, second: Float) -> Float {
            first.with(second, false)
        }

        float_powi: (first: Float, second: Int) -> Float { first.with(second, false) }

        float_add_scalar float_sub_scalar float_mul_scalar float_div_scalar float_remainder_scalar
        float_powf_scalar_impl float_powi_scalar_impl float_clamp_min float_clamp_max:
            (tensor: Float, _number: Scalar) -> Float { tensor.elementwise() }

        float_clamp: (tensor: Float, _low: Scalar, _high: Scalar) -> Float { tensor.elementwise() }

        float_neg float_recip float_exp float_log float_log1p float_sqrt float_abs float_cos float_sin float_tan float_cosh
        float_sinh float_tanh float_acos float_acosh float_asin float_asinh float_atan float_atanh float_round float_floor
        float_ceil float_trunc float_erf float_sign: (tensor: Float) -> Float { tensor.elementwise() }

        float_matmul: (first: Float, second: Float) -> Float { first.times(second) }

        float_cross: (first: Float, second: Float, _dim: usize) -> Float { first.with(second, false).copied() }

        float_swap_dims: (tensor: Float, first: usize, second: usize) -> Float { tensor.swapped(first, second) }

        float_permute: (tensor: Float, axes: &[usize]) -> Float { tensor.permuted(axes) }

        float_flip: (tensor: Float, _axes: &[usize]) -> Float { tensor.copied() }

        float_reshape: (tensor: Float, shape: Shape) -> Float { tensor.reshaped(shape) }

        float_expand: (tensor: Float, shape: Shape) -> Float { tensor.expanded(&shape) }

        float_slice: (tensor: Float, slices: &[Slice]) -> Float { tensor.sliced(slices) }

        float_unfold: (tensor: Float, dim: usize, size: usize, step: usize) -> Float { tensor.windows(dim, size, step) }

        float_repeat_dim: (tensor: Float, dim: usize, times: usize) -> Float {
            Sketched::joined(vec![tensor; times], dim)
        }

        float_gather: (_dim: usize, tensor: Float, indices: Int) -> Float { tensor.fresh(indices.sizes().clone()) }

        float_select: (tensor: Float, dim: usize, indices: Int) -> Float { tensor.selected(dim, &indices) }

        float_scatter_add: (_dim: usize, tensor: Float, _indices: Int, _value: Float) -> Float { tensor.elementwise() }

        float_select_add: (tensor: Float, _dim: usize, _indices: Int, _value: Float) -> Float { tensor.elementwise() }

        float_slice_assign: (tensor: Float, _slices: &[Slice], _value: Float) -> Float { tensor.elementwise() }

        float_mask_where: (tensor: Float, _mask: Bool, _value: Float) -> Float { tensor.replaced() }

        float_mask_fill: (tensor: Float, _mask: Bool, _value: Scalar) -> Float { tensor.replaced() }

        float_equal float_not_equal float_greater float_greater_equal float_lower float_lower_equal:
            (first: Float, second: Float, dtype: BoolDType) -> Bool { first.compared(second, dtype) }

        float_equal_elem float_not_equal_elem float_greater_elem float_greater_equal_elem float_lower_elem
        float_lower_equal_elem: (tensor: Float, _number: Scalar, dtype: BoolDType) -> Bool { tensor.mapped(dtype.into()) }

        float_is_nan float_is_inf: (tensor: Float, dtype: BoolDType) -> Bool { tensor.mapped(dtype.into()) }

        float_sum float_prod float_mean float_max float_min float_max_abs: (tensor: Float) -> Float { tensor.total() }

        float_sum_dim float_mean_dim float_prod_dim float_max_dim float_min_dim float_max_abs_dim:
            (tensor: Float, dim: usize) -> Float { tensor.reduced(dim) }

        float_max_dim_with_indices float_min_dim_with_indices:
            (tensor: Float, dim: usize, dtype: IntDType) -> (Float, Int) {
            let found = tensor.reduced(dim);
            let places = found.typed(found.sizes().clone(), dtype.into());
            (found, places)
        }

        float_argmax float_argmin: (tensor: Float, dim: usize, dtype: IntDType) -> Int {
            tensor.reduced(dim).mapped(dtype.into())
        }

        float_any float_all: (tensor: Float, dtype: BoolDType) -> Bool { tensor.total().mapped(dtype.into()) }

        float_any_dim float_all_dim: (tensor: Float, dim: usize, dtype: BoolDType) -> Bool {
            tensor.reduced(dim).mapped(dtype.into())
        }

        float_cumsum float_cumprod float_cummin float_cummax: (tensor: Float, _dim: usize) -> Float { tensor.copied() }

        float_argtopk: (tensor: Float, dim: usize, k: usize, dtype: IntDType) -> Int {
            tensor.first(dim, k).mapped(dtype.into())
        }

        float_topk: (tensor: Float, dim: usize, k: usize) -> Float { tensor.first(dim, k) }

        float_sort: (tensor: Float, _dim: usize, _descending: bool) -> Float { tensor.copied() }

        float_sort_with_indices: (tensor: Float, _dim: usize, _descending: bool, dtype: IntDType) -> (Float, Int) {
            let places = tensor.typed(tensor.sizes().clone(), dtype.into());
            (tensor.copied(), places)
        }

        float_argsort: (tensor: Float, _dim: usize, _descending: bool, dtype: IntDType) -> Int {
            tensor.typed(tensor.sizes().clone(), dtype.into())
        }
    }
}
