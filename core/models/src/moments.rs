//! Moments: a many-body potential of the moments of each atom's surroundings.
//!
//! Features are symmetric traceless tensors of degrees 0 to l, in F channels ([`Harmonics`]). A layer first sums over
//! neighbours what is a moment of their density: their features times radial functions times harmonics of the direction,
//!
//! ```text
//! A_i = M sum_j R(r_ij) Y(r_ij) S X_j / sqrt(1 + sum_j w(r_ij)),   R_c(r) = sum_k a_k W_kc B_k(r) w(r)
//! ```
//!
//! with linear maps S and M of channels, one for each degree, a basis B and the envelope w. Of Bessel functions a_k falls as
//! 1/k, so that radial functions begin smooth and stay so where nothing in the data asks for more. Each channel of A is
//! divided by the root of one more than its mean square ([`Value::bounded`]): what follows are polynomials, and would grow
//! without bounds where atoms are closer than any were in training. Products of moments have more than two bodies:
//! `T = A + A A` and `U = T + T A`, channel by channel, with weights for each path, channel and kind of atom, so that U has
//! terms of one to three factors, which are correlations of two to four atoms. A linear map of U is added to the features,
//! and a perceptron of the scalars to the scalars.
//!
//! That is the atomic cluster expansion (Drautz 2019, doi:10.1103/PhysRevB.99.014104) with messages, as in MACE (Batatia et
//! al. 2022, arXiv:2206.07697) and CACE (Cheng 2024, arXiv:2402.07472). What differs: products are made step by step instead
//! of by generalised coupling coefficients; radial functions are sums of a basis, with no perceptron on edges; tensors are
//! those of [`Harmonics`], which there are in every dimension.

use std::sync::Arc;

use isograd_engine::{Block, BlockWeights, Declare, Flow, Init, Slot};
use isograd_ops::kernels::tensor_product::Table;
use isograd_ops::message::MessageBackend;
use isograd_ops::value::{Convolution, EdgeWork, Value, convolve};
use serde::{Deserialize, Serialize};

use crate::nn::{
    Basis, DegreeLinear, Directions, Embedding, Envelope, Harmonics, Mlp, Radial, TensorEdges, VectorReadout, stack,
};
use crate::tensors::floats;
use crate::{Architecture, Graph, GraphBlocks, GraphNeeds, Inputs, Invalid, NODES, NodeVectors, VECTORS};

/// The flow entry of features of degrees 1 to l, `[N, components F]`.
const TENSORS: &str = "tensor features";

/// The root of the mean square of what radial features are multiplied by, with which functions of them start near one.
const RADIAL_SCALE: f64 = 3.0;

/// What each radial feature is multiplied by.
fn radial_factors(basis: Basis) -> Vec<f32> {
    let falling = |k: usize| match basis {
        Basis::Bessel { .. } => 1.0 / k as f64,
        _ => 1.0,
    };
    let factors: Vec<f64> = (1..=basis.size()).map(falling).collect();
    let mean = factors.iter().map(|factor| factor * factor).sum::<f64>() / factors.len() as f64;
    factors.into_iter().map(|factor| (RADIAL_SCALE * factor / mean.sqrt()) as f32).collect()
}

/// The variance of what products start with, for each path that makes a degree.
const PRODUCT_VARIANCE: f64 = 0.25;

/// Hyper-parameters of [`Moments`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Moments {
    /// Width F: so many channels of each degree. Default 64.
    pub width: usize,
    /// Number of layers L. Default 2.
    pub layers: usize,
    /// Cutoff in angstrom. Default 5.
    pub cutoff: f64,
    /// Edge features. Default `{ kind = "bessel", size = 8 }`.
    pub basis: Basis,
    /// Fading at the cutoff. Default `polynomial`.
    pub envelope: Envelope,
    /// Highest degree of directions and moments. Default 3.
    pub degree: usize,
    /// Highest degree of the features that layers hand on. Default 1.
    pub hidden_degree: usize,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            width: 64,
            layers: 2,
            cutoff: 5.0,
            basis: Basis::Bessel { size: 8 },
            envelope: Envelope::Polynomial,
            degree: 3,
            hidden_degree: 1,
        }
    }
}

impl Architecture for Moments {
    const KIND: &'static str = "moments";

    fn validate(&self, inputs: &Inputs) -> Result<(), Invalid> {
        Invalid::unless_sizes(self.width, self.layers, self.cutoff)?;
        Invalid::unless_within("basis.size", self.basis.size(), 1, 1024)?;
        Invalid::unless_within("degree", self.degree, 1, 4)?;
        Invalid::unless_within("hidden_degree", self.hidden_degree, 0, self.degree)?;
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
        let harmonics = Harmonics::new(inputs.dims, self.degree);
        let embedding = |declare: &mut Declare| Embedding::declare(declare, inputs.species.len(), self.width);
        stack(declare, embedding, self.layers, |declare, layer| {
            Layer::declare(declare, self, &harmonics, inputs, layer)
        })
    }
}

/// Moments, products of them, and what they add to the features.
struct Layer {
    width: usize,
    work: EdgeWork,
    radial: Radial,
    /// Channels that are sent.
    sent: DegreeLinear,
    moments: Arc<Table>,
    /// W, `[K, paths F]`.
    radial_weights: Slot<2>,
    /// a, `[K]`.
    radial_factors: Vec<f32>,
    /// Channels of the moments.
    mixed: DegreeLinear,
    products: [Product; 2],
    /// Channels of the products.
    received: DegreeLinear,
    update: Mlp,
    readout: Option<VectorReadout>,
}

/// A product of tensors with moments.
struct Product {
    table: Arc<Table>,
    /// `[species, paths F]`.
    weights: Slot<2>,
}

impl Product {
    /// What makes degrees up to `out` of tensors of degrees up to `first` and of moments of degrees up to `second`, or, where
    /// they are `same`, of moments alone.
    fn declare(
        declare: &mut Declare,
        name: &str,
        harmonics: &Harmonics,
        sizes: [usize; 2],
        [first, second, out]: [usize; 3],
        same: bool,
    ) -> Self {
        let mut paths = harmonics.paths([first, second, out]);
        paths.retain(|[a, b, _]| !same || a <= b);
        let terms = paths.iter().enumerate().flat_map(|(path, degrees)| harmonics.terms(path, *degrees)).collect();
        let components = [first, second, out].map(|most| harmonics.start(most + 1));
        let [species, width] = sizes;
        let init = Init::Uniform((3.0 * PRODUCT_VARIANCE).sqrt());
        Self {
            table: Arc::new(Table::new([paths.len(), components[0], components[1], components[2]], terms)),
            weights: declare.slot(name, [species, paths.len() * width], init),
        }
    }

    fn apply<B: MessageBackend>(
        &self,
        weights: &BlockWeights<B>,
        graph: &Graph<B>,
        tensors: Value<B>,
        moments: Value<B>,
    ) -> Value<B> {
        let weights = Value::new(weights.get(self.weights)).gather(&graph.species);
        tensors.tensor_product(&self.table, moments, weights)
    }
}

impl Layer {
    fn declare(declare: &mut Declare, config: &Moments, harmonics: &Harmonics, inputs: &Inputs, layer: usize) -> Self {
        let (width, degree) = (config.width, config.degree);
        let last = layer + 1 == config.layers;
        let direct = last && inputs.vectors == NodeVectors::Direct;
        let given = if layer == 0 { 0 } else { config.hidden_degree };
        let made = match (last, direct) {
            (true, true) => 1,
            (true, false) => 0,
            _ => config.hidden_degree,
        };
        let paths = harmonics.paths([degree, given, degree]);
        let terms = paths.iter().enumerate().flat_map(|(path, degrees)| harmonics.terms(path, *degrees)).collect();
        let components = [degree, given, degree].map(|most| harmonics.start(most + 1));
        let moments = Table::new([paths.len(), components[0], components[1], components[2]], terms);
        let own = {
            let mut layers = declare.scope("layers");
            let mut scope = layers.scope(layer);
            let scope = &mut scope;
            let basis = config.basis.size();
            let sizes = [inputs.species.len(), width];
            let square = [width, width];
            Self {
                width,
                work: inputs.edge_work,
                radial: Radial::new(config.cutoff, config.basis, config.envelope)
                    .with_directions(Directions::new(harmonics, degree)),
                sent: DegreeLinear::declare(scope, "sent", harmonics, given, square),
                radial_weights: scope.matrices(
                    "radial",
                    [basis, paths.len() * width],
                    [basis, width],
                    Init::Uniform((3.0 / basis as f64).sqrt()),
                ),
                radial_factors: radial_factors(config.basis),
                moments: Arc::new(moments),
                mixed: DegreeLinear::declare(scope, "mixed", harmonics, degree, square),
                products: [
                    Product::declare(scope, "squares", harmonics, sizes, [degree, degree, degree], true),
                    Product::declare(scope, "cubes", harmonics, sizes, [degree, degree, made], false),
                ],
                received: DegreeLinear::declare(scope, "received", harmonics, made, square),
                update: Mlp::declare(scope, "update", [width, width, width], true),
                readout: None,
            }
        };
        Self { readout: direct.then(|| VectorReadout::declare(declare, width, inputs.heads)), ..own }
    }

    /// What a layer adds to features of all degrees, `[N, components F]`; `None` without edges.
    fn received<B: MessageBackend>(
        &self,
        weights: &BlockWeights<B>,
        graph: &Graph<B>,
        features_of_nodes: &Value<B>,
    ) -> Option<Value<B>> {
        let edges = graph.edges_as_given(&self.radial)?;
        let TensorEdges { directions, features } = edges.tensors.clone()?;
        let nodes = self.sent.apply(weights, features_of_nodes);
        let factors = floats(&self.radial_factors, [self.radial_factors.len(), 1], &graph.device());
        let weight = weights.get(self.radial_weights) * factors;
        let of = Convolution { nodes, directions, features, weight };
        let moments = convolve(self.work, &self.moments, &graph.index, of) * edges.mean.clone().sqrt();
        let moments = self.mixed.apply(weights, &moments);
        let components = moments.dims()[1] / self.width;
        let moments = moments.bounded(components);
        let [squares, cubes] = &self.products;
        let products = moments.clone() + squares.apply(weights, graph, moments.clone(), moments.clone());
        let more = cubes.apply(weights, graph, products.clone(), moments);
        let [_, columns] = more.dims();
        let products = products.columns(0..columns) + more;
        Some(self.received.apply(weights, &products))
    }
}

impl<B: MessageBackend> Block<B, Graph<B>> for Layer {
    fn forward(&self, weights: &BlockWeights<B>, graph: &Graph<B>, mut flow: Flow<B>) -> Flow<B> {
        let mut scalars = flow.need(NODES);
        let mut tensors = flow.take(TENSORS);
        let features = match &tensors {
            Some(tensors) => Value::join(vec![scalars.clone(), tensors.clone()]),
            None => scalars.clone(),
        };
        if let Some(received) = self.received(weights, graph, &features) {
            let [_, columns] = received.dims();
            scalars = scalars + received.columns(0..self.width);
            tensors = (columns > self.width).then(|| {
                let own = received.columns(self.width..columns);
                match tensors {
                    // The last layer makes fewer degrees than it is given.
                    Some(tensors) => tensors.columns(0..columns - self.width) + own,
                    None => own,
                }
            });
        }
        scalars = scalars.clone() + self.update.apply(weights, scalars);
        if let Some(readout) = &self.readout {
            let zeros = || Value::zeros([graph.nodes, graph.dims * self.width], &graph.device());
            let vectors = tensors.clone().map_or_else(zeros, |tensors| tensors.columns(0..graph.dims * self.width));
            flow.put(VECTORS, readout.apply(weights, graph, &scalars, &vectors));
        }
        flow.put(NODES, scalars);
        if let Some(tensors) = tensors.filter(|_| self.readout.is_none()) {
            flow.put(TENSORS, tensors);
        }
        flow
    }
}
