//! An architecture of your own: hyper-parameters, blocks, the conformance suite, and training it by its `kind`.
//!
//!     cargo run --release --example own_architecture
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use isograd::backends::{device::CpuBackend, message::MessageBackend};
use isograd::data::formats::Formats;
use isograd::engine::{Block, BlockWeights, Declare, Flow};
use isograd::models::nn::{Basis, Embedding, Envelope, Linear, PairVectors, Radial};
use isograd::models::{
    Architecture, Graph, GraphBlocks, GraphNeeds, Inputs, Invalid, NODES, NodeVectors, Registry, VECTORS,
};
use isograd::train::{config::Config, train};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Filters {
    width: usize,
    cutoff: f64,
}

impl Default for Filters {
    fn default() -> Self {
        Self { width: 32, cutoff: 4.0 }
    }
}

impl Architecture for Filters {
    const KIND: &'static str = "filters";
    fn validate(&self, inputs: &Inputs) -> Result<(), Invalid> {
        Invalid::unless_within("width", self.width, 1, 4096)?;
        Invalid::unless_cutoff(self.cutoff)?;
        Invalid::unless_displacement(Self::KIND, inputs)
    }
    fn needs(&self) -> GraphNeeds {
        GraphNeeds::within(self.cutoff)
    }
    fn width(&self) -> usize {
        self.width
    }
    fn blocks<B: MessageBackend>(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<B> {
        declare.next_block();
        let embedding = Embedding::declare(declare, inputs.species.len(), self.width);
        declare.next_block();
        let radial = Radial { cutoff: self.cutoff, basis: Basis::Bessel { size: 8 }, envelope: Envelope::Polynomial };
        let [filter, mix] = [("filter", 8), ("mix", self.width)]
            .map(|(name, from)| Linear::declare(declare, name, [from, self.width], false));
        let vectors =
            (inputs.vectors == NodeVectors::Direct).then(|| PairVectors::declare(declare, self.width, 8, inputs.heads));
        vec![Box::new(embedding), Box::new(Convolution { radial, filter, mix, vectors })]
    }
}

struct Convolution {
    radial: Radial,
    filter: Linear,
    mix: Linear,
    vectors: Option<PairVectors>,
}

/// `h_i + silu(sum_j h_j * (g(r_ij) W) w(r_ij)) V`.
impl<B: MessageBackend> Block<B, Graph<B>> for Convolution {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, mut flow: Flow<B>) -> Flow<B> {
        let (mut nodes, edges) = (flow.need(NODES), graph.edges_as_given(&self.radial));
        if let Some(edges) = &edges {
            let filter = edges.fade(self.filter.apply(weights, edges.features.clone()));
            let sum = (nodes.clone().gather(&graph.index.senders) * filter).sum_groups(&graph.index.receivers);
            nodes = nodes + self.mix.apply(weights, sum.silu());
        }
        if let Some(vectors) = &self.vectors {
            flow.put(VECTORS, vectors.apply(weights, graph, &nodes, edges.as_deref()));
        }
        flow.put(NODES, nodes);
        flow
    }
}

const CONFIG: &str = r#"
[data]
files = ["examples/data/molecules.extxyz.xz"]
[model]
kind = "filters"
width = 32
[train]
epochs = 2
batch_graphs = 16
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    isograd_testing::conforms(&isograd_testing::Subject::new("filters", Filters { width: 8, cutoff: 3.0 }));
    println!("filters: equivariant, with right gradients, the same when recomputed and on several ranks");
    let registry = Registry::default().with::<Filters>();
    let folder = tempfile::tempdir()?;
    let out = format!("run.out={:?}", folder.path().join("run"));
    let config = Config::parse_with(&registry, CONFIG, &[out], "this example")?;
    let finished = train::<CpuBackend>(&config, &registry, &Formats::default(), false, &Default::default(), &mut ())?;
    for (name, error) in finished.summary.best.validation.iter() {
        println!("{name} {error:?}");
    }
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn std::error::Error>> {
    main()
}
