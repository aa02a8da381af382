//! Convolution of tensor features along edges: what a node receives from its neighbours, as the product of their features
//! with the direction and the length of the edge, without ever holding anything of size `[E, C]`.
//!
//! With features X of nodes, directions Y of edges (harmonics of them), radial features G of edges and their weights W, and a
//! [`Table`] of terms k, each with a coefficient, a path p, and a component a of Y, b of X, o of the result, per edge e from
//! sender j to receiver i and per channel c
//!
//! ```text
//! R[e, p, c] = sum_n G[e, n] W[n, p, c]
//! out[i, o, c] += sum_k coefficient_k R[e, p_k, c] Y[e, a_k] X[j, b_k, c]
//! ```
//!
//! the convolution of tensor field networks (Thomas et al. 2018, arXiv:1802.08219) with one channel of the result for each
//! of the features. It is linear in each of G, W, Y and X; derivatives along a direction are sums of the same with a tangent
//! in place of one of them, which [`Dual`] numbers say, see [`Dual::swapped`] for gradients.

mod autodiff;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
mod flex;
mod reference;
pub mod scratch;

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

pub use self::reference::{convolve, convolve_backward};

use crate::dual::Dual;
use crate::gradient::Wanted;
use crate::index::EdgeIndex;
use crate::kernels::KernelBackend;
use crate::kernels::tensor_product::{Slot, Table};

/// What the operation reads.
#[derive(Debug, Clone)]
pub struct ConvolutionInputs<B: Backend> {
    /// `X [N, components C]`.
    pub nodes: Dual<B>,
    /// `Y [E, components]`.
    pub directions: Dual<B>,
    /// `G [E, K]`.
    pub features: Dual<B>,
    /// `W [K, paths C]`.
    pub weight: Tensor<B, 2>,
}

impl<B: Backend> ConvolutionInputs<B> {
    /// Whether a direction changes any of them.
    pub(crate) fn is_dual(&self) -> bool {
        [&self.nodes, &self.directions, &self.features].into_iter().any(|input| input.tangent.is_some())
    }
}

/// Gradients of [`ConvolutionInputs`], in their shapes.
#[derive(Debug, Clone)]
pub struct ConvolutionGradients<B: Backend> {
    /// Of X.
    pub nodes: Dual<B>,
    /// Of Y and G, where those of the geometry are wanted.
    pub geometry: Option<[Dual<B>; 2]>,
    /// Of W, where it is wanted.
    pub weight: Option<Tensor<B, 2>>,
}

/// A backend that can carry tensor features along edges.
pub trait ConvolutionBackend: KernelBackend {
    /// The operation: `[N, components C]`. The result has a tangent where an input has one.
    ///
    /// # Panics
    /// If shapes do not fit each other.
    fn convolve(table: &Arc<Table>, edges: &EdgeIndex<Self>, inputs: &ConvolutionInputs<Self>) -> Dual<Self> {
        reference::convolve(table, edges, inputs)
    }

    /// Gradients of the inputs from those of the result and of its tangent.
    ///
    /// # Panics
    /// If shapes do not fit each other.
    fn convolve_backward(
        table: &Arc<Table>,
        edges: &EdgeIndex<Self>,
        inputs: &ConvolutionInputs<Self>,
        gradient: Dual<Self>,
        wanted: Wanted,
    ) -> ConvolutionGradients<Self> {
        reference::convolve_backward(table, edges, inputs, gradient, wanted)
    }
}

/// The reference, in either precision.
#[cfg(feature = "ndarray")]
impl ConvolutionBackend for burn_ndarray::NdArray<f64> {}

/// The sizes of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// N.
    pub(crate) nodes: usize,
    /// E.
    pub(crate) edges: usize,
    /// C.
    pub(crate) channels: usize,
    /// K.
    pub(crate) basis: usize,
}

impl Sizes {
    /// # Panics
    /// If shapes do not fit each other; the message names the input.
    pub(crate) fn new<B: Backend>(table: &Table, edges: &EdgeIndex<B>, inputs: &ConvolutionInputs<B>) -> Self {
        let [basis, columns] = inputs.weight.dims();
        let channels = columns / table.size(Slot::Path).max(1);
        let check = |name: &str, found: &Dual<B>, expected: [usize; 2]| {
            assert_eq!(found.value.dims(), expected, "convolve: shape of {name}, expected {expected:?}");
            if let Some(tangent) = &found.tangent {
                assert_eq!(tangent.dims(), expected, "convolve: shape of the tangent of {name}, expected {expected:?}");
            }
        };
        let sizes = Self { nodes: edges.nodes(), edges: edges.len(), channels, basis };
        assert_eq!(columns, table.size(Slot::Path) * channels, "convolve: columns of weight");
        check("nodes", &inputs.nodes, [sizes.nodes, table.size(Slot::Second) * channels]);
        check("directions", &inputs.directions, [sizes.edges, table.size(Slot::First)]);
        check("features", &inputs.features, [sizes.edges, basis]);
        sizes
    }
}
