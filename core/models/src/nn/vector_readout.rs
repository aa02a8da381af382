//! Vectors per node from vector features.

use isograd_engine::{BlockWeights, Declare};
use isograd_ops::kernels::KernelBackend;
use isograd_ops::value::Value;

use super::{Linear, Mlp};
use crate::Graph;

/// A vector per node: a sum of its vector features, times a scalar of its scalar features; with weights for each head.
#[derive(Debug)]
pub struct VectorReadout {
    heads: Vec<Head>,
}

#[derive(Debug)]
struct Head {
    vectors: Linear,
    gate: Mlp,
}

impl VectorReadout {
    /// Of so many features, for so many heads.
    pub fn declare(declare: &mut Declare, width: usize, heads: usize) -> Self {
        let head = |head| {
            let mut heads = declare.scope("heads");
            let mut head = heads.scope(head);
            let mut scope = head.scope("force");
            Head {
                vectors: Linear::declare(&mut scope, "vectors", [width, 1], false),
                gate: Mlp::declare(&mut scope, "gate", [width, width, 1], true),
            }
        };
        Self { heads: (0..heads).map(head).collect() }
    }

    /// `[N, D]` of scalar features `[N, F]` and vector features `[N, D F]`.
    pub fn apply<B: KernelBackend>(
        &self,
        weights: &BlockWeights<B>,
        graph: &Graph<B>,
        scalars: &Value<B>,
        vectors: &Value<B>,
    ) -> Value<B> {
        let parts = graph.heads.iter().map(|part| {
            let Head { vectors: map, gate } = &self.heads[part.head];
            let own = vectors.rows(part.nodes.clone()).matmul_vectors(weights.get(map.weight));
            own * gate.apply(weights, scalars.rows(part.nodes.clone()))
        });
        Value::stack(parts.collect())
    }
}
