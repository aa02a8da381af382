//! The operations on wgpu and CUDA, from one source. There are no atomics, and results are the same each
//! time.
#![allow(missing_docs, reason = "the kernel macro makes items without them")]
#![allow(unsafe_code, reason = "kernels check their bounds themselves; see each launch")]

use std::sync::Arc;

use burn::tensor::Tensor;
use burn_cubecl::element::BoolElement;
use burn_cubecl::{CubeBackend, CubeRuntime};
use cubecl::prelude::*;

use super::tensor_product::{self, Slot, Table};
use super::{AdamwState, AdamwStep, KernelBackend, Rates, bound, muon};
use crate::cube::products;
use crate::cube::sum::add_groups;
use crate::cube::{addresses, buffer, elementwise, empty, owned, sigmoid, silu_slope, vector_size};
use crate::dual::Dual;
use crate::index::Grouping;
use crate::primitive::{tensor, zeros};

impl<R: CubeRuntime, BT: BoolElement> KernelBackend for CubeBackend<R, f32, i32, BT> {
    fn matmul(a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        products::matmul(a, b)
    }

    fn matmul_over_rows(a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        products::matmul_over_rows(a, b)
    }

    fn silu<const D: usize>(x: Tensor<Self, D>) -> Tensor<Self, D> {
        let values = x.shape().num_elements();
        if values == 0 {
            return x;
        }
        let shape = x.dims();
        let x = buffer(x);
        let (client, y) = (x.client.clone(), empty(&x, shape));
        let size = vector_size(values);
        let (count, dim) = elementwise(&client, values / size);
        // SAFETY: both buffers hold `values` numbers, and units beyond them stop.
        unsafe {
            silu::launch_unchecked::<R>(
                &client,
                count,
                dim,
                addresses(&[&x]),
                size,
                x.into_array_arg(),
                y.clone().into_array_arg(),
                values / size,
            );
        }
        tensor(y)
    }

    fn silu_backward<const D: usize>(x: Tensor<Self, D>, gradient: Tensor<Self, D>) -> Tensor<Self, D> {
        let values = x.shape().num_elements();
        if values == 0 {
            return gradient;
        }
        let (x, gradient) = (buffer(x), owned(buffer(gradient)));
        let client = x.client.clone();
        let size = vector_size(values);
        let (count, dim) = elementwise(&client, values / size);
        // SAFETY: both buffers hold `values` numbers, and units beyond them stop.
        unsafe {
            silu_backward::launch_unchecked::<R>(
                &client,
                count,
                dim,
                addresses(&[&x]),
                size,
                x.into_array_arg(),
                gradient.clone().into_array_arg(),
                values / size,
            );
        }
        tensor(gradient)
    }

    fn tensor_product(table: &Arc<Table>, missing: Slot, factors: [Dual<Self>; 3]) -> Dual<Self> {
        tensor_product::cube::tensor_product(table, missing, factors)
    }

    fn bound(components: usize, x: Dual<Self>) -> Dual<Self> {
        bound::cube::bound(components, x)
    }

    fn bound_backward(components: usize, x: Dual<Self>, gradient: Dual<Self>) -> Dual<Self> {
        bound::cube::bound_backward(components, x, gradient)
    }

    fn gather(grouping: &Grouping<Self>, values: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let [_, columns] = values.dims();
        if grouping.rows() == 0 || columns == 0 {
            // CUDA launches nothing that has no units.
            return Tensor::empty([grouping.rows(), columns], &values.device());
        }
        // Burn's own is one unit per value too.
        values.select(0, grouping.group_of.clone())
    }

    fn sum_groups(grouping: &Grouping<Self>, rows: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let ([_, columns], groups) = (rows.dims(), grouping.groups());
        if groups * columns == 0 {
            return Tensor::empty([groups, columns], &rows.device());
        }
        if grouping.rows() == 0 {
            return zeros([groups, columns], &rows.device());
        }
        let (all, groups) = (0..grouping.rows(), 0..groups);
        let sums = buffer(Tensor::<Self, 2>::zeros([groups.len(), columns], &rows.device()));
        add_groups(grouping, &buffer(rows), 0, &all, &groups, &sums);
        tensor(sums)
    }

    fn adamw(step: &AdamwStep, state: AdamwState<Self>, gradient: Tensor<Self, 1>) -> AdamwState<Self> {
        let AdamwState { values, moments: [first, second] } = state;
        let [values, first, second] = [values, first, second].map(|x| owned(buffer(x)));
        let gradient = buffer(gradient);
        let client = gradient.client.clone();
        let length = gradient.meta.num_elements();
        let size = vector_size(length);
        let (count, dim) = elementwise(&client, length / size);
        let Rates { decay, rate, epsilon } = step.rates();
        // SAFETY: all four buffers hold `length` numbers, and units beyond them stop.
        unsafe {
            adamw::launch_unchecked::<R>(
                &client,
                count,
                dim,
                addresses(&[&gradient]),
                size,
                gradient.into_array_arg(),
                values.clone().into_array_arg(),
                first.clone().into_array_arg(),
                second.clone().into_array_arg(),
                length / size,
                step.gradient_scale as f32,
                step.beta_1 as f32,
                (1.0 - step.beta_1) as f32,
                step.beta_2 as f32,
                (1.0 - step.beta_2) as f32,
                decay,
                rate,
                epsilon,
            );
        }
        AdamwState { values: tensor(values), moments: [tensor(first), tensor(second)] }
    }

    fn orthogonal(matrix: [usize; 2], x: Tensor<Self, 2>) -> Tensor<Self, 2> {
        muon::orthogonal_by(matrix, x, products::matmul)
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn silu<N: Size>(x: &Array<Vector<f32, N>>, y: &mut Array<Vector<f32, N>>, units: usize) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let value = x[ABSOLUTE_POS];
    y[ABSOLUTE_POS] = value * sigmoid(value);
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn silu_backward<N: Size>(x: &Array<Vector<f32, N>>, gradient: &mut Array<Vector<f32, N>>, units: usize) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let value = x[ABSOLUTE_POS];
    gradient[ABSOLUTE_POS] *= silu_slope(value, sigmoid(value));
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn adamw<N: Size>(
    gradient: &Array<Vector<f32, N>>,
    values: &mut Array<Vector<f32, N>>,
    first: &mut Array<Vector<f32, N>>,
    second: &mut Array<Vector<f32, N>>,
    units: usize,
    gradient_scale: f32,
    beta_1: f32,
    rest_1: f32,
    beta_2: f32,
    rest_2: f32,
    decay: f32,
    rate: f32,
    epsilon: f32,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let g = gradient[ABSOLUTE_POS] * Vector::new(gradient_scale);
    let m = first[ABSOLUTE_POS] * Vector::new(beta_1) + g * Vector::new(rest_1);
    let v = second[ABSOLUTE_POS] * Vector::new(beta_2) + g * g * Vector::new(rest_2);
    first[ABSOLUTE_POS] = m;
    second[ABSOLUTE_POS] = v;
    let x = values[ABSOLUTE_POS];
    let update = m * Vector::new(rate) / (Vector::sqrt(v) + Vector::new(epsilon));
    values[ABSOLUTE_POS] = x - x * Vector::new(decay) - update;
}
