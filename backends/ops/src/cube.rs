//! What the kernels for wgpu and CUDA share: buffers, launch sizes, SiLU on vectors, sums of rows.
#![allow(missing_docs, reason = "the kernel macro makes items without them")]

pub(crate) mod products;
pub(crate) mod sum;
mod tiles;

use burn::tensor::{Tensor, TensorData};
use burn_cubecl::element::BoolElement;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeRuntime};
use cubecl::client::ComputeClient;
use cubecl::prelude::*;
use cubecl::{CubeDim, calculate_cube_count_elemwise};

use crate::dual::Dual;
use crate::primitive::{primitive, tensor};

/// wgpu or CUDA, in single precision.
pub(crate) type Cube<R, BT> = CubeBackend<R, f32, i32, BT>;

/// The buffer of a tensor, in row-major order.
pub(crate) fn buffer<R: CubeRuntime, BT: BoolElement, const D: usize>(tensor: Tensor<Cube<R, BT>, D>) -> CubeTensor<R> {
    into_contiguous(primitive(tensor))
}

/// The buffer of an integer tensor.
pub(crate) fn integers<R: CubeRuntime, BT: BoolElement>(
    tensor: &Tensor<Cube<R, BT>, 1, burn::tensor::Int>,
) -> CubeTensor<R> {
    into_contiguous(tensor.clone().into_primitive())
}

/// A new buffer of unknown content, on the device of another and of its type.
pub(crate) fn empty<R: CubeRuntime, const D: usize>(like: &CubeTensor<R>, shape: [usize; D]) -> CubeTensor<R> {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape.into(), like.dtype)
}

/// The buffers of a value and of its tangent; without one that of the value again, which no kernel then reads.
pub(crate) fn dual_buffers<R: CubeRuntime, BT: BoolElement>(dual: &Dual<Cube<R, BT>>) -> [CubeTensor<R>; 2] {
    let value = buffer(dual.value.clone());
    let tangent = dual.tangent.clone().map_or_else(|| value.clone(), buffer);
    [value, tangent]
}

/// New buffers of a value and of its tangent; without one a buffer of one number, which no kernel then writes to.
pub(crate) fn empty_dual<R: CubeRuntime>(like: &CubeTensor<R>, shape: [usize; 2], moved: bool) -> [CubeTensor<R>; 2] {
    [empty(like, shape), empty(like, if moved { shape } else { [1, 1] })]
}

/// A value and its tangent from their buffers, where there is one.
pub(crate) fn dual_tensor<R: CubeRuntime, BT: BoolElement>(
    [value, tangent]: [CubeTensor<R>; 2],
    moved: bool,
) -> Dual<Cube<R, BT>> {
    Dual { value: tensor(value), tangent: moved.then(|| tensor(tangent)) }
}

/// Integers from the host.
pub(crate) fn upload<R: CubeRuntime, BT: BoolElement>(values: Vec<i32>, like: &CubeTensor<R>) -> CubeTensor<R> {
    let length = values.len();
    let data = TensorData::new(values, [length]);
    integers::<R, BT>(&Tensor::from_data(data, &like.device))
}

/// A buffer that may be written to: the given one where nobody else holds it, else a copy.
pub(crate) fn owned<R: CubeRuntime>(buffer: CubeTensor<R>) -> CubeTensor<R> {
    if buffer.can_mut() { buffer } else { buffer.copy() }
}

/// How many values a unit works on at once: rows of this width fall into whole vectors.
pub(crate) fn vector_size(width: usize) -> usize {
    if width.is_multiple_of(4) { 4 } else { 1 }
}

/// Enough units for `units` independent pieces of work.
pub(crate) fn elementwise<R: CubeRuntime>(client: &ComputeClient<R>, units: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(client, units);
    (calculate_cube_count_elemwise(client, units, dim), dim)
}

/// Indices as wide as the largest of these buffers asks for, so that more than 2^32 values can be
/// reached.
pub(crate) fn addresses<R: CubeRuntime>(buffers: &[&CubeTensor<R>]) -> AddressType {
    buffers.iter().map(|buffer| buffer.required_address_type()).max().unwrap_or_default()
}

/// `exp(x)` to about one rounding, the same on every device: shading languages leave the last digits of
/// theirs to the driver (WGSL allows 3 + 2 |x| units in the last place). `2^n` times a polynomial on half an
/// octave (Cephes, expf.c); arguments are clamped to where the result is a normal number.
#[cube]
fn exp<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let x = max(min(x, Vector::new(80.0)), Vector::new(-80.0));
    let n = Vector::floor(x * Vector::new(std::f32::consts::LOG2_E) + Vector::new(0.5));
    // ln 2 as a short number and its rest, so that the first product is exact.
    let r = x - n * Vector::new(0.693_359_4) - n * Vector::new(-2.121_944_4e-4);
    let p = Vector::new(1.987_569_1e-4) * r + Vector::new(1.398_199_9e-3);
    let p = p * r + Vector::new(8.333_452e-3);
    let p = p * r + Vector::new(4.166_579_6e-2);
    let p = p * r + Vector::new(1.666_666_5e-1);
    let p = p * r + Vector::new(5e-1);
    let p = p * r * r + r + Vector::new(1.0);
    // 2^n by its bits.
    let exponent = (Vector::<i32, N>::cast_from(n) + Vector::new(127)) * Vector::new(8_388_608);
    p * Vector::<f32, N>::reinterpret(exponent)
}

/// `1 / (1 + exp(-x))`.
#[cube]
pub(crate) fn sigmoid<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0);
    // CUDA's vectors have no minus of their own.
    one / (one + exp(Vector::new(0.0) - x))
}

/// `silu'(x)`, given the sigmoid of x.
#[cube]
pub(crate) fn silu_slope<N: Size>(x: Vector<f32, N>, sigmoid: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0);
    sigmoid * (one + x * (one - sigmoid))
}

/// `silu''(x)`, given the sigmoid of x.
#[cube]
pub(crate) fn silu_curvature<N: Size>(x: Vector<f32, N>, sigmoid: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0);
    let two = Vector::<f32, N>::new(2.0);
    sigmoid * (one - sigmoid) * (two + x * (one - two * sigmoid))
}
