//! What operations of Burn's layers take: convolutions, pooling, interpolation, attention. Only inputs and outputs are
//! counted, and no workspace.

use burn::tensor::ops::conv::{
    calculate_conv_output_shape, calculate_conv_transpose_output_shape, calculate_pool_output_shape,
};
use burn::tensor::ops::{
    AttentionModuleOptions, BoolTensor, ConvOptions, ConvTransposeOptions, DeformConv2dBackward, DeformConvOptions,
    FloatTensor, IntTensor, InterpolateOptions, MaxPool2dBackward, MaxPool2dWithIndices, ModuleOps,
};
use burn::tensor::{DType, Shape};

use super::tensor::ops;
use super::{Sketch, Sketched};

type Float = FloatTensor<Sketch>;

/// A tensor of the shape that was found.
fn made<E: std::fmt::Debug>(x: &Sketched, shape: Result<Shape, E>) -> Float {
    x.fresh(shape.unwrap_or_else(|error| panic!("shapes of a layer: {error:?}")))
}

fn pooled(
    x: &Sketched,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    rest: ([usize; 2], bool),
) -> Float {
    let (dilation, ceil) = rest;
    made(x, calculate_pool_output_shape(x.sizes(), &kernel, &stride, &padding, &dilation, ceil))
}

/// The last two axes resized.
fn resized(x: &Sketched, size: [usize; 2]) -> Float {
    let mut shape = x.sizes().clone();
    let rank = shape.len();
    (shape[rank - 2], shape[rank - 1]) = (size[0], size[1]);
    x.fresh(shape)
}

/// One axis resized.
fn along(x: &Sketched, dim: usize, size: usize) -> Float {
    let mut shape = x.sizes().clone();
    shape[dim] = size;
    x.fresh(shape)
}

fn like(x: &Sketched) -> Float {
    x.fresh(x.sizes().clone())
}

impl ModuleOps<Sketch> for Sketch {
    ops! {
        conv2d: (x: Float, weight: Float, _bias: Option<Float>, options: ConvOptions<2>) -> Float {
            let ConvOptions { stride, padding, dilation, .. } = options;
            made(&x, calculate_conv_output_shape(x.sizes(), weight.sizes(), &stride, &padding, &dilation))
        }

        conv3d: (x: Float, weight: Float, _bias: Option<Float>, options: ConvOptions<3>) -> Float {
            let ConvOptions { stride, padding, dilation, .. } = options;
            made(&x, calculate_conv_output_shape(x.sizes(), weight.sizes(), &stride, &padding, &dilation))
        }

        conv_transpose2d: (x: Float, weight: Float, _bias: Option<Float>, options: ConvTransposeOptions<2>) -> Float {
            let ConvTransposeOptions { stride, padding, padding_out, dilation, groups } = options;
            let (own, kernel) = (x.sizes(), weight.sizes());
            let shape =
                calculate_conv_transpose_output_shape(own, kernel, &stride, &padding, &padding_out, &dilation, groups);
            made(&x, shape)
        }

        conv_transpose3d: (x: Float, weight: Float, _bias: Option<Float>, options: ConvTransposeOptions<3>) -> Float {
            let ConvTransposeOptions { stride, padding, padding_out, dilation, groups } = options;
            let (own, kernel) = (x.sizes(), weight.sizes());
            let shape =
                calculate_conv_transpose_output_shape(own, kernel, &stride, &padding, &padding_out, &dilation, groups);
            made(&x, shape)
        }

        deform_conv2d: (
            x: Float,
            _offset: Float,
            weight: Float,
            _mask: Option<Float>,
            _bias: Option<Float>,
            options: DeformConvOptions<2>,
        ) -> Float {
            let DeformConvOptions { stride, padding, dilation, .. } = options;
            made(&x, calculate_conv_output_shape(x.sizes(), weight.sizes(), &stride, &padding, &dilation))
        }

        deform_conv2d_backward: (
            x: Float,
            offset: Float,
            weight: Float,
            mask: Option<Float>,
            bias: Option<Float>,
            _gradient: Float,
            _options: DeformConvOptions<2>,
        ) -> DeformConv2dBackward<Sketch> {
            let [mask, bias] = [mask, bias].map(|own| own.as_ref().map(like));
            DeformConv2dBackward::new(like(&x), like(&offset), like(&weight), mask, bias)
        }

        avg_pool2d: (
            x: Float,
            kernel: [usize; 2],
            stride: [usize; 2],
            padding: [usize; 2],
            _count_padding: bool,
            ceil: bool,
        ) -> Float { pooled(&x, kernel, stride, padding, ([1; 2], ceil)) }

        avg_pool2d_backward: (
            x: Float,
            _gradient: Float,
            _kernel: [usize; 2],
            _stride: [usize; 2],
            _padding: [usize; 2],
            _count_padding: bool,
            _ceil: bool,
        ) -> Float { like(&x) }

        adaptive_avg_pool2d: (x: Float, size: [usize; 2]) -> Float { resized(&x, size) }

        adaptive_avg_pool2d_backward: (x: Float, _gradient: Float) -> Float { like(&x) }

        max_pool2d: (
            x: Float,
            kernel: [usize; 2],
            stride: [usize; 2],
            padding: [usize; 2],
            dilation: [usize; 2],
            ceil: bool,
        ) -> Float { pooled(&x, kernel, stride, padding, (dilation, ceil)) }

        max_pool2d_with_indices: (
            x: Float,
            kernel: [usize; 2],
            stride: [usize; 2],
            padding: [usize; 2],
            dilation: [usize; 2],
            ceil: bool,
        ) -> MaxPool2dWithIndices<Sketch> {
            let found = pooled(&x, kernel, stride, padding, (dilation, ceil));
            let places = found.typed(found.sizes().clone(), DType::I32);
            MaxPool2dWithIndices::new(found, places)
        }

        max_pool2d_with_indices_backward: (
            x: Float,
            _kernel: [usize; 2],
            _stride: [usize; 2],
            _padding: [usize; 2],
            _dilation: [usize; 2],
            _ceil: bool,
            _gradient: Float,
            _indices: IntTensor<Sketch>,
        ) -> MaxPool2dBackward<Sketch> { MaxPool2dBackward::new(like(&x)) }

        interpolate: (x: Float, size: [usize; 2], _options: InterpolateOptions) -> Float { resized(&x, size) }

        interpolate_backward: (x: Float, _gradient: Float, _size: [usize; 2], _options: InterpolateOptions) -> Float {
            like(&x)
        }

        attention: (
            query: Float,
            _key: Float,
            value: Float,
            _mask: Option<BoolTensor<Sketch>>,
            _bias: Option<Float>,
            _options: AttentionModuleOptions,
        ) -> Float {
            let last = query.sizes().len() - 1;
            along(&query, last, value.sizes()[last])
        }

        rfft: (signal: Float, dim: usize, n: Option<usize>) -> (Float, Float) {
            let size = n.unwrap_or(signal.sizes()[dim]) / 2 + 1;
            (along(&signal, dim, size), along(&signal, dim, size))
        }

        irfft: (spectrum: Float, _imaginary: Float, dim: usize, n: Option<usize>) -> Float {
            along(&spectrum, dim, n.unwrap_or(2 * (spectrum.sizes()[dim].max(1) - 1)))
        }
    }
}
