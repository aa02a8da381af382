//! SchNet: continuous-filter convolutions (Schütt et al. 2018, arXiv:1712.06113).
//!
//! With filters W(r) made of a radial basis, each layer computes
//! `h_i <- h_i + f(sum_j (h_j W_in) * W(r_ij) w(r_ij))`.

use isograd_engine::{Block, BlockWeights, Declare, Flow};
use isograd_ops::message::MessageBackend;
use serde::{Deserialize, Serialize};

use crate::nn::{Basis, Embedding, Envelope, Linear, PairVectors, Radial, stack};
use crate::{Architecture, Graph, GraphBlocks, GraphNeeds, Inputs, Invalid, NODES, NodeVectors, VECTORS};

/// Hyper-parameters of a SchNet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchNet {
    /// Width F of node features and filters. Default 128.
    pub width: usize,
    /// Number of interactions L. Default 4.
    pub layers: usize,
    /// Cutoff in angstrom. Default 5.
    pub cutoff: f64,
    /// Number of Gaussians, K. Default 25.
    pub gaussians: usize,
    /// Fading at the cutoff. Default `polynomial`: with the `cosine` of later SchNets, slopes of conservative forces jump
    /// where an atom crosses the cutoff.
    pub envelope: Envelope,
}

impl Default for SchNet {
    fn default() -> Self {
        Self { width: 128, layers: 4, cutoff: 5.0, gaussians: 25, envelope: Envelope::Polynomial }
    }
}

impl SchNet {
    fn radial(&self) -> Radial {
        let basis = Basis::Gaussian { size: self.gaussians };
        Radial::new(self.cutoff, basis, self.envelope)
    }
}

impl Architecture for SchNet {
    const KIND: &'static str = "schnet";

    fn validate(&self, inputs: &Inputs) -> Result<(), Invalid> {
        Invalid::unless_sizes(self.width, self.layers, self.cutoff)?;
        Invalid::unless_within("gaussians", self.gaussians, 2, 1024)?;
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
        stack(declare, embedding, self.layers, |declare, layer| Interaction::declare(declare, self, inputs, layer))
    }
}

/// One interaction.
struct Interaction {
    /// The filter network, shifted softplus between.
    filter: [Linear; 2],
    input: Linear,
    /// f, shifted softplus between.
    output: [Linear; 2],
    vectors: Option<PairVectors>,
    radial: Radial,
}

impl Interaction {
    fn declare(declare: &mut Declare, config: &SchNet, inputs: &Inputs, layer: usize) -> Self {
        let (width, basis) = (config.width, config.gaussians);
        let own = {
            let mut layers = declare.scope("layers");
            let mut scope = layers.scope(layer);
            Self {
                filter: [
                    Linear::declare(&mut scope, "filter_in", [basis, width], true),
                    Linear::declare(&mut scope, "filter_out", [width, width], true),
                ],
                input: Linear::declare(&mut scope, "input", [width, width], false),
                output: [
                    Linear::declare(&mut scope, "output_in", [width, width], true),
                    Linear::declare(&mut scope, "output_out", [width, width], true),
                ],
                vectors: None,
                radial: config.radial(),
            }
        };
        let direct = layer + 1 == config.layers && inputs.vectors == NodeVectors::Direct;
        Self { vectors: direct.then(|| PairVectors::declare(declare, width, basis, inputs.heads)), ..own }
    }
}

impl<B: MessageBackend> Block<B, Graph<B>> for Interaction {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, mut flow: Flow<B>) -> Flow<B> {
        let nodes = flow.need(NODES);
        let edges = graph.edges_as_given(&self.radial);
        let gathered = match &edges {
            Some(edges) => {
                let [first, second] = &self.filter;
                let hidden = first.apply(weights, edges.features.clone()).shifted_softplus();
                let filter = edges.fade(second.apply(weights, hidden));
                let sent = self.input.apply(weights, nodes.clone()).gather(&graph.index.senders);
                (sent * filter).sum_groups(&graph.index.receivers)
            }
            None => nodes.zeros_like(),
        };
        let [first, second] = &self.output;
        let nodes = nodes + second.apply(weights, first.apply(weights, gathered).shifted_softplus());
        if let Some(vectors) = &self.vectors {
            flow.put(VECTORS, vectors.apply(weights, graph, &nodes, edges.as_deref()));
        }
        flow.put(NODES, nodes);
        flow
    }
}
