//! PaiNN: scalar and vector features that exchange messages (Schütt, Unke and Gastegger 2021, arXiv:2102.03150).
//!
//! A layer has two steps. The message step (eq. 7 and 8) sums over neighbours
//! `ds_i = sum_j phi_s(s_j) W_s(r_ij)` and `dv_i = sum_j v_j phi_v(s_j) W_v(r_ij) + phi_d(s_j) W_d(r_ij) r_ij / |r_ij|`. The
//! update step (eq. 9 and 10) mixes features of a node: `dv = a_vv U v` and `ds = a_ss + a_sv <U v, V v>`, with the a's made
//! of s and of the lengths of V v.

use isograd_engine::{Block, BlockWeights, Declare, Flow};
use isograd_ops::message::MessageBackend;
use isograd_ops::value::Value;
use serde::{Deserialize, Serialize};

use crate::nn::{Basis, Embedding, Envelope, Linear, Mlp, Radial, VectorReadout, stack};
use crate::{Architecture, Graph, GraphBlocks, GraphNeeds, Inputs, Invalid, NODES, NodeVectors, VECTORS};

/// The flow entry of vector features, `[N, D F]`.
const VECTOR_FEATURES: &str = "vector features";

/// Added to squared lengths of vector features, and of edges whose directions are made into some (angstrom^2). The root then is smooth at zero, where the features of a node lie whose only
/// edge fades; with the usual 1e-8 its slope would turn within a hundredth of the cutoff.
const SMALLEST_SQUARE: f64 = 1e-4;

/// Hyper-parameters of a PaiNN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PaiNN {
    /// Width F: so many scalar and so many vector features. Default 128.
    pub width: usize,
    /// Number of layers L. Default 3.
    pub layers: usize,
    /// Cutoff in angstrom. Default 5.
    pub cutoff: f64,
    /// Edge features. Default `{ kind = "bessel", size = 20 }`.
    pub basis: Basis,
    /// Fading at the cutoff. Default `polynomial`: with the `cosine` of the paper, slopes of conservative forces jump where an
    /// atom crosses the cutoff.
    pub envelope: Envelope,
}

impl Default for PaiNN {
    fn default() -> Self {
        Self { width: 128, layers: 3, cutoff: 5.0, basis: Basis::Bessel { size: 20 }, envelope: Envelope::Polynomial }
    }
}

impl Architecture for PaiNN {
    const KIND: &'static str = "painn";

    fn validate(&self, inputs: &Inputs) -> Result<(), Invalid> {
        Invalid::unless_sizes(self.width, self.layers, self.cutoff)?;
        Invalid::unless_within("basis.size", self.basis.size(), 1, 1024)?;
        Invalid::unless_fading(self.envelope)?;
        Invalid::unless_displacement(Self::KIND, inputs)
    }

    fn needs(&self) -> GraphNeeds {
        GraphNeeds::within(self.cutoff)
    }

    fn width(&self) -> usize {
        self.width
    }

    fn blocks<B: MessageBackend>(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<B> {
        let embedding = |declare: &mut Declare| Embedding::declare(declare, inputs.species.len(), self.width);
        stack(declare, embedding, self.layers, |declare, layer| Layer::declare(declare, self, inputs, layer))
    }
}

/// A message step and an update step.
struct Layer {
    width: usize,
    radial: Radial,
    /// phi, `[F]` to `[3 F]`.
    message: Mlp,
    /// W, `[K]` to `[3 F]`.
    filter: Linear,
    /// U and V, without biases: a bias on vectors would not turn with them.
    vectors: [Linear; 2],
    /// a, `[2 F]` to `[3 F]`.
    update: Mlp,
    readout: Option<VectorReadout>,
}

impl Layer {
    fn declare(declare: &mut Declare, config: &PaiNN, inputs: &Inputs, layer: usize) -> Self {
        let width = config.width;
        let radial = Radial::new(config.cutoff, config.basis, config.envelope);
        let own = {
            let mut layers = declare.scope("layers");
            let mut scope = layers.scope(layer);
            Self {
                width,
                radial,
                message: Mlp::declare(&mut scope, "message", [width, width, 3 * width], true),
                filter: Linear::declare(&mut scope, "filter", [config.basis.size(), 3 * width], true),
                vectors: ["u", "v"].map(|name| Linear::declare(&mut scope, name, [width, width], false)),
                update: Mlp::declare(&mut scope, "update", [2 * width, width, 3 * width], true),
                readout: None,
            }
        };
        let direct = layer + 1 == config.layers && inputs.vectors == NodeVectors::Direct;
        Self { readout: direct.then(|| VectorReadout::declare(declare, width, inputs.heads)), ..own }
    }

    /// Columns of the k-th of several sets of features.
    fn set<B: MessageBackend>(&self, all: &Value<B>, k: usize) -> Value<B> {
        all.columns(k * self.width..(k + 1) * self.width)
    }

    /// What scalars and vectors receive; `None` without edges.
    fn received<B: MessageBackend>(
        &self,
        weights: &BlockWeights<B>,
        graph: &Graph<B>,
        scalars: &Value<B>,
        vectors: Option<&Value<B>>,
    ) -> Option<(Value<B>, Value<B>)> {
        let edges = graph.edges_as_given(&self.radial)?;
        let (receivers, senders) = (&graph.index.receivers, &graph.index.senders);
        let filter = edges.fade(self.filter.apply(weights, edges.features.clone()));
        let sent = self.message.apply(weights, scalars.clone()).gather(senders) * filter;
        let along = edges.directions(SMALLEST_SQUARE).outer(self.set(&sent, 1));
        let moved = match vectors {
            Some(vectors) => along + vectors.clone().gather(senders).scale_vectors(self.set(&sent, 2)),
            None => along,
        };
        Some((self.set(&sent, 0).sum_groups(receivers), moved.sum_groups(receivers)))
    }
}

impl<B: MessageBackend> Block<B, Graph<B>> for Layer {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, mut flow: Flow<B>) -> Flow<B> {
        let mut scalars = flow.need(NODES);
        let mut vectors = flow.take(VECTOR_FEATURES);
        if let Some((to_scalars, to_vectors)) = self.received(weights, graph, &scalars, vectors.as_ref()) {
            scalars = scalars + to_scalars;
            vectors = Some(match vectors {
                Some(vectors) => vectors + to_vectors,
                None => to_vectors,
            });
        }
        let zeros = || Value::zeros([graph.nodes, graph.dims * self.width], &graph.device());
        let vectors = vectors.unwrap_or_else(zeros);
        let [u, v] = self.vectors.map(|map| vectors.clone().matmul_vectors(weights.get(map.weight)));
        let lengths = v.clone().dot_vectors(v.clone(), graph.dims).add_scalar(SMALLEST_SQUARE).sqrt();
        let mixed = self.update.apply(weights, Value::join(vec![scalars.clone(), lengths]));
        let inner = u.clone().dot_vectors(v, graph.dims);
        let vectors = vectors + u.scale_vectors(self.set(&mixed, 0));
        let scalars = scalars + self.set(&mixed, 1) + self.set(&mixed, 2) * inner;
        if let Some(readout) = &self.readout {
            flow.put(VECTORS, readout.apply(weights, graph, &scalars, &vectors));
        }
        flow.put(NODES, scalars);
        flow.put(VECTOR_FEATURES, vectors);
        flow
    }
}
