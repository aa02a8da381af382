//! One layer: messages along edges, an optional scalar per edge, new node features, moved
//! coordinates (Satorras et al. 2021, eq. 3 to 6).

use std::sync::Arc;

use isograd_engine::{Block, BlockWeights, Declare, Flow, Init, Slot};
use isograd_ops::message::MessageBackend;
use isograd_ops::value::{EdgeWork, Gate, Messages, Value, message};

use super::Egnn;
use crate::nn::{Edges, GatePerceptron, LayerNorm, Linear, Mlp, Radial, SMALLEST_SQUARE};
use crate::{Graph, Inputs, NODES, NodeVectors, VECTORS};

/// The flow entry of how far coordinate updates have moved each node, `[N, D]`; none before the first update.
const DISPLACEMENT: &str = "displacement";

/// The flow entry of the first features, `[N, F]`, where layers read them.
const FIRST: &str = "first";

/// The message perceptron phi_e, SiLU after both linear maps. The first one is split into parts for
/// receiver, sender and edge, so that the large products run over N rows instead of E.
#[derive(Debug)]
struct EdgeMlp {
    /// `W_i [F, F]`.
    receiver: Linear,
    /// `W_j [F, F]` and `b_1 [F]`.
    sender: Linear,
    /// `W_g [K, F]`.
    edge: Linear,
    /// `W_2 [F, F]` and `b_2 [F]`.
    second: Linear,
}

/// The weight of a message from the message itself: `sigmoid(m . a + b)`.
#[derive(Debug)]
struct Attention {
    /// `a [F, 1]`.
    weight: Slot<2>,
    /// `b [1]`.
    bias: Slot<1>,
}

/// One layer of the EGNN.
#[derive(Debug)]
pub(super) struct Layer {
    message: EdgeMlp,
    attention: Option<Attention>,
    /// phi_x, where the layer moves coordinates.
    coordinate: Option<GatePerceptron>,
    /// phi_v, where it moves them along velocities.
    velocity: Option<Mlp>,
    /// The half of phi_h's first linear map that reads the node, `[F, F]` with bias.
    node: Linear,
    /// The half that reads the sum of messages, `[F, F]`.
    gathered: Linear,
    /// The second linear map of phi_h, `[F, F]` with bias.
    update: Linear,
    norm: Option<LayerNorm>,
    /// phi_F of each head, where this is the last layer and vectors are direct.
    readouts: Vec<GatePerceptron>,
    /// What flows out as vectors, of the last layer.
    vectors: NodeVectors,
    radial: Radial,
    work: EdgeWork,
    /// Share of the first features, and what the update counts.
    initial_residual: Option<(f64, f64)>,
}

impl Layer {
    /// Layer number `layer` from 0.
    pub(super) fn declare(declare: &mut Declare, config: &Egnn, inputs: &Inputs, layer: usize) -> Self {
        let (width, features) = (config.width, config.basis.size());
        let last = layer + 1 == config.layers;
        let vectors = if last { inputs.vectors } else { NodeVectors::None };
        let mut layers = declare.scope("layers");
        let mut own = layers.scope(layer);
        let fan_in = 2 * width + features;
        let message = {
            let mut scope = own.scope("message");
            EdgeMlp {
                receiver: Linear::part(&mut scope, "receiver", [width, width], fan_in, false),
                sender: Linear::part(&mut scope, "sender", [width, width], fan_in, true),
                edge: Linear::part(&mut scope, "edge", [features, width], fan_in, false),
                second: Linear::declare(&mut scope, "second", [width, width], true),
            }
        };
        let attention = config.attention.then(|| {
            let mut scope = own.scope("attention");
            let init = Init::Uniform(1.0 / (width as f64).sqrt());
            Attention { weight: scope.slot("weight", [width, 1], init.clone()), bias: scope.slot("bias", [1], init) }
        });
        let moves = config.moves(layer, inputs.vectors);
        let coordinate = moves.then(|| GatePerceptron::declare(&mut own, "coordinate", width));
        let velocity =
            (moves && config.velocities).then(|| Mlp::declare(&mut own, "velocity", [width, width, 1], true));
        let node = Linear::part(&mut own, "node", [width, width], 2 * width, true);
        let gathered = Linear::part(&mut own, "gathered", [width, width], 2 * width, false);
        let update = Linear::declare(&mut own, "update", [width, width], true);
        let norm = LayerNorm::declare(&mut own, config.normalisation, "norm", width);
        drop(own);
        drop(layers);
        let readouts = (0..inputs.heads).filter(|_| vectors == NodeVectors::Direct);
        let readouts = readouts.map(|head| {
            let mut heads = declare.scope("heads");
            GatePerceptron::declare(&mut heads.scope(head), "force", width)
        });
        let counts = (1.0 + 1.0 / (2.0 * (layer + 1) as f64)).ln();
        Self {
            message,
            attention,
            coordinate,
            velocity,
            node,
            gathered,
            update,
            norm,
            readouts: readouts.collect(),
            vectors,
            radial: config.radial(),
            work: inputs.edge_work,
            initial_residual: (config.initial_residual > 0.0).then_some((config.initial_residual, counts)),
        }
    }

    /// The edges after coordinate updates; `None` without any.
    fn edges<B: MessageBackend>(&self, graph: &Graph<B>, displacement: Option<&Value<B>>) -> Option<Arc<Edges<B>>> {
        let given = graph.edges_as_given(&self.radial)?;
        Some(match displacement {
            Some(displacement) => Arc::new(given.moved(&self.radial, &graph.index, displacement)),
            None => given,
        })
    }

    /// `phi_h(h, sum of messages)`.
    fn updated<B: MessageBackend>(&self, weights: &BlockWeights<B>, nodes: Value<B>, gathered: Value<B>) -> Value<B> {
        let hidden = (self.node.apply(weights, nodes) + self.gathered.apply(weights, gathered)).silu();
        self.update.apply(weights, hidden)
    }

    /// What the message operation reads, from node features `[N, F]`; without a gate.
    fn messages<B: MessageBackend>(
        &self,
        weights: &BlockWeights<B>,
        nodes: &Value<B>,
        edges: &Edges<B>,
    ) -> Messages<B> {
        let EdgeMlp { receiver, sender, edge, second } = &self.message;
        Messages {
            receiver: receiver.apply(weights, nodes.clone()),
            sender: sender.apply(weights, nodes.clone()),
            features: edges.features.clone(),
            envelope: edges.envelope.clone(),
            edge_weight: weights.get(edge.weight),
            weight: weights.get(second.weight),
            bias: second.bias(weights, &nodes.device()),
            attention: self.attention.as_ref().map(|own| (weights.get(own.weight), weights.get(own.bias))),
            gate: None,
        }
    }

    /// Sums of messages `[N, F]`, and a scalar per edge `[E, 1]` where there is a gate.
    fn sums<B: MessageBackend>(
        &self,
        weights: &BlockWeights<B>,
        graph: &Graph<B>,
        messages: Messages<B>,
    ) -> (Value<B>, Option<Value<B>>) {
        let gate = |own: &GatePerceptron| own.gate(weights, &messages.receiver.device());
        match (&self.coordinate, self.readouts.as_slice()) {
            (None, []) => message(self.work, &graph.index, messages),
            (Some(own), _) => {
                let gate = Some(gate(own));
                message(self.work, &graph.index, Messages { gate, ..messages })
            }
            (None, own) => {
                let gates: Vec<Gate<B>> = graph.heads.iter().map(|part| gate(&own[part.head])).collect();
                match <[Gate<B>; 1]>::try_from(gates) {
                    Ok([gate]) => message(self.work, &graph.index, Messages { gate: Some(gate), ..messages }),
                    Err(gates) => self.sums_by_head(graph, &messages, gates),
                }
            }
        }
    }

    /// Heads have gates of their own: their nodes and edges, which are contiguous, one after the other.
    fn sums_by_head<B: MessageBackend>(
        &self,
        graph: &Graph<B>,
        messages: &Messages<B>,
        gates: Vec<Gate<B>>,
    ) -> (Value<B>, Option<Value<B>>) {
        let (mut sums, mut scalars) = (Vec::new(), Vec::new());
        for ((part, index), gate) in graph.heads.iter().zip(&graph.head_index).zip(gates) {
            let edges = |value: &Value<B>| value.rows(part.edges.clone());
            let nodes = |value: &Value<B>| value.rows(part.nodes.clone());
            if part.edges.is_empty() {
                sums.push(nodes(&messages.receiver).zeros_like());
                continue;
            }
            let own = Messages {
                receiver: nodes(&messages.receiver),
                sender: nodes(&messages.sender),
                features: edges(&messages.features),
                envelope: messages.envelope.as_ref().map(edges),
                gate: Some(gate),
                ..messages.clone()
            };
            let (sum, scalar) = message(self.work, index, own);
            sums.push(sum);
            scalars.extend(scalar);
        }
        (Value::stack(sums), Some(Value::stack(scalars)))
    }
}

impl<B: MessageBackend> Block<B, Graph<B>> for Layer {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, mut flow: Flow<B>) -> Flow<B> {
        let mut nodes = flow.need(NODES);
        let mut displacement = flow.take(DISPLACEMENT);
        let mut counts = None;
        if let Some((share, weight)) = self.initial_residual {
            let first = flow.take(FIRST).unwrap_or_else(|| nodes.clone());
            nodes = nodes.mul_scalar(1.0 - share) + first.clone().mul_scalar(share);
            flow.put(FIRST, first);
            counts = Some(weight);
        }
        let read = match &self.norm {
            Some(norm) => norm.apply(weights, nodes.clone()),
            None => nodes.clone(),
        };
        let edges = self.edges(graph, displacement.as_ref());
        let (gathered, scalars) = match &edges {
            Some(edges) => self.sums(weights, graph, self.messages(weights, &read, edges)),
            // Without edges no message is sent and nothing moves.
            None => (read.zeros_like(), None),
        };
        if let (Some(edges), Some(scalars), Some(_)) = (&edges, &scalars, &self.coordinate) {
            let pull = edges.vectors.clone() * edges.fade(scalars.clone());
            let moved = pull.sum_groups(&graph.index.receivers) * edges.mean.clone();
            displacement = Some(match displacement {
                Some(displacement) => displacement - moved,
                None => -moved,
            });
        }
        if let Some((phi, velocities)) = self.velocity.zip(graph.velocities.clone()) {
            let moved = velocities * phi.apply(weights, read.clone());
            displacement = Some(match displacement {
                Some(displacement) => displacement + moved,
                None => moved,
            });
        }
        let update = self.updated(weights, read, gathered);
        let update = match counts {
            Some(counts) => update.mul_scalar(counts),
            None => update,
        };
        flow.put(NODES, nodes + update);
        let zeros = || Value::zeros([graph.nodes, graph.dims], &graph.device());
        match self.vectors {
            NodeVectors::None => {
                if let Some(displacement) = displacement {
                    flow.put(DISPLACEMENT, displacement);
                }
            }
            NodeVectors::Displacement => flow.put(VECTORS, displacement.unwrap_or_else(zeros)),
            NodeVectors::Direct => {
                let direct = edges.zip(scalars).map(|(edges, scalars)| {
                    (edges.directions(SMALLEST_SQUARE) * edges.fade(scalars)).sum_groups(&graph.index.receivers)
                });
                flow.put(VECTORS, direct.unwrap_or_else(zeros));
            }
        }
        flow
    }
}
