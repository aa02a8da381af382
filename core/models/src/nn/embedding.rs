//! First features of nodes, by their kind.

use isograd_backends::kernels::KernelBackend;
use isograd_backends::value::Value;
use isograd_engine::{Block, BlockWeights, Declare, Flow, Init, Slot};

use crate::{Graph, NODES};

/// A row of weights for each kind of node. As a block, the first of a model.
#[derive(Debug, Clone, Copy)]
pub struct Embedding {
    rows: Slot<2>,
}

impl Embedding {
    /// Rows of unit variance, `[species, width]`.
    pub fn declare(declare: &mut Declare, species: usize, width: usize) -> Self {
        // As torch.nn.Embedding, whose rows are normal; a uniform of that variance here.
        Self { rows: declare.slot("embedding", [species, width], Init::Uniform(3f64.sqrt())) }
    }
}

impl<B: KernelBackend> Block<B, Graph<B>> for Embedding {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, mut flow: Flow<B>) -> Flow<B> {
        flow.put(NODES, Value::new(weights.get(self.rows)).gather(&graph.species));
        flow
    }
}
