//! GAT with the attention of GATv2 (Brody, Alon and Yahav 2022, arXiv:2105.14491, eq. 7).
//!
//! A node attends to its neighbours and to itself: `h_i <- h_i + silu(b + sum_j alpha_ij h_j W_s)` with scores
//! `a . f(h_i W_r + h_j W_s + g(r_ij) W_g)` of each attention head. The rectifier f is a smooth one,
//! `0.2 x + 0.8 x sigmoid(x)`, because a kink in it is one in the forces. The softmax over neighbours is weighted by the
//! envelope, so that nothing jumps where an edge comes or goes.

use isograd_engine::{Block, BlockWeights, Declare, Flow, Init, Slot};
use isograd_ops::message::MessageBackend;
use isograd_ops::value::{Value, attend};
use serde::{Deserialize, Serialize};

use crate::nn::{Basis, Embedding, Envelope, Linear, PairVectors, Radial, stack};
use crate::{Architecture, Graph, GraphBlocks, GraphNeeds, Inputs, Invalid, NODES, NodeVectors, VECTORS};

/// Slope of the leaky rectifier far below zero, as in the paper.
const SLOPE: f64 = 0.2;

/// Hyper-parameters of a GAT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gat {
    /// Width F of node features, a multiple of `attention_heads`. Default 128.
    pub width: usize,
    /// Number of layers L. Default 3.
    pub layers: usize,
    /// Number of attention heads. Default 4.
    pub attention_heads: usize,
    /// Cutoff in angstrom. Default 5.
    pub cutoff: f64,
    /// Edge features. Default `{ kind = "bessel", size = 16 }`.
    pub basis: Basis,
    /// Fading at the cutoff. Default `polynomial`.
    pub envelope: Envelope,
}

impl Default for Gat {
    fn default() -> Self {
        let basis = Basis::Bessel { size: 16 };
        Self { width: 128, layers: 3, attention_heads: 4, cutoff: 5.0, basis, envelope: Envelope::Polynomial }
    }
}

impl Architecture for Gat {
    const KIND: &'static str = "gat";

    fn validate(&self, inputs: &Inputs) -> Result<(), Invalid> {
        Invalid::unless_sizes(self.width, self.layers, self.cutoff)?;
        Invalid::unless_within("attention_heads", self.attention_heads, 1, self.width)?;
        if !self.width.is_multiple_of(self.attention_heads) {
            let message = format!("is {}, expected a divisor of width = {}", self.attention_heads, self.width);
            return Err(Invalid::new("attention_heads", message));
        }
        Invalid::unless_within("basis.size", self.basis.size(), 1, 1024)?;
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
        let embedding = |declare: &mut Declare| Embedding::declare(declare, inputs.species.len(), self.width);
        stack(declare, embedding, self.layers, |declare, layer| Layer::declare(declare, self, inputs, layer))
    }
}

/// One layer.
struct Layer {
    receiver: Linear,
    sender: Linear,
    edge: Linear,
    /// a of all attention heads, one after the other, `[F]`.
    score: Slot<1>,
    bias: Slot<1>,
    vectors: Option<PairVectors>,
    radial: Radial,
    attention_heads: usize,
}

impl Layer {
    fn declare(declare: &mut Declare, config: &Gat, inputs: &Inputs, layer: usize) -> Self {
        let (width, basis) = (config.width, config.basis.size());
        let own = {
            let mut layers = declare.scope("layers");
            let mut scope = layers.scope(layer);
            let head = width / config.attention_heads;
            Self {
                receiver: Linear::declare(&mut scope, "receiver", [width, width], false),
                sender: Linear::declare(&mut scope, "sender", [width, width], false),
                edge: Linear::declare(&mut scope, "edge", [basis, width], false),
                score: scope.slot("score", [width], Init::Uniform((3.0 / head as f64).sqrt())),
                bias: scope.slot("bias", [width], Init::Constant(0.0)),
                vectors: None,
                radial: Radial::new(config.cutoff, config.basis, config.envelope),
                attention_heads: config.attention_heads,
            }
        };
        let direct = layer + 1 == config.layers && inputs.vectors == NodeVectors::Direct;
        Self { vectors: direct.then(|| PairVectors::declare(declare, width, basis, inputs.heads)), ..own }
    }

    /// Scores `[rows, H]` of what a perceptron reads, `[rows, F]`.
    fn scores<B: MessageBackend>(&self, weights: &BlockWeights<B>, read: Value<B>) -> Value<B> {
        let [rows, width] = read.dims();
        let rectified = read.clone().mul_scalar(SLOPE) + read.silu().mul_scalar(1.0 - SLOPE);
        let weighted = rectified.mul_row(weights.get(self.score));
        let heads = weighted.reshape([rows * self.attention_heads, width / self.attention_heads]);
        heads.sum_columns().reshape([rows, self.attention_heads])
    }

    /// Features `[rows, F]` times shares `[rows, H]`, each of a head's features.
    fn shared<B: MessageBackend>(&self, features: Value<B>, shares: Value<B>) -> Value<B> {
        let [rows, width] = features.dims();
        let heads = features.reshape([rows * self.attention_heads, width / self.attention_heads]);
        (heads * shares.reshape([rows * self.attention_heads, 1])).reshape([rows, width])
    }
}

impl<B: MessageBackend> Block<B, Graph<B>> for Layer {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, mut flow: Flow<B>) -> Flow<B> {
        let nodes = flow.need(NODES);
        let edges = graph.edges_as_given(&self.radial);
        let read = self.receiver.apply(weights, nodes.clone());
        let sent = self.sender.apply(weights, nodes.clone());
        let gathered = match &edges {
            Some(edges) => {
                let (receivers, senders) = (&graph.index.receivers, &graph.index.senders);
                let features = self.edge.apply(weights, edges.features.clone());
                let along = sent.clone().gather(senders);
                let scores = self.scores(weights, read.clone().gather(receivers) + along.clone() + features);
                let own = self.scores(weights, read + sent.clone());
                let (shares, own) = attend(receivers, scores, own, edges.envelope.clone());
                self.shared(along, shares).sum_groups(receivers) + self.shared(sent, own)
            }
            None => sent,
        };
        let nodes = nodes + gathered.add_row(weights.get(self.bias)).silu();
        if let Some(vectors) = &self.vectors {
            flow.put(VECTORS, vectors.apply(weights, graph, &nodes, edges.as_deref()));
        }
        flow.put(NODES, nodes);
        flow
    }
}
