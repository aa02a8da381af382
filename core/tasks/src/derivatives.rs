//! Forces and stress as derivatives of an energy, from its gradient with respect to the vectors of edges.
//!
//! With edge e = (i <- j), `r_e = x_j + shift_e - x_i`, and g_e the gradient of the energy with respect to `r_e`:
//!
//! ```text
//! forces_i = -dE/dx_i = sum of g_e over edges with receiver i - sum of g_e over edges with sender i
//! stress   = dE/dstrain / V = sum of r_e g_e^T over all edges / V, its symmetric part
//! ```
//!
//! Both are linear in g. A loss with gradients u with respect to forces and s with respect to stress therefore depends on
//! the weights as the derivative of the energy does along the directions
//! `d_e = u_i - u_j + s r_e / V`, with s made symmetric.

use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use isograd_models::Graph;
use isograd_ops::index::Grouping;
use isograd_ops::kernels::KernelBackend;

/// What a derivative is taken with respect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Positions of nodes, with a minus: forces, `[N, D]`.
    Positions,
    /// Strain, over the volume: stress, `[B, D D]`, row by row; zero of a graph without a volume.
    Strain,
}

/// The geometry of a graph, as derivatives read it.
pub(crate) struct Geometry<B: KernelBackend> {
    receivers: Grouping<B>,
    senders: Grouping<B>,
    graph_of_node: Grouping<B>,
    /// `[E, D]`.
    vectors: Tensor<B, 2>,
    /// `[B, 1]`.
    inverse_volumes: Tensor<B, 2>,
}

impl<B: KernelBackend> Geometry<B> {
    pub(crate) fn new<A: AutodiffBackend<InnerBackend = B>>(graph: &Graph<A>) -> Self {
        Self {
            receivers: graph.index.receivers.inner(),
            senders: graph.index.senders.inner(),
            graph_of_node: graph.graph_of_node.inner(),
            vectors: graph.vectors.tensor().clone().inner(),
            inverse_volumes: graph.inverse_volumes.tensor().clone().inner(),
        }
    }

    /// A derivative of an energy, whose gradient with respect to the vectors is `slopes` `[E, D]`.
    pub(crate) fn derivative(&self, of: Of, slopes: &Tensor<B, 2>) -> Tensor<B, 2> {
        match of {
            Of::Positions => {
                B::sum_groups(&self.receivers, slopes.clone()) - B::sum_groups(&self.senders, slopes.clone())
            }
            Of::Strain => {
                let [edges, dims] = slopes.dims();
                let vectors: Tensor<B, 3> = self.vectors.clone().reshape([edges, dims, 1]);
                let products = vectors * slopes.clone().reshape([edges, 1, dims]);
                let of_nodes = B::sum_groups(&self.receivers, products.reshape([edges, dims * dims]));
                let virials = B::sum_groups(&self.graph_of_node, of_nodes);
                symmetric(virials, dims) * self.inverse_volumes.clone()
            }
        }
    }

    /// The directions `[E, D]` along which the derivative of the energy stands for what a loss asks of forces or stress, from
    /// the gradient of the loss with respect to them.
    pub(crate) fn directions(&self, of: Of, gradient: Tensor<B, 2>) -> Tensor<B, 2> {
        match of {
            Of::Positions => B::gather(&self.receivers, gradient.clone()) - B::gather(&self.senders, gradient),
            Of::Strain => {
                let [edges, dims] = self.vectors.dims();
                let strain = symmetric(gradient, dims) * self.inverse_volumes.clone();
                let strain = B::gather(&self.receivers, B::gather(&self.graph_of_node, strain));
                let strain: Tensor<B, 3> = strain.reshape([edges, dims, dims]);
                (strain * self.vectors.clone().reshape([edges, 1, dims])).sum_dim(2).reshape([edges, dims])
            }
        }
    }
}

/// The symmetric part of matrices `[B, D D]`, row by row.
fn symmetric<B: KernelBackend>(matrices: Tensor<B, 2>, dims: usize) -> Tensor<B, 2> {
    let [count, _] = matrices.dims();
    let matrices: Tensor<B, 3> = matrices.reshape([count, dims, dims]);
    ((matrices.clone() + matrices.swap_dims(1, 2)) * 0.5).reshape([count, dims * dims])
}
