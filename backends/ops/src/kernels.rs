//! Small operations of a training step that would cost several passes over memory as tensor
//! operations, or that a backend does one row after the other, or in less than single precision: products
//! with weights, SiLU, products of vector features, rows gathered from groups and summed into them, the updates of AdamW
//! and Muon.
//!
//! Each has a default of plain tensor operations, in [`reference`](mod@reference).

mod autodiff;
pub mod bound;
pub mod contraction;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
mod flex;
pub mod mixing;
pub mod muon;
pub mod reference;
pub mod tensor_product;

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use self::contraction::Contraction;
use self::mixing::{Mixing, Role};
use self::muon::MuonStep;
use self::tensor_product::{Slot, Table};
use crate::dual::Dual;
use crate::index::{EdgeIndex, Grouping};

/// One step of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamwStep {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Share of the first moment that is kept.
    pub beta_1: f64,
    /// Share of the second moment that is kept.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// What gradients are multiplied by first, as clipping asks.
    pub gradient_scale: f64,
    /// Number of the step, from 1.
    pub step: usize,
}

/// The same as four numbers in single precision, which is what a kernel needs:
/// `x (1 - decay) - rate m / (sqrt(v) + epsilon)`, with the corrections of both moments' bias moved
/// into `rate` and `epsilon`.
#[derive(Debug, Clone, Copy)]
struct Rates {
    decay: f32,
    rate: f32,
    epsilon: f32,
}

impl AdamwStep {
    fn rates(&self) -> Rates {
        let correction = |beta: f64| 1.0 - beta.powi(self.step.min(i32::MAX as usize) as i32);
        let root = correction(self.beta_2).sqrt();
        Rates {
            decay: (self.learning_rate * self.weight_decay) as f32,
            rate: (self.learning_rate * root / correction(self.beta_1)) as f32,
            epsilon: (self.epsilon * root) as f32,
        }
    }
}

/// A parameter and its moments.
#[derive(Debug, Clone)]
pub struct AdamwState<B: Backend> {
    /// The parameter.
    pub values: Tensor<B, 1>,
    /// First and second moment of its gradient.
    pub moments: [Tensor<B, 1>; 2],
}

/// A function of matrices, and of the edges between the nodes that some of their rows are, on whatever backend.
pub trait EdgeFunction {
    /// What it makes of them.
    fn call<B: KernelBackend>(self, inputs: Vec<Dual<B>>, edges: &EdgeIndex<B>) -> Vec<Dual<B>>;
}

/// A backend with its own versions of these operations, or with the defaults.
pub trait KernelBackend: Backend {
    /// `a b` of `a [rows, K]` and `b [K, C]`, in the precision of the backend.
    fn matmul(a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        a.matmul(b)
    }

    /// `a^T b` of `a [rows, K]` and `b [rows, C]`, in the precision of the backend.
    fn matmul_over_rows(a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        a.transpose().matmul(b)
    }

    /// `x sigmoid(x)`.
    fn silu<const R: usize>(x: Tensor<Self, R>) -> Tensor<Self, R> {
        reference::silu(x)
    }

    /// `gradient silu'(x)`.
    fn silu_backward<const R: usize>(x: Tensor<Self, R>, gradient: Tensor<Self, R>) -> Tensor<Self, R> {
        reference::silu_backward(x, gradient)
    }

    /// Row by row, what two of vector features, directions and scalar features make of the third.
    ///
    /// # Panics
    /// If shapes do not go together.
    fn contract(contraction: Contraction, a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        contraction::reference(contraction, a, b)
    }

    /// One of the four of a product of tensor features of three, those slots that are not `missing`, in order; see
    /// [`tensor_product`](mod@tensor_product). All are `[rows, components C]`.
    ///
    /// # Panics
    /// If shapes do not fit.
    fn tensor_product(table: &Arc<Table>, missing: Slot, factors: [Dual<Self>; 3]) -> Dual<Self> {
        tensor_product::tensor_product(table, missing, factors)
    }

    /// One of the three of a linear map of channels, those that are not `missing`, in order; see [`mixing`](mod@mixing).
    ///
    /// # Panics
    /// If shapes do not fit.
    fn mix(mixing: &Arc<Mixing>, missing: Role, a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        mixing::mix(mixing, missing, a, b)
    }

    /// Tensor features `[rows, M C]`, each channel over the root of one more than the mean square of its M components; see
    /// [`bound`](mod@bound).
    ///
    /// # Panics
    /// If the columns are no multiple of M.
    fn bound(components: usize, x: Dual<Self>) -> Dual<Self> {
        bound::bound(components, x)
    }

    /// The gradients of x and its tangent, from those of [`Self::bound`]'s result.
    fn bound_backward(components: usize, x: Dual<Self>, gradient: Dual<Self>) -> Dual<Self> {
        bound::bound_backward(components, x, gradient)
    }

    /// Of `values [N, C]` the row of each row's group, `[E, C]`.
    fn gather(grouping: &Grouping<Self>, values: Tensor<Self, 2>) -> Tensor<Self, 2> {
        reference::gather(grouping, values)
    }

    /// Of `rows [E, C]` the sum of each group, in the order of the rows, `[N, C]`.
    fn sum_groups(grouping: &Grouping<Self>, rows: Tensor<Self, 2>) -> Tensor<Self, 2> {
        reference::sum_groups(grouping, rows)
    }

    /// The largest of each group's rows, column by column, `[groups, C]`; zero of a group without rows. No gradient flows
    /// through it.
    fn max_groups(grouping: &Grouping<Self>, rows: Tensor<Self, 2>) -> Tensor<Self, 2> {
        reference::max_groups(grouping, rows)
    }

    /// What a function makes of its inputs, through which no gradient flows: where the backend differentiates, it is called
    /// on the one without.
    fn without_gradient<F: EdgeFunction>(
        function: F,
        inputs: Vec<Dual<Self>>,
        edges: &EdgeIndex<Self>,
    ) -> Vec<Dual<Self>> {
        function.call(inputs, edges)
    }

    /// A parameter and its moments after a step.
    fn adamw(step: &AdamwStep, state: AdamwState<Self>, gradient: Tensor<Self, 1>) -> AdamwState<Self> {
        reference::adamw(step, state, gradient)
    }

    /// The momentum of matrices after a step, and what the step is to be the orthogonal part of; see [`muon`](mod@muon).
    fn momentum(step: &MuonStep, momentum: Tensor<Self, 1>, gradient: Tensor<Self, 1>) -> [Tensor<Self, 1>; 2] {
        muon::momentum(step, momentum, gradient)
    }

    /// The orthogonal parts of matrices `[p, q]` that lie beside and below each other.
    ///
    /// # Panics
    /// If rows and columns are no multiples of p and q.
    fn orthogonal(matrix: [usize; 2], x: Tensor<Self, 2>) -> Tensor<Self, 2> {
        muon::orthogonal(matrix, x)
    }

    /// Values of matrices `[p, q]` after a step in a direction.
    fn descend(
        step: &MuonStep,
        matrix: [usize; 2],
        values: Tensor<Self, 1>,
        direction: Tensor<Self, 1>,
    ) -> Tensor<Self, 1> {
        muon::descend(step, matrix, values, direction)
    }
}

/// The reference, in either precision.
#[cfg(feature = "ndarray")]
impl KernelBackend for burn_ndarray::NdArray<f64> {}
