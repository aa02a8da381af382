//! Vectors per node from scalar features: sums along edges.

use isograd_engine::{BlockWeights, Declare};
use isograd_ops::kernels::KernelBackend;
use isograd_ops::value::Value;

use super::{Edges, Linear, SMALLEST_SQUARE};
use crate::Graph;

/// `sum_j r_ij / |r_ij| phi(h_i, h_j, g(r_ij)) w(r_ij)`, a vector per node from scalar features, with a perceptron phi for
/// each head. For architectures without vectors of their own.
#[derive(Debug)]
pub struct PairVectors {
    heads: Vec<Perceptron>,
}

/// `silu(h_i W_i + h_j W_j + g W_g + b) . w`.
#[derive(Debug)]
struct Perceptron {
    receiver: Linear,
    sender: Linear,
    edge: Linear,
    readout: Linear,
}

impl PairVectors {
    /// Of node features of this width and edges with K features, for so many heads.
    pub fn declare(declare: &mut Declare, width: usize, basis: usize, heads: usize) -> Self {
        let head = |head| {
            let mut scope = declare.scope("heads");
            let mut scope = scope.scope(head);
            let mut scope = scope.scope("force");
            let fan_in = 2 * width + basis;
            Perceptron {
                receiver: Linear::part(&mut scope, "receiver", [width, width], fan_in, true),
                sender: Linear::part(&mut scope, "sender", [width, width], fan_in, false),
                edge: Linear::part(&mut scope, "edge", [basis, width], fan_in, false),
                readout: Linear::declare(&mut scope, "readout", [width, 1], false),
            }
        };
        Self { heads: (0..heads).map(head).collect() }
    }

    /// Vectors `[N, D]` from node features `[N, F]`; zero without edges.
    pub fn apply<B: KernelBackend>(
        &self,
        weights: &BlockWeights<B>,
        graph: &Graph<B>,
        nodes: &Value<B>,
        edges: Option<&Edges<B>>,
    ) -> Value<B> {
        let Some(edges) = edges else { return Value::zeros([graph.nodes, graph.dims], &graph.device()) };
        let index = &graph.index;
        let parts = graph.heads.iter().filter(|part| !part.edges.is_empty()).map(|part| {
            let own = &self.heads[part.head];
            let receiver = own.receiver.apply(weights, nodes.clone()).gather(&index.receivers);
            let sender = own.sender.apply(weights, nodes.clone()).gather(&index.senders);
            let edge = own.edge.apply(weights, edges.features.clone());
            own.readout.apply(weights, (receiver + sender + edge).silu()).rows(part.edges.clone())
        });
        let scalars = Value::stack(parts.collect());
        (edges.directions(SMALLEST_SQUARE) * edges.fade(scalars)).sum_groups(&index.receivers)
    }
}
