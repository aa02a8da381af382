//! Rows of tensor features: their components one after the other, each of C channels.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::{EdgeWork, Value};
use crate::convolution::{self, ConvolutionBackend, ConvolutionInputs};
use crate::dual::Dual;
use crate::index::EdgeIndex;
use crate::kernels::KernelBackend;
use crate::kernels::mixing::{Mixing, Role};
use crate::kernels::tensor_product::{Slot, Table};

impl<B: Backend> From<Value<B>> for Dual<B> {
    fn from(value: Value<B>) -> Self {
        Self { value: value.primal, tangent: value.tangent }
    }
}

impl<B: Backend> From<Dual<B>> for Value<B> {
    fn from(dual: Dual<B>) -> Self {
        Self { primal: dual.value, tangent: dual.tangent }
    }
}

impl<B: KernelBackend> Value<B> {
    /// The product of two rows of tensor features, channel by channel, with a weight for each path of the table and each
    /// channel, `[rows, paths C]`; see [`tensor_product`](mod@crate::kernels::tensor_product).
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn tensor_product(self, table: &Arc<Table>, other: Self, weights: Self) -> Self {
        B::tensor_product(table, Slot::Out, [weights, self, other].map(Dual::from)).into()
    }

    /// Tensor features of M components, each channel over the root of one more than its mean square; see
    /// [`bound`](mod@crate::kernels::bound).
    ///
    /// # Panics
    /// If the columns are no multiple of M.
    pub fn bounded(self, components: usize) -> Self {
        B::bound(components, self.into()).into()
    }

    /// Rows of tensor features with their channels mixed, by a matrix for each degree, `[matrices C, K]`; see
    /// [`mixing`](mod@crate::kernels::mixing).
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn mix(self, mixing: &Arc<Mixing>, weights: Tensor<B, 2>) -> Self {
        self.linear(|x| B::mix(mixing, Role::Result, x, weights.clone()))
    }
}

/// What [`convolve`] reads; see [`convolution`](mod@crate::convolution) for the formula.
#[derive(Debug, Clone)]
pub struct Convolution<B: Backend> {
    /// `X [N, components C]`, read from senders.
    pub nodes: Value<B>,
    /// `Y [E, components]`.
    pub directions: Value<B>,
    /// `G [E, K]`.
    pub features: Value<B>,
    /// `W [K, paths C]`.
    pub weight: Tensor<B, 2>,
}

/// Tensor features that nodes receive along edges, `[N, components C]`.
///
/// # Panics
/// If shapes do not fit each other.
pub fn convolve<B: ConvolutionBackend>(
    work: EdgeWork,
    table: &Arc<Table>,
    edges: &EdgeIndex<B>,
    of: Convolution<B>,
) -> Value<B> {
    let Convolution { nodes, directions, features, weight } = of;
    let inputs =
        ConvolutionInputs { nodes: nodes.into(), directions: directions.into(), features: features.into(), weight };
    match work {
        EdgeWork::Fused => B::convolve(table, edges, &inputs).into(),
        EdgeWork::Composed => convolution::convolve(table, edges, &inputs).into(),
    }
}
