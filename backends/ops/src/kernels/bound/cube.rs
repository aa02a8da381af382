//! The operation and its gradients on wgpu and CUDA: a unit for each row and vector of channels, which goes through the
//! components twice.
#![allow(missing_docs, reason = "the kernel macro makes items without them")]
#![allow(unsafe_code, reason = "kernels check their bounds themselves")]
#![allow(clippy::too_many_arguments, reason = "kernels have no structs for their buffers")]

use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::reference;
use crate::cube::{Cube, addresses, dual_buffers, dual_tensor, elementwise, empty_dual, vector_size};
use crate::dual::Dual;

/// See [`KernelBackend::bound`](crate::kernels::KernelBackend::bound).
pub(in crate::kernels) fn bound<R: CubeRuntime, BT: BoolElement>(
    components: usize,
    x: Dual<Cube<R, BT>>,
) -> Dual<Cube<R, BT>> {
    let shape = x.value.dims();
    if shape.contains(&0) {
        return reference::bound(components, x);
    }
    let moved = x.tangent.is_some();
    let [x, x_moved] = dual_buffers(&x);
    let [found, found_moved] = empty_dual(&x, shape, moved);
    let Units { count, dim, size, units, columns } = Units::new(&x, components);
    // SAFETY: units beyond the rows stop, and all buffers have the shape of x, or are neither read nor written.
    unsafe {
        forward::launch_unchecked::<R>(
            &found.client,
            count,
            dim,
            addresses(&[&x]),
            size,
            x.into_array_arg(),
            x_moved.into_array_arg(),
            found.clone().into_array_arg(),
            found_moved.clone().into_array_arg(),
            units,
            columns,
            components,
            1.0 / components as f32,
            moved,
        );
    }
    dual_tensor([found, found_moved], moved)
}

/// See [`KernelBackend::bound_backward`](crate::kernels::KernelBackend::bound_backward).
pub(in crate::kernels) fn bound_backward<R: CubeRuntime, BT: BoolElement>(
    components: usize,
    x: Dual<Cube<R, BT>>,
    gradient: Dual<Cube<R, BT>>,
) -> Dual<Cube<R, BT>> {
    let shape = x.value.dims();
    let moved = gradient.tangent.is_some();
    if shape.contains(&0) || moved != x.tangent.is_some() {
        return reference::bound_backward(components, x, gradient);
    }
    let [x, x_moved] = dual_buffers(&x);
    let [g, g_moved] = dual_buffers(&gradient);
    let [found, found_moved] = empty_dual(&x, shape, moved);
    let Units { count, dim, size, units, columns } = Units::new(&x, components);
    // SAFETY: units beyond the rows stop, and all buffers have the shape of x, or are neither read nor written.
    unsafe {
        backward::launch_unchecked::<R>(
            &found.client,
            count,
            dim,
            addresses(&[&x]),
            size,
            x.into_array_arg(),
            x_moved.into_array_arg(),
            g.into_array_arg(),
            g_moved.into_array_arg(),
            found.clone().into_array_arg(),
            found_moved.clone().into_array_arg(),
            units,
            columns,
            components,
            1.0 / components as f32,
            moved,
        );
    }
    dual_tensor([found, found_moved], moved)
}

struct Units {
    count: CubeCount,
    dim: CubeDim,
    size: usize,
    units: usize,
    /// Vectors of a component.
    columns: usize,
}

impl Units {
    fn new<R: CubeRuntime>(x: &CubeTensor<R>, components: usize) -> Self {
        let [rows, columns] = [0, 1].map(|dim| x.meta.shape()[dim]);
        assert!(columns.is_multiple_of(components), "bound: {columns} columns of {components} components");
        let channels = columns / components;
        let size = vector_size(channels);
        let units = rows * channels / size;
        let (count, dim) = elementwise(&x.client, units);
        Self { count, dim, size, units, columns: channels / size }
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn forward<N: Size>(
    x: &Array<Vector<f32, N>>,
    x_moved: &Array<Vector<f32, N>>,
    found: &mut Array<Vector<f32, N>>,
    found_moved: &mut Array<Vector<f32, N>>,
    units: usize,
    columns: usize,
    components: usize,
    share: f32,
    #[comptime] moved: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let first = ABSOLUTE_POS / columns * components * columns + ABSOLUTE_POS % columns;
    let mut square = Vector::<f32, N>::new(0.0);
    let mut bend = Vector::<f32, N>::new(0.0);
    for m in 0..components {
        let value = x[first + m * columns];
        square += value * value;
        if moved {
            bend += value * x_moved[first + m * columns];
        }
    }
    let one = Vector::<f32, N>::new(1.0);
    let s = one / Vector::sqrt(one + square * Vector::new(share));
    bend *= s * s * s * Vector::new(share);
    for m in 0..components {
        let value = x[first + m * columns];
        found[first + m * columns] = value * s;
        if moved {
            found_moved[first + m * columns] = x_moved[first + m * columns] * s - value * bend;
        }
    }
}

/// With the names of [`super`], g the gradient of y and h that of y'.
#[cube(launch_unchecked, address_type = "dynamic")]
fn backward<N: Size>(
    x: &Array<Vector<f32, N>>,
    x_moved: &Array<Vector<f32, N>>,
    g: &Array<Vector<f32, N>>,
    h: &Array<Vector<f32, N>>,
    found: &mut Array<Vector<f32, N>>,
    found_moved: &mut Array<Vector<f32, N>>,
    units: usize,
    columns: usize,
    components: usize,
    share: f32,
    #[comptime] moved: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let first = ABSOLUTE_POS / columns * components * columns + ABSOLUTE_POS % columns;
    let mut square = Vector::<f32, N>::new(0.0);
    let mut of_x = Vector::<f32, N>::new(0.0);
    let mut of_moved = Vector::<f32, N>::new(0.0);
    let mut b = Vector::<f32, N>::new(0.0);
    for m in 0..components {
        let place = first + m * columns;
        let value = x[place];
        square += value * value;
        of_x += g[place] * value;
        if moved {
            of_x += h[place] * x_moved[place];
            of_moved += h[place] * value;
            b += value * x_moved[place];
        }
    }
    let one = Vector::<f32, N>::new(1.0);
    let share = Vector::<f32, N>::new(share);
    let s = one / Vector::sqrt(one + square * share);
    let cube = s * s * s;
    b *= share;
    let along = of_moved * cube * share;
    let mut along_x = of_x * cube * share;
    if moved {
        along_x -= Vector::new(3.0) * s * s * b * along;
    }
    for m in 0..components {
        let place = first + m * columns;
        let value = x[place];
        let mut to_x = g[place] * s - value * along_x;
        if moved {
            to_x -= x_moved[place] * along + h[place] * cube * b;
            found_moved[place] = h[place] * s - value * along;
        }
        found[place] = to_x;
    }
}
