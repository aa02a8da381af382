//! From node features to targets: what is put on the last block of a model.

use burn::tensor::Tensor;
use isograd_engine::{Block, BlockWeights, Declare, Flow};
use isograd_models::nn::Mlp;
use isograd_models::{GRAPHS, Graph, NODES, VECTORS};
use isograd_ops::message::MessageBackend;
use isograd_ops::value::Value;

use crate::{Kind, Level, Of, Target};

/// What becomes of what a perceptron says of each node, or what it says something of instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// It is the prediction.
    Nodes,
    /// The prediction is what it says of each edge: of the features of receiver and sender and of their distance.
    Edges,
    /// Its sum over the nodes of a graph is.
    Sum,
    /// Its mean over them is.
    Mean,
}

/// How one target is read out.
#[derive(Debug, Clone, PartialEq)]
pub enum Readout {
    /// By a perceptron on the features of each node, one for each head; or on the features of whole graphs, where the
    /// architecture pools nodes itself.
    Perceptron {
        /// The target.
        target: String,
        /// What is said of a node: numbers, or one for each class.
        columns: usize,
        /// What becomes of it.
        pool: Pool,
        /// What it is multiplied by, in the target's unit.
        scale: f64,
    },
    /// As a derivative of an energy, which is another target.
    Derivative(Derivative),
    /// By the vectors that flow out of the last block.
    Vectors {
        /// The target.
        target: String,
        /// What they are multiplied by, in the target's unit; `None` leaves them as they are.
        scale: Option<f64>,
        /// What becomes of them.
        pool: Pool,
    },
}

/// A target that is a derivative of an energy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivative {
    /// The target.
    pub target: String,
    /// The energy, a scalar of graphs.
    pub energy: String,
    /// What the derivative is taken with respect to.
    pub of: Of,
}

impl Pool {
    /// The usual one of a target: sums of what is extensive, and of vectors.
    pub fn of(target: &Target) -> Self {
        match (target.level, target.kind, target.extensive) {
            (Level::Node, ..) => Self::Nodes,
            (Level::Edge, ..) => Self::Edges,
            (Level::Graph, Kind::Vector, _) | (Level::Graph, _, true) => Self::Sum,
            (Level::Graph, _, false) => Self::Mean,
        }
    }
}

impl Readout {
    /// The usual readout of a target: perceptrons for scalars and classes, vectors for vectors.
    pub fn of(target: &Target) -> Self {
        let (name, pool) = (target.name.clone(), Pool::of(target));
        match target.kind {
            Kind::Vector | Kind::Tensor => Self::Vectors { target: name, scale: Some(target.scale), pool },
            Kind::Scalar | Kind::Class(_) => {
                Self::Perceptron { target: name, columns: target.columns(0), pool, scale: target.scale }
            }
        }
    }
}

/// A block with readouts behind it: one block, so that its activations are kept or made again together.
pub(crate) struct WithReadouts<T> {
    trunk: T,
    readouts: Vec<Declared>,
}

/// A readout and its parameters.
struct Declared {
    readout: Readout,
    /// One for each head; none where there is nothing to learn.
    perceptrons: Vec<Mlp>,
}

impl<T> WithReadouts<T> {
    /// Declares the readouts' parameters behind those of the last block.
    pub(crate) fn declare(trunk: T, readouts: &[Readout], width: usize, heads: usize, declare: &mut Declare) -> Self {
        let mut own = |readout: &Readout| {
            let mut perceptrons = Vec::new();
            if let Readout::Perceptron { target, columns, pool, .. } = readout {
                let read = if *pool == Pool::Edges { 2 * width + 1 } else { width };
                for head in 0..heads {
                    let mut scope = declare.scope("heads");
                    perceptrons.push(Mlp::declare(&mut scope.scope(head), target, [read, width, *columns], true));
                }
            }
            Declared { readout: readout.clone(), perceptrons }
        };
        // Derivatives are no part of the last block.
        let learned = readouts.iter().filter(|readout| !matches!(readout, Readout::Derivative(_)));
        let readouts = learned.map(&mut own).collect();
        Self { trunk, readouts }
    }
}

impl<B: MessageBackend, T: Block<B, Graph<B>>> Block<B, Graph<B>> for WithReadouts<T> {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, flow: Flow<B>) -> Flow<B> {
        let mut flow = self.trunk.forward(weights, graph, flow);
        let nodes = flow.need(NODES);
        let graphs = flow.take(GRAPHS);
        let mut out = Flow::new();
        for Declared { readout, perceptrons } in &self.readouts {
            match readout {
                Readout::Perceptron { target, columns, pool: Pool::Edges, .. } if graph.edges == 0 => {
                    out.put(target, Value::new(Tensor::empty([0, *columns], &graph.device())));
                }
                Readout::Perceptron { target, pool: Pool::Edges, scale, .. } => {
                    let edges = of_edges(nodes.clone(), graph);
                    let parts = graph
                        .heads
                        .iter()
                        .map(|part| perceptrons[part.head].apply(weights, edges.rows(part.edges.clone())));
                    out.put(target, Value::stack(parts.collect()).mul_scalar(*scale));
                }
                Readout::Perceptron { target, pool, scale, .. } if *pool != Pool::Nodes && graphs.is_some() => {
                    let said = graphs.clone().map(|graphs| perceptrons[0].apply(weights, graphs).mul_scalar(*scale));
                    let said = said.unwrap_or_else(|| Value::zeros([graph.graphs, 1], &graph.device()));
                    out.put(target, if *pool == Pool::Sum { said * graph.inverse_sizes.clone().recip() } else { said });
                }
                Readout::Perceptron { target, pool, scale, .. } => {
                    let parts = graph
                        .heads
                        .iter()
                        .map(|part| perceptrons[part.head].apply(weights, nodes.rows(part.nodes.clone())));
                    let nodes = Value::stack(parts.collect()).mul_scalar(*scale);
                    out.put(target, pooled(*pool, nodes, graph));
                }
                Readout::Derivative(_) => {}
                Readout::Vectors { target, scale, pool } => {
                    let vectors = flow.need(VECTORS);
                    let scaled = scale.map_or(vectors.clone(), |scale| vectors.mul_scalar(scale));
                    out.put(target, pooled(*pool, scaled, graph));
                }
            }
        }
        out
    }
}

/// What is known of each edge, `[E, 2 F + 1]`: the features of its receiver and its sender, and `1 / (1 + r^2)` of its length
/// r.
fn of_edges<B: MessageBackend>(nodes: Value<B>, graph: &Graph<B>) -> Value<B> {
    let near = graph.vectors.clone().square().sum_columns().add_scalar(1.0).recip();
    let [receivers, senders] = [&graph.index.receivers, &graph.index.senders].map(|ends| nodes.clone().gather(ends));
    Value::join(vec![receivers, senders, near])
}

fn pooled<B: MessageBackend>(pool: Pool, nodes: Value<B>, graph: &Graph<B>) -> Value<B> {
    match pool {
        Pool::Nodes | Pool::Edges => nodes,
        Pool::Sum => nodes.sum_groups(&graph.graph_of_node),
        Pool::Mean => nodes.sum_groups(&graph.graph_of_node) * graph.inverse_sizes.clone(),
    }
}
