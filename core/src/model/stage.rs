//! The model as a list of stages.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_backends::message::MessageBackend;

use super::layer::{Edges, Gate, Layer, State};
use super::{Egnn, EgnnConfig, ForceHead, Head, MessageKind, Prediction, radial};
use crate::Result;
use crate::engine::{Flow, Stage};
use crate::graph::GraphBatch;

/// What all stages of an EGNN read.
#[derive(Debug, Clone)]
pub struct StageGraph<B: Backend> {
    batch: GraphBatch<B>,
    /// Edges of the structure as it is given; `None` without any.
    edges: Option<Edges<B>>,
    config: EgnnConfig,
    message: MessageKind,
}

impl<B: MessageBackend> StageGraph<B> {
    fn new(model: &Egnn<B>, batch: &GraphBatch<B>) -> Self {
        let edges = Edges::new(&model.config, batch);
        Self { batch: batch.clone(), edges, config: model.config.clone(), message: model.message }
    }

    /// The edges after coordinate updates.
    fn edges_of(&self, state: &State<B>) -> Option<Edges<B>> {
        let edges = self.edges.as_ref()?;
        Some(match &state.displacement {
            Some(displacement) => edges.moved(&self.config, &self.batch, displacement),
            None => edges.clone(),
        })
    }
}

/// A stage of an EGNN. From stage to stage flow the features `[N, F]` and, once coordinates have moved,
/// the displacements `[N, 3]`; out of the last one the energies `[B, 1]` and forces `[N, 3]`.
#[derive(Module, Debug)]
pub enum EgnnStage<B: Backend> {
    /// First features.
    Embedding(Param<Tensor<B, 2>>),
    /// A layer.
    Layer(Layer<B>),
    /// The last layer, whose messages direct forces are made of, and the readouts.
    Last(Last<B>),
}

/// The last layer and the readouts.
#[derive(Module, Debug)]
pub struct Last<B: Backend> {
    layer: Layer<B>,
    heads: Vec<Head<B>>,
}

impl<B: MessageBackend> Stage<B> for EgnnStage<B> {
    type Graph = StageGraph<B>;

    fn forward(&self, graph: &StageGraph<B>, flow: Flow<B>) -> Flow<B> {
        match self {
            Self::Embedding(embedding) => vec![B::gather(&graph.batch.species, embedding.val())],
            Self::Layer(layer) => {
                let state = State::from(flow);
                let edges = graph.edges_of(&state);
                layer.forward(&graph.batch, edges.as_ref(), state, &[], graph.message).0.into()
            }
            Self::Last(last) => last.forward(graph, State::from(flow)),
        }
    }
}

impl<B: MessageBackend> Last<B> {
    fn forward(&self, graph: &StageGraph<B>, state: State<B>) -> Flow<B> {
        let StageGraph { batch, config, message, .. } = graph;
        let readouts: Vec<&Gate<B>> =
            batch.heads.iter().filter_map(|part| self.heads[part.head].force.as_ref()).collect();
        let edges = graph.edges_of(&state);
        let (state, strengths) = self.layer.forward(batch, edges.as_ref(), state, &readouts, *message);
        let forces = match (config.forces, edges, strengths) {
            (ForceHead::Displacement, ..) => state.displacement,
            (ForceHead::Direct, Some(edges), Some(strengths)) => {
                let directions = edges.vectors.clone() / radial::distance(edges.squared.clone());
                let forces = B::sum_groups(&batch.index.receivers, directions * edges.fade(strengths));
                Some(forces.mul_scalar(config.force_scale))
            }
            (ForceHead::Direct, ..) => None,
        };
        let forces = forces.unwrap_or_else(|| Tensor::zeros([batch.atoms, 3], &state.features.device()));
        vec![self.energies(graph, state.features), forces]
    }

    fn energies(&self, graph: &StageGraph<B>, features: Tensor<B, 2>) -> Tensor<B, 2> {
        let batch = &graph.batch;
        let parts = batch.heads.iter().map(|part| {
            let atoms = rows(&features, part.atoms.clone(), batch.atoms);
            self.heads[part.head].energy.forward(atoms)
        });
        let atoms = Tensor::cat(parts.collect(), 0).mul_scalar(graph.config.energy_scale);
        B::sum_groups(&batch.graph_of_atom, atoms)
    }
}

/// The rows of a range; the tensor itself where the range is all of it.
fn rows<B: Backend>(tensor: &Tensor<B, 2>, range: std::ops::Range<usize>, all: usize) -> Tensor<B, 2> {
    if range == (0..all) { tensor.clone() } else { tensor.clone().slice([range]) }
}

impl<B: Backend> From<Flow<B>> for State<B> {
    fn from(flow: Flow<B>) -> Self {
        let mut flow = flow.into_iter();
        let Some(features) = flow.next() else { panic!("EgnnStage: nothing flows in, expected features") };
        Self { features, displacement: flow.next() }
    }
}

impl<B: Backend> From<State<B>> for Flow<B> {
    fn from(state: State<B>) -> Self {
        std::iter::once(state.features).chain(state.displacement).collect()
    }
}

impl<B: Backend> From<Flow<B>> for Prediction<B> {
    fn from(flow: Flow<B>) -> Self {
        match <[Tensor<B, 2>; 2]>::try_from(flow) {
            Ok([energies, forces]) => Self { energies: energies.squeeze_dim(1), forces },
            Err(flow) => panic!("Prediction: {} matrices flow out, expected energies and forces", flow.len()),
        }
    }
}

/// A model that predicts batches, wherever its weights are.
pub trait Predictor<B: MessageBackend> {
    /// The model, whose parameters may be elsewhere.
    fn shape(&self) -> &Egnn<B>;

    /// Energies and forces of a batch.
    ///
    /// # Errors
    /// Where weights cannot be had.
    fn predict(&self, batch: &GraphBatch<B>) -> Result<Prediction<B>>;

    /// Takes part in what others predict.
    ///
    /// # Errors
    /// As [`Self::predict`].
    fn idle(&self) -> Result<()> {
        Ok(())
    }
}

impl<B: MessageBackend> Predictor<B> for Egnn<B> {
    fn shape(&self) -> &Egnn<B> {
        self
    }

    fn predict(&self, batch: &GraphBatch<B>) -> Result<Prediction<B>> {
        Ok(self.forward(batch))
    }
}

impl<B: MessageBackend> Egnn<B> {
    /// The stages, which share their parameters with the model and list them in its order.
    pub fn stages(&self) -> Vec<EgnnStage<B>> {
        let mut layers: Vec<Layer<B>> = self.layers.clone();
        let last = layers.pop().map(|layer| EgnnStage::Last(Last { layer, heads: self.heads.clone() }));
        let first = EgnnStage::Embedding(self.embedding.clone());
        std::iter::once(first).chain(layers.into_iter().map(EgnnStage::Layer)).chain(last).collect()
    }

    /// What the stages read of a batch.
    pub fn stage_graph(&self, batch: &GraphBatch<B>) -> StageGraph<B> {
        StageGraph::new(self, batch)
    }

    /// Energies and forces of a batch.
    pub fn forward(&self, batch: &GraphBatch<B>) -> Prediction<B> {
        let graph = self.stage_graph(batch);
        self.stages().iter().fold(Vec::new(), |flow, stage| stage.forward(&graph, flow)).into()
    }
}
