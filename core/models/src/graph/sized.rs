//! A graph that has sizes only, for a walk on shapes.

use std::ops::Range;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use isograd_data::HeadRange;
use isograd_ops::index::{EdgeIndex, Grouping};
use isograd_ops::profile::VALUE;
use isograd_ops::sketch::{Sketch, SketchDevice};
use isograd_ops::value::Value;

use super::{Graph, GraphSizes};
use crate::{GraphNeeds, Inputs};

type Shapes = Autodiff<Sketch>;

/// The share of one part of so many.
fn share(count: usize, part: usize, parts: usize) -> Range<usize> {
    let cut = |part: usize| (count as u128 * part as u128 / parts as u128) as usize;
    cut(part)..cut(part + 1)
}

impl Graph<Shapes> {
    /// A batch of these sizes, as it is made for a model. Heads have equal shares of it.
    pub fn sized(sizes: GraphSizes, inputs: &Inputs, needs: GraphNeeds, device: &SketchDevice) -> Self {
        let [graphs, nodes, edges] = [sizes.graphs, sizes.nodes, sizes.edges].map(|count| count as usize);
        let parts = inputs.heads.min(graphs).max(1);
        let part = |head| HeadRange { head, nodes: share(nodes, head, parts), edges: share(edges, head, parts) };
        let heads: Vec<HeadRange> = (0..parts).map(part).collect();
        let value = |rows, columns| Value::new(Tensor::from_inner(Tensor::empty([rows, columns], device)));
        let grouping =
            |rows, groups, sorted| Grouping::from_inner(Grouping::<Sketch>::sized(rows, groups, sorted, device));
        let index = |nodes, edges| EdgeIndex::from_inner(EdgeIndex::<Sketch>::sized(edges, nodes, device));
        let several = heads.iter().filter(|_| parts > 1);
        Self {
            species: grouping(nodes, inputs.species.len(), false),
            graph_of_node: grouping(nodes, graphs, true),
            index: index(nodes, edges),
            head_index: several.map(|part| index(part.nodes.len(), part.edges.len())).collect(),
            vectors: value(edges, inputs.dims),
            inverse_degree: value(nodes, 1),
            inverse_sizes: value(graphs, 1),
            inverse_volumes: value(graphs, 1),
            positions: needs.positions.then(|| value(nodes, inputs.dims)),
            velocities: needs.velocities.then(|| value(nodes, inputs.dims)),
            heads,
            dims: inputs.dims,
            graphs,
            nodes,
            edges,
            radial: Arc::default(),
            own: None,
        }
    }

    /// Bytes of its indices.
    pub fn index_bytes(&self) -> u64 {
        let of = |own: &Grouping<Shapes>| {
            let order = if own.order.is_some() { own.rows() } else { 0 };
            VALUE * (own.rows() + order + own.groups() + 1) as u64
        };
        let edges = self.head_index.iter().chain([&self.index]);
        let edges = edges.flat_map(|index| [&index.receivers, &index.senders]);
        edges.chain([&self.species, &self.graph_of_node]).map(of).sum()
    }
}
