//! GCN: features averaged over neighbours (Kipf and Welling 2017, arXiv:1609.02907, eq. 2).
//!
//! `h_i <- h_i + silu(b + sum_j c_ij h_j W)` over neighbours and the node itself, with
//! `c_ij = w_ij / sqrt((1 + d_i) (1 + d_j))` and `d_i = sum_j w_ij`. An edge's weight w is its envelope, so that nothing
//! jumps where an edge comes or goes. Beyond that it does not know distances.

use isograd_engine::{Block, BlockWeights, Declare, Flow};
use isograd_ops::message::MessageBackend;
use serde::{Deserialize, Serialize};

use crate::nn::{Basis, Embedding, Envelope, Linear, PairVectors, Radial, stack};
use crate::{Architecture, Graph, GraphBlocks, GraphNeeds, Inputs, Invalid, NODES, NodeVectors, VECTORS};

/// Hyper-parameters of a GCN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gcn {
    /// Width F of node features. Default 128.
    pub width: usize,
    /// Number of layers L. Default 3.
    pub layers: usize,
    /// Cutoff in angstrom. Default 5.
    pub cutoff: f64,
    /// Weight of an edge over its length. Default `polynomial`.
    pub envelope: Envelope,
}

impl Default for Gcn {
    fn default() -> Self {
        Self { width: 128, layers: 3, cutoff: 5.0, envelope: Envelope::Polynomial }
    }
}

impl Architecture for Gcn {
    const KIND: &'static str = "gcn";

    fn validate(&self, inputs: &Inputs) -> Result<(), Invalid> {
        Invalid::unless_sizes(self.width, self.layers, self.cutoff)?;
        Invalid::unless_displacement(Self::KIND, inputs)
    }

    fn needs(&self) -> GraphNeeds {
        GraphNeeds::within(self.cutoff)
    }

    fn width(&self) -> usize {
        self.width
    }

    fn promises(&self) -> crate::Promises {
        crate::Promises { equivariant: true, smooth: self.envelope != Envelope::None }
    }

    fn blocks<B: MessageBackend>(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<B> {
        let radial = Radial::new(self.cutoff, Basis::SquaredDistance, self.envelope);
        let embedding = |declare: &mut Declare| Embedding::declare(declare, inputs.species.len(), self.width);
        stack(declare, embedding, self.layers, |declare, layer| {
            let map = {
                let mut layers = declare.scope("layers");
                Linear::declare(&mut layers.scope(layer), "map", [self.width; 2], true)
            };
            let direct = layer + 1 == self.layers && inputs.vectors == NodeVectors::Direct;
            let vectors = direct.then(|| PairVectors::declare(declare, self.width, radial.basis.size(), inputs.heads));
            Convolution { map, vectors, radial: radial.clone() }
        })
    }
}

/// One layer.
struct Convolution {
    map: Linear,
    vectors: Option<PairVectors>,
    radial: Radial,
}

impl<B: MessageBackend> Block<B, Graph<B>> for Convolution {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, mut flow: Flow<B>) -> Flow<B> {
        let nodes = flow.need(NODES);
        let edges = graph.edges_as_given(&self.radial);
        let mapped = nodes.clone().matmul(weights.get(self.map.weight));
        let mean = match &edges {
            Some(edges) => {
                let (receivers, senders) = (&graph.index.receivers, &graph.index.senders);
                let weight = match &edges.envelope {
                    Some(envelope) => envelope.clone(),
                    None => edges.squared.zeros_like().add_scalar(1.0),
                };
                let norm = weight.sum_groups(receivers).add_scalar(1.0).recip().sqrt();
                let sent = edges.fade((mapped.clone() * norm.clone()).gather(senders));
                (sent.sum_groups(receivers) + mapped * norm.clone()) * norm
            }
            None => mapped,
        };
        let nodes = nodes + mean.add_row(self.map.bias(weights, &graph.device())).silu();
        if let Some(vectors) = &self.vectors {
            flow.put(VECTORS, vectors.apply(weights, graph, &nodes, edges.as_deref()));
        }
        flow.put(NODES, nodes);
        flow
    }
}
