//! One layer: messages along edges, an optional scalar per edge, new node features, moved
//! coordinates (Satorras et al. 2021, eq. 3 to 6).

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_backends::index::EdgeIndex;
use isograd_backends::kernels::{self, KernelBackend};
use isograd_backends::message::{GateInputs, MessageBackend, MessageInputs, MessageOutputs, reference};
use rand::Rng;

use super::dense::{Dense, Mlp, uniform};
use super::{EgnnConfig, MessageKind, radial};
use crate::graph::GraphBatch;

/// What a layer gets and gives.
#[derive(Debug, Clone)]
pub struct State<B: Backend> {
    /// Node features, `[N, F]`.
    pub features: Tensor<B, 2>,
    /// How far coordinate updates have moved each atom, `[N, 3]`; `None` before the first one.
    pub displacement: Option<Tensor<B, 2>>,
}

/// The message perceptron phi_e, SiLU after both linear maps. The first one is split into parts for
/// receiver, sender and edge, so that the large products run over N rows instead of E.
#[derive(Module, Debug)]
pub struct EdgeMlp<B: Backend> {
    /// `W_i [F, F]`.
    pub receiver: Dense<B>,
    /// `W_j [F, F]` and `b_1 [F]`.
    pub sender: Dense<B>,
    /// `W_g [K, F]`.
    pub edge: Dense<B>,
    /// `W_2 [F, F]` and `b_2 [F]`.
    pub second: Dense<B>,
}

impl<B: Backend> EdgeMlp<B> {
    fn new(config: &EgnnConfig, rng: &mut impl Rng, device: &B::Device) -> Self {
        let (width, features) = (config.width, config.basis.size());
        let fan_in = 2 * width + features;
        Self {
            receiver: Dense::new([width, width], fan_in, false, rng, device),
            sender: Dense::new([width, width], fan_in, true, rng, device),
            edge: Dense::new([features, width], fan_in, false, rng, device),
            second: Dense::new([width, width], width, true, rng, device),
        }
    }

    /// What the edge operation reads, from node features `[N, F]`; without a gate.
    fn inputs(&self, nodes: &Tensor<B, 2>, edges: &Edges<B>) -> MessageInputs<B> {
        MessageInputs {
            receiver: self.receiver.forward(nodes.clone()),
            sender: self.sender.forward(nodes.clone()),
            features: edges.features.clone(),
            envelope: edges.envelope.clone(),
            edge_weight: self.edge.weight.val(),
            weight: self.second.weight.val(),
            bias: self.second.bias(),
            gate: None,
        }
    }
}

/// A scalar per edge from its message: `SiLU(m W_3 + b_3) . w_4`.
#[derive(Module, Debug)]
pub struct Gate<B: Backend> {
    /// Linear, SiLU, Linear to one value, no bias at the end.
    pub mlp: Mlp<B>,
}

impl<B: Backend> Gate<B> {
    pub(super) fn new(width: usize, rng: &mut impl Rng, device: &B::Device) -> Self {
        Self { mlp: Mlp::new([width, width, 1], false, rng, device) }
    }

    fn inputs(&self) -> GateInputs<B> {
        let Mlp { first, second } = &self.mlp;
        GateInputs { weight: first.weight.val(), bias: first.bias(), readout: second.weight.val() }
    }
}

/// The weight of a message from the message itself: `sigmoid(m . a + b)`.
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    /// `a [F, 1]`.
    pub weight: Param<Tensor<B, 2>>,
    /// `b [1]`.
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> Attention<B> {
    fn new(width: usize, rng: &mut impl Rng, device: &B::Device) -> Self {
        let bound = 1.0 / (width as f64).sqrt();
        Self { weight: uniform([width, 1], bound, rng, device), bias: uniform([1], bound, rng, device) }
    }

    fn forward(&self, messages: Tensor<B, 2>) -> Tensor<B, 2> {
        let score = messages.clone().matmul(self.weight.val()) + self.bias.val().unsqueeze();
        messages * kernels::reference::sigmoid(score)
    }
}

/// One layer of the EGNN.
#[derive(Module, Debug)]
pub struct Layer<B: Backend> {
    /// phi_e.
    pub message: EdgeMlp<B>,
    /// Weight of each message.
    pub attention: Option<Attention<B>>,
    /// phi_x, where the layer moves coordinates.
    pub coordinate: Option<Gate<B>>,
    /// The half of phi_h's first linear map that reads the node, `[F, F]` with bias.
    pub node: Dense<B>,
    /// The half that reads the sum of messages, `[F, F]`.
    pub gathered: Dense<B>,
    /// The second linear map of phi_h, `[F, F]` with bias.
    pub update: Dense<B>,
}

impl<B: Backend> Layer<B> {
    /// A new layer; `moves` says whether it updates coordinates.
    pub fn new(config: &EgnnConfig, moves: bool, rng: &mut impl Rng, device: &B::Device) -> Self {
        let width = config.width;
        Self {
            message: EdgeMlp::new(config, rng, device),
            attention: config.attention.then(|| Attention::new(width, rng, device)),
            coordinate: moves.then(|| Gate::new(width, rng, device)),
            node: Dense::new([width, width], 2 * width, true, rng, device),
            gathered: Dense::new([width, width], 2 * width, false, rng, device),
            update: Dense::new([width, width], width, true, rng, device),
        }
    }
}

impl<B: MessageBackend> Layer<B> {
    /// The next state, and the scalar `[E, 1]` of each edge that `readouts` makes of its message; these
    /// are one gate per head of the batch, for layers that do not move coordinates. Without edges
    /// (`None`) no message is sent and nothing moves.
    pub fn forward(
        &self,
        graph: &GraphBatch<B>,
        edges: Option<&Edges<B>>,
        state: State<B>,
        readouts: &[&Gate<B>],
        kind: MessageKind,
    ) -> (State<B>, Option<Tensor<B, 2>>) {
        let Some(edges) = edges else {
            let gathered = state.features.zeros_like();
            return (State { features: self.updated(state.features, gathered), ..state }, None);
        };
        let inputs = self.message.inputs(&state.features, edges);
        let own: Vec<&Gate<B>> = self.coordinate.iter().collect();
        let gates = if own.is_empty() { readouts } else { &own };
        let MessageOutputs { gathered, gates } = match gates {
            [] => self.message(kind, &graph.index, inputs),
            [gate] => self.message(kind, &graph.index, MessageInputs { gate: Some(gate.inputs()), ..inputs }),
            several => self.message_by_head(kind, graph, &inputs, several),
        };
        let displacement = match &gates {
            Some(gates) if self.coordinate.is_some() => {
                let pull = edges.vectors.clone() * edges.fade(gates.clone());
                let moved = B::sum_groups(&graph.index.receivers, pull) * edges.mean.clone();
                Some(match state.displacement {
                    Some(displacement) => displacement - moved,
                    None => moved.neg(),
                })
            }
            _ => state.displacement,
        };
        (State { features: self.updated(state.features, gathered), displacement }, gates)
    }

    /// `h + phi_h(h, sum of messages)`.
    fn updated(&self, features: Tensor<B, 2>, gathered: Tensor<B, 2>) -> Tensor<B, 2> {
        let hidden = B::silu(self.node.forward(features.clone()) + self.gathered.forward(gathered));
        features + self.update.forward(hidden)
    }

    fn message(&self, kind: MessageKind, index: &EdgeIndex<B>, inputs: MessageInputs<B>) -> MessageOutputs<B> {
        match (&self.attention, kind) {
            (Some(attention), _) => reference::message_weighted(index, &inputs, |m| attention.forward(m)),
            (None, MessageKind::Fused) => B::message(index, &inputs),
            (None, MessageKind::Composed) => reference::message(index, &inputs),
        }
    }

    /// Heads have gates of their own: their atoms and edges, which are contiguous, one after the other.
    fn message_by_head(
        &self,
        kind: MessageKind,
        graph: &GraphBatch<B>,
        inputs: &MessageInputs<B>,
        gates: &[&Gate<B>],
    ) -> MessageOutputs<B> {
        let (mut sums, mut scalars) = (Vec::new(), Vec::new());
        for ((part, index), gate) in graph.heads.iter().zip(&graph.head_index).zip(gates) {
            let edges = |tensor: &Tensor<B, 2>| tensor.clone().slice([part.edges.clone()]);
            let atoms = |tensor: &Tensor<B, 2>| tensor.clone().slice([part.atoms.clone()]);
            if part.edges.is_empty() {
                sums.push(atoms(&inputs.receiver).zeros_like());
                continue;
            }
            let own = MessageInputs {
                receiver: atoms(&inputs.receiver),
                sender: atoms(&inputs.sender),
                features: edges(&inputs.features),
                envelope: inputs.envelope.as_ref().map(edges),
                gate: Some(gate.inputs()),
                ..inputs.clone()
            };
            let found = self.message(kind, index, own);
            sums.push(found.gathered);
            scalars.extend(found.gates);
        }
        MessageOutputs { gathered: Tensor::cat(sums, 0), gates: Some(Tensor::cat(scalars, 0)) }
    }
}

/// What layers know of the edges. Vectors and what follows from them are made anew whenever
/// coordinates have moved; the envelope stays that of the true geometry, because that is what decides
/// which edges there are: an edge must have faded before it leaves the list.
#[derive(Debug, Clone)]
pub struct Edges<B: Backend> {
    /// `r_ij`, `[E, 3]`.
    pub vectors: Tensor<B, 2>,
    /// Squared distances, `[E, 1]`.
    pub squared: Tensor<B, 2>,
    /// Basis, `[E, K]`.
    pub features: Tensor<B, 2>,
    /// Envelope, `[E, 1]`.
    pub envelope: Option<Tensor<B, 2>>,
    /// What turns the sum over an atom's edges into a mean, `[N, 1]`: one over the number of
    /// neighbours; with an envelope, one over one more than its sum, which does not jump.
    pub mean: Tensor<B, 2>,
}

impl<B: KernelBackend> Edges<B> {
    /// Edges of a graph; `None` if it has none.
    pub fn new(config: &EgnnConfig, graph: &GraphBatch<B>) -> Option<Self> {
        if graph.edges == 0 {
            return None;
        }
        let vectors = graph.vectors.clone();
        let squared = squares(&vectors);
        let envelope = radial::envelope(config.envelope, config.cutoff, squared.clone());
        let mean = match &envelope {
            Some(envelope) => (B::sum_groups(&graph.index.receivers, envelope.clone()) + 1.0).recip(),
            None => graph.inverse_degree.clone(),
        };
        let features = radial::features(config.basis, config.cutoff, squared.clone());
        Some(Self { vectors, squared, features, envelope, mean })
    }

    /// The same edges after atoms have moved by `displacement` `[N, 3]`.
    pub fn moved(&self, config: &EgnnConfig, graph: &GraphBatch<B>, displacement: &Tensor<B, 2>) -> Self {
        let sender = B::gather(&graph.index.senders, displacement.clone());
        let vectors = graph.vectors.clone() + sender - B::gather(&graph.index.receivers, displacement.clone());
        let squared = squares(&vectors);
        let features = radial::features(config.basis, config.cutoff, squared.clone());
        Self { vectors, squared, features, envelope: self.envelope.clone(), mean: self.mean.clone() }
    }

    /// A scalar per edge `[E, 1]` times the envelope. A gate's biases give a value even for a
    /// message that has faded to zero, which would jump when the edge leaves the cutoff.
    pub fn fade(&self, scalars: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.envelope {
            Some(envelope) => scalars * envelope.clone(),
            None => scalars,
        }
    }
}

/// Squared lengths `[E, 1]` of vectors `[E, 3]`.
fn squares<B: Backend>(vectors: &Tensor<B, 2>) -> Tensor<B, 2> {
    (vectors.clone() * vectors.clone()).sum_dim(1)
}
