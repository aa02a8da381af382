//! First features of nodes, by their kind.

use isograd_engine::{Block, BlockWeights, Declare, Flow, Init, Slot};
use isograd_ops::kernels::KernelBackend;
use isograd_ops::value::Value;

use crate::{Graph, NODES};

/// A row of weights for each kind of node. As a block, the first of a model.
#[derive(Debug, Clone, Copy)]
pub struct Embedding {
    rows: Slot<2>,
    /// What squared speeds are multiplied by and added, `[1, width]`.
    speeds: Option<Slot<2>>,
}

impl Embedding {
    /// Rows of unit variance, `[species, width]`.
    pub fn declare(declare: &mut Declare, species: usize, width: usize) -> Self {
        // As torch.nn.Embedding, whose rows are normal; a uniform of that variance here.
        Self { rows: declare.slot("embedding", [species, width], Init::Uniform(3f64.sqrt())), speeds: None }
    }

    /// The same with the squared lengths of velocities among the features.
    #[must_use]
    pub fn with_speeds(self, declare: &mut Declare, width: usize) -> Self {
        Self { speeds: Some(declare.slot("speeds", [1, width], Init::Uniform(1.0))), ..self }
    }
}

impl<B: KernelBackend> Block<B, Graph<B>> for Embedding {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, mut flow: Flow<B>) -> Flow<B> {
        let mut nodes = Value::new(weights.get(self.rows)).gather(&graph.species);
        if let Some((speeds, velocities)) = self.speeds.zip(graph.velocities.clone()) {
            nodes = nodes + velocities.square().sum_columns().matmul(weights.get(speeds));
        }
        flow.put(NODES, nodes);
        flow
    }
}
