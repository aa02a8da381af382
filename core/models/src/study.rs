//! The network of the scaling study arXiv:2504.08112 as its code ran it, to be compared with.
//!
//! It is not equivariant, and `isograd check` says so: coordinates are among the features of nodes, so that nothing it
//! predicts is free of where the origin is and how axes lie; forces are a perceptron of scalar features; edge vectors do
//! without periodic shifts. Energies are means over nodes and do not add up. It is there to show what that breaks.
//!
//! - h_i = (Z_i, x_i), then per layer m_ij = phi_e(h_i, h_j, |r_ij|) with ReLU after both linear maps
//! - x_i <- x_i + mean_j clamp(r_ij / (|r_ij| + 1) tanh(phi_x(m_ij)), -100, 100), but in the last layer
//! - h_i <- relu(phi_h(h_i, sum_j m_ij)), without a residual

use isograd_engine::{Block, BlockWeights, Declare, Flow};
use isograd_ops::message::MessageBackend;
use isograd_ops::value::Value;
use serde::{Deserialize, Serialize};

use crate::nn::Linear;
use crate::tensors::floats;
use crate::{
    Architecture, GRAPHS, Graph, GraphBlocks, GraphNeeds, Inputs, Invalid, NODES, NodeVectors, Promises, VECTORS,
};

/// The flow entry of coordinates, `[N, D]`.
const COORDINATES: &str = "coordinates";

/// Largest component of a pull on a coordinate.
const LARGEST_PULL: f64 = 100.0;

/// Hyper-parameters of the study's network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Study {
    /// Width F. Default 50.
    pub width: usize,
    /// Number of layers L. Default 3.
    pub layers: usize,
    /// Cutoff in angstrom. Default 5.
    pub cutoff: f64,
}

impl Default for Study {
    fn default() -> Self {
        Self { width: 50, layers: 3, cutoff: 5.0 }
    }
}

impl Architecture for Study {
    const KIND: &'static str = "study";

    fn validate(&self, inputs: &Inputs) -> Result<(), Invalid> {
        Invalid::unless_sizes(self.width, self.layers, self.cutoff)?;
        if inputs.heads > 1 {
            return Err(Invalid::new("heads", "is \"per_source\", kind \"study\" has one head"));
        }
        Invalid::unless_displacement(Self::KIND, inputs)
    }

    fn needs(&self) -> GraphNeeds {
        GraphNeeds { positions: true, ..GraphNeeds::within(self.cutoff) }
    }

    fn width(&self) -> usize {
        self.width
    }

    fn promises(&self) -> Promises {
        Promises { equivariant: false, smooth: false }
    }

    fn blocks<B: MessageBackend>(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<B> {
        let layers = (0..self.layers).map(|layer| -> Box<dyn Block<B, Graph<B>>> {
            declare.next_block();
            Box::new(Layer::declare(declare, self, inputs, layer))
        });
        layers.collect()
    }
}

/// One layer.
struct Layer {
    receiver: Linear,
    sender: Linear,
    length: Linear,
    second: Linear,
    /// phi_x, where the layer moves coordinates.
    coordinate: Option<[Linear; 2]>,
    node: Linear,
    gathered: Linear,
    update: Linear,
    /// Forces from scalar features, of the last layer.
    forces: Option<[Linear; 2]>,
    /// Numbers of the kinds of nodes, of the first layer.
    first: Option<Vec<f32>>,
    last: bool,
}

impl Layer {
    fn declare(declare: &mut Declare, config: &Study, inputs: &Inputs, layer: usize) -> Self {
        let width = config.width;
        let input = if layer == 0 { 1 + inputs.dims } else { width };
        let last = layer + 1 == config.layers;
        let own = {
            let mut layers = declare.scope("layers");
            let mut scope = layers.scope(layer);
            let fan_in = 2 * input + 1;
            Self {
                receiver: Linear::part(&mut scope, "receiver", [input, width], fan_in, true),
                sender: Linear::part(&mut scope, "sender", [input, width], fan_in, false),
                length: Linear::part(&mut scope, "length", [1, width], fan_in, false),
                second: Linear::declare(&mut scope, "second", [width, width], true),
                coordinate: (!last).then(|| {
                    [
                        Linear::declare(&mut scope, "coordinate_in", [width, width], true),
                        Linear::declare(&mut scope, "coordinate_out", [width, 1], false),
                    ]
                }),
                node: Linear::part(&mut scope, "node", [input, width], input + width, true),
                gathered: Linear::part(&mut scope, "gathered", [width, width], input + width, false),
                update: Linear::declare(&mut scope, "update", [width, width], true),
                forces: None,
                first: (layer == 0).then(|| inputs.species.iter().map(|&number| number as f32).collect()),
                last,
            }
        };
        let direct = last && inputs.vectors == NodeVectors::Direct;
        let forces = direct.then(|| {
            let mut heads = declare.scope("heads");
            let mut head = heads.scope(0);
            let mut scope = head.scope("force");
            [
                Linear::declare(&mut scope, "first", [width, width], true),
                Linear::declare(&mut scope, "second", [width, inputs.dims], true),
            ]
        });
        Self { forces, ..own }
    }

    /// What flows into the layer: features and coordinates.
    fn inputs<B: MessageBackend>(&self, graph: &Graph<B>, flow: &mut Flow<B>) -> (Value<B>, Value<B>) {
        let Some(numbers) = &self.first else { return (flow.need(NODES), flow.need(COORDINATES)) };
        let positions = graph.positions.clone().unwrap_or_else(|| panic!("Study: the graph has no positions"));
        let numbers = Value::new(floats(numbers, [numbers.len(), 1], &graph.device())).gather(&graph.species);
        (Value::join(vec![numbers, positions.clone()]), positions)
    }
}

impl<B: MessageBackend> Block<B, Graph<B>> for Layer {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, mut flow: Flow<B>) -> Flow<B> {
        let (nodes, mut coordinates) = self.inputs(graph, &mut flow);
        let (receivers, senders) = (&graph.index.receivers, &graph.index.senders);
        let mut gathered = Value::zeros([graph.nodes, self.second.weight.shape()[1]], &graph.device());
        if graph.edges > 0 {
            let vectors = coordinates.clone().gather(senders) - coordinates.clone().gather(receivers);
            let length = vectors.clone().square().sum_columns().add_scalar(1e-12).sqrt();
            let read = self.receiver.apply(weights, nodes.clone()).gather(receivers)
                + self.sender.apply(weights, nodes.clone()).gather(senders)
                + self.length.apply(weights, length.clone());
            let messages = self.second.apply(weights, read.relu()).relu();
            if let Some([first, second]) = &self.coordinate {
                let pull = second.apply(weights, first.apply(weights, messages.clone()).relu()).tanh();
                let pull = vectors.divided_by(length.add_scalar(1.0)) * pull;
                let pull = pull.clamp(-LARGEST_PULL, LARGEST_PULL).sum_groups(receivers);
                coordinates = coordinates + pull * graph.inverse_degree.clone();
            }
            gathered = messages.sum_groups(receivers);
        }
        let hidden = (self.node.apply(weights, nodes) + self.gathered.apply(weights, gathered)).relu();
        let nodes = self.update.apply(weights, hidden).relu();
        if let Some([first, second]) = &self.forces {
            flow.put(VECTORS, second.apply(weights, first.apply(weights, nodes.clone()).relu()));
        }
        if self.last {
            flow.put(GRAPHS, nodes.clone().sum_groups(&graph.graph_of_node) * graph.inverse_sizes.clone());
        } else {
            flow.put(COORDINATES, coordinates);
        }
        flow.put(NODES, nodes);
        flow
    }
}
