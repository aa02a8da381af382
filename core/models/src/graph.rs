//! A batch of graphs on a device, as models read it.

mod sized;

use std::sync::{Arc, OnceLock};

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use isograd_data::{HeadRange, HostBatch};
use isograd_engine::Differentiable;
use isograd_ops::gradient::CotangentBackend;
use isograd_ops::index::{EdgeIndex, EdgeList, Grouping, HostGrouping};
use isograd_ops::kernels::KernelBackend;
use isograd_ops::value::Value;

use crate::nn::{Edges, Radial};
use crate::tensors::floats;

/// The size of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GraphSizes {
    /// B.
    pub graphs: u64,
    /// N.
    pub nodes: u64,
    /// E.
    pub edges: u64,
}

/// B graphs as one, with N nodes and E edges, on a device. Labels are not among it.
#[derive(Debug, Clone)]
pub struct Graph<B: Backend> {
    /// Nodes by kind.
    pub species: Grouping<B>,
    /// Nodes by graph.
    pub graph_of_node: Grouping<B>,
    /// Receiver, sorted, and sender of each edge.
    pub index: EdgeIndex<B>,
    /// The same for the edges of each head alone, numbered from its first node; empty where there is
    /// only one head.
    pub head_index: Vec<EdgeIndex<B>>,
    /// `r_ij` of each edge, `[E, D]`.
    pub vectors: Value<B>,
    /// One over the number of neighbours, or zero without any, `[N, 1]`.
    pub inverse_degree: Value<B>,
    /// One over the number of nodes of each graph, `[B, 1]`.
    pub inverse_sizes: Value<B>,
    /// One over the volume of each graph's cell, `[B, 1]`; zero without one.
    pub inverse_volumes: Value<B>,
    /// Positions `[N, D]`, where they were asked for.
    pub positions: Option<Value<B>>,
    /// Velocities `[N, D]`, where nodes have any.
    pub velocities: Option<Value<B>>,
    /// The ranges of each head, in order.
    pub heads: Vec<HeadRange>,
    /// D, the dimensions of space.
    pub dims: usize,
    /// Number of graphs, B.
    pub graphs: usize,
    /// Number of nodes, N.
    pub nodes: usize,
    /// Number of edges, E.
    pub edges: usize,
    /// What was made of the vectors, which all blocks of a model ask for alike.
    radial: Arc<OnceLock<(Radial, Arc<Edges<B>>)>>,
    /// The same for one block alone, where gradients with respect to the geometry are wanted.
    own: Option<OnceLock<Arc<Edges<B>>>>,
}

impl<B: Backend> Graph<B> {
    /// Copies a batch to a device, vectors rounded to the precision of the backend.
    ///
    /// # Panics
    /// If a node's kind is not below `species`.
    pub fn new(batch: &HostBatch, species: usize, device: &B::Device) -> Self {
        let grouping = |of: &[u32], groups| Grouping::new(HostGrouping::new(of.to_vec(), groups), device);
        let degrees = batch.offsets.windows(2).map(|range| range[1] - range[0]);
        let inverse_degree: Vec<f32> =
            degrees.map(|degree| if degree > 0 { 1.0 / degree as f32 } else { 0.0 }).collect();
        let inverse_sizes: Vec<f32> = batch.sizes.iter().map(|&size| 1.0 / size.max(1) as f32).collect();
        let inverse_volumes: Vec<f64> =
            (0..batch.graphs()).map(|k| batch.volumes.get(k).copied().flatten().map_or(0.0, f64::recip)).collect();
        let several = batch.heads.iter().filter(|_| batch.heads.len() > 1);
        let head_index = several.map(|part| EdgeIndex::new(edge_list(batch, part), device)).collect();
        let all = HeadRange { head: 0, nodes: 0..batch.nodes(), edges: 0..batch.edges() };
        let doubles = |values: &[f64], rows: usize| {
            let data = TensorData::new(values.to_vec(), [rows, batch.dims]).convert::<B::FloatElem>();
            Value::new(Tensor::from_data(data, device))
        };
        let of_nodes = |values: &[f64]| (!values.is_empty()).then(|| doubles(values, batch.nodes()));
        Self {
            species: grouping(&batch.species, species),
            graph_of_node: grouping(&batch.graph_of_node, batch.graphs()),
            index: EdgeIndex::new(edge_list(batch, &all), device),
            head_index,
            vectors: doubles(&batch.vectors, batch.edges()),
            inverse_degree: Value::new(floats(&inverse_degree, [batch.nodes(), 1], device)),
            inverse_sizes: Value::new(floats(&inverse_sizes, [batch.graphs(), 1], device)),
            inverse_volumes: {
                let data = TensorData::new(inverse_volumes, [batch.graphs(), 1]).convert::<B::FloatElem>();
                Value::new(Tensor::from_data(data, device))
            },
            positions: of_nodes(&batch.positions),
            velocities: of_nodes(&batch.velocities),
            heads: batch.heads.clone(),
            dims: batch.dims,
            graphs: batch.graphs(),
            nodes: batch.nodes(),
            edges: batch.edges(),
            radial: Arc::default(),
            own: None,
        }
    }

    /// The same graph while its edges change by `directions` `[E, D]`: values along it have tangents.
    ///
    /// # Panics
    /// If there is not one direction for each edge.
    #[must_use]
    pub fn along(self, directions: Tensor<B, 2>) -> Self {
        let vectors = Value::with_tangent(self.vectors.into_tensor(), directions);
        Self { vectors, radial: Arc::default(), own: None, ..self }
    }

    /// Where the graph lies.
    pub fn device(&self) -> B::Device {
        self.vectors.device()
    }
}

impl<B: KernelBackend> Graph<B> {
    /// What models know of the edges as they are given; `None` without any. Made once for all blocks that ask alike.
    pub fn edges_as_given(&self, radial: &Radial) -> Option<Arc<Edges<B>>> {
        if self.edges == 0 {
            return None;
        }
        let (known, edges) = self.radial.get_or_init(|| {
            let edges = Edges::without_gradient(radial, &self.vectors, &self.index, &self.inverse_degree);
            (radial.clone(), Arc::new(edges))
        });
        if known != radial {
            return Some(Arc::new(Edges::new(radial, &self.vectors, &self.index, &self.inverse_degree)));
        }
        Some(match &self.own {
            Some(own) => own.get_or_init(|| Arc::new(edges.leaves())).clone(),
            None => edges.clone(),
        })
    }
}

/// Gradients of one number with respect to the geometry of a graph, as far as blocks have asked for it.
#[derive(Debug)]
pub struct GeometryGradient<B: Backend> {
    /// With respect to the vectors `[E, D]`.
    vectors: Option<Tensor<B, 2>>,
    /// With respect to what was made of them, and to its tangents, in the order of [`Edges::tensors`].
    edges: Vec<Option<Tensor<B, 2>>>,
}

impl<B: Backend> Default for GeometryGradient<B> {
    fn default() -> Self {
        Self { vectors: None, edges: Vec::new() }
    }
}

fn add<B: Backend>(sum: &mut Option<Tensor<B, 2>>, next: Option<Tensor<B, 2>>) {
    *sum = match (sum.take(), next) {
        (Some(sum), Some(next)) => Some(sum + next),
        (sum, next) => sum.or(next),
    };
}

impl<A: AutodiffBackend + KernelBackend> Differentiable<A> for Graph<A> {
    type Cotangents = GeometryGradient<A::InnerBackend>;

    fn leaves(&self) -> Self {
        Self { vectors: self.vectors.clone().leaf(), own: Some(OnceLock::new()), ..self.clone() }
    }

    fn collect(self, gradients: &mut A::Gradients, sum: &mut Self::Cotangents) {
        add(&mut sum.vectors, self.vectors.tensor().grad_remove(gradients));
        if let Some(own) = self.own.as_ref().and_then(OnceLock::get) {
            let found: Vec<_> = own.tensors().map(|tensor| tensor.grad_remove(gradients)).collect();
            sum.edges.resize(found.len(), None);
            sum.edges.iter_mut().zip(found).for_each(|(sum, next)| add(sum, next));
        }
    }
}

impl<A: AutodiffBackend + KernelBackend + CotangentBackend> Graph<A> {
    /// A gradient with respect to the vectors, `[E, D]`, through what was made of them; zero where nothing depends on them.
    pub fn gradient_of_vectors(&self, found: GeometryGradient<A::InnerBackend>) -> Tensor<A::InnerBackend, 2> {
        let mut sum = found.vectors;
        if let (false, Some((radial, _))) = (found.edges.is_empty(), self.radial.get()) {
            let vectors = self.vectors.clone().leaf();
            let made = Edges::new(radial, &vectors, &self.index, &self.inverse_degree);
            let pairs = made.tensors().zip(found.edges).filter_map(|(tensor, gradient)| Some((tensor, gradient?)));
            let pairs = pairs.filter(|(made, _)| A::is_tracked(made));
            let root = pairs.map(|(made, gradient)| A::pull_back(made.clone(), gradient)).reduce(|a, b| a + b);
            if let Some(root) = root {
                add(&mut sum, vectors.tensor().grad_remove(&mut root.backward()));
            }
        }
        sum.unwrap_or_else(|| self.vectors.tensor().clone().inner().zeros_like())
    }
}

/// The edges of a part of a batch, between its nodes, which are numbered from its first.
fn edge_list(batch: &HostBatch, part: &HeadRange) -> EdgeList {
    let first = part.nodes.start as u32;
    let numbered = |nodes: &[u32]| nodes[part.edges.clone()].iter().map(|node| node - first).collect();
    EdgeList { nodes: part.nodes.len(), receivers: numbered(&batch.receivers), senders: numbered(&batch.senders) }
}
