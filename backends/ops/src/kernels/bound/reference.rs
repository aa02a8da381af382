//! The operation and its gradients in plain tensor operations: the definition that every other version is held against.

use burn::tensor::Tensor;

use crate::dual::Dual;
use crate::kernels::KernelBackend;
use crate::kernels::contraction::Contraction;

/// `x [rows, C]` of channels, for each of `[rows, M C]`.
fn scaled<B: KernelBackend>(tensors: &Tensor<B, 2>, channels: &Tensor<B, 2>) -> Tensor<B, 2> {
    B::contract(Contraction::Scale, tensors.clone(), channels.clone())
}

/// Sums over components, `[rows, C]`.
fn dot<B: KernelBackend>(a: &Tensor<B, 2>, b: &Tensor<B, 2>, components: usize) -> Tensor<B, 2> {
    B::contract(Contraction::Inner { axes: components }, a.clone(), b.clone())
}

/// `s`, `[rows, C]`.
fn scale<B: KernelBackend>(x: &Tensor<B, 2>, components: usize) -> Tensor<B, 2> {
    dot(x, x, components).mul_scalar(1.0 / components as f64).add_scalar(1.0).sqrt().recip()
}

/// See [`KernelBackend::bound`](crate::kernels::KernelBackend::bound).
pub fn bound<B: KernelBackend>(components: usize, x: Dual<B>) -> Dual<B> {
    let Dual { value: x, tangent } = x;
    let s = scale(&x, components);
    let tangent = tangent.map(|tangent| {
        let b = dot(&x, &tangent, components).mul_scalar(1.0 / components as f64);
        let cube = s.clone() * s.clone() * s.clone();
        scaled(&tangent, &s) - scaled(&x, &(cube * b))
    });
    Dual { value: scaled(&x, &s), tangent }
}

/// See [`KernelBackend::bound_backward`](crate::kernels::KernelBackend::bound_backward).
pub fn bound_backward<B: KernelBackend>(components: usize, x: Dual<B>, gradient: Dual<B>) -> Dual<B> {
    let share = 1.0 / components as f64;
    let (Dual { value: x, tangent: along }, Dual { value: g, tangent: of_tangent }) = (x, gradient);
    let s = scale(&x, components);
    let cube = s.clone() * s.clone() * s.clone();
    let mut of_x = dot(&g, &x, components);
    let Some(h) = of_tangent else {
        return Dual::new(scaled(&g, &s) - scaled(&x, &(of_x * cube).mul_scalar(share)));
    };
    let hx = dot(&h, &x, components);
    let change = scaled(&h, &s) - scaled(&x, &(cube.clone() * hx.clone()).mul_scalar(share));
    let mut value = scaled(&g, &s);
    if let Some(along) = along {
        of_x = of_x + dot(&h, &along, components);
        let b = dot(&x, &along, components).mul_scalar(share);
        let fifth = cube.clone() * s.clone() * s;
        value = value + scaled(&x, &(fifth * b.clone() * hx.clone()).mul_scalar(3.0 * share));
        value = value - scaled(&along, &(cube.clone() * hx).mul_scalar(share)) - scaled(&h, &(cube.clone() * b));
    }
    value = value - scaled(&x, &(of_x * cube).mul_scalar(share));
    Dual { value, tangent: Some(change) }
}
